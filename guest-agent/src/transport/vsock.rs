//! AF_VSOCK, as far as a listener needs it.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::watched::watch;

pub struct VsockListener(AsyncFd<OwnedFd>);

impl VsockListener {
    pub fn bind(port: u32) -> io::Result<VsockListener> {
        // SAFETY: a zeroed sockaddr_vm is valid, and its size is passed along.
        unsafe {
            let flags = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = libc::socket(libc::AF_VSOCK, flags, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let socket = OwnedFd::from_raw_fd(fd);
            let mut address: libc::sockaddr_vm = zeroed();
            address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
            address.svm_cid = libc::VMADDR_CID_ANY;
            address.svm_port = port;
            let size = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
            if libc::bind(fd, (&raw const address).cast(), size) < 0 || libc::listen(fd, 16) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(VsockListener(watch(socket, Interest::READABLE)?))
        }
    }

    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.0
            .async_io(Interest::READABLE, |socket| {
                let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                let none = std::ptr::null_mut();
                // SAFETY: no address is asked for.
                let fd = unsafe { libc::accept4(socket.as_raw_fd(), none, none.cast(), flags) };
                if fd < 0 {
                    return Err(io::Error::last_os_error());
                }
                // SAFETY: accept4 gave this descriptor to us alone.
                let stream = unsafe { std::os::unix::net::UnixStream::from_raw_fd(fd) };
                // The type only means a connected stream socket: no address is looked at.
                UnixStream::from_std(stream)
            })
            .await
    }
}
