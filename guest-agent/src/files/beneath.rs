//! Names below a directory that nothing in an archive can lead out of.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// A directory; every name is resolved by the kernel with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, so
/// neither `..` nor a symlink, planted before or meanwhile, leads out of it.
pub struct Beneath {
    root: OwnedFd,
}

/// The components of an archive's path. None when it is absolute or goes upwards.
pub fn relative(path: &Path) -> Option<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

impl Beneath {
    pub fn open(root: &Path) -> io::Result<Beneath> {
        Ok(Beneath {
            root: File::open(root)?.into(),
        })
    }

    /// The directory of those components, created where it is missing.
    pub fn directory(&self, parts: &[&OsStr]) -> io::Result<OwnedFd> {
        let mut current = self.root.try_clone()?;
        for part in parts {
            let name = c_name(part)?;
            current = match open_directory(current.as_raw_fd(), &name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_directory(current.as_raw_fd(), &name)?;
                    open_directory(current.as_raw_fd(), &name)?
                }
                outcome => outcome?,
            };
        }
        Ok(current)
    }
}

pub fn c_name(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

pub fn open_directory(at: RawFd, name: &CString) -> io::Result<OwnedFd> {
    open_at(at, name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Never follows a symlink, also not in the last component.
pub fn open_at(at: RawFd, name: &CString, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: zeroes are valid, the struct's size is passed along, the descriptor is ours.
    unsafe {
        let mut how: libc::open_how = std::mem::zeroed();
        how.flags = (flags | libc::O_CLOEXEC | libc::O_NOFOLLOW) as u64;
        how.mode = u64::from(mode);
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
        let size = size_of::<libc::open_how>();
        let fd = libc::syscall(libc::SYS_openat2, at, name.as_ptr(), &raw const how, size);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

pub fn make_directory(at: RawFd, name: &CString) -> io::Result<()> {
    // SAFETY: a C string.
    check(unsafe { libc::mkdirat(at, name.as_ptr(), 0o777) })
}

/// Whatever is there but a directory.
pub fn unlink(at: RawFd, name: &CString) -> io::Result<()> {
    // SAFETY: a C string.
    match check(unsafe { libc::unlinkat(at, name.as_ptr(), 0) }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

pub fn check(outcome: libc::c_int) -> io::Result<()> {
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_are_none() {
        assert_eq!(relative(Path::new("./a//b/.")).unwrap(), ["a", "b"]);
        for bad in ["/a", "../a", "a/../../b", "a/.."] {
            assert!(relative(Path::new(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_symlink_is_no_directory() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", root.path().join("out")).unwrap();
        let beneath = Beneath::open(root.path()).unwrap();
        let error = beneath.directory(&[OsStr::new("out")]).unwrap_err();
        assert!(
            matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)),
            "{error}"
        );
        assert!(beneath
            .directory(&[OsStr::new("in"), OsStr::new("deeper")])
            .is_ok());
        assert!(root.path().join("in/deeper").is_dir());
    }
}
