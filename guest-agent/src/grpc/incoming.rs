//! The messages a client sends on one call.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use h2::{FlowControl, RecvStream};
use prost::Message;

use super::limits::MESSAGE_BYTES;
use super::status::{Code, Status};

/// A stream of `M`. The peer may send more only as messages are taken, so a slow reader slows the
/// sender and holds no more than one window.
pub struct Incoming<M> {
    frames: Frames,
    message: PhantomData<M>,
}

impl<M: Message + Default> Incoming<M> {
    pub fn new(body: RecvStream) -> Incoming<M> {
        Incoming {
            frames: Frames::new(body),
            message: PhantomData,
        }
    }

    /// The next message, None at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<M>, Status> {
        match self.frames.next().await? {
            Some(length) => Ok(Some(self.decode(length)?)),
            None => Ok(None),
        }
    }

    /// Like `next`, but what the message occupies is not granted to the peer again before `release` is
    /// called with it.
    pub async fn next_held(&mut self) -> Result<Option<(M, usize)>, Status> {
        let Some(length) = self.frames.next().await? else {
            return Ok(None);
        };
        let message = self.decode(length)?;
        Ok(Some((message, std::mem::take(&mut self.frames.owed))))
    }

    pub fn release(&mut self, size: usize) {
        self.frames.release(size);
    }

    /// A call with exactly one message.
    pub async fn only(mut self) -> Result<M, Status> {
        let missing = || Status::invalid("the request has no message");
        let message = self.next().await?.ok_or_else(missing)?;
        match self.frames.next().await? {
            None => Ok(message),
            Some(_) => Err(Status::invalid("the request has more than one message")),
        }
    }

    fn decode(&mut self, length: usize) -> Result<M, Status> {
        let outcome = M::decode((&mut self.frames.queue).take(length));
        self.frames.taken(length);
        outcome.map_err(|error| Status::invalid(format!("the request cannot be decoded: {error}")))
    }
}

/// What is the same for all messages, and so is compiled once.
struct Frames {
    body: RecvStream,
    flow: FlowControl,
    queue: Fragments,
    /// Given out, to be granted to the peer again with the next call.
    owed: usize,
    /// Length of the message that is coming in. It lives here so that a wait may be given up and
    /// taken up again.
    length: Option<usize>,
    /// Granted while a large message was still coming in.
    early: usize,
}

impl Frames {
    fn new(mut body: RecvStream) -> Frames {
        let flow = body.flow_control().clone();
        Frames {
            body,
            flow,
            queue: Fragments::default(),
            owed: 0,
            length: None,
            early: 0,
        }
    }

    fn release(&mut self, size: usize) {
        // It fails only when the stream is over, and then nobody waits for it.
        let _ = self.flow.release_capacity(size);
    }

    /// Length of the next message once all of it is in the queue.
    async fn next(&mut self) -> Result<Option<usize>, Status> {
        let owed = std::mem::take(&mut self.owed);
        self.release(owed);
        if self.length.is_none() {
            self.length = self.header().await?;
        }
        let Some(length) = self.length else {
            return Ok(None);
        };
        while self.queue.remaining() < length {
            if !self.more(length).await? {
                return Err(Status::invalid("the request ends within a message"));
            }
        }
        self.length = None;
        Ok(Some(length))
    }

    /// A message was taken out of the queue.
    fn taken(&mut self, length: usize) {
        let size = length + 5;
        let granted = size.min(self.early);
        self.early -= granted;
        self.owed = size - granted;
    }

    async fn header(&mut self) -> Result<Option<usize>, Status> {
        while self.queue.remaining() < 5 {
            if !self.more(5).await? {
                return match self.queue.remaining() {
                    0 => Ok(None),
                    _ => Err(Status::invalid("the request ends within a message")),
                };
            }
        }
        if self.queue.get_u8() != 0 {
            return Err(Status::new(
                Code::Unimplemented,
                "compressed messages are not supported",
            ));
        }
        let length = self.queue.get_u32() as usize;
        if length > MESSAGE_BYTES {
            let text = format!("a message of {length} bytes; at most {MESSAGE_BYTES} are taken");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok(Some(length))
    }

    /// Takes in one frame; false at the end of the stream.
    async fn more(&mut self, wanted: usize) -> Result<bool, Status> {
        match self.body.data().await {
            Some(Ok(data)) => {
                // A message larger than the window is let in by granting what it already occupies.
                if wanted + 5 > super::limits::STREAM_WINDOW as usize / 2 {
                    self.release(data.len());
                    self.early += data.len();
                }
                self.queue.push(data);
                Ok(true)
            }
            Some(Err(error)) => Err(Status::new(Code::Cancelled, error.to_string())),
            None => Ok(false),
        }
    }
}

/// Received frames as one buffer. A bytes field that lies within one frame is taken out uncopied.
#[derive(Default)]
struct Fragments {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Fragments {
    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.length += part.len();
            self.parts.push_back(part);
        }
    }
}

impl Buf for Fragments {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while count > 0 {
            let front = self.parts.front_mut().expect("advanced past the end");
            if front.len() > count {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.parts.pop_front();
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self.parts.front_mut() {
            Some(front) if front.len() > count => {
                self.length -= count;
                front.split_to(count)
            }
            Some(front) if front.len() == count => {
                self.length -= count;
                self.parts.pop_front().unwrap_or_default()
            }
            _ => {
                let mut joined = Vec::with_capacity(count);
                while joined.len() < count {
                    let part = self.chunk();
                    let take = part.len().min(count - joined.len());
                    joined.extend_from_slice(&part[..take]);
                    self.advance(take);
                }
                joined.into()
            }
        }
    }
}
