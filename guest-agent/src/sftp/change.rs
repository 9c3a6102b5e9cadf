//! Gives files the attributes that a client wants.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::attributes::Attributes;

pub enum Target<'a> {
    Path(&'a CStr),
    /// A symlink itself.
    Link(&'a CStr),
    File(&'a File),
}

/// As much as can be done is done; the first failure is reported. The owner comes before the mode, because a change
/// of it clears set-uid bits, and the times come last.
pub fn apply(target: &Target<'_>, wanted: &Attributes) -> io::Result<()> {
    let mut outcome = Ok(());
    let mut note = |result: libc::c_int| {
        if result < 0 && outcome.is_ok() {
            outcome = Err(io::Error::last_os_error());
        }
    };
    if let Some(size) = wanted.size {
        note(set_size(
            target,
            size.try_into().unwrap_or(libc::off_t::MAX),
        ));
    }
    if let Some((uid, gid)) = wanted.owner {
        note(set_owner(target, uid, gid));
    }
    if wanted.mode.is_some() {
        note(set_mode(target, wanted.permissions(0)));
    }
    if let Some((accessed, changed)) = wanted.times {
        let time = |seconds: u32| libc::timespec {
            tv_sec: i64::from(seconds),
            tv_nsec: 0,
        };
        note(set_times(target, &[time(accessed), time(changed)]));
    }
    outcome
}

fn set_size(target: &Target<'_>, size: libc::off_t) -> libc::c_int {
    // SAFETY: a C string or an open descriptor.
    unsafe {
        match target {
            Target::Path(path) | Target::Link(path) => libc::truncate(path.as_ptr(), size),
            Target::File(file) => libc::ftruncate(file.as_raw_fd(), size),
        }
    }
}

fn set_owner(target: &Target<'_>, uid: u32, gid: u32) -> libc::c_int {
    // SAFETY: as above.
    unsafe {
        match target {
            Target::Path(path) => libc::chown(path.as_ptr(), uid, gid),
            Target::Link(path) => libc::lchown(path.as_ptr(), uid, gid),
            Target::File(file) => libc::fchown(file.as_raw_fd(), uid, gid),
        }
    }
}

fn set_mode(target: &Target<'_>, mode: u32) -> libc::c_int {
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: as above.
    unsafe {
        match target {
            Target::Path(path) => libc::chmod(path.as_ptr(), mode),
            Target::Link(path) => libc::fchmodat(libc::AT_FDCWD, path.as_ptr(), mode, flags),
            Target::File(file) => libc::fchmod(file.as_raw_fd(), mode),
        }
    }
}

fn set_times(target: &Target<'_>, times: &[libc::timespec; 2]) -> libc::c_int {
    let times = times.as_ptr();
    let at = |path: &CStr, flags| {
        // SAFETY: as above, and two valid times.
        unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times, flags) }
    };
    match target {
        Target::Path(path) => at(path, 0),
        Target::Link(path) => at(path, libc::AT_SYMLINK_NOFOLLOW),
        // SAFETY: as above.
        Target::File(file) => unsafe { libc::futimens(file.as_raw_fd(), times) },
    }
}
