//! Serves connections of a listening socket. The newest one that says a good hello wins.

use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::converse;
use super::stream::Stream;
use super::vsock::VsockListener;
use crate::agent::Agent;
use crate::channel::{Channel, Hello, KEY_LEN};

/// Connections that have not said hello yet, and how long they may take.
const STRANGERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn serve_unix(agent: Rc<Agent>, key: [u8; KEY_LEN], path: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    serve(agent, key, || async { Ok(listener.accept().await?.0) }).await
}

pub async fn serve_vsock(agent: Rc<Agent>, key: [u8; KEY_LEN], port: u32) -> io::Result<()> {
    let listener = VsockListener::bind(port)?;
    serve(agent, key, || listener.accept()).await
}

async fn serve<A, F>(agent: Rc<Agent>, key: [u8; KEY_LEN], accept: A) -> io::Result<()>
where
    A: Fn() -> F,
    F: Future<Output = io::Result<UnixStream>>,
{
    let mut strangers: JoinSet<Option<(Channel<Stream>, Hello)>> = JoinSet::new();
    let mut current: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            stream = accept(), if strangers.len() < STRANGERS => match stream {
                Ok(stream) => {
                    let mut channel = Channel::new(Stream::Socket(stream), key);
                    strangers.spawn_local(async move {
                        let hello = timeout(PATIENCE, channel.hello()).await.ok()?.ok()?;
                        Some((channel, hello))
                    });
                }
                // Out of descriptors or the like: a moment later there may be some.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(met) = strangers.join_next() => if let Ok(Some((channel, hello))) = met {
                if let Some(task) = current.take() {
                    task.abort();
                    let _ = task.await;
                }
                current = Some(tokio::task::spawn_local(serve_one(channel, hello, agent.clone())));
            },
        }
    }
}

async fn serve_one(mut channel: Channel<Stream>, mut hello: Hello, agent: Rc<Agent>) {
    while converse(&mut channel, hello, &agent).await.is_ok() {
        match channel.hello().await {
            Ok(next) => hello = next,
            Err(_) => return,
        }
    }
}
