//! From the initramfs to the root disk.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::mounts::mount;

const NEW_ROOT: &str = "/newroot";
/// A thread that writes zeroes into unused inode tables would do so in every copy of the machine.
const ROOT_DATA: &str = "noinit_itable";
const PATIENCE: Duration = Duration::from_secs(10);

pub fn mount_root(device: &str, kind: &str) -> Result<(), String> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !Path::new(device).exists() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("root disk {device} did not appear"));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let data = if kind == "ext4" { ROOT_DATA } else { "" };
    mount(device, NEW_ROOT, kind, libc::MS_NOATIME, data)
}

/// Makes the mounted root the root of everything. The initramfs is emptied: its content is memory. This
/// program goes on running from its deleted file.
pub fn switch_root() -> Result<(), String> {
    for name in ["dev", "proc", "sys"] {
        let target = format!("{NEW_ROOT}/{name}");
        let _ = fs::create_dir_all(&target);
        move_mount(&format!("/{name}"), &target)?;
    }
    std::env::set_current_dir(NEW_ROOT).map_err(|error| format!("entering the root: {error}"))?;
    empty(Path::new("/"));
    move_mount(".", "/")?;
    // SAFETY: two C strings.
    let outcome = unsafe { libc::chroot(c".".as_ptr()) };
    if outcome < 0 {
        return Err(format!("changing the root: {}", io::Error::last_os_error()));
    }
    std::env::set_current_dir("/").map_err(|error| format!("entering the root: {error}"))
}

fn move_mount(from: &str, to: &str) -> Result<(), String> {
    let (Ok(c_from), Ok(c_to)) = (CString::new(from), CString::new(to)) else {
        return Err("moving a mount: a NUL".into());
    };
    let nothing = std::ptr::null();
    // SAFETY: two C strings; the other arguments are ignored.
    let outcome = unsafe {
        libc::mount(
            c_from.as_ptr(),
            c_to.as_ptr(),
            nothing,
            libc::MS_MOVE,
            nothing.cast(),
        )
    };
    if outcome < 0 {
        return Err(format!(
            "moving {from} to {to}: {}",
            io::Error::last_os_error()
        ));
    }
    Ok(())
}

/// Deletes everything on this file system, and nothing on any other.
fn empty(root: &Path) {
    if let Ok(metadata) = fs::symlink_metadata(root) {
        empty_directory(root, metadata.dev());
    }
}

fn empty_directory(path: &Path, device: u64) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.dev() != device => {}
            Ok(metadata) if metadata.is_dir() => {
                empty_directory(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}
