//! A stream of responses made on a worker thread.

use std::marker::PhantomData;

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;

use crate::grpc::{framed, Outgoing, Status};

/// Made ahead of what the client has taken.
const AHEAD: usize = 2;

/// Where the worker puts what it has made. `Err` from it means that the client has gone.
pub struct Sink<M> {
    frames: mpsc::Sender<Bytes>,
    message: PhantomData<M>,
}

impl<M: Message> Sink<M> {
    pub fn put(&self, message: M) -> Result<(), Status> {
        self.put_framed(framed(&message))
    }

    /// A message that is encoded and framed already.
    pub fn put_framed(&self, frame: Bytes) -> Result<(), Status> {
        self.frames.blocking_send(frame).map_err(|_| gone())
    }

    /// For loops that find little to put.
    pub fn is_gone(&self) -> bool {
        self.frames.is_closed()
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
    let (frames, mut receiver) = mpsc::channel(AHEAD);
    let worker = tokio::task::spawn_blocking(move || {
        work(&Sink {
            frames,
            message: PhantomData,
        })
    });
    while let Some(frame) = receiver.recv().await {
        outgoing.send_framed(frame).await?;
    }
    worker
        .await
        .map_err(|_| Status::internal("the work was abandoned"))?
}
