//! Manifest: what lies below a directory, for the comparison of two states of a disk.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::beneath::open_directory;
use super::names::Names;
use super::path::absolute;
use super::produce::{gone, produce, Sink};
use crate::gen::{FileKind, ManifestEntry, ManifestRequest, ManifestResponse};
use crate::grpc::{Code, Outgoing, Status};

const BATCH_ENTRIES: usize = 512;
const BATCH_BYTES: usize = 64 << 10;
/// About what an entry takes beside its path and target.
const ENTRY_BYTES: usize = 72;
/// Names held at once, of all directories on the way down.
const NAME_BYTES: usize = 8 << 20;
/// What a directory may hold even when others have used that up.
const LEAST_NAME_BYTES: usize = 8 << 10;
/// Each is an open file. No path of 4096 bytes leads further down.
const DEEPEST: usize = 2048;
const STAT_FLAGS: libc::c_int = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;

pub async fn manifest(
    request: ManifestRequest,
    outgoing: Outgoing<ManifestResponse>,
) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    let depth = match request.max_depth {
        0 => usize::MAX,
        depth => depth as usize,
    };
    produce(&outgoing, move |sink| run(&path, depth, sink)).await
}

/// A directory on the way down.
struct Level {
    directory: OwnedFd,
    names: Names,
    /// Length of the path that leads to it.
    prefix: usize,
}

fn run(root: &Path, max_depth: usize, sink: &Sink<ManifestResponse>) -> Result<(), Status> {
    let failed = |error| Status::from_io(&root.display().to_string(), &error);
    let directory: OwnedFd = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(root)
        .map_err(failed)?
        .into();
    let mount = Mount::of(&stat(directory.as_raw_fd(), c"", libc::AT_EMPTY_PATH).map_err(failed)?);
    let names = Names::read(directory.as_raw_fd(), NAME_BYTES).map_err(failed)?;
    let mut batch = Batch::new(sink);
    let mut path: Vec<u8> = Vec::new();
    let mut levels = vec![Level {
        directory,
        names,
        prefix: 0,
    }];
    while let Some(level) = levels.last_mut() {
        path.truncate(level.prefix);
        let fd = level.directory.as_raw_fd();
        let shown = |path: &[u8], error| {
            Status::from_io(&root.join(lossy(path)).display().to_string(), &error)
        };
        let Some(name) = level.names.next(fd).map_err(|error| shown(&path, error))? else {
            levels.pop();
            continue;
        };
        path.extend_from_slice(name.to_bytes());
        let found = match stat(fd, &name, 0) {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            outcome => outcome.map_err(|error| shown(&path, error))?,
        };
        let mounted = Mount::of(&found) != mount;
        let is_directory = found.stx_mode & libc::S_IFMT as u16 == libc::S_IFDIR as u16;
        // A file that covers another, as those with the machine's names do, is not on this disk.
        if mounted && !is_directory {
            continue;
        }
        batch.add(entry(&path, &found, target(fd, &name, &found)))?;
        if !is_directory || levels.len() >= max_depth || mounted {
            continue;
        }
        if levels.len() >= DEEPEST {
            let text = format!("directories nest deeper than {DEEPEST}");
            return Err(Status::new(Code::ResourceExhausted, text).with("too_large"));
        }
        let directory = match open_directory(fd, &name) {
            // Replaced by something else.
            Err(error) if is_other_now(&error) => continue,
            outcome => outcome.map_err(|error| shown(&path, error))?,
        };
        let used: usize = levels.iter().map(|level| level.names.bytes()).sum();
        let budget = NAME_BYTES.saturating_sub(used).max(LEAST_NAME_BYTES);
        let names = Names::read(directory.as_raw_fd(), budget);
        let names = names.map_err(|error| shown(&path, error))?;
        path.push(b'/');
        let prefix = path.len();
        levels.push(Level {
            directory,
            names,
            prefix,
        });
    }
    batch.flush()
}

/// Which mount something is on. A mount of the same file system is another one too.
#[derive(PartialEq, Eq)]
struct Mount(u32, u32, u64);

impl Mount {
    fn of(found: &libc::statx) -> Mount {
        // Kernels before 5.8 do not tell; the field is 0 then.
        Mount(found.stx_dev_major, found.stx_dev_minor, found.stx_mnt_id)
    }
}

fn stat(at: RawFd, name: &CStr, flags: libc::c_int) -> io::Result<libc::statx> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_MNT_ID;
    // SAFETY: a C string, and a struct that the kernel fills.
    unsafe {
        let mut found: libc::statx = zeroed();
        if libc::statx(at, name.as_ptr(), flags | STAT_FLAGS, mask, &mut found) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(found)
    }
}

fn entry(path: &[u8], found: &libc::statx, target: Vec<u8>) -> ManifestEntry {
    let nanoseconds = |time: &libc::statx_timestamp| {
        time.tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(time.tv_nsec))
    };
    ManifestEntry {
        path: path.to_vec().into(),
        kind: kind(found) as i32,
        size: found.stx_size,
        mode: u32::from(found.stx_mode),
        uid: found.stx_uid,
        gid: found.stx_gid,
        mtime_ns: nanoseconds(&found.stx_mtime),
        ctime_ns: nanoseconds(&found.stx_ctime),
        inode: found.stx_ino,
        target: target.into(),
        nlink: found.stx_nlink,
        device: libc::makedev(found.stx_rdev_major, found.stx_rdev_minor),
    }
}

fn kind(found: &libc::statx) -> FileKind {
    match u32::from(found.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => FileKind::File,
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFLNK => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

/// Empty for what is not a symlink, or not any more.
fn target(at: RawFd, name: &CStr, found: &libc::statx) -> Vec<u8> {
    if kind(found) != FileKind::Symlink {
        return Vec::new();
    }
    let mut target = vec![0; libc::PATH_MAX as usize];
    // SAFETY: a C string, and a buffer with its length.
    let length =
        unsafe { libc::readlinkat(at, name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    target.truncate(length.max(0) as usize);
    target.shrink_to_fit();
    target
}

fn is_other_now(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
    )
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Entries on their way into messages.
struct Batch<'a> {
    sink: &'a Sink<ManifestResponse>,
    entries: Vec<ManifestEntry>,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(sink: &'a Sink<ManifestResponse>) -> Batch<'a> {
        Batch {
            sink,
            entries: Vec::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, entry: ManifestEntry) -> Result<(), Status> {
        if self.sink.is_gone() {
            return Err(gone());
        }
        self.bytes += ENTRY_BYTES + entry.path.len() + entry.target.len();
        self.entries.push(entry);
        if self.entries.len() == BATCH_ENTRIES || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Status> {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok(());
        }
        self.sink.put(ManifestResponse { entries })
    }
}
