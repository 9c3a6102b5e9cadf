//! A process and everything it started.

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use super::cgroup::Cgroup;

pub struct Tree {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// None without cgroup v2, and once it has been removed.
    cgroup: RefCell<Option<Cgroup>>,
}

impl Tree {
    pub fn new(pid: i32, pidfd: OwnedFd, cgroup: Option<Cgroup>) -> Tree {
        Tree {
            pid,
            pidfd,
            cgroup: RefCell::new(cgroup),
        }
    }

    pub fn signal_leader(&self, signal: i32) {
        // SAFETY: no memory is involved; a pidfd cannot name another process.
        unsafe {
            let info = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                info,
                0,
            );
        }
    }

    /// The process group that the leader has begun. Only while the leader is not reaped: the number may then be
    /// another's.
    pub fn signal_group(&self, signal: i32) {
        // SAFETY: no memory is involved; a pid is above 1.
        unsafe { libc::kill(-self.pid, signal) };
    }

    pub fn signal(&self, signal: i32) {
        match &*self.cgroup.borrow() {
            Some(cgroup) if signal == libc::SIGKILL => cgroup.kill(),
            Some(cgroup) => signal_all(&cgroup.pids(), signal),
            None => signal_all(&session(self.pid), signal),
        }
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Whether anything of it is left once the leader has ended.
    pub fn is_alive(&self) -> bool {
        match &*self.cgroup.borrow() {
            Some(cgroup) => cgroup.is_populated(),
            None => !session(self.pid).is_empty(),
        }
    }

    /// Removes the cgroup; false while something lives in it.
    pub fn clean(&self) -> bool {
        let mut slot = self.cgroup.borrow_mut();
        let gone = slot.as_ref().is_none_or(Cgroup::remove);
        if gone {
            slot.take();
        }
        gone
    }

    /// It is the caller's from now on.
    pub fn take_cgroup(&self) -> Option<Cgroup> {
        self.cgroup.borrow_mut().take()
    }

    pub fn has_cgroup(&self) -> bool {
        self.cgroup.borrow().is_some()
    }
}

fn signal_all(pids: &[i32], signal: i32) {
    for pid in pids {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(*pid, signal) };
    }
}

/// The processes of the session that `leader` began.
fn session(leader: i32) -> Vec<i32> {
    let pid_of = |name: std::ffi::OsString| name.to_str()?.parse::<i32>().ok();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| pid_of(entry.file_name()))
        .filter(|pid| session_of(*pid) == Some(leader))
        .collect()
}

fn session_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain anything. After it: state, ppid, pgrp, session.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(session)
}
