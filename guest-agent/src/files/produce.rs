//! A stream of responses made on a worker thread.

use prost::Message;
use tokio::sync::mpsc;

use crate::grpc::{Outgoing, Status};

/// Made ahead of what the client has taken.
const AHEAD: usize = 2;

/// Where the worker puts what it has made. `Err` from it means that the client has gone.
pub struct Sink<T>(mpsc::Sender<T>);

impl<T> Sink<T> {
    pub fn put(&self, item: T) -> Result<(), Status> {
        self.0.blocking_send(item).map_err(|_| gone())
    }

    /// For loops that find little to put.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

pub fn gone() -> Status {
    Status::new(crate::grpc::Code::Cancelled, "the client has gone")
}

/// Runs `work` on a worker and sends what it puts.
pub async fn produce<M, F>(outgoing: &Outgoing<M>, work: F) -> Result<(), Status>
where
    M: Message + 'static,
    F: FnOnce(&Sink<M>) -> Result<(), Status> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let worker = tokio::task::spawn_blocking(move || work(&Sink(sender)));
    while let Some(message) = receiver.recv().await {
        outgoing.send(&message).await?;
    }
    worker
        .await
        .map_err(|_| Status::internal("the work was abandoned"))?
}

/// The same for chunks that are framed already.
pub async fn produce_framed<M, F>(outgoing: &Outgoing<M>, work: F) -> Result<(), Status>
where
    M: Message,
    F: FnOnce(&Sink<bytes::Bytes>) -> Result<(), Status> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let worker = tokio::task::spawn_blocking(move || work(&Sink(sender)));
    while let Some(frame) = receiver.recv().await {
        outgoing.send_framed(frame).await?;
    }
    worker
        .await
        .map_err(|_| Status::internal("the work was abandoned"))?
}
