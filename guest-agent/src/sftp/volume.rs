//! statvfs: how full a file system is.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;

use super::reply::{Kind, Replies};

const READ_ONLY: u64 = 1;
const NO_SUID: u64 = 2;

pub fn of_path(path: &CStr) -> io::Result<libc::statvfs> {
    // SAFETY: a C string, and room for the answer.
    asked(|answer| unsafe { libc::statvfs(path.as_ptr(), answer) })
}

pub fn of_file(file: &File) -> io::Result<libc::statvfs> {
    // SAFETY: room for the answer.
    asked(|answer| unsafe { libc::fstatvfs(file.as_raw_fd(), answer) })
}

fn asked(ask: impl FnOnce(&mut libc::statvfs) -> libc::c_int) -> io::Result<libc::statvfs> {
    // SAFETY: numbers only.
    let mut answer = unsafe { zeroed() };
    if ask(&mut answer) < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

pub fn put(out: &mut Replies, of: &libc::statvfs) -> Kind {
    let mut flags = 0;
    if of.f_flag & libc::ST_RDONLY != 0 {
        flags |= READ_ONLY;
    }
    if of.f_flag & libc::ST_NOSUID != 0 {
        flags |= NO_SUID;
    }
    for value in [
        of.f_bsize,
        of.f_frsize,
        of.f_blocks,
        of.f_bfree,
        of.f_bavail,
        of.f_files,
        of.f_ffree,
        of.f_favail,
        of.f_fsid,
        flags,
        of.f_namemax,
    ] {
        out.u64(value);
    }
    Kind::Extended
}
