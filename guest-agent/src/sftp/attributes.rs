//! Attributes of files, as they travel.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::reader::Reader;
use super::reply::Replies;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const MODE: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// What a client wants a file to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub size: Option<u64>,
    /// uid, gid
    pub owner: Option<(u32, u32)>,
    /// Permission bits, and perhaps the type, which nobody can change.
    pub mode: Option<u32>,
    /// Of the last access and change, in seconds since the epoch.
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    pub fn read(reader: &mut Reader<'_>) -> Option<Attributes> {
        let flags = reader.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = Some(reader.u64()?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((reader.u32()?, reader.u32()?));
        }
        if flags & MODE != 0 {
            attributes.mode = Some(reader.u32()?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((reader.u32()?, reader.u32()?));
        }
        if flags & EXTENDED != 0 {
            // Each takes some of the packet, so a large count ends soon.
            for _ in 0..reader.u32()? {
                reader.string()?;
                reader.string()?;
            }
        }
        Some(attributes)
    }

    /// Without the type, and `default` where none was given.
    pub fn permissions(&self, default: u32) -> u32 {
        self.mode.map_or(default, |mode| mode & 0o7777)
    }
}

pub fn put(out: &mut Replies, of: &Metadata) {
    out.u32(SIZE | OWNER | MODE | TIMES);
    out.u64(of.size());
    out.u32(of.uid());
    out.u32(of.gid());
    out.u32(of.mode());
    out.u32(seconds(of.atime()));
    out.u32(seconds(of.mtime()));
}

/// None at all, for names that stand for themselves.
pub fn put_none(out: &mut Replies) {
    out.u32(0);
}

/// This version of the protocol knows times from 1970 to 2106.
fn seconds(time: i64) -> u32 {
    time.clamp(0, i64::from(u32::MAX)) as u32
}
