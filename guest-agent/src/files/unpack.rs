//! Unpacks a tar below a directory, and never anywhere else, whatever the archive says.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{fchown, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use super::beneath::{
    c_name, check, make_directory, open_at, open_directory, relative, unlink, Beneath,
};
use crate::grpc::Status;

/// Headers, long names and extended headers of one entry together. The tar crate holds them in memory.
const METADATA_BYTES: u64 = 1 << 20;
const COPY_BYTES: usize = 128 << 10;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    pub bytes: u64,
}

pub fn unpack(stream: &mut dyn Read, root: &Path, keep_owner: bool) -> Result<Unpacked, Status> {
    let beneath = Beneath::open(root)
        .map_err(|error| Status::from_io(&root.display().to_string(), &error))?;
    let allowance = Rc::new(Cell::new(u64::MAX));
    let mut archive = Archive::new(Metered {
        stream,
        allowance: allowance.clone(),
    });
    let mut entries = archive.entries().map_err(|error| unreadable(&error))?;
    let mut unpacker = Unpacker {
        beneath,
        keep_owner,
        directories: Vec::new(),
        buffer: vec![0; COPY_BYTES],
        done: Unpacked::default(),
    };
    loop {
        allowance.set(METADATA_BYTES);
        let Some(entry) = entries.next() else { break };
        allowance.set(u64::MAX);
        let mut entry = entry.map_err(|error| unreadable(&error))?;
        unpacker.entry(&mut entry)?;
        // Content of what is not unpacked; within the next entry's allowance it would not fit.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| unreadable(&error))?;
    }
    unpacker.finish()
}

/// Fails when more is read than is allowed at the time.
struct Metered<'a> {
    stream: &'a mut dyn Read,
    allowance: Rc<Cell<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.get();
        if left == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a header is too large",
            ));
        }
        let limit = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.stream.read(&mut out[..limit])?;
        if left != u64::MAX {
            self.allowance.set(left - count as u64);
        }
        Ok(count)
    }
}

struct Unpacker {
    beneath: Beneath,
    keep_owner: bool,
    /// Mode and times of directories are set last: filling them changes the times, and may need more
    /// than the mode allows.
    directories: Vec<(PathBuf, Attributes)>,
    buffer: Vec<u8>,
    done: Unpacked,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: libc::timespec,
}

impl Unpacker {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Status> {
        let path = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        let parts = relative(&path).ok_or_else(|| leaves(&path))?;
        let failed = |error: io::Error| refused(&path, &error);
        let attributes = self.attributes(entry).map_err(|error| unreadable(&error))?;
        let kind = entry.header().entry_type();
        let Some((name, parents)) = parts.split_last() else {
            // The directory itself, which most archives of a directory begin with.
            return Ok(());
        };
        match kind {
            EntryType::Directory => {
                let parent = self.beneath.directory(parents).map_err(failed)?;
                enter(&parent, name).map_err(failed)?;
                self.directories.push((path, attributes));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let parent = self.beneath.directory(parents).map_err(failed)?;
                let file = create(&parent, name).map_err(failed)?;
                self.done.bytes += self.content(entry, &file, &path)?;
                attributes.apply(&file).map_err(failed)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let parent = self.beneath.directory(parents).map_err(failed)?;
                self.symlink(&parent, name, OsStr::from_bytes(&target), attributes)
                    .map_err(failed)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = PathBuf::from(OsStr::from_bytes(&target));
                let parent = self.beneath.directory(parents).map_err(failed)?;
                self.hardlink(&target, &parent, name)?;
            }
            // Devices, FIFOs, global headers.
            _ => return Ok(()),
        }
        self.done.entries += 1;
        Ok(())
    }

    fn attributes<R: Read>(&self, entry: &mut Entry<'_, R>) -> io::Result<Attributes> {
        let header = entry.header();
        let id = |value: u64| u32::try_from(value).unwrap_or(0);
        let owner = match self.keep_owner {
            true => Some((id(header.uid()?), id(header.gid()?))),
            false => None,
        };
        let mode = header.mode()? & 0o7777;
        let seconds = i64::try_from(header.mtime()?).unwrap_or(0);
        let mut mtime = libc::timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        if let Some(extensions) = entry.pax_extensions()? {
            for field in extensions.flatten() {
                if field.key_bytes() == b"mtime" {
                    mtime = field.value().ok().and_then(parse_time).unwrap_or(mtime);
                }
            }
        }
        Ok(Attributes { mode, owner, mtime })
    }

