//! A file that is written beside its place and then moved into it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{fchown, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Mode and owner a file is to have. What is None is that of the file it replaces, or the default.
#[derive(Clone, Copy, Default)]
pub struct Attributes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Attributes {
    pub fn or_those_of(self, path: &Path) -> Attributes {
        let Ok(old) = fs::metadata(path) else {
            return self;
        };
        Attributes {
            mode: self.mode.or(Some(old.permissions().mode() & 0o7777)),
            uid: self.uid.or(Some(old.uid())),
            gid: self.gid.or(Some(old.gid())),
        }
    }

    /// The owner first: a change of it clears set-uid bits.
    pub fn apply(&self, file: &File) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            let now = file.metadata()?;
            let differs = |wanted: Option<u32>, is: u32| wanted.is_some_and(|id| id != is);
            if differs(self.uid, now.uid()) || differs(self.gid, now.gid()) {
                fchown(file, self.uid, self.gid)?;
            }
        }
        match self.mode {
            Some(mode) => file.set_permissions(fs::Permissions::from_mode(mode)),
            None => Ok(()),
        }
    }
}

/// Removed when it is dropped before it was moved into place.
pub struct Temporary {
    pub file: File,
    path: PathBuf,
    moved: bool,
}

impl Temporary {
    pub fn beside(target: &Path) -> io::Result<Temporary> {
        let parent = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!(".coppice-{}-{number}.tmp", std::process::id()));
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o666)
                .open(&path)
            {
                Ok(file) => {
                    return Ok(Temporary {
                        file,
                        path,
                        moved: false,
                    })
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Into place; with `exclusive` only where there is nothing.
    pub fn persist(mut self, target: &Path, exclusive: bool, sync: bool) -> io::Result<()> {
        if sync {
            self.file.sync_all()?;
        }
        rename(&self.path, target, exclusive)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        let path = std::mem::take(&mut self.path);
        let remove = move || drop(fs::remove_file(path));
        // A cancelled call drops this on the agent's one thread, which must not wait for a disk.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// rename(2), with `exclusive` failing with EEXIST rather than replacing something.
pub fn rename(from: &Path, to: &Path, exclusive: bool) -> io::Result<()> {
    if !exclusive {
        return fs::rename(from, to);
    }
    let (from, to) = (c_path(from)?, c_path(to)?);
    let flags = libc::RENAME_NOREPLACE;
    // SAFETY: two C strings.
    let outcome = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            flags,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

/// The file a path leads to, so that replacing it does not replace a symlink to it. A path that leads
/// nowhere yet is its own target.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(resolved) => Ok(resolved),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                // A dangling link: what it names, one step at a time, is more than a caller expects.
                return Err(error);
            }
            Ok(path.to_path_buf())
        }
        Err(error) => Err(error),
    }
}

/// Space for what is coming, so that a full disk shows at once. Not every file system can.
pub fn reserve(file: &File, size: u64) -> io::Result<()> {
    let Ok(size) = libc::off_t::try_from(size) else {
        return Ok(());
    };
    // SAFETY: no memory is involved.
    if size > 0
        && unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, size) } < 0
    {
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ENOSPC) {
            return Err(error);
        }
    }
    Ok(())
}
