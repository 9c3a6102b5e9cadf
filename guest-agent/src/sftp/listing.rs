//! The entries of a directory, in batches.

use std::ffi::OsStr;
use std::fs::{self, Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::attributes;
use super::failure::Failure;
use super::long_name::{long_name, Names};
use super::reply::{Kind, Replies};

/// One batch has so many entries, or so many bytes and the entry that comes after. Clients need only take packets of
/// 34000 bytes; an entry rarely has 200 and never 3000.
const ENTRIES: u32 = 100;
const BATCH_BYTES: usize = 30_000;

pub struct Listing {
    path: PathBuf,
    entries: ReadDir,
    /// Of "." and "..", which std leaves out.
    dots: std::slice::Iter<'static, &'static str>,
}

impl Listing {
    pub fn open(path: &Path) -> io::Result<Listing> {
        Ok(Listing {
            path: path.to_path_buf(),
            entries: fs::read_dir(path)?,
            dots: [".", ".."].iter(),
        })
    }

    /// Writes the next ones. What has gone meanwhile is left out.
    pub fn put_batch(&mut self, names: &mut Names, out: &mut Replies) -> Result<Kind, Failure> {
        let now = SystemTime::now();
        let place = out.len();
        let mut count = 0;
        out.u32(0);
        while count < ENTRIES && out.len() - place < BATCH_BYTES {
            let (name, metadata): (std::ffi::OsString, Metadata) = match self.dots.next() {
                Some(name) => match fs::symlink_metadata(self.path.join(name)) {
                    Ok(metadata) => (name.into(), metadata),
                    Err(_) => continue,
                },
                None => match self.entries.next() {
                    None => break,
                    Some(entry) => {
                        let entry = entry?;
                        match entry.metadata() {
                            Ok(metadata) => (entry.file_name(), metadata),
                            Err(_) => continue,
                        }
                    }
                },
            };
            put_entry(out, &name, &metadata, names, now);
            count += 1;
        }
        if count == 0 {
            return Err(Failure::END);
        }
        out.set_u32(place, count);
        Ok(Kind::Name)
    }
}

fn put_entry(
    out: &mut Replies,
    name: &OsStr,
    metadata: &Metadata,
    names: &mut Names,
    now: SystemTime,
) {
    out.string(name.as_bytes());
    out.string(&long_name(name.as_bytes(), metadata, names, now));
    attributes::put(out, metadata);
}
