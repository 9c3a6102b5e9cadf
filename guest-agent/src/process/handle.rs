//! One process as the clients see it.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

use super::hangup::HangUp;
use super::log::Log;
use super::stdin::Stdin;
use super::tree::Tree;
use crate::files::to_bytes;
use crate::gen::{Exited, ProcessInfo};

/// Index of a stream. A terminal only has the first.
pub const STDOUT: usize = 0;
pub const STDERR: usize = 1;

pub struct Process {
    pub id: Cell<u64>,
    /// Its id in the machine's last life, 0 if it was not there.
    pub inherited_from: Cell<u64>,
    pub tree: Tree,
    pub title: String,
    pub label: String,
    pub has_terminal: bool,
    /// Closed when it is hung up.
    pub terminal: RefCell<Option<OwnedFd>>,
    pub keep: bool,
    /// Ends as a session of sshd does.
    pub session: bool,
    pub hang_up: HangUp,
    pub started_unix_ms: i64,
    pub started: Instant,
    pub stdin: Option<Rc<Stdin>>,
    pub logs: [RefCell<Log>; 2],
    pub output_file: Option<PathBuf>,
    /// Of the first write to it that failed; 0 when none did.
    pub output_errno: Cell<u32>,
    pub exited: RefCell<Option<Exited>>,
    pub clients: Cell<u32>,
    /// There is new output, or the end.
    pub changed: Notify,
    /// What the client that must not lose anything has read, of each stream; None when nobody waits.
    pub owner: Cell<Option<[u64; 2]>>,
    /// That client has read more.
    pub room: Notify,
}

impl Process {
    pub fn is_running(&self) -> bool {
        self.exited.borrow().is_none()
    }

    pub fn total(&self, stream: usize) -> u64 {
        self.logs[stream].borrow().total()
    }

    pub fn info(&self) -> ProcessInfo {
        ProcessInfo {
            process_id: self.id.get(),
            pid: self.tree.pid as u32,
            command: self.title.clone(),
            label: self.label.clone(),
            terminal: self.has_terminal,
            kept: self.keep,
            started_unix_ms: self.started_unix_ms,
            exited: *self.exited.borrow(),
            stdout_bytes: self.total(STDOUT),
            stderr_bytes: self.total(STDERR),
            attached_clients: self.clients.get(),
            inherited_from: self.inherited_from.get(),
            output_file: self
                .output_file
                .as_deref()
                .map(to_bytes)
                .unwrap_or_default(),
        }
    }

    /// Tells a session that its client has gone. Only while it is running.
    fn hang_up(&self) {
        if !self.hang_up.begin() {
            return;
        }
        if let Some(stdin) = &self.stdin {
            stdin.abandon();
        }
        if self.has_terminal {
            // The last descriptor is the reader's, which closes it as soon as it has its turn; then the kernel
            // hangs up.
            self.terminal.take();
        } else {
            self.tree.signal_group(libc::SIGHUP);
        }
    }

    /// Waits until `ready` holds, which may change whenever output comes in or the process ends.
    pub async fn wait_until(&self, ready: impl Fn(&Process) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if ready(self) {
                return;
            }
            changed.await;
        }
    }
}

/// Kills a process that is not kept when its client goes away, and hangs up a session.
pub struct Leash(pub Rc<Process>);

impl Drop for Leash {
    fn drop(&mut self) {
        let process = &self.0;
        process.owner.set(None);
        process.room.notify_waiters();
        if !process.is_running() || process.keep {
            return;
        }
        if process.session {
            process.hang_up();
        } else {
            process.tree.kill();
        }
    }
}
