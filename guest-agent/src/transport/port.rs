//! The virtio-serial port as an async stream.
//!
//! While no host is connected the port reports POLLHUP and reads as the end of file. tokio remembers a
//! hang-up of a descriptor for ever, so the registration is made anew with every host, and the wait for
//! one goes through an epoll of its own, which wakes on the port's state changes without spinning.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::watched::watch;

/// The driver takes at most this much in one write.
const WRITE_BYTES: usize = 32 << 10;

pub struct Port {
    ready: Option<AsyncFd<Arc<File>>>,
    gather: Vec<u8>,
    file: Arc<File>,
}

impl Port {
    /// `file` must have been opened O_NONBLOCK.
    pub fn new(file: File) -> Port {
        Port {
            ready: None,
            gather: Vec::new(),
            file: Arc::new(file),
        }
    }

    /// Waits until a host is connected, and forgets the hang-up of the one before.
    pub async fn connected(&mut self) -> io::Result<()> {
        self.ready = None;
        if self.hung_up() {
            let changes = watch(state_changes(self.file.as_raw_fd())?, Interest::READABLE)?;
            while self.hung_up() {
                let mut guard = changes.readable().await?;
                drain(guard.get_inner().as_raw_fd());
                guard.clear_ready();
            }
        }
        self.register()
    }

    /// Forgets a hang-up that came before the hello just read.
    pub fn register(&mut self) -> io::Result<()> {
        self.ready = None;
        self.ready = Some(watch(
            self.file.clone(),
            Interest::READABLE | Interest::WRITABLE,
        )?);
        Ok(())
    }

    fn hung_up(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.file.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) };
        poll.revents & libc::POLLHUP != 0
    }

    fn ready(&self) -> io::Result<&AsyncFd<Arc<File>>> {
        self.ready
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let port = self.get_mut();
        let ready = port.ready()?;
        let before = out.filled().len();
        loop {
            let mut guard = ready!(ready.poll_read_ready(cx))?;
            // One read gives at most one 4 KiB buffer of the device: take all there are.
            while out.remaining() > 0 {
                match read(port.file.as_raw_fd(), out) {
                    Ok(0) => return Poll::Ready(Ok(())),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // A hang-up is remembered: the host has gone, even if there is a new one now.
                        let gone = guard.ready().is_read_closed();
                        guard.clear_ready();
                        if gone || out.filled().len() > before {
                            return Poll::Ready(Ok(()));
                        }
                        break;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let port = self.get_mut();
        let ready = port.ready()?;
        loop {
            let mut guard = ready!(ready.poll_write_ready(cx))?;
            // SAFETY: the descriptor is open and the slice valid.
            let count =
                unsafe { libc::write(port.file.as_raw_fd(), data.as_ptr().cast(), data.len()) };
            if count >= 0 {
                return Poll::Ready(Ok(count as usize));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if guard.ready().is_write_closed() => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                io::ErrorKind::WouldBlock => guard.clear_ready(),
                _ => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The driver would send each slice as a transfer of its own, with an interrupt each: a frame and
    /// its nine bytes of header go together instead.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let port = self.get_mut();
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty()) {
            if first.len() >= WRITE_BYTES || slices.len() == 1 {
                return Pin::new(port).poll_write(cx, first);
            }
        }
        let mut gather = std::mem::take(&mut port.gather);
        gather.clear();
        for slice in slices {
            let room = WRITE_BYTES - gather.len();
            gather.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let outcome = Pin::new(&mut *port).poll_write(cx, &gather);
        port.gather = gather;
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn read(fd: RawFd, out: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: the kernel only writes to the slice, and what it wrote is what is declared filled.
    unsafe {
        let room = out.unfilled_mut();
        let count = libc::read(fd, room.as_mut_ptr().cast(), room.len());
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        out.assume_init(count as usize);
        out.advance(count as usize);
        Ok(count as usize)
    }
}

/// An epoll that becomes readable whenever the port's state changes.
fn state_changes(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls on descriptors that are open.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        let epoll = OwnedFd::from_raw_fd(epoll);
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: 0 };
        if libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(epoll)
    }
}

fn drain(epoll: RawFd) {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for the one event asked for.
    unsafe { libc::epoll_wait(epoll, &mut event, 1, 0) };
}
