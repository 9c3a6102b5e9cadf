//! Paths as they come from the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::grpc::Status;

const PATH_BYTES: usize = 4096;

pub fn absolute(path: &Bytes) -> Result<PathBuf, Status> {
    let refuse = |text: &str| Err(Status::invalid(text).with("invalid_path"));
    if path.first() != Some(&b'/') {
        return refuse("the path is not absolute");
    }
    if path.len() > PATH_BYTES {
        return refuse("the path is longer than 4096 bytes");
    }
    if path.contains(&0) {
        return refuse("the path contains a NUL");
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

pub fn to_bytes(path: &Path) -> Bytes {
    Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_without_nul_are_taken() {
        let ok = |path: &[u8]| absolute(&Bytes::copy_from_slice(path)).is_ok();
        assert!(ok(b"/"));
        assert!(ok(b"/a/../\xff"));
        assert!(!ok(b""));
        assert!(!ok(b"a"));
        assert!(!ok(b"/a\0b"));
        assert!(!ok(&[b'/'; 4097]));
    }
}
