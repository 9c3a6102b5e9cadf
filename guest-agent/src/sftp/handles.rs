//! What a client has open.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::failure::Failure;
use super::listing::Listing;
use super::MOST_HANDLES;

pub enum Handle {
    File(File),
    Directory(Listing),
}

#[derive(Default)]
pub struct Handles {
    open: BTreeMap<u32, Handle>,
    /// Numbers do not come again, so that a handle which was closed is nothing else's.
    next: u32,
}

impl Handles {
    /// Nothing is opened when there are too many.
    pub fn add(&mut self, open: impl FnOnce() -> Result<Handle, Failure>) -> Result<u32, Failure> {
        if self.open.len() >= MOST_HANDLES || self.next == u32::MAX {
            return Err(Failure::TOO_MANY);
        }
        let handle = open()?;
        let number = self.next;
        self.next += 1;
        self.open.insert(number, handle);
        Ok(number)
    }

    pub fn file(&self, number: u32) -> Result<&File, Failure> {
        match self.open.get(&number) {
            Some(Handle::File(file)) => Ok(file),
            _ => Err(Failure::NO_HANDLE),
        }
    }

    pub fn directory(&mut self, number: u32) -> Result<&mut Listing, Failure> {
        match self.open.get_mut(&number) {
            Some(Handle::Directory(listing)) => Ok(listing),
            _ => Err(Failure::NO_HANDLE),
        }
    }

    pub fn close(&mut self, number: u32) -> Result<(), Failure> {
        let closed = self.open.remove(&number);
        closed.map(drop).ok_or(Failure::NO_HANDLE)
    }
}

const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

/// open(2) with the protocol's flags.
pub fn open_file(path: &Path, flags: u32, mode: u32) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut how = match (flags & READ != 0, flags & WRITE != 0) {
        (true, true) => libc::O_RDWR,
        (false, true) => libc::O_WRONLY,
        _ => libc::O_RDONLY,
    };
    for (flag, meaning) in [
        (APPEND, libc::O_APPEND),
        (CREATE, libc::O_CREAT),
        (TRUNCATE, libc::O_TRUNC),
        (EXCLUSIVE, libc::O_EXCL),
    ] {
        if flags & flag != 0 {
            how |= meaning;
        }
    }
    // SAFETY: one C string; the descriptor is ours.
    unsafe {
        let fd = libc::open(path.as_ptr(), how | libc::O_CLOEXEC | libc::O_NOCTTY, mode);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(fd))
    }
}

/// As much as there is room for or the file has: some clients take less for the file's end. What is no file returns
/// what it has, for it might wait for ever.
pub fn read(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < room.len() {
        let read = match file.read_at(&mut room[count..], offset.saturating_add(count as u64)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // What was read is worth more than the error, which will come again.
            Err(_) if count > 0 => break,
            outcome => outcome?,
        };
        count += read;
        if read == 0 || (count < room.len() && !file.metadata()?.is_file()) {
            break;
        }
    }
    Ok(count)
}
