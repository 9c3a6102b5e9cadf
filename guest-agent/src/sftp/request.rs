//! Requests, read from packets.

use std::path::Path;

use super::attributes::Attributes;
use super::reader::Reader;

/// What a client may ask for. Handles that are none are found out when they are used.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Init,
    Open {
        path: &'a Path,
        flags: u32,
        attributes: Attributes,
    },
    Close(u32),
    Read {
        handle: u32,
        offset: u64,
        length: u32,
    },
    Write {
        handle: u32,
        offset: u64,
        data: &'a [u8],
    },
    Stat(&'a Path),
    Lstat(&'a Path),
    Fstat(u32),
    Setstat(&'a Path, Attributes),
    /// Of a symlink itself.
    Lsetstat(&'a Path, Attributes),
    Fsetstat(u32, Attributes),
    Opendir(&'a Path),
    Readdir(u32),
    Remove(&'a Path),
    Mkdir(&'a Path, Attributes),
    Rmdir(&'a Path),
    Realpath(&'a Path),
    /// `replace`: as rename(2), else only where there is nothing.
    Rename {
        from: &'a Path,
        to: &'a Path,
        replace: bool,
    },
    Readlink(&'a Path),
    /// In OpenSSH's order, which is not the draft's, and which everybody follows.
    Symlink {
        target: &'a Path,
        link: &'a Path,
    },
    Hardlink {
        from: &'a Path,
        to: &'a Path,
    },
    Statvfs(&'a Path),
    Fstatvfs(u32),
    Fsync(u32),
    Limits,
    /// Well-formed as far as one can tell, and unknown.
    Unknown,
}

/// The number of a request (of Init: the client's version) and the request, or None where it ends too early. None at
/// all for a packet that is not even long enough for a number.
pub fn parse(packet: &[u8]) -> Option<(u32, Option<Request<'_>>)> {
    let mut reader = Reader(packet);
    let kind = reader.u8()?;
    let id = reader.u32()?;
    Some((id, request(kind, &mut reader)))
}

fn request<'a>(kind: u8, fields: &mut Reader<'a>) -> Option<Request<'a>> {
    Some(match kind {
        1 => Request::Init,
        3 => Request::Open {
            path: fields.path()?,
            flags: fields.u32()?,
            attributes: Attributes::read(fields)?,
        },
        4 => Request::Close(fields.handle()?),
        5 => Request::Read {
            handle: fields.handle()?,
            offset: fields.u64()?,
            length: fields.u32()?,
        },
        6 => Request::Write {
            handle: fields.handle()?,
            offset: fields.u64()?,
            data: fields.string()?,
        },
        7 => Request::Lstat(fields.path()?),
        8 => Request::Fstat(fields.handle()?),
        9 => Request::Setstat(fields.path()?, Attributes::read(fields)?),
        10 => Request::Fsetstat(fields.handle()?, Attributes::read(fields)?),
        11 => Request::Opendir(fields.path()?),
        12 => Request::Readdir(fields.handle()?),
        13 => Request::Remove(fields.path()?),
        14 => Request::Mkdir(fields.path()?, Attributes::read(fields)?),
        15 => Request::Rmdir(fields.path()?),
        16 => Request::Realpath(fields.path()?),
        17 => Request::Stat(fields.path()?),
        18 => Request::Rename {
            from: fields.path()?,
            to: fields.path()?,
            replace: false,
        },
        19 => Request::Readlink(fields.path()?),
        20 => Request::Symlink {
            target: fields.path()?,
            link: fields.path()?,
        },
        200 => extended(fields)?,
        _ => Request::Unknown,
    })
}

/// Name and version of what is beyond the draft.
pub const EXTENSIONS: [(&str, &str); 7] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
];

fn extended<'a>(fields: &mut Reader<'a>) -> Option<Request<'a>> {
    Some(match fields.string()? {
        b"posix-rename@openssh.com" => Request::Rename {
            from: fields.path()?,
            to: fields.path()?,
            replace: true,
        },
        b"statvfs@openssh.com" => Request::Statvfs(fields.path()?),
        b"fstatvfs@openssh.com" => Request::Fstatvfs(fields.handle()?),
        b"hardlink@openssh.com" => Request::Hardlink {
            from: fields.path()?,
            to: fields.path()?,
        },
        b"fsync@openssh.com" => Request::Fsync(fields.handle()?),
        b"lsetstat@openssh.com" => Request::Lsetstat(fields.path()?, Attributes::read(fields)?),
        b"limits@openssh.com" => Request::Limits,
        _ => Request::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    #[test]
    fn every_extension_that_is_announced_is_understood() {
        for (name, _) in EXTENSIONS {
            let mut packet = [&[200][..], &7u32.to_be_bytes(), &string(name.as_bytes())].concat();
            packet.extend(string(b"path"));
            packet.extend(string(b"path"));
            // Attributes, for the one that takes some.
            packet.extend(0u32.to_be_bytes());
            let (id, request) = parse(&packet).unwrap();
            assert_eq!(id, 7);
            assert!(!matches!(request, None | Some(Request::Unknown)), "{name}");
        }
    }

    #[test]
    fn a_packet_that_ends_too_early_still_has_a_number() {
        let write = [
            &[6][..],
            &9u32.to_be_bytes(),
            &string(&1u32.to_be_bytes()),
            &5u64.to_be_bytes(),
            &string(b"data"),
        ]
        .concat();
        let whole = Request::Write {
            handle: 1,
            offset: 5,
            data: b"data",
        };
        assert_eq!(parse(&write), Some((9, Some(whole))));
        for end in 5..write.len() {
            assert_eq!(parse(&write[..end]), Some((9, None)));
        }
        for end in 0..5 {
            assert_eq!(parse(&write[..end]), None);
        }
    }

    #[test]
    fn a_handle_of_another_length_is_nobodys() {
        for handle in [&b""[..], b"abc", b"abcde"] {
            let packet = [&[4][..], &0u32.to_be_bytes(), &string(handle)].concat();
            assert_eq!(parse(&packet), Some((0, Some(Request::Close(u32::MAX)))));
        }
    }

    /// Every kind of field with every kind of value that matters: random bytes alone hardly get past a length.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<u32>().prop_map(|value| value.to_be_bytes().to_vec()),
            (0u32..64).prop_map(|value| value.to_be_bytes().to_vec()),
            any::<u64>().prop_map(|value| value.to_be_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| string(&bytes)),
            proptest::sample::select(&EXTENSIONS[..]).prop_map(|(name, _)| string(name.as_bytes())),
            proptest::collection::vec(any::<u8>(), 0..9),
        ]
    }

    fn kind() -> impl Strategy<Value = u8> {
        prop_oneof![0u8..24, Just(200), any::<u8>()]
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_parser_panic(
            kind in kind(),
            fields in proptest::collection::vec(field(), 0..8),
        ) {
            let packet = [vec![kind], fields.concat()].concat();
            let parsed = parse(&packet);
            prop_assert_eq!(parsed.is_some(), packet.len() >= 5);
        }

        #[test]
        fn what_follows_a_request_does_not_change_it(
            path in proptest::collection::vec(any::<u8>(), 0..300),
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let packet = [vec![17, 0, 0, 0, 3], string(&path), rest].concat();
            use std::os::unix::ffi::OsStrExt;
            let expected = Path::new(std::ffi::OsStr::from_bytes(&path));
            prop_assert_eq!(parse(&packet), Some((3, Some(Request::Stat(expected)))));
        }
    }
}
