//! The byte stream with its hellos taken out.

use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::hello::{Answer, Hello, KEY_LEN};
use super::scanner::{Scan, Scanner};

/// That many bytes of the key in a row are kept back until it is clear whether a hello follows. Fewer
/// are handed on at once: they occur by chance, and what comes after them may be waiting for them.
const HOLD_BACK: usize = 8;
const CHUNK: usize = 4096;

/// One end of the guest channel. It outlives the conversations on it.
pub struct Channel<T> {
    io: T,
    scanner: Scanner,
    /// Read but not scanned: what followed a hello.
    unread: Vec<u8>,
    /// Scanned and free of hellos, not yet handed on.
    clean: Vec<u8>,
    /// The possible beginning of a hello, of which `passed` bytes have been handed on.
    held: Vec<u8>,
    passed: usize,
    next: Option<Hello>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Channel<T> {
    pub fn new(io: T, key: [u8; KEY_LEN]) -> Channel<T> {
        Channel {
            io,
            scanner: Scanner::new(key),
            unread: Vec::new(),
            clean: Vec::new(),
            held: Vec::new(),
            passed: 0,
            next: None,
        }
    }

    /// Discards everything up to the next good hello. `UnexpectedEof` when the stream ends first.
    pub async fn hello(&mut self) -> io::Result<Hello> {
        let mut noise = [0; CHUNK];
        while self.next.is_none() {
            self.clean.clear();
            match self.conversation().read(&mut noise).await {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if self.next.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        self.next
            .take()
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub async fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.io.write_all(&answer.encode()).await?;
        self.io.flush().await
    }

    /// The stream for HTTP/2. It fails as soon as a new hello has been read.
    pub fn conversation(&mut self) -> Conversation<'_, T> {
        Conversation(self)
    }

    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, out);
        }
        take_front(&mut self.unread, out);
        Poll::Ready(Ok(()))
    }

    /// Nothing is held: reads straight into the caller's buffer.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = out.filled().len();
        ready!(self.poll_raw(cx, out))?;
        let new = &out.filled()[before..];
        if new.is_empty() {
            return Poll::Ready(Ok(true));
        }
        match self.scanner.scan(new) {
            Scan::Nothing => {}
            Scan::Partial { start } => {
                self.held.extend_from_slice(&new[start..]);
                if self.held.len() < HOLD_BACK {
                    self.passed = self.held.len();
                } else {
                    self.passed = 0;
                    out.set_filled(before + start);
                }
            }
            Scan::Found { hello, end } => {
                self.unread.splice(..0, new[end..].iter().copied());
                self.next = Some(hello);
                out.set_filled(before);
            }
        }
        Poll::Ready(Ok(out.filled().len() > before))
    }

    /// The end of the last read may begin a hello: joins it with the next bytes.
    fn poll_joined(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; CHUNK];
        let mut chunk = ReadBuf::new(&mut bytes);
        ready!(self.poll_raw(cx, &mut chunk))?;
        if chunk.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(chunk.filled());
        match self.scanner.scan(&self.held) {
            Scan::Nothing => {
                self.clean.extend_from_slice(&self.held[self.passed..]);
                self.held.clear();
                self.passed = 0;
            }
            Scan::Partial { start } => {
                let skip = self.passed.min(start);
                self.clean.extend_from_slice(&self.held[skip..start]);
                // What was handed on before `start` is counted off; the rest of it lies in the new tail.
                self.passed -= skip;
                self.held.drain(..start);
                if self.held.len() < HOLD_BACK {
                    self.clean.extend_from_slice(&self.held[self.passed..]);
                    self.passed = self.held.len();
                }
            }
            Scan::Found { hello, end } => {
                self.unread.splice(..0, self.held[end..].iter().copied());
                self.held.clear();
                self.passed = 0;
                self.next = Some(hello);
            }
        }
        Poll::Ready(Ok(false))
    }
}

/// One conversation on a channel.
pub struct Conversation<'a, T>(&'a mut Channel<T>);

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Conversation<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let channel = &mut *self.get_mut().0;
        loop {
            if channel.next.is_some() {
                channel.clean.clear();
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !channel.clean.is_empty() {
                take_front(&mut channel.clean, out);
                return Poll::Ready(Ok(()));
            }
            let done = if channel.held.is_empty() {
                ready!(channel.poll_direct(cx, out))?
            } else {
                ready!(channel.poll_joined(cx))?
            };
            if done {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Conversation<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0.io).poll_flush(cx)
    }

    /// The stream is the device's and stays open for the next conversation.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

fn take_front(from: &mut Vec<u8>, out: &mut ReadBuf<'_>) {
    let count = from.len().min(out.remaining());
    out.put_slice(&from[..count]);
    from.drain(..count);
}
