//! PID 1 after boot: reaps orphans, keeps the service running, ends the machine.

use std::fs::File;
use std::io::{self, Read};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::cmdline::Cmdline;
use super::control_groups::PROCESSES;
use crate::service;
use crate::system::Power;

/// A service that fails that often in a row, each time soon after its start, is not worth another try.
const RESTARTS: u32 = 10;
const SOON: Duration = Duration::from_secs(10);

pub fn run(cmdline: &Cmdline) -> Result<std::convert::Infallible, String> {
    // Blocked here and unblocked in the service, before there is a first child to miss.
    let signals = Signals::block().map_err(|error| format!("taking signals: {error}"))?;
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let (pid, mut orders) = start_service(cmdline, &signals)?;
        match watch(pid, &mut orders, &signals) {
            Event::Shutdown(grace) => shutdown(grace, &signals),
            Event::ServiceEnded => {}
        }
        failures = if started.elapsed() < SOON {
            failures + 1
        } else {
            1
        };
        eprintln!("coppice-agent: the service ended and is started again ({failures})");
        if failures > RESTARTS {
            return Err("the service ends again and again".into());
        }
        std::thread::sleep(Duration::from_millis(20) * failures);
    }
}

enum Event {
    Shutdown(Duration),
    ServiceEnded,
}

/// The service gets the writing end of a pipe for its orders to PID 1.
fn start_service(cmdline: &Cmdline, signals: &Signals) -> Result<(i32, File), String> {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written, which then belong to us. After the fork, in a process with
    // one thread, anything may be done.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(format!("making a pipe: {}", io::Error::last_os_error()));
        }
        let (orders, write) = (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]));
        match libc::fork() {
            -1 => Err(format!(
                "starting the service: {}",
                io::Error::last_os_error()
            )),
            0 => {
                drop(orders);
                signals.unblock();
                service::protect();
                service::run(cmdline, Power::Init(write), Some(PROCESSES.as_ref()))
            }
            pid => Ok((pid, orders)),
        }
    }
}

/// Sleeps until a signal or an order comes; reaps whatever has ended.
fn watch(service: i32, orders: &mut File, signals: &Signals) -> Event {
    loop {
        let mut polls = [
            libc::pollfd {
                fd: signals.fd.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            },
            libc::pollfd {
                fd: orders.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            },
        ];
        // SAFETY: two valid pollfds.
        unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) };
        if polls[1].revents & libc::POLLIN != 0 {
            let mut grace = [0; 4];
            if orders.read_exact(&mut grace).is_ok() {
                return Event::Shutdown(Duration::from_millis(u64::from(u32::from_ne_bytes(
                    grace,
                ))));
            }
        }
        while let Some(signal) = signals.next() {
            // `reboot` and `poweroff` of a workload reach PID 1 as signals; so does ctrl-alt-del.
            if signal != libc::SIGCHLD {
                return Event::Shutdown(Duration::from_secs(5));
            }
        }
        let mut service_ended = false;
        while let Some(pid) = reap_one() {
            service_ended |= pid == service;
        }
        if service_ended {
            return Event::ServiceEnded;
        }
    }
}

/// None when nobody has ended.
fn reap_one() -> Option<i32> {
    match reap() {
        Reaped::Pid(pid) => Some(pid),
        Reaped::NoneYet | Reaped::NoneLeft => None,
    }
}

enum Reaped {
    Pid(i32),
    NoneYet,
    /// No child is left, and so no process: every orphan becomes a child of PID 1.
    NoneLeft,
}

fn reap() -> Reaped {
    // SAFETY: no status is asked for.
    match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
        0 => Reaped::NoneYet,
        pid if pid > 0 => Reaped::Pid(pid),
        _ => Reaped::NoneLeft,
    }
}

/// SIGTERM to everything, the grace, SIGKILL, sync, unmount, reset.
fn shutdown(grace: Duration, signals: &Signals) -> ! {
    kill_all(libc::SIGTERM);
    // Stopped processes must wake up to end.
    kill_all(libc::SIGCONT);
    wait_for_all(grace, signals);
    kill_all(libc::SIGKILL);
    wait_for_all(Duration::from_secs(2), signals);
    reset();
}

fn kill_all(signal: i32) {
    // SAFETY: no memory is involved. PID 1 itself is not meant by -1.
    unsafe { libc::kill(-1, signal) };
}

/// Until nothing is left but this process, or the time is over.
fn wait_for_all(limit: Duration, signals: &Signals) {
    let end = Instant::now() + limit;
    loop {
        let alone = loop {
            match reap() {
                Reaped::Pid(_) => {}
                Reaped::NoneYet => break false,
                Reaped::NoneLeft => break true,
            }
        };
        let left = end.saturating_duration_since(Instant::now());
        if alone || left.is_zero() {
            return;
        }
        let mut poll = libc::pollfd {
            fd: signals.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let pause = left.as_millis().clamp(1, 50) as libc::c_int;
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, pause) };
        while signals.next().is_some() {}
    }
}

/// Leaves the disk clean. QEMU takes the reset for the end.
pub fn reset() -> ! {
    // SAFETY: C strings and constants only.
    unsafe {
        libc::sync();
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NOATIME;
        let nothing = std::ptr::null();
        libc::mount(nothing, c"/".as_ptr(), nothing, flags, nothing.cast());
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The signals PID 1 acts on, as a descriptor.
struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
}

impl Signals {
    fn block() -> io::Result<Signals> {
        // SAFETY: a sigset that was emptied is valid; the descriptor is ours.
        unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&mut set);
            for signal in [
                libc::SIGCHLD,
                libc::SIGTERM,
                libc::SIGINT,
                libc::SIGUSR1,
                libc::SIGUSR2,
            ] {
                libc::sigaddset(&mut set, signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // ctrl-alt-del as a signal instead of an immediate reset.
            libc::reboot(libc::RB_DISABLE_CAD);
            Ok(Signals {
                fd: OwnedFd::from_raw_fd(fd),
                set,
            })
        }
    }

    fn unblock(&self) {
        // SAFETY: the set is valid.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &self.set, std::ptr::null_mut()) };
    }

    fn next(&self) -> Option<i32> {
        // SAFETY: room for exactly one siginfo.
        unsafe {
            let mut info: libc::signalfd_siginfo = zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let count = libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size);
            (count == size as isize).then_some(info.ssi_signo as i32)
        }
    }
}
