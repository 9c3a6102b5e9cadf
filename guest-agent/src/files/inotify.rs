//! The kernel's inotify.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const EVENTS: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE
    | libc::IN_MOVE_SELF
    | libc::IN_MODIFY
    | libc::IN_ATTRIB
    | libc::IN_DONT_FOLLOW
    | libc::IN_EXCL_UNLINK;
const BUFFER: usize = 64 << 10;
const HEADER: usize = size_of::<libc::inotify_event>();

#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub watch: i32,
    pub mask: u32,
    pub name: Vec<u8>,
}

pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is ours.
    unsafe {
        let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

pub fn add(fd: &OwnedFd, path: &Path) -> io::Result<i32> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    let id = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), EVENTS) };
    if id < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(id)
}

pub fn remove(fd: &OwnedFd, id: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::inotify_rm_watch(fd.as_raw_fd(), id) };
}

/// Everything one read gives.
pub fn read(fd: &OwnedFd) -> io::Result<Vec<Event>> {
    let mut buffer = vec![0; BUFFER];
    // SAFETY: room for as much as is asked for.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(parse(&buffer[..count as usize]))
}

/// wd, mask, cookie, length, name padded with NULs.
fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while bytes.len() >= HEADER {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let length = u32::from_ne_bytes(word(12)) as usize;
        let Some(name) = bytes.get(HEADER..HEADER + length) else {
            break;
        };
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        events.push(Event {
            watch: i32::from_ne_bytes(word(0)),
            mask: u32::from_ne_bytes(word(4)),
            name: name[..end].to_vec(),
        });
        bytes = &bytes[HEADER + length..];
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_separated() {
        let mut bytes = Vec::new();
        for (watch, name) in [(1i32, &b"abc\0"[..]), (2, b"")] {
            bytes.extend(watch.to_ne_bytes());
            bytes.extend(libc::IN_CREATE.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend((name.len() as u32).to_ne_bytes());
            bytes.extend(name);
        }
        let events = parse(&bytes);
        assert_eq!(events.len(), 2);
        assert_eq!(
            (events[0].watch, events[0].name.as_slice()),
            (1, &b"abc"[..])
        );
        assert_eq!(events[1].watch, 2);
        assert_eq!(parse(&bytes[..bytes.len() - 1]).len(), 1);
    }
}
