//! Drains a process's output at all times and sees to its end.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{sleep, Instant};

use super::handle::{Process, STDERR, STDOUT};
use super::hold::Hold;
use super::registry::Processes;
use super::spawn::{reap, Ended};
use crate::gen::Exited;
use crate::watched::watch;

/// After the leader's end: output that keeps coming is awaited until there was none for this long, and
/// never longer than the second, for a descendant may hold the pipes for ever.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST_DRAIN: Duration = Duration::from_millis(500);
/// One turn of reading, so that a busy writer does not keep the others waiting.
const TURN_BYTES: usize = 256 << 10;

pub async fn supervise(
    processes: Rc<Processes>,
    process: Rc<Process>,
    outputs: Vec<OwnedFd>,
    timeout: Option<Duration>,
) {
    let mut drained = pin!(drain_all(&process, outputs));
    let mut at_end = false;
    let mut timed_out = false;
    {
        let mut ended = pin!(leader_ended(&process));
        let mut expired = pin!(expire(&processes.hold, timeout));
        loop {
            tokio::select! {
                biased;
                () = &mut drained, if !at_end => at_end = true,
                () = &mut ended => break,
                () = &mut expired, if !timed_out => {
                    timed_out = true;
                    process.tree.kill();
                }
            }
        }
    }
    let ended = reap(&process.tree.pidfd);
    let duration = process.started.elapsed();
    if timed_out {
        process.tree.kill();
    }
    if !at_end {
        tokio::select! {
            () = &mut drained => at_end = true,
            () = quiet(&process) => {}
        }
    }
    let exited = Exited {
        exit_code: match ended {
            Some(Ended::Code(code)) => Some(code),
            _ => None,
        },
        signal: match ended {
            Some(Ended::Signal(signal)) => Some(signal),
            _ => None,
        },
        timed_out,
        duration_ns: duration.as_nanos() as u64,
        stdout_bytes: process.total(STDOUT),
        stderr_bytes: process.total(STDERR),
    };
    if let Some(stdin) = &process.stdin {
        stdin.abandon();
    }
    *process.exited.borrow_mut() = Some(exited);
    process.changed.notify_waiters();
    processes.ended(&process);

    if !process.keep {
        // Its logs live until its client has read them.
        return end_tree(&process).await;
    }
    if !at_end {
        // A daemon that a job left behind may go on writing: nobody is blocked by it.
        drained.await;
    }
    process
        .logs
        .iter()
        .for_each(|log| log.borrow_mut().settle());
    process.changed.notify_waiters();
    // As long as a daemon lives in it this is tried again only when the job is forgotten.
    process.tree.clean();
}

async fn expire(hold: &Hold, timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => hold.sleep_unheld(timeout).await,
        None => std::future::pending().await,
    }
}

async fn leader_ended(process: &Process) {
    let Ok(watched) = watch(process.tree.pidfd.as_fd(), Interest::READABLE) else {
        return;
    };
    // It stays readable, so this never waits for something that has happened already.
    let _ = watched.readable().await;
}

/// Ends what a process that is not kept has left. Mostly that is nothing.
async fn end_tree(process: &Process) {
    if !process.tree.has_cgroup() {
        return process.tree.kill();
    }
    let mut pause = Duration::from_millis(1);
    for _ in 0..16 {
        if process.tree.clean() {
            return;
        }
        process.tree.kill();
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Returns when no output has come for a while. Time in which the reader is waiting for a slow client
/// does not count.
async fn quiet(process: &Process) {
    let begin = Instant::now();
    let mut seen = (process.total(STDOUT), process.total(STDERR));
    let mut blocked = Duration::ZERO;
    while begin.elapsed() < LONGEST_DRAIN + blocked {
        sleep(QUIET).await;
        let now = (process.total(STDOUT), process.total(STDERR));
        if room(process, STDOUT) == 0 || room(process, STDERR) == 0 {
            blocked += QUIET;
        } else if now == seen {
            return;
        }
        seen = now;
    }
}

fn drain_all(process: &Rc<Process>, outputs: Vec<OwnedFd>) -> impl Future<Output = ()> {
    let mut outputs = outputs.into_iter();
    let (out, err) = (outputs.next(), outputs.next());
    let process = process.clone();
    async move {
        tokio::join!(drain(&process, STDOUT, out), drain(&process, STDERR, err));
    }
}

/// Until the end of one stream.
async fn drain(process: &Process, stream: usize, fd: Option<OwnedFd>) {
    let Some(fd) = fd else { return };
    let Ok(fd) = watch(fd, Interest::READABLE) else {
        return;
    };
    loop {
        let limit = loop {
            let moved = process.room.notified();
            let mut moved = pin!(moved);
            moved.as_mut().enable();
            match room(process, stream) {
                0 => moved.await,
                room => break room.min(TURN_BYTES),
            }
        };
        let read = fd
            .async_io(Interest::READABLE, |fd| {
                process.logs[stream]
                    .borrow_mut()
                    .fill(limit, |slices| readv(fd, slices))
            })
            .await;
        match read {
            // A terminal whose last process has closed it says EIO.
            Ok(0) | Err(_) => return,
            Ok(_) => process.changed.notify_waiters(),
        }
        tokio::task::yield_now().await;
    }
}

/// How much may be read without loss for the client that waits for it.
fn room(process: &Process, stream: usize) -> usize {
    match process.owner.get() {
        Some(cursors) => process.logs[stream].borrow().room_for(cursors[stream]),
        None => usize::MAX,
    }
}

fn readv(fd: &OwnedFd, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: IoSliceMut has the layout of iovec, and the slices are valid.
    let count = unsafe {
        libc::readv(
            fd.as_raw_fd(),
            slices.as_mut_ptr().cast(),
            slices.len() as libc::c_int,
        )
    };
    if count < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(count as usize)
    }
}
