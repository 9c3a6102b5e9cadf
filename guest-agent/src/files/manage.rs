//! MakeDirectory, Remove, Rename.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::copy::copy_tree;
use super::path::absolute;
use super::temporary;
use crate::blocking::blocking;
use crate::gen::{
    MakeDirectoryRequest, MakeDirectoryResponse, RemoveRequest, RemoveResponse, RenameRequest,
    RenameResponse,
};
use crate::grpc::Status;

pub async fn make_directory(
    request: MakeDirectoryRequest,
) -> Result<MakeDirectoryResponse, Status> {
    let path = absolute(&request.path)?;
    if request.mode.is_some_and(|mode| mode > 0o7777) {
        return Err(Status::invalid("mode has more than permission bits"));
    }
    blocking(move || {
        let make = || -> io::Result<()> {
            if !request.parents {
                fs::create_dir(&path)?;
            } else if path.is_dir() {
                // As it is, its mode too.
                return Ok(());
            } else {
                fs::create_dir_all(&path)?;
            }
            match request.mode {
                Some(mode) => fs::set_permissions(&path, Permissions::from_mode(mode)),
                None => Ok(()),
            }
        };
        make().map_err(|error| failed(&path, &error))?;
        Ok(MakeDirectoryResponse {})
    })
    .await
}

pub async fn remove(request: RemoveRequest) -> Result<RemoveResponse, Status> {
    let path = absolute(&request.path)?;
    blocking(move || match remove_path(&path, request.recursive) {
        Err(error) if request.force && error.kind() == io::ErrorKind::NotFound => {
            Ok(RemoveResponse {})
        }
        Err(error) => Err(failed(&path, &error)),
        Ok(()) => Ok(RemoveResponse {}),
    })
    .await
}

fn remove_path(path: &Path, recursive: bool) -> io::Result<()> {
    if path.parent().is_none() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let is_directory = fs::symlink_metadata(path)?.is_dir();
    match (is_directory, recursive) {
        // Does not follow symlinks, not even ones that appear while it works.
        (true, true) => fs::remove_dir_all(path),
        (true, false) => fs::remove_dir(path),
        (false, _) => fs::remove_file(path),
    }
}

pub async fn rename(request: RenameRequest) -> Result<RenameResponse, Status> {
    let (from, to) = (absolute(&request.from)?, absolute(&request.to)?);
    blocking(move || {
        match temporary::rename(&from, &to, !request.overwrite) {
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
                // Across file systems it is a copy, which cannot be one step.
                copy_tree(&from, &to, request.overwrite)?;
                remove_path(&from, true).map_err(|error| failed(&from, &error))?;
            }
            Err(error) => return Err(failed(&from, &error)),
            Ok(()) => {}
        }
        Ok(RenameResponse {})
    })
    .await
}

fn failed(path: &Path, error: &io::Error) -> Status {
    Status::from_io(&path.display().to_string(), error)
}
