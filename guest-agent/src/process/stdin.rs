//! What is to be written to a process, without ever waiting for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use bytes::{Buf, Bytes};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::watched::watch;

/// A client is slowed down beyond this; signals and resizes that it sends before overtake the bytes.
const QUEUE_BYTES: usize = 1 << 20;
const END_OF_TRANSMISSION: Bytes = Bytes::from_static(&[4]);

pub struct Stdin {
    queue: RefCell<VecDeque<Bytes>>,
    queued: Cell<usize>,
    closed: Cell<bool>,
    changed: Notify,
    terminal: bool,
    writer: RefCell<Option<AbortHandle>>,
}

impl Stdin {
    pub fn new(fd: OwnedFd, terminal: bool) -> io::Result<Rc<Stdin>> {
        let fd = watch(fd, Interest::WRITABLE)?;
        let stdin = Rc::new(Stdin {
            queue: RefCell::default(),
            queued: Cell::new(0),
            closed: Cell::new(false),
            changed: Notify::new(),
            terminal,
            writer: RefCell::new(None),
        });
        let task = tokio::task::spawn_local(write(stdin.clone(), fd));
        *stdin.writer.borrow_mut() = Some(task.abort_handle());
        Ok(stdin)
    }

    /// Bytes after the end are dropped, as a closed pipe would.
    pub async fn push(&self, data: Bytes) {
        while self.queued.get() >= QUEUE_BYTES && !self.closed.get() {
            self.changed.notified().await;
        }
        self.push_now(data);
    }

    pub fn push_now(&self, data: Bytes) {
        if !self.closed.get() && !data.is_empty() {
            self.queued.set(self.queued.get() + data.len());
            self.queue.borrow_mut().push_back(data);
            self.changed.notify_waiters();
        }
    }

    /// The end follows what is queued. A terminal has no end of its own: it gets a ^D.
    pub fn close(&self) {
        if self.terminal {
            self.push_now(END_OF_TRANSMISSION);
        } else {
            self.closed.set(true);
            self.changed.notify_waiters();
        }
    }

    /// The process has ended.
    pub fn abandon(&self) {
        self.closed.set(true);
        self.queue.borrow_mut().clear();
        self.changed.notify_waiters();
        if let Some(writer) = self.writer.borrow_mut().take() {
            writer.abort();
        }
    }
}

async fn write(stdin: Rc<Stdin>, fd: AsyncFd<OwnedFd>) {
    loop {
        let changed = stdin.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let next = stdin.queue.borrow_mut().pop_front();
        match next {
            Some(mut data) => {
                let size = data.len();
                while !data.is_empty() {
                    match fd
                        .async_io(Interest::WRITABLE, |fd| write_some(fd, &data))
                        .await
                    {
                        Ok(count) => data.advance(count),
                        // Nobody reads any more.
                        Err(_) => return stdin.give_up(),
                    }
                }
                stdin.queued.set(stdin.queued.get() - size);
                stdin.changed.notify_waiters();
            }
            None if stdin.closed.get() => return,
            None => changed.await,
        }
    }
}

impl Stdin {
    fn give_up(&self) {
        self.closed.set(true);
        self.queue.borrow_mut().clear();
        self.changed.notify_waiters();
    }
}

fn write_some(fd: &OwnedFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice is valid.
    let count = unsafe { libc::write(fd.as_raw_fd(), data.as_ptr().cast(), data.len()) };
    if count < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(count as usize)
    }
}
