//! Requests to the kernel's routing socket, and what it answers.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The kernel answers within the system call; this is for one that does not.
static PATIENCE: libc::timeval = libc::timeval {
    tv_sec: 2,
    tv_usec: 0,
};
/// The kernel makes its parts of a dump to fit what the reader offers, up to this.
const ANSWER_BYTES: usize = 32 << 10;
/// An error repeats the request, which is smaller.
const ACKNOWLEDGEMENT_BYTES: usize = 512;
const HEADER: usize = size_of::<libc::nlmsghdr>();

pub struct Netlink {
    socket: OwnedFd,
}

/// Type and payload of a message the kernel sent.
pub type Answer = (u16, Vec<u8>);

/// A request in the making: a header, a struct that belongs to its type, attributes.
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub fn new(kind: u16, flags: libc::c_int, body: &[u8]) -> Request {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(body);
        Request { bytes }
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Request {
        self.bytes
            .extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

impl Netlink {
    pub fn open() -> io::Result<Netlink> {
        // SAFETY: the descriptor is ours, the option is a timeval.
        unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let socket = OwnedFd::from_raw_fd(fd);
            let size = size_of::<libc::timeval>() as libc::socklen_t;
            let patience = (&raw const PATIENCE).cast();
            if libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, patience, size) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Netlink { socket })
        }
    }

    /// Changes something.
    pub fn change(&self, request: Request) -> io::Result<()> {
        let mut request = request;
        request.bytes[6] |= libc::NLM_F_ACK as u8;
        self.send(request)?;
        self.receive(&mut [0; ACKNOWLEDGEMENT_BYTES], |_, _| {})
    }

    /// Every object of a kind.
    pub fn dump(&self, kind: u16, body: &[u8]) -> io::Result<Vec<Answer>> {
        self.send(Request::new(kind, libc::NLM_F_DUMP, body))?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; ANSWER_BYTES];
        self.receive(&mut buffer, |kind, payload| {
            answers.push((kind, payload.to_vec()))
        })?;
        Ok(answers)
    }

    fn send(&self, request: Request) -> io::Result<()> {
        let bytes = request.finish();
        // SAFETY: a valid slice; an all-zero address of this family is the kernel.
        let sent = unsafe {
            let mut kernel: libc::sockaddr_nl = zeroed();
            kernel.nl_family = libc::AF_NETLINK as u16;
            libc::sendto(
                self.socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw const kernel).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Until the end of the dump, or the acknowledgement.
    fn receive(&self, buffer: &mut [u8], mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
        loop {
            let fd = self.socket.as_raw_fd();
            // SAFETY: a valid slice.
            let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if count < 0 {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                    _ => return Err(error),
                }
            }
            let mut rest = &buffer[..count as usize];
            while let Some((kind, payload, next)) = message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => {
                        return match payload
                            .first_chunk::<4>()
                            .map(|code| i32::from_ne_bytes(*code))
                        {
                            Some(0) => Ok(()),
                            Some(code) => Err(io::Error::from_raw_os_error(-code)),
                            None => Err(io::ErrorKind::InvalidData.into()),
                        }
                    }
                    _ => take(kind, payload),
                }
                rest = next;
            }
        }
    }
}

/// Type and payload of the first message, and what comes after it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(HEADER..length)?;
    Some((kind, payload, bytes.get(aligned(length)..).unwrap_or(&[])))
}

/// Types and values of the attributes behind a struct of that size.
pub fn attributes(payload: &[u8], body: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = payload.get(aligned(body)..).unwrap_or(&[]);
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written_and_cut_ones_end_the_list() {
        let request = Request::new(1, 0, &[9; 8])
            .attribute(3, b"abcde")
            .attribute(4, b"");
        let bytes = request.finish();
        let (kind, payload, rest) = message(&bytes).unwrap();
        assert_eq!((kind, rest.len()), (1, 0));
        let all: Vec<_> = attributes(payload, 8).collect();
        assert_eq!(all, [(3, &b"abcde"[..]), (4, &b""[..])]);
        for cut in 8..16 {
            assert_eq!(attributes(&payload[..cut], 8).count(), 0, "{cut}");
        }
        assert!(message(&bytes[..HEADER + 3]).is_none());
    }

    #[test]
    fn the_kernel_refuses_with_its_own_error() {
        let netlink = Netlink::open().unwrap();
        // An interface index that does not exist.
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let error = netlink
            .change(Request::new(libc::RTM_NEWLINK, 0, &body))
            .unwrap_err();
        assert!(
            matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)),
            "{error}"
        );
    }
}
