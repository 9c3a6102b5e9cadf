//! What a login has left running: nobody's, but still in its cgroup.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::sleep;

use super::cgroup::{self, Cgroup};
use crate::watched::watch;

/// Between looks where the kernel does not tell what changes.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Removes the cgroup once the last process in it has ended. What still lives when `expired` returns is killed.
pub async fn outlive(cgroup: Cgroup, mut expired: Pin<&mut impl Future<Output = ()>>) {
    // Mostly nothing is left, and nothing needs to be watched.
    if !cgroup.is_populated() && cgroup.remove() {
        return;
    }
    // None when the agent is short of descriptors.
    let events = cgroup.events();
    let events = events.and_then(|file| watch(file, Interest::PRIORITY)).ok();
    let mut pause = Duration::from_millis(1);
    let mut over = false;
    loop {
        // The kernel tells what has changed since it was read from this descriptor.
        let populated = match &events {
            Some(events) => cgroup::says_populated(events.get_ref()),
            None => cgroup.is_populated(),
        };
        if !populated && cgroup.remove() {
            return;
        }
        let changed = async {
            match &events {
                Some(events) if populated => {
                    if let Ok(mut ready) = events.ready(Interest::PRIORITY).await {
                        ready.clear_ready();
                    }
                }
                // Empty and not gone yet: that is not told.
                _ => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = &mut expired, if !over => {
                over = true;
                cgroup.kill();
            }
        }
    }
}
