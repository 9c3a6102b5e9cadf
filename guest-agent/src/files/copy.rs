//! Copy.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{lchown, symlink, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::path::absolute;
use super::temporary::Attributes;
use crate::blocking::blocking;
use crate::gen::{CopyRequest, CopyResponse};
use crate::grpc::{Code, Status};

pub async fn copy(request: CopyRequest) -> Result<CopyResponse, Status> {
    let (from, to) = (absolute(&request.from)?, absolute(&request.to)?);
    blocking(move || {
        let metadata = fs::symlink_metadata(&from).map_err(|error| failed(&from, &error))?;
        if metadata.is_dir() && !request.recursive {
            let error = io::Error::from_raw_os_error(libc::EISDIR);
            return Err(failed(&from, &error));
        }
        Ok(CopyResponse {
            bytes: copy_tree(&from, &to, request.overwrite)?,
        })
    })
    .await
}

/// Copies a file, a link or a directory with its content; modes and owners go along. Directories that
/// exist are merged with, files are replaced when `overwrite` says so.
pub fn copy_tree(from: &Path, to: &Path, overwrite: bool) -> Result<u64, Status> {
    let inside = fs::canonicalize(from)
        .ok()
        .zip(to.parent().and_then(|to| fs::canonicalize(to).ok()));
    if inside.is_some_and(|(from, to)| from.is_dir() && to.starts_with(from)) {
        return Err(
            Status::invalid("a directory cannot be copied into itself").with("invalid_path")
        );
    }
    copy_entry(from, to, overwrite)
}

fn copy_entry(from: &Path, to: &Path, overwrite: bool) -> Result<u64, Status> {
    let metadata = fs::symlink_metadata(from).map_err(|error| failed(from, &error))?;
    if metadata.is_dir() {
        return copy_directory(from, to, &metadata, overwrite);
    }
    let copied = if metadata.is_symlink() {
        copy_link(from, to, &metadata, overwrite)
    } else if metadata.is_file() {
        copy_file(from, to, &metadata, overwrite)
    } else {
        let text = format!("{} is neither file, directory nor link", from.display());
        return Err(Status::new(Code::FailedPrecondition, text));
    };
    copied.map_err(|error| failed(to, &error))
}

fn copy_directory(
    from: &Path,
    to: &Path,
    metadata: &Metadata,
    overwrite: bool,
) -> Result<u64, Status> {
    let is_new = match fs::create_dir(to) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && overwrite && to.is_dir() => {
            false
        }
        Err(error) => return Err(failed(to, &error)),
    };
    let mut bytes = 0;
    for entry in fs::read_dir(from).map_err(|error| failed(from, &error))? {
        let name = entry.map_err(|error| failed(from, &error))?.file_name();
        bytes += copy_entry(&from.join(&name), &to.join(&name), overwrite)?;
    }
    if is_new {
        // Last: it may forbid writing.
        lchown(to, Some(metadata.uid()), Some(metadata.gid()))
            .and_then(|()| fs::set_permissions(to, metadata.permissions()))
            .map_err(|error| failed(to, &error))?;
    }
    Ok(bytes)
}

fn copy_link(from: &Path, to: &Path, metadata: &Metadata, overwrite: bool) -> io::Result<u64> {
    let target = fs::read_link(from)?;
    if overwrite && fs::symlink_metadata(to).is_ok_and(|old| !old.is_dir()) {
        fs::remove_file(to)?;
    }
    symlink(target, to)?;
    lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    Ok(0)
}

fn copy_file(from: &Path, to: &Path, metadata: &Metadata, overwrite: bool) -> io::Result<u64> {
    let same = |old: &Metadata| old.ino() == metadata.ino() && old.dev() == metadata.dev();
    if fs::metadata(to).is_ok_and(|old| same(&old)) {
        // Truncating it would lose the content.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    let mut source = fs::File::open(from)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .create_new(!overwrite)
        .truncate(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(to)?;
    // copy_file_range and its like, where the kernel can.
    let bytes = io::copy(&mut source, &mut target)?;
    let attributes = Attributes {
        mode: Some(metadata.permissions().mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    };
    attributes.apply(&target)?;
    Ok(bytes)
}

fn failed(path: &Path, error: &io::Error) -> Status {
    Status::from_io(&path.display().to_string(), error)
}
