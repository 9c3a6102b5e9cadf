//! The fields of a packet. None: it ends too early.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A handle that is none: handles are counted from 0 and never get there.
const NO_HANDLE: u32 = u32::MAX;

pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub fn path(&mut self) -> Option<&'a Path> {
        self.string()
            .map(|bytes| Path::new(OsStr::from_bytes(bytes)))
    }

    /// What does not look like one of ours is a handle too, of nothing.
    pub fn handle(&mut self) -> Option<u32> {
        let bytes = self.string()?;
        Some(bytes.try_into().map_or(NO_HANDLE, u32::from_be_bytes))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}
