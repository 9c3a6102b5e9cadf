//! FileInfo out of what the kernel says.

use std::ffi::OsStr;
use std::fs::{self, FileType, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;

use crate::gen::{FileInfo, FileKind};

/// `path` is only asked again for a symlink.
pub fn file_info(path: &Path, metadata: &Metadata) -> FileInfo {
    let mut info = FileInfo {
        name: Bytes::copy_from_slice(path.file_name().map_or(&b"/"[..], OsStr::as_bytes)),
        kind: kind(metadata.file_type()) as i32,
        size: metadata.len(),
        mode: metadata.permissions().mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
        ..Default::default()
    };
    if metadata.is_symlink() {
        if let Ok(target) = fs::read_link(path) {
            info.link_target = target.into_os_string().into_vec().into();
        }
        if let Ok(target) = fs::metadata(path) {
            info.target_kind = kind(target.file_type()) as i32;
        }
    }
    info
}

fn kind(kind: FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}
