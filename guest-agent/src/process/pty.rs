//! Pseudo terminals.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::gen::TerminalSize;

/// A terminal's two ends. No path is involved, so it works in any root and for any user.
pub fn open(size: &TerminalSize, owner: (u32, u32)) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: plain system calls; each descriptor is owned as soon as it exists.
    unsafe {
        let fd = check(libc::open(c"/dev/ptmx".as_ptr(), flags | libc::O_NONBLOCK))?;
        let master = OwnedFd::from_raw_fd(fd);
        let unlock: libc::c_int = 0;
        check(libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlock))?;
        let slave = OwnedFd::from_raw_fd(check(libc::ioctl(fd, libc::TIOCGPTPEER, flags))?);
        // So that programs which open their terminal by name may.
        check(libc::fchown(slave.as_raw_fd(), owner.0, owner.1))?;
        check(libc::fchmod(slave.as_raw_fd(), 0o620))?;
        resize(fd, size)?;
        Ok((master, slave))
    }
}

pub fn resize(master: RawFd, size: &TerminalSize) -> io::Result<()> {
    let cells = |count: u32, default: u16| match count {
        0 => default,
        count => count.min(u32::from(u16::MAX)) as u16,
    };
    let size = libc::winsize {
        ws_row: cells(size.rows, 24),
        ws_col: cells(size.columns, 80),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: one valid winsize.
    check(unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// The process group in the foreground.
pub fn foreground(master: RawFd) -> Option<i32> {
    let mut group: libc::pid_t = 0;
    // SAFETY: one valid pid_t.
    let outcome = unsafe { libc::ioctl(master, libc::TIOCGPGRP, &raw mut group) };
    (outcome == 0 && group > 1).then_some(group)
}

fn check(outcome: i32) -> io::Result<i32> {
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(outcome)
    }
}
