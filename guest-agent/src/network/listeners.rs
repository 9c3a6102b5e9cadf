//! ListListeners and WatchListeners.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, Instant};

use super::sockets::{listening, name_of, owners, Socket};
use crate::agent::Agent;
use crate::blocking::blocking;
use crate::gen::{ListListenersResponse, Listener, WatchListenersResponse};
use crate::grpc::{Outgoing, Status};

/// Between two looks of one watcher.
const PERIOD: Duration = Duration::from_secs(1);
/// What somebody has seen within this time is taken as it is: several watchers cost what one does.
const FRESH: Duration = Duration::from_millis(900);

pub async fn list_listeners() -> Result<ListListenersResponse, Status> {
    blocking(|| {
        let seen = Seen::default().again();
        let WatchListenersResponse { listeners } = Arc::unwrap_or_clone(seen.response);
        Ok(ListListenersResponse { listeners })
    })
    .await
}

/// Until the client goes. While the workload is held nothing is looked at.
pub async fn watch_listeners(
    agent: &Agent,
    outgoing: Outgoing<WatchListenersResponse>,
) -> Result<(), Status> {
    let mut told = None;
    loop {
        agent.processes.hold.released().await;
        let now = agent.listeners.look().await?;
        if told.as_ref() != Some(&now) {
            outgoing.send(&*now).await?;
            told = Some(now);
        }
        sleep(PERIOD).await;
    }
}

/// What the watchers share. Nothing happens without one.
#[derive(Default)]
pub struct Listeners(Mutex<(Option<Instant>, Seen)>);

impl Listeners {
    async fn look(&self) -> Result<Arc<WatchListenersResponse>, Status> {
        let mut last = self.0.lock().await;
        let (at, seen) = &mut *last;
        if at.is_none_or(|at| at.elapsed() >= FRESH) {
            // Should the caller go away meanwhile, the next look begins anew.
            let before = std::mem::take(seen);
            *at = None;
            *seen = blocking(move || Ok(before.again())).await?;
            *at = Some(Instant::now());
        }
        Ok(seen.response.clone())
    }
}

#[derive(Default)]
struct Seen {
    sockets: Vec<Socket>,
    response: Arc<WatchListenersResponse>,
}

impl Seen {
    /// Reading the tables is cheap. Finding out whose a socket is takes a walk over everything that is open, and is
    /// done when something has changed.
    fn again(self) -> Seen {
        let sockets = listening();
        if sockets == self.sockets && self.has_its_owners() {
            return self;
        }
        let owners = match sockets.is_empty() {
            true => HashMap::new(),
            false => owners(),
        };
        let listeners = sockets.iter().map(|socket| {
            let (pid, process) = owners.get(&socket.inode).cloned().unwrap_or_default();
            Listener {
                address: socket.address.clone(),
                port: u32::from(socket.port),
                pid,
                process,
            }
        });
        let listeners = listeners.collect();
        Seen {
            sockets,
            response: Arc::new(WatchListenersResponse { listeners }),
        }
    }

    /// A server may become another program, or end and leave its socket to a child.
    fn has_its_owners(&self) -> bool {
        let mut asked = HashSet::new();
        self.response
            .listeners
            .iter()
            .filter(|owned| owned.pid != 0 && asked.insert(owned.pid))
            .all(|owned| name_of(owned.pid) == owned.process)
    }
}
