//! Mounting, with errors that say what was to be mounted.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

pub const NOSUID: u64 = libc::MS_NOSUID;
pub const NODEV: u64 = libc::MS_NODEV;
pub const NOEXEC: u64 = libc::MS_NOEXEC;

pub fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> Result<(), String> {
    let c = |text: &str| CString::new(text).map_err(|_| format!("mounting {target}: a NUL"));
    let (c_source, c_target, c_kind, c_data) = (c(source)?, c(target)?, c(kind)?, c(data)?);
    let _ = fs::create_dir_all(target);
    // SAFETY: four C strings.
    let outcome = unsafe {
        libc::mount(
            c_source.as_ptr(),
            c_target.as_ptr(),
            c_kind.as_ptr(),
            flags,
            c_data.as_ptr().cast(),
        )
    };
    if outcome < 0 {
        return Err(format!(
            "mounting {kind} at {target}: {}",
            io::Error::last_os_error()
        ));
    }
    Ok(())
}

/// What the kernel is asked through, before there is a root.
pub fn kernel() -> Result<(), String> {
    // The kernel may have mounted it itself.
    if !Path::new("/dev/null").exists() {
        mount("dev", "/dev", "devtmpfs", NOSUID, "mode=755")?;
    }
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC, "")?;
    mount("sys", "/sys", "sysfs", NOSUID | NODEV | NOEXEC, "")
}

/// Everything a workload expects beside its root file system.
pub fn system() -> Result<(), String> {
    mount(
        "devpts",
        "/dev/pts",
        "devpts",
        NOSUID | NOEXEC,
        "newinstance,ptmxmode=666,mode=620,gid=5",
    )?;
    // devtmpfs has a ptmx of its own, which belongs to no instance.
    let _ = fs::remove_file("/dev/ptmx");
    let _ = symlink("pts/ptmx", "/dev/ptmx");
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = symlink(target, link);
    }
    mount(
        "shm",
        "/dev/shm",
        "tmpfs",
        NOSUID | NODEV,
        "mode=1777,size=50%",
    )?;
    mount("tmp", "/tmp", "tmpfs", NOSUID | NODEV, "mode=1777,size=50%")?;
    mount("run", "/run", "tmpfs", NOSUID | NODEV, "mode=755,size=20%")?;
    let _ = fs::create_dir_all("/run/lock");
    // Kernels without POSIX queues do well without.
    let _ = mount(
        "mqueue",
        "/dev/mqueue",
        "mqueue",
        NOSUID | NODEV | NOEXEC,
        "",
    );
    Ok(())
}
