//! Write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::path::absolute;
use super::temporary::{reserve, resolve, Attributes, Temporary};
use crate::blocking::blocking;
use crate::gen::write_request::Part;
use crate::gen::{WriteHeader, WriteRequest, WriteResponse};
use crate::grpc::{Code, Incoming, Status};

/// Collected while the worker writes; what is not granted to the sender again bounds it anyway.
const AHEAD_BYTES: usize = 1 << 20;
/// More slices than that are not taken by one system call.
const SLICES: usize = 512;

pub async fn write(mut incoming: Incoming<WriteRequest>) -> Result<WriteResponse, Status> {
    let first = incoming.next().await?.and_then(|message| message.part);
    let Some(Part::Header(header)) = first else {
        return Err(Status::invalid("the first message must be the header"));
    };
    let place = Place::new(header)?;
    let size = place.header.size;
    let (place, target) = blocking(move || {
        let target = place.open()?;
        Ok((place, target))
    })
    .await?;

    let (target, bytes) = receive(&mut incoming, target, size).await?;
    if size.is_some_and(|size| size != bytes) {
        let text = format!("{bytes} bytes came, {} were announced", size.unwrap_or(0));
        return Err(Status::new(Code::DataLoss, text).with("truncated"));
    }
    blocking(move || place.finish(target)).await?;
    Ok(WriteResponse { bytes })
}

/// Writes on a worker what comes in, the next batch being collected meanwhile. Bytes are granted to the
/// sender again once they are written, so a slow disk slows it.
async fn receive(
    incoming: &mut Incoming<WriteRequest>,
    target: Target,
    size: Option<u64>,
) -> Result<(Target, u64), Status> {
    let mut idle = Some(target);
    let mut writing: Option<JoinHandle<(Target, io::Result<()>)>> = None;
    let (mut batch, mut batch_size) = (Vec::new(), 0);
    let mut in_flight = 0;
    let mut total = 0;
    let mut at_end = false;
    loop {
        if !batch.is_empty() {
            if let Some(mut target) = idle.take() {
                in_flight = std::mem::take(&mut batch_size);
                let data = std::mem::take(&mut batch);
                writing = Some(tokio::task::spawn_blocking(move || {
                    let outcome = target.write(&data);
                    (target, outcome)
                }));
            }
        } else if at_end {
            if let Some(target) = idle.take() {
                return Ok((target, total));
            }
        }
        tokio::select! {
            biased;
            done = join(&mut writing), if writing.is_some() => {
                writing = None;
                let (target, outcome) = done?;
                outcome.map_err(|error| Status::from_io("writing the file", &error))?;
                incoming.release(in_flight);
                idle = Some(target);
            }
            next = incoming.next_held(), if !at_end && batch_size < AHEAD_BYTES => match next? {
                None => at_end = true,
                Some((WriteRequest { part: Some(Part::Data(data)) }, held)) => {
                    total += data.len() as u64;
                    if size.is_some_and(|size| total > size) {
                        return Err(Status::invalid("more bytes came than were announced"));
                    }
                    batch_size += held;
                    batch.push(data);
                }
                Some(_) => return Err(Status::invalid("only data may follow the header")),
            },
        }
    }
}

async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, Status> {
    match task {
        Some(task) => task
            .await
            .map_err(|_| Status::internal("the work was abandoned")),
        None => std::future::pending().await,
    }
}

/// A checked header.
struct Place {
    header: WriteHeader,
    path: PathBuf,
    attributes: Attributes,
}

enum Target {
    InPlace(File),
    Beside(Temporary),
}

impl Target {
    fn write(&mut self, data: &[Bytes]) -> io::Result<()> {
        let file = match self {
            Target::InPlace(file) => file,
            Target::Beside(temporary) => &mut temporary.file,
        };
        for some in data.chunks(SLICES) {
            let mut slices: Vec<IoSlice<'_>> = some.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = slices.as_mut_slice();
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => IoSlice::advance_slices(&mut rest, count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl Place {
    fn new(header: WriteHeader) -> Result<Place, Status> {
        let path = absolute(&header.path)?;
        let in_place = header.offset.is_some() || header.append;
        if header.atomic && in_place {
            return Err(Status::invalid("atomic does not go with offset or append"));
        }
        if header.append && header.offset.is_some() {
            return Err(Status::invalid("append does not go with offset"));
        }
        if header.mode.is_some_and(|mode| mode > 0o7777) {
            return Err(Status::invalid("mode has more than permission bits"));
        }
        let attributes = Attributes {
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
        };
        Ok(Place {
            header,
            path,
            attributes,
        })
    }

    fn open(&self) -> Result<Target, Status> {
        self.try_open().map_err(|error| self.failed(&error))
    }

    fn try_open(&self) -> io::Result<Target> {
        if self.header.parents {
            if let Some(parent) = self.path.parent() {
                fs::create_dir_all(parent)?;
            }
        }
        if self.path.as_os_str().as_encoded_bytes().ends_with(b"/") || self.path.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        // A file of which the size is known is not touched before all of it has come.
        let whole = self.header.offset.is_none() && !self.header.append;
        if self.header.atomic || (whole && self.header.size.is_some() && self.is_regular()) {
            if self.header.exclusive && fs::symlink_metadata(&self.path).is_ok() {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            let temporary = Temporary::beside(&resolve(&self.path)?)?;
            reserve(&temporary.file, self.header.size.unwrap_or(0))?;
            return Ok(Target::Beside(temporary));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(self.header.offset.is_none())
            .create_new(self.header.exclusive)
            .append(self.header.append)
            .truncate(whole)
            // Opening a FIFO must not wait for a reader.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&self.path)?;
        if let Some(offset) = self.header.offset {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Target::InPlace(file))
    }

    /// Or not there yet.
    fn is_regular(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |metadata| metadata.is_file())
    }

    fn finish(&self, target: Target) -> Result<(), Status> {
        let outcome = match target {
            Target::InPlace(file) => self.attributes.apply(&file),
            Target::Beside(temporary) => self.replace(temporary),
        };
        outcome.map_err(|error| self.failed(&error))
    }

    fn replace(&self, temporary: Temporary) -> io::Result<()> {
        let target = resolve(&self.path)?;
        self.attributes
            .or_those_of(&target)
            .apply(&temporary.file)?;
        temporary.persist(&target, self.header.exclusive, self.header.atomic)
    }

    fn failed(&self, error: &io::Error) -> Status {
        Status::from_io(&display(&self.path), error)
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
