//! Read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::info::file_info;
use super::path::absolute;
use crate::blocking::blocking;
use crate::gen::read_response::Part;
use crate::gen::{FileInfo, ReadRequest, ReadResponse};
use crate::grpc::{field_prefix, Bulk, Filled, Outgoing, Status, BULK_BYTES};

pub async fn read(request: ReadRequest, outgoing: Outgoing<ReadResponse>) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    let shown = path.display().to_string();
    let (file, info, in_memory) = blocking(move || open(&path)).await?;
    outgoing
        .send(&ReadResponse {
            part: Some(Part::Info(info)),
        })
        .await?;

    let mut offset = request.offset;
    let mut left = if request.limit == 0 {
        u64::MAX
    } else {
        request.limit
    };
    let mut bulk = Bulk::default();
    while left > 0 {
        outgoing.ready().await?;
        let limit = left.min(BULK_BYTES as u64) as usize;
        let (back, chunk) = next(&file, bulk, limit, offset, in_memory).await?;
        bulk = back;
        let chunk = chunk.map_err(|error| Status::from_io(&shown, &error))?;
        let Some(chunk) = chunk else { break };
        offset += chunk.len() as u64;
        left -= chunk.len() as u64;
        let mut prefix = Vec::with_capacity(8);
        field_prefix(2, chunk.len(), &mut prefix);
        outgoing.send_framed(chunk.frame(&prefix)).await?;
    }
    Ok(())
}

/// The file and whether it lies in memory as a whole.
fn open(path: &Path) -> Result<(Arc<File>, FileInfo, bool), Status> {
    let failed = |error| Status::from_io(&path.display().to_string(), &error);
    // Non-blocking: opening a FIFO must not wait for a writer.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if !metadata.is_file() {
        return Err(Status::invalid(format!(
            "{} is not a regular file",
            path.display()
        )));
    }
    let in_memory = is_in_memory(&file);
    Ok((Arc::new(file), file_info(path, &metadata), in_memory))
}

fn is_in_memory(file: &File) -> bool {
    // SAFETY: fstatfs fills a zeroed struct.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        libc::fstatfs(file.as_raw_fd(), &mut stat) == 0 && stat.f_type == libc::TMPFS_MAGIC
    }
}

type Chunk = io::Result<Option<Filled>>;

/// What memory holds is read right here; only what must come from a disk goes to a worker. A tmpfs does
/// not know RWF_NOWAIT and does not need it.
async fn next(
    file: &Arc<File>,
    mut bulk: Bulk,
    limit: usize,
    offset: u64,
    in_memory: bool,
) -> Result<(Bulk, Chunk), Status> {
    let flags = if in_memory { 0 } else { libc::RWF_NOWAIT };
    match bulk.fill(limit, |out| pread(file, out, offset, flags)) {
        Ok(chunk) => return Ok((bulk, Ok(chunk))),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS) => {}
            _ => return Ok((bulk, Err(error))),
        },
    }
    let file = file.clone();
    blocking(move || {
        let chunk = bulk.fill(limit, |out| pread(&file, out, offset, 0));
        Ok((bulk, chunk))
    })
    .await
}

fn pread(file: &File, out: &mut [u8], offset: u64, flags: libc::c_int) -> io::Result<usize> {
    let offset =
        libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    loop {
        let slice = libc::iovec {
            iov_base: out.as_mut_ptr().cast(),
            iov_len: out.len(),
        };
        // SAFETY: one valid slice.
        let count = unsafe { libc::preadv2(file.as_raw_fd(), &raw const slice, 1, offset, flags) };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
