//! What needs nothing but paths.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::files::rename_file;

pub fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Absolute and without symlinks. The last part may be missing: clients ask for what they are about to make.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            let parent = match parent.as_os_str().is_empty() {
                true => Path::new("."),
                false => parent,
            };
            Ok(fs::canonicalize(parent)?.join(name))
        }
        outcome => outcome,
    }
}

/// Without `replace` it fails where there is something, also on file systems that cannot do that in one step.
pub fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    match rename_file(from, to, !replace) {
        Err(error) if !replace && error.raw_os_error() == Some(libc::EINVAL) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            fs::rename(from, to)
        }
        outcome => outcome,
    }
}