    fn content<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        mut file: &File,
        path: &Path,
    ) -> Result<u64, Status> {
        let mut total = 0;
        loop {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(unreadable(&error)),
            };
            file.write_all(&self.buffer[..count])
                .map_err(|error| refused(path, &error))?;
            total += count as u64;
        }
        match total.cmp(&entry.size()) {
            // Sparse files have more than was sent.
            std::cmp::Ordering::Less => Err(unreadable(&io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(total),
        }
    }

    fn symlink(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        target: &OsStr,
        attributes: Attributes,
    ) -> io::Result<()> {
        let (c_link, c_target) = (c_name(name)?, c_name(target)?);
        unlink(parent.as_raw_fd(), &c_link)?;
        let at = parent.as_raw_fd();
        let times = [attributes.mtime; 2];
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: C strings and two valid timespecs. None of the calls follows the new link.
        unsafe {
            check(libc::symlinkat(c_target.as_ptr(), at, c_link.as_ptr()))?;
            if let Some((uid, gid)) = attributes.owner {
                check(libc::fchownat(at, c_link.as_ptr(), uid, gid, flags))?;
            }
            check(libc::utimensat(at, c_link.as_ptr(), times.as_ptr(), flags))
        }
    }

    /// To something unpacked before; as its path is resolved beneath the root too, to nothing else.
    fn hardlink(&self, target: &Path, parent: &OwnedFd, name: &OsStr) -> Result<(), Status> {
        let failed = |error: io::Error| refused(target, &error);
        let parts = relative(target).ok_or_else(|| leaves(target))?;
        let (old_name, old_parents) = parts.split_last().ok_or_else(|| leaves(target))?;
        let old_parent = self.beneath.directory(old_parents).map_err(failed)?;
        let (old, new) = (
            c_name(old_name).map_err(failed)?,
            c_name(name).map_err(failed)?,
        );
        let (from, to) = (old_parent.as_raw_fd(), parent.as_raw_fd());
        if old_parents.is_empty() && parts.len() == 1 && from == to && old == new {
            return Ok(());
        }
        unlink(to, &new).map_err(failed)?;
        // SAFETY: C strings. Without AT_SYMLINK_FOLLOW a symlink is linked itself.
        check(unsafe { libc::linkat(from, old.as_ptr(), to, new.as_ptr(), 0) }).map_err(failed)
    }

    fn finish(self) -> Result<Unpacked, Status> {
        // Inner ones first, as setting up an inner one changes nothing of an outer one.
        for (path, attributes) in self.directories.iter().rev() {
            let parts = relative(path).ok_or_else(|| leaves(path))?;
            let apply = || {
                let (name, parents) = parts.split_last().ok_or(io::ErrorKind::InvalidInput)?;
                let parent = self.beneath.directory(parents)?;
                attributes.apply(&enter(&parent, name)?.into())
            };
            apply().map_err(|error| refused(path, &error))?;
        }
        Ok(self.done)
    }
}

impl Attributes {
    fn apply(&self, file: &File) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            fchown(file, Some(uid), Some(gid))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
        let times = [self.mtime; 2];
        // SAFETY: two valid timespecs.
        check(unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) })
    }
}

/// A directory that is there already, or a new one.
fn enter(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let name = c_name(name)?;
    match make_directory(parent.as_raw_fd(), &name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => open_directory(parent.as_raw_fd(), &name),
    }
}

/// Replaces what is there rather than writing into it: it may be a link.
fn create(parent: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let name = c_name(name)?;
    unlink(parent.as_raw_fd(), &name)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    Ok(open_at(parent.as_raw_fd(), &name, flags, 0o600)?.into())
}

/// "SECONDS[.FRACTION]", possibly negative.
fn parse_time(text: &str) -> Option<libc::timespec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    let mut nanoseconds: i64 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        seconds = seconds.checked_sub(1)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Some(libc::timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    })
}

fn leaves(path: &Path) -> Status {
    let text = format!(
        "the archive's entry {} would leave the directory",
        path.display()
    );
    Status::invalid(text).with("invalid_path")
}

fn refused(path: &Path, error: &io::Error) -> Status {
    match error.raw_os_error() {
        // What openat2 says to a symlink on the way, or to `..`.
        Some(libc::ELOOP | libc::EXDEV) => leaves(path),
        _ => Status::from_io(&path.display().to_string(), error),
    }
}

fn unreadable(error: &io::Error) -> Status {
    Status::invalid(format!("the archive cannot be read: {error}")).with("bad_archive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_extended_headers_are_read() {
        let time = |text| parse_time(text).map(|time| (time.tv_sec, time.tv_nsec));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-0.5"), Some((-1, 500_000_000)));
        assert_eq!(time("7"), Some((7, 0)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }
}
