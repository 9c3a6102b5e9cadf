//! Digest: the SHA-256 of files, so that the host can tell which of them differ.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::path::absolute;
use super::produce::{gone, produce, Sink};
use crate::gen::{DigestRequest, DigestResponse};
use crate::grpc::{Outgoing, Status};

const PATHS: usize = 256;
const READ_BYTES: usize = 64 << 10;

pub async fn digest(
    request: DigestRequest,
    outgoing: Outgoing<DigestResponse>,
) -> Result<(), Status> {
    if request.paths.len() > PATHS {
        return Err(Status::invalid("more than 256 paths").with("too_large"));
    }
    produce(&outgoing, move |sink| run(request.paths, sink)).await
}

fn run(paths: Vec<Bytes>, sink: &Sink<DigestResponse>) -> Result<(), Status> {
    let mut buffer = vec![0; READ_BYTES];
    for path in paths {
        let mut response = DigestResponse {
            path: path.clone(),
            ..Default::default()
        };
        match absolute(&path).map_err(|status| status.word) {
            Ok(path) => match open(&path) {
                Ok(Some(file)) => match hash(file, &mut buffer, sink)? {
                    Ok((sha256, size)) => {
                        response.sha256 = sha256;
                        response.size = size;
                    }
                    Err(error) => response.error = word(&error),
                },
                Ok(None) => response.error = "not_a_file".into(),
                Err(error) => response.error = word(&error),
            },
            Err(word) => response.error = word.unwrap_or("invalid_path").into(),
        }
        sink.put(response)?;
    }
    Ok(())
}

/// None for everything but a regular file. Looked at first: opening a device can do something.
fn open(path: &Path) -> io::Result<Option<File>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        // It has become a symlink.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        outcome => outcome?,
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// `Err` outside when the client has gone, inside when the file cannot be read.
fn hash(
    mut file: File,
    buffer: &mut [u8],
    sink: &Sink<DigestResponse>,
) -> Result<io::Result<(Bytes, u64)>, Status> {
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        if sink.is_gone() {
            return Err(gone());
        }
        match file.read(buffer) {
            Ok(0) => return Ok(Ok((Bytes::copy_from_slice(&hasher.finalize()), size))),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn word(error: &io::Error) -> String {
    let status = Status::from_io("", error);
    status.word.unwrap_or("io_error").to_string()
}
