//! Drains a process's output at all times and sees to its end.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{sleep, Instant};

use super::cgroup::Cgroup;
use super::handle::{Process, STDERR, STDOUT};
use super::hangup::overdue;
use super::hold::Hold;
use super::outlive::outlive;
use super::output_file::OutputFile;
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

/// The agent's end of one stream.
pub struct Output {
    pub fd: OwnedFd,
    pub file: OutputFile,
}

pub async fn supervise(
    processes: Rc<Processes>,
    process: Rc<Process>,
    outputs: Vec<Output>,
    timeout: Option<Duration>,
) {
    let mut expired = pin!(expire(&processes.hold, timeout));
    // Nothing of the process but its cgroup is held longer than it: neither its streams nor its logs.
    let left = run(&processes, process, outputs, expired.as_mut()).await;
    if let Some(cgroup) = left {
        outlive(cgroup, expired).await;
    }
}

/// Returns the cgroup of what may live on by itself.
async fn run(
    processes: &Processes,
    process: Rc<Process>,
    outputs: Vec<Output>,
    mut expired: Pin<&mut impl Future<Output = ()>>,
) -> Option<Cgroup> {
    let mut drained = pin!(drain_all(&process, outputs));
    let mut at_end = false;
    let mut timed_out = false;
    let mut overdue = pin!(overdue(&process, &processes.hold));
    let mut given_up = false;
    {
        let mut ended = pin!(leader_ended(&process));
        loop {
            tokio::select! {
                biased;
                () = &mut drained, if !at_end => at_end = true,
                () = &mut ended => break,
                () = &mut expired, if !timed_out => {
                    timed_out = true;
                    process.tree.kill();
                }
                () = &mut overdue, if process.session && !given_up => {
                    given_up = true;
                    process.tree.signal_group(libc::SIGKILL);
                }
            }
        }
    }
    let duration = process.started.elapsed();
    // A terminal's session ends with its leader, others when nobody has their output open any more.
    // After a hang-up that is not awaited for ever: a shell that cannot say what has ended never gets to its traps.
    if process.session && !process.has_terminal && !at_end && !timed_out && !given_up {
        tokio::select! {
            biased;
            () = &mut drained => at_end = true,
            () = &mut overdue => {}
            () = &mut expired => timed_out = true,
        }
    }
    if timed_out {
        process.tree.kill();
    }
    if !at_end && !process.hang_up.has_happened() {
        tokio::select! {
            () = &mut drained => at_end = true,
            () = quiet(&process) => {}
        }
    }
    // Until here no other process could get its number.
    let ended = reap(&process.tree.pidfd);
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
        output_errno: process.output_errno.get(),
    };
    if let Some(stdin) = &process.stdin {
        stdin.abandon();
    }
    *process.exited.borrow_mut() = Some(exited);
    process.changed.notify_waiters();
    processes.ended(&process);

    if process.session && !timed_out {
        return process.tree.take_cgroup();
    }
    if !process.keep {
        // Its logs live until its client has read them.
        end_tree(&process).await;
        return None;
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
    None
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

fn drain_all(process: &Rc<Process>, outputs: Vec<Output>) -> impl Future<Output = ()> {
    let mut outputs = outputs.into_iter();
    let (out, err) = (outputs.next(), outputs.next());
    let process = process.clone();
    async move {
        let both =
            async { tokio::join!(drain(&process, STDOUT, out), drain(&process, STDERR, err)) };
        tokio::select! {
            biased;
            // Closing a terminal is what hangs it up. Pipes are read on.
            () = process.hang_up.happens(), if process.has_terminal => {}
            _ = both => {}
        }
    }
}

/// Until the end of one stream.
async fn drain(process: &Process, stream: usize, output: Option<Output>) {
    let Some(Output { fd, mut file }) = output else {
        return;
    };
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
        let before = process.total(stream);
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
        if file.is_open() {
            // One read overwrites nothing of its own.
            let news = process.logs[stream].borrow().since(before);
            if let Err(error) = file.append(news).await {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                process.output_errno.set(errno as u32);
            }
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
