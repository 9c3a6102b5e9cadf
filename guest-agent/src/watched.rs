//! Descriptors the runtime watches.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// `fd` must be non-blocking, or only be asked for its readiness.
pub fn watch<T: AsFd + AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: AsFd stands for one descriptor that is open as long as the value lives; what is passed
    // here owns or borrows it and never changes it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}
