//! One call: its request body and the way to respond to it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;

use super::incoming::Incoming;
use super::status::{Code, Status};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc+proto");

/// A call that has not been handled yet.
pub struct Call {
    pub body: RecvStream,
    pub wire: Rc<Wire>,
}

impl Call {
    pub fn split<I: Message + Default, O: Message>(self) -> (Incoming<I>, Outgoing<O>) {
        (
            Incoming::new(self.body),
            Outgoing {
                wire: self.wire,
                message: PhantomData,
            },
        )
    }
}

/// The response side of h2, shared by the handler and by what watches for a reset.
pub struct Wire(RefCell<Side>);

enum Side {
    Unanswered(SendResponse<Bytes>),
    Streaming(SendStream<Bytes>),
    Over,
}

impl Wire {
    pub fn new(respond: SendResponse<Bytes>) -> Rc<Wire> {
        Rc::new(Wire(RefCell::new(Side::Unanswered(respond))))
    }

    /// Ready when the peer has cancelled the call or has gone.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.borrow_mut() {
            Side::Unanswered(respond) => respond.poll_reset(cx).map(drop),
            Side::Streaming(stream) => stream.poll_reset(cx).map(drop),
            Side::Over => Poll::Pending,
        }
    }

    fn begin(&self) -> Result<(), Status> {
        let mut side = self.0.borrow_mut();
        if let Side::Unanswered(respond) = &mut *side {
            let mut head = Response::new(());
            head.headers_mut().insert("content-type", CONTENT_TYPE);
            *side = Side::Streaming(respond.send_response(head, false).map_err(gone)?);
        }
        Ok(())
    }

    async fn send(&self, frame: Bytes) -> Result<(), Status> {
        self.begin()?;
        self.reserve(frame.len());
        poll_fn(|cx| self.poll_capacity(cx)).await?;
        match &mut *self.0.borrow_mut() {
            // More than the capacity is buffered by h2; the next message waits until it is gone.
            Side::Streaming(stream) => stream.send_data(frame, false).map_err(gone),
            _ => Err(Status::new(Code::Cancelled, "the call is over")),
        }
    }

    fn reserve(&self, bytes: usize) {
        if let Side::Streaming(stream) = &mut *self.0.borrow_mut() {
            stream.reserve_capacity(bytes);
        }
    }

    fn poll_capacity(&self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match &mut *self.0.borrow_mut() {
            Side::Streaming(stream) if stream.capacity() > 0 => Poll::Ready(Ok(())),
            Side::Streaming(stream) => match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(gone(error))),
                Poll::Ready(None) => Poll::Ready(Err(Status::new(Code::Cancelled, "cancelled"))),
                Poll::Pending => Poll::Pending,
            },
            _ => Poll::Ready(Err(Status::new(Code::Cancelled, "the call is over"))),
        }
    }

    /// Ends the call. A peer that has gone meanwhile does not need to be told.
    pub fn finish(&self, outcome: Result<(), Status>) {
        match std::mem::replace(&mut *self.0.borrow_mut(), Side::Over) {
            Side::Unanswered(mut respond) => {
                let mut head = Response::new(());
                head.headers_mut().insert("content-type", CONTENT_TYPE);
                put_trailers(head.headers_mut(), outcome);
                let _ = respond.send_response(head, true);
            }
            Side::Streaming(mut stream) => {
                let mut trailers = HeaderMap::new();
                put_trailers(&mut trailers, outcome);
                let _ = stream.send_trailers(trailers);
            }
            Side::Over => {}
        }
    }
}

/// Where a handler sends its responses.
pub struct Outgoing<M> {
    wire: Rc<Wire>,
    message: PhantomData<M>,
}

impl<M: Message> Outgoing<M> {
    /// Waits until the peer takes more; so a slow reader slows the handler.
    pub async fn send(&self, message: &M) -> Result<(), Status> {
        self.wire.send(framed(message)).await
    }

    /// A message that is encoded and framed already.
    pub async fn send_framed(&self, frame: Bytes) -> Result<(), Status> {
        self.wire.send(frame).await
    }

    /// Waits until the peer takes more, without anything to send yet.
    pub async fn ready(&self) -> Result<(), Status> {
        self.wire.begin()?;
        self.wire.reserve(1);
        poll_fn(|cx| self.wire.poll_capacity(cx)).await
    }
}

/// A message as it travels: a flag (not compressed), its length, itself.
pub fn framed<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode_raw(&mut frame);
    frame.freeze()
}

fn gone(error: h2::Error) -> Status {
    Status::new(Code::Cancelled, error.to_string())
}

fn put_trailers(headers: &mut HeaderMap, outcome: Result<(), Status>) {
    let Err(status) = outcome else {
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        return;
    };
    headers.insert("grpc-status", HeaderValue::from(status.code as u16));
    if let Ok(message) = HeaderValue::try_from(percent_encode(&status.message)) {
        headers.insert("grpc-message", message);
    }
    if let Some(word) = status.word {
        headers.insert("coppice-error", HeaderValue::from_static(word));
    }
}

/// As the gRPC specification wants it: everything but printable ASCII, and `%`. Cut to 1 KiB.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes().take(1024) {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_travel_percent_encoded() {
        assert_eq!(percent_encode("100% für\n"), "100%25 f%C3%BCr%0A");
    }
}
