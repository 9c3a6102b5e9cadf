//! GrowRoot.

use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::blocking::blocking;
use crate::gen::GrowRootResponse;
use crate::grpc::{Code, Status};

/// _IOW('f', 16, __u64)
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;
const EXT4_MAGIC: u64 = 0xef53;

pub async fn grow_root() -> Result<GrowRootResponse, Status> {
    blocking(|| {
        let size_bytes =
            grow().map_err(|error| Status::from_io("growing the root file system", &error))?;
        Ok(GrowRootResponse {
            size_bytes: size_bytes.ok_or_else(|| {
                Status::new(
                    Code::FailedPrecondition,
                    "the root file system is not ext4 on a disk",
                )
            })?,
        })
    })
    .await
}

/// The new size; None where this cannot be done.
fn grow() -> io::Result<Option<u64>> {
    let root = File::open("/")?;
    // SAFETY: fstatfs fills a zeroed struct.
    let stat = unsafe {
        let mut stat: libc::statfs = zeroed();
        if libc::fstatfs(root.as_raw_fd(), &mut stat) < 0 {
            return Err(io::Error::last_os_error());
        }
        stat
    };
    let device = root.metadata()?.dev();
    let sectors = format!(
        "/sys/dev/block/{}:{}/size",
        libc::major(device),
        libc::minor(device)
    );
    let Ok(sectors) = fs::read_to_string(sectors) else {
        return Ok(None);
    };
    let Ok(sectors) = sectors.trim().parse::<u64>() else {
        return Ok(None);
    };
    if stat.f_type as u64 != EXT4_MAGIC || stat.f_bsize <= 0 {
        return Ok(None);
    }
    let block = stat.f_bsize as u64;
    // The kernel does nothing when the number is the present one.
    let blocks: u64 = sectors * 512 / block;
    // SAFETY: the argument is the u64 the request reads.
    if unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Some(blocks * block))
}
