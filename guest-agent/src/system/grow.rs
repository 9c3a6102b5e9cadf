//! GrowRoot.

use std::ffi::CStr;
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
/// What a remount would change if it were not told; how access times are kept it leaves alone.
const KEPT_FLAGS: libc::c_ulong =
    libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
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
    // Without this the kernel would write the new inode tables before it returns, and with it for ever after a
    // thread does so later, in every copy of the machine: they are zero on a disk that was made larger.
    set_option(&root, c"init_itable");
    // SAFETY: the argument is the u64 the request reads.
    let outcome =
        match unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) } {
            0 => Ok(Some(blocks * block)),
            _ => Err(io::Error::last_os_error()),
        };
    set_option(&root, c"noinit_itable");
    outcome
}

/// Of the root file system. Where it is refused, growing only takes longer.
fn set_option(root: &File, option: &CStr) {
    let nothing = std::ptr::null();
    // SAFETY: fstatvfs fills a zeroed struct; C strings.
    unsafe {
        let mut stat: libc::statvfs = zeroed();
        libc::fstatvfs(root.as_raw_fd(), &mut stat);
        let flags = libc::MS_REMOUNT | (stat.f_flag & KEPT_FLAGS);
        libc::mount(
            nothing,
            c"/".as_ptr(),
            nothing,
            flags,
            option.as_ptr().cast(),
        );
    }
}
