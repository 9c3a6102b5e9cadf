//! The names in a directory, sorted, in bounded memory.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;

const READ_BYTES: usize = 32 << 10;
/// struct linux_dirent64: inode (8), offset (8), length (2), type (1), name.
const NAME_AT: usize = 19;

/// A part of the names that fits into the budget: the smallest of those that were not given out yet. The
/// directory is read again for the next part.
pub struct Names {
    budget: usize,
    /// The names one after the other, without separators.
    text: Vec<u8>,
    /// Offset and length of each in `text`.
    places: Vec<(u32, u16)>,
    given: usize,
    /// There were more.
    cut: bool,
}

impl Names {
    /// `budget` in bytes; one name is held in any case.
    pub fn read(directory: RawFd, budget: usize) -> io::Result<Names> {
        let mut names = Names {
            budget,
            text: Vec::new(),
            places: Vec::new(),
            given: 0,
            cut: false,
        };
        names.fill(directory, None)?;
        Ok(names)
    }

    /// The next name in the order of their bytes, from the same directory.
    pub fn next(&mut self, directory: RawFd) -> io::Result<Option<CString>> {
        if self.given == self.places.len() && self.cut {
            let last = self.places.last().map(|place| self.at(*place).to_vec());
            self.fill(directory, last.as_deref())?;
        }
        let Some(place) = self.places.get(self.given) else {
            return Ok(None);
        };
        let name = CString::new(self.at(*place))?;
        self.given += 1;
        Ok(Some(name))
    }

    /// Memory in use.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.places.capacity() * size_of::<(u32, u16)>()
    }

    fn at(&self, (offset, length): (u32, u16)) -> &[u8] {
        &self.text[offset as usize..][..usize::from(length)]
    }

    /// With the smallest names behind `after`.
    fn fill(&mut self, directory: RawFd, after: Option<&[u8]>) -> io::Result<()> {
        self.text.clear();
        self.places.clear();
        self.given = 0;
        self.cut = false;
        // What is not smaller than this does not belong to the part any more.
        let mut bound: Option<Vec<u8>> = None;
        read_directory(directory, |name| {
            if after.is_some_and(|after| name <= after) {
                return;
            }
            if bound.as_deref().is_some_and(|bound| name >= bound) {
                self.cut = true;
                return;
            }
            if self.places.len() > 1 && self.held() + name.len() > self.budget {
                bound = Some(self.drop_larger_half());
                if bound.as_deref().is_some_and(|bound| name >= bound) {
                    return;
                }
            }
            self.places
                .push((self.text.len() as u32, name.len() as u16));
            self.text.extend_from_slice(name);
        })?;
        self.sort();
        if !self.cut {
            self.text.shrink_to_fit();
            self.places.shrink_to_fit();
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.text.len() + self.places.len() * size_of::<(u32, u16)>()
    }

    fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|one, other| self.at(*one).cmp(self.at(*other)));
        self.places = places;
    }

    /// Returns the smallest name that was dropped.
    fn drop_larger_half(&mut self) -> Vec<u8> {
        self.sort();
        self.cut = true;
        let dropped = self.places.split_off(self.places.len().div_ceil(2));
        let bound = self.at(dropped[0]).to_vec();
        let mut text = Vec::with_capacity(self.text.capacity());
        for (offset, length) in &mut self.places {
            let name = &self.text[*offset as usize..][..usize::from(*length)];
            *offset = text.len() as u32;
            text.extend_from_slice(name);
        }
        self.text = text;
        bound
    }
}

/// Every name but `.` and `..`, in the order of the file system.
fn read_directory(directory: RawFd, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    // SAFETY: no memory is involved.
    if unsafe { libc::lseek(directory, 0, libc::SEEK_SET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    loop {
        // SAFETY: a valid slice.
        let count = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory,
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut rest = &buffer[..count as usize];
        if rest.is_empty() {
            return Ok(());
        }
        while let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, low, high, ..] = *rest {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let name = rest
                .get(NAME_AT..length)
                .and_then(|name| CStr::from_bytes_until_nul(name).ok());
            match name.map(CStr::to_bytes) {
                Some(b"." | b"..") => {}
                Some(name) => take(name),
                None => return Err(io::ErrorKind::InvalidData.into()),
            }
            rest = &rest[length..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd;

    fn all(directory: &File, budget: usize) -> (Vec<Vec<u8>>, usize) {
        let fd = directory.as_raw_fd();
        let mut names = Names::read(fd, budget).unwrap();
        let (mut all, mut most) = (Vec::new(), 0);
        while let Some(name) = names.next(fd).unwrap() {
            most = most.max(names.bytes());
            all.push(name.into_bytes());
        }
        (all, most)
    }

    #[test]
    fn every_name_comes_once_and_in_order_whatever_the_budget() {
        let place = tempfile::tempdir().unwrap();
        let mut expected: Vec<Vec<u8>> = (0..3000u32)
            .map(|number| format!("{:x}", number.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        expected.push(vec![b'x'; 255]);
        for name in &expected {
            let name = std::str::from_utf8(name).unwrap();
            fs::write(place.path().join(name), "").unwrap();
        }
        expected.sort();
        let directory = File::open(place.path()).unwrap();
        for budget in [0, 100, 5_000, 20_000, 1 << 20] {
            let (names, most) = all(&directory, budget);
            assert_eq!(names, expected, "{budget}");
            // Vectors grow by doubling.
            assert!(most <= 2 * budget + 2_000, "{most} with {budget}");
        }
    }

    #[test]
    fn an_empty_directory_has_no_names() {
        let place = tempfile::tempdir().unwrap();
        let directory = File::open(place.path()).unwrap();
        assert!(all(&directory, 1000).0.is_empty());
    }
}
