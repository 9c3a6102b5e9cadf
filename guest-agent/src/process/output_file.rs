//! The files that a process's output goes to as well, all of it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{fchown, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::users::Account;
use crate::blocking::blocking;
use crate::grpc::Status;

/// Beside the file of stdout.
const STDERR_SUFFIX: &str = ".stderr";

/// Where one stream goes. The process waits for the disk, so nothing collects here.
#[derive(Default)]
pub struct OutputFile(Option<File>);

impl OutputFile {
    /// That of stdout, and that of stderr. Nothing has run when this fails.
    pub async fn open_both(path: &Path, account: &Account) -> Result<[OutputFile; 2], Status> {
        let (path, uid, gid) = (path.to_path_buf(), account.uid, account.gid);
        blocking(move || {
            let mut errors: OsString = path.clone().into();
            errors.push(STDERR_SUFFIX);
            let open = |path: PathBuf| {
                let opened = open(&path, uid, gid).map(|file| OutputFile(Some(file)));
                opened.map_err(|error| {
                    Status::from_io(&path.display().to_string(), &error).with("not_started")
                })
            };
            Ok([open(path)?, open(errors.into())?])
        })
        .await
    }

    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// After an error nothing more is written.
    pub async fn append(&mut self, data: Vec<u8>) -> io::Result<()> {
        let Some(mut file) = self.0.take() else {
            return Ok(());
        };
        let written = tokio::task::spawn_blocking(move || file.write_all(&data).map(|()| file));
        self.0 = Some(written.await.map_err(io::Error::other)??);
        Ok(())
    }
}

fn open(path: &Path, uid: u32, gid: u32) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        // Opening a FIFO must not wait for a reader.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if uid != 0 {
        fchown(&file, Some(uid), Some(gid))?;
    }
    Ok(file)
}
