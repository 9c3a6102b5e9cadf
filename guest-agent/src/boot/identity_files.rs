//! The files that name the machine, in memory: a copy is told who it is before it may run, and must not wait for
//! a disk then. What lies below is the image's and stays as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use super::mounts::mount;
use crate::system::{HOSTNAME_FILE, MACHINE_ID_FILE};

const DIRECTORY: &str = "/run/coppice";
/// Of what an image has there, at most this is kept.
const CONTENT_BYTES: u64 = 4096;

/// Where one cannot be covered, as in an image that is read-only and has none, the image's own is written.
pub fn cover() {
    let _ = fs::create_dir_all(DIRECTORY);
    for target in [HOSTNAME_FILE, MACHINE_ID_FILE] {
        if let Err(text) = cover_one(target) {
            eprintln!("coppice-agent: {target} stays on the disk: {text}");
        }
    }
}

fn cover_one(target: &str) -> Result<(), String> {
    let content = content(target).map_err(|error| error.to_string())?;
    let name = Path::new(target).file_name().unwrap_or_default();
    let source = Path::new(DIRECTORY).join(name);
    fs::write(&source, content).map_err(|error| error.to_string())?;
    mount(&source.to_string_lossy(), target, "", libc::MS_BIND, "")
}

/// There must be a file to mount on.
fn content(target: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match File::open(target) {
        Ok(file) => drop(file.take(CONTENT_BYTES).read_to_end(&mut content)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = fs::create_dir_all("/etc");
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(target)?;
        }
        Err(error) => return Err(error),
    }
    Ok(content)
}
