//! Tar headers: POSIX ustar, with a pax extended header before it where a field does not fit.

use std::fmt::Write as _;

pub const BLOCK: usize = 512;
/// What eleven octal digits hold.
const LARGEST_SIZE: u64 = 0o777_7777_7777;
const LARGEST_ID: u32 = 0o777_7777;

pub enum Kind<'a> {
    File {
        size: u64,
    },
    Directory,
    Symlink {
        target: &'a [u8],
    },
    /// To a path earlier in the same archive.
    Hardlink {
        target: &'a [u8],
    },
}

pub struct Entry<'a> {
    /// Relative; without the slash that marks a directory.
    pub path: &'a [u8],
    pub kind: Kind<'a>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub mtime_ns: u32,
}

/// Appends the header block or blocks of an entry.
pub fn write_header(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let mut path = entry.path.to_vec();
    if matches!(entry.kind, Kind::Directory) {
        path.push(b'/');
    }
    let (flag, link, size) = match entry.kind {
        Kind::File { size } => (b'0', &[][..], size),
        Kind::Directory => (b'5', &[][..], 0),
        Kind::Symlink { target } => (b'2', target, 0),
        Kind::Hardlink { target } => (b'1', target, 0),
    };

    let mut records = Vec::new();
    if path.len() > 100 {
        record("path", &path, &mut records);
    }
    if link.len() > 100 {
        record("linkpath", link, &mut records);
    }
    if size > LARGEST_SIZE {
        record("size", size.to_string().as_bytes(), &mut records);
    }
    if entry.uid > LARGEST_ID {
        record("uid", entry.uid.to_string().as_bytes(), &mut records);
    }
    if entry.gid > LARGEST_ID {
        record("gid", entry.gid.to_string().as_bytes(), &mut records);
    }
    if entry.mtime_ns > 0 || entry.mtime < 0 {
        record(
            "mtime",
            decimal(entry.mtime, entry.mtime_ns).as_bytes(),
            &mut records,
        );
    }
    if !records.is_empty() {
        let fields = Fields {
            flag: b'x',
            size: records.len() as u64,
            mode: 0o644,
            ..Fields::default()
        };
        block(b"PaxHeaders/entry", b"", &fields, out);
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    let fields = Fields {
        flag,
        size: if size > LARGEST_SIZE { 0 } else { size },
        mode: entry.mode,
        uid: if entry.uid > LARGEST_ID { 0 } else { entry.uid },
        gid: if entry.gid > LARGEST_ID { 0 } else { entry.gid },
        mtime: entry.mtime.clamp(0, LARGEST_SIZE as i64) as u64,
    };
    block(&path, link, &fields, out);
}

/// "LENGTH KEY=VALUE\n", where the length counts its own digits.
fn record(key: &str, value: &[u8], out: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Seconds may be negative; the fraction always counts upwards.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let total = total.unsigned_abs();
    let mut text = format!(
        "{sign}{}.{:09}",
        total / 1_000_000_000,
        total % 1_000_000_000
    );
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    text
}

#[derive(Default)]
struct Fields {
    flag: u8,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u64,
}

fn block(path: &[u8], link: &[u8], fields: &Fields, out: &mut Vec<u8>) {
    let mut block = [0u8; BLOCK];
    put(&mut block[..100], path);
    octal(&mut block[100..108], u64::from(fields.mode & 0o7777));
    octal(&mut block[108..116], u64::from(fields.uid));
    octal(&mut block[116..124], u64::from(fields.gid));
    octal(&mut block[124..136], fields.size);
    octal(&mut block[136..148], fields.mtime);
    block[156] = fields.flag;
    put(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    // The sum is taken with blanks in its own place.
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    octal(&mut block[148..155], u64::from(sum));
    out.extend_from_slice(&block);
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Zero-padded digits and a NUL.
fn octal(field: &mut [u8], value: u64) {
    let mut text = String::with_capacity(12);
    let _ = write!(text, "{value:0width$o}\0", width = field.len() - 1);
    put(field, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn fractions_of_negative_times_count_upwards() {
        assert_eq!(decimal(-1, 500_000_000), "-0.5");
        assert_eq!(decimal(1, 0), "1");
        assert_eq!(decimal(10, 0), "10");
        assert_eq!(decimal(5, 1), "5.000000001");
    }

    proptest! {
        #[test]
        fn another_reader_sees_what_was_written(
            path in "[a-zä/]{1,300}".prop_filter("relative", |p| !p.starts_with('/') && !p.ends_with('/')),
            target in "[a-z./]{1,300}",
            size in prop_oneof![0u64..1000, Just(LARGEST_SIZE + 1)],
            uid: u32, gid: u32, mode in 0u32..0o7777,
            mtime in -10_000_000_000i64..10_000_000_000, mtime_ns in 0u32..1_000_000_000,
            which in 0..3,
        ) {
            let kind = match which {
                0 => Kind::File { size },
                1 => Kind::Directory,
                _ => Kind::Symlink { target: target.as_bytes() },
            };
            let size = if which == 0 { size } else { 0 };
            let entry = Entry { path: path.as_bytes(), kind, mode, uid, gid, mtime, mtime_ns };
            let mut out = Vec::new();
            write_header(&entry, &mut out);
            prop_assert_eq!(out.len() % BLOCK, 0);
            let mut archive = tar::Archive::new(out.as_slice().chain(std::io::repeat(0)));
            let mut entries = archive.entries().unwrap();
            let mut read = entries.next().unwrap().unwrap();
            let wanted = if which == 1 { path.clone() + "/" } else { path.clone() };
            prop_assert_eq!(&*read.path_bytes(), wanted.as_bytes());
            prop_assert_eq!(read.size(), size);
            prop_assert_eq!(read.header().mode().unwrap(), mode);
            prop_assert_eq!(read.header().uid().unwrap(), u64::from(uid));
            prop_assert_eq!(read.header().gid().unwrap(), u64::from(gid));
            if which == 2 {
                let link = read.link_name_bytes().unwrap().into_owned();
                prop_assert_eq!(link, target.as_bytes());
            }
            let extensions = read.pax_extensions().unwrap();
            let time = extensions.and_then(|mut list| {
                list.find_map(|field| {
                    let field = field.ok()?;
                    (field.key() == Ok("mtime")).then(|| field.value().unwrap().to_string())
                })
            });
            prop_assert_eq!(time.is_some(), mtime_ns > 0 || mtime < 0);
        }
    }
}
