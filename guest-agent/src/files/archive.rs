//! Archive: a tar stream of a file or of a directory's content.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ignore::WalkBuilder;

use super::globs::overrides;
use super::path::absolute;
use super::pax::{write_header, Entry, Kind, BLOCK};
use super::produce::{produce, Sink};
use crate::gen::{ArchiveRequest, ArchiveResponse};
use crate::grpc::{field_prefix, Bulk, Outgoing, Status, BULK_BYTES};

pub async fn archive(
    request: ArchiveRequest,
    outgoing: Outgoing<ArchiveResponse>,
) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    produce(&outgoing, move |sink| run(&path, &request.exclude, sink)).await
}

fn run(root: &Path, exclude: &[String], sink: &Sink<ArchiveResponse>) -> Result<(), Status> {
    let failed = |error| failed(root, &error);
    let metadata = fs::symlink_metadata(root).map_err(failed)?;
    let mut writer = Writer::new(sink);
    if metadata.is_dir() {
        let overrides = overrides(root, &[], exclude)?;
        let walk = WalkBuilder::new(root)
            .standard_filters(false)
            .overrides(overrides)
            .sort_by_file_name(|a, b| a.cmp(b))
            .build();
        for entry in walk {
            let entry = entry.map_err(|error| Status::internal(error.to_string()))?;
            let path = entry.path();
            let relative = path
                .strip_prefix(root)
                .unwrap_or(path)
                .as_os_str()
                .as_bytes();
            if !relative.is_empty() {
                writer.add(path, relative)?;
            }
        }
    } else {
        let name = root
            .file_name()
            .map_or(&b"file"[..], |name| name.as_bytes());
        writer.add(root, name)?;
    }
    // Two empty blocks are the end.
    writer.put(&[0; 2 * BLOCK])?;
    writer.flush()
}

/// Collects headers and file content into chunks; the content is read straight into them.
struct Writer<'a> {
    sink: &'a Sink<ArchiveResponse>,
    bulk: Bulk,
    /// Headers and small files that wait for a chunk to be full.
    small: Vec<u8>,
    /// First path of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a> Writer<'a> {
    fn new(sink: &'a Sink<ArchiveResponse>) -> Writer<'a> {
        Writer {
            sink,
            bulk: Bulk::default(),
            small: Vec::with_capacity(BULK_BYTES),
            links: HashMap::new(),
        }
    }

    fn add(&mut self, path: &Path, name: &[u8]) -> Result<(), Status> {
        let metadata = match fs::symlink_metadata(path) {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(|error| failed(path, &error))?,
        };
        if metadata.is_dir() {
            self.header(name, Kind::Directory, &metadata)
        } else if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(|error| failed(path, &error))?;
            self.header(
                name,
                Kind::Symlink {
                    target: target.as_os_str().as_bytes(),
                },
                &metadata,
            )
        } else if metadata.is_file() {
            self.file(path, name, &metadata)
        } else {
            // Sockets, FIFOs and devices mean nothing elsewhere.
            Ok(())
        }
    }

    fn file(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> Result<(), Status> {
        if metadata.nlink() > 1 {
            let id = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&id).cloned() {
                return self.header(name, Kind::Hardlink { target: &first }, metadata);
            }
            self.links.insert(id, name.to_vec());
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(|error| failed(path, &error))?,
        };
        let size = metadata.len();
        self.header(name, Kind::File { size }, metadata)?;
        let copied = self.content(&mut file, size).map_err(|error| match error {
            ContentError::Read(error) => failed(path, &error),
            ContentError::Gone(status) => status,
        })?;
        // A file that was cut short meanwhile: the header has promised that many bytes.
        self.zeros(size - copied + padding(size))
    }

    fn content(&mut self, file: &mut File, size: u64) -> Result<u64, ContentError> {
        let mut left = size;
        if left + self.small.len() as u64 <= BULK_BYTES as u64 {
            let mut part = file.take(left);
            let count = part
                .read_to_end(&mut self.small)
                .map_err(ContentError::Read)?;
            return Ok(count as u64);
        }
        self.flush().map_err(ContentError::Gone)?;
        while left > 0 {
            let limit = left.min(BULK_BYTES as u64) as usize;
            let chunk = self
                .bulk
                .fill(limit, |out| file.read(out))
                .map_err(ContentError::Read)?;
            let Some(chunk) = chunk else { break };
            left -= chunk.len() as u64;
            let mut prefix = Vec::with_capacity(8);
            field_prefix(1, chunk.len(), &mut prefix);
            self.sink
                .put_framed(chunk.frame(&prefix))
                .map_err(ContentError::Gone)?;
        }
        Ok(size - left)
    }

    fn header(&mut self, name: &[u8], kind: Kind<'_>, metadata: &Metadata) -> Result<(), Status> {
        let entry = Entry {
            path: name,
            kind,
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec() as u32,
        };
        let mut blocks = Vec::with_capacity(3 * BLOCK);
        write_header(&entry, &mut blocks);
        self.put(&blocks)
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), Status> {
        while count > 0 {
            let part = count.min(BLOCK as u64);
            self.put(&[0; BLOCK][..part as usize])?;
            count -= part;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Status> {
        if self.small.len() + bytes.len() > BULK_BYTES {
            self.flush()?;
        }
        self.small.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Status> {
        if self.small.is_empty() {
            return Ok(());
        }
        let small = std::mem::take(&mut self.small);
        let filled = self.bulk.fill(small.len(), |out| {
            out.copy_from_slice(&small);
            Ok::<_, Status>(out.len())
        })?;
        self.small = small;
        self.small.clear();
        let Some(filled) = filled else { return Ok(()) };
        let mut prefix = Vec::with_capacity(8);
        field_prefix(1, filled.len(), &mut prefix);
        self.sink.put_framed(filled.frame(&prefix))
    }
}

enum ContentError {
    Read(io::Error),
    Gone(Status),
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn failed(path: &Path, error: &io::Error) -> Status {
    Status::from_io(&path.display().to_string(), error)
}
