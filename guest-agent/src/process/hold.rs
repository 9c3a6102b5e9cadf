//! Hold and Release: the workload stands still while the host copies the machine.
//!
//! There is no timer that ends a hold. It would end it in the copy too, whose workload would then run with the
//! identity, the clock and the random numbers of its parent.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, Instant};

use super::workload::{thaw, Workload};
use crate::grpc::{Code, Status};

/// A process that waits in the kernel for something that does not come cannot be frozen.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel tells changes of cgroup.events 10 ms late; looking is faster.
const LOOK: Duration = Duration::from_millis(1);

/// Whether the workload is held, and the time it is not.
pub struct Hold {
    workload: Option<Workload>,
    /// One hold or release at a time.
    turn: Mutex<()>,
    /// From the first group that is frozen until the last one is thawed.
    since: Cell<Option<Instant>>,
    frozen: RefCell<Vec<PathBuf>>,
    begin: Instant,
    /// How long earlier holds were.
    spent: Cell<Duration>,
    released: Notify,
}

impl Hold {
    /// An agent that was started again may find the machine held: it stays so.
    pub fn new(workload: Option<Workload>) -> Hold {
        let groups = match &workload {
            Some(workload) if workload.was_frozen() => workload.frozen_groups(),
            _ => Vec::new(),
        };
        let now = Instant::now();
        Hold {
            workload,
            turn: Mutex::new(()),
            since: Cell::new((!groups.is_empty()).then_some(now)),
            frozen: RefCell::new(groups),
            begin: now,
            spent: Cell::default(),
            released: Notify::new(),
        }
    }

    pub fn is_held(&self) -> bool {
        self.since.get().is_some()
    }

    /// Stops everything, or changes nothing.
    pub async fn hold(&self) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        if self.is_held() {
            return Ok(());
        }
        let Some(workload) = &self.workload else {
            return Err(refuse("there is no cgroup v2 to hold the workload with"));
        };
        // Before the first group is frozen: a child that is born frozen would stop this thread, which waits for
        // its exec.
        self.since.set(Some(Instant::now()));
        let attempt = Attempt(self);
        let begin = Instant::now();
        loop {
            let complete = workload
                .freeze(&mut self.frozen.borrow_mut())
                .map_err(|error| Status::from_io("freezing the workload", &error))?;
            if complete {
                std::mem::forget(attempt);
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(refuse("a process could not be stopped within 2 s"));
            }
            sleep(LOOK).await;
        }
    }

    pub async fn release(&self) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        if self.is_held() {
            thaw(&self.frozen.borrow())
                .map_err(|error| Status::from_io("releasing the workload", &error))?;
            self.forget();
        }
        Ok(())
    }

    /// Returns at once when the workload is not held.
    pub async fn released(&self) {
        loop {
            let mut released = pin!(self.released.notified());
            released.as_mut().enable();
            if !self.is_held() {
                return;
            }
            released.await;
        }
    }

    /// Returns when the workload could have run for that long.
    pub async fn sleep_unheld(&self, time: Duration) {
        let end = self.unheld() + time;
        loop {
            self.released().await;
            let left = end.saturating_sub(self.unheld());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    fn unheld(&self) -> Duration {
        let until = self.since.get().unwrap_or_else(Instant::now);
        until
            .duration_since(self.begin)
            .saturating_sub(self.spent.get())
    }

    fn forget(&self) {
        if let Some(since) = self.since.take() {
            self.spent.set(self.spent.get() + since.elapsed());
        }
        self.frozen.borrow_mut().clear();
        self.released.notify_waiters();
    }
}

/// A hold that fails, or whose client goes away meanwhile, leaves nothing frozen.
struct Attempt<'a>(&'a Hold);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // What cannot be thawed stays known, so that Release can be tried.
        if thaw(&self.0.frozen.borrow()).is_ok() {
            self.0.forget();
        }
    }
}

fn refuse(text: &str) -> Status {
    Status::new(Code::FailedPrecondition, text)
}
