//! What a login whose client goes away is told.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;

use super::handle::Process;
use super::hold::Hold;

/// For the leader to end by itself, and for the rest of its session to say its last.
const PATIENCE: Duration = Duration::from_secs(2);

/// Happens once, or never.
#[derive(Default)]
pub struct HangUp {
    happened: Cell<bool>,
    changed: Notify,
}

impl HangUp {
    /// False when it has happened before.
    pub fn begin(&self) -> bool {
        let first = !self.happened.replace(true);
        self.changed.notify_waiters();
        first
    }

    pub fn has_happened(&self) -> bool {
        self.happened.get()
    }

    pub async fn happens(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !self.has_happened() {
            changed.await;
        }
    }
}

/// Returns when what was hung up has had its time. While it is held that stands still.
pub async fn overdue(process: &Process, hold: &Hold) {
    process.hang_up.happens().await;
    hold.sleep_unheld(PATIENCE).await;
}
