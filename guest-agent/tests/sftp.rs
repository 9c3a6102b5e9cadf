//! The SFTP server as a process of its own, with a client that can be told to misbehave.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};

use common::sftp::*;
use tempfile::TempDir;

const NO_SUCH_FILE: u32 = 2;
const DENIED: u32 = 3;
const FAILURE: u32 = 4;
const BAD_MESSAGE: u32 = 5;
const UNSUPPORTED: u32 = 8;
const MOST_DATA: usize = 255 << 10;

fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

#[test]
fn the_greeting_has_the_version_and_what_is_beyond_it() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::spawn(directory.path());
    let mut greeting = server.greet();
    assert_eq!((greeting.kind, greeting.id), (2, 3));
    let mut names = Vec::new();
    while !greeting.rest.is_empty() {
        names.push((greeting.text(), greeting.text()));
    }
    for (name, version) in [
        ("posix-rename", "1"),
        ("statvfs", "2"),
        ("fstatvfs", "2"),
        ("hardlink", "1"),
        ("fsync", "1"),
        ("lsetstat", "1"),
        ("limits", "1"),
    ] {
        assert!(names.contains(&(format!("{name}@openssh.com"), version.into())));
    }
    assert_eq!(server.end(), (0, String::new()));
}

#[test]
fn many_requests_at_once_are_answered_in_their_order() {
    let directory = TempDir::new().unwrap();
    let data = noise(8 << 20);
    let mut server = Server::start(directory.path());
    let handle = server
        .open("file", OPEN_READ | OPEN_WRITE | OPEN_CREATE)
        .unwrap();
    // Everything is written before the first answer is read: they fit into the pipe.
    for (index, chunk) in data.chunks(MOST_DATA).enumerate() {
        let offset = (index * MOST_DATA) as u64;
        server.write(&packet(
            6,
            index as u32,
            &string(&handle).u64(offset).string(chunk),
        ));
    }
    let chunks = data.len().div_ceil(MOST_DATA) as u32;
    for index in 0..chunks {
        let answer = server.read();
        assert_eq!((answer.id, answer.code()), (index, 0));
    }
    for index in 0..chunks {
        let offset = u64::from(index) * MOST_DATA as u64;
        server.write(&packet(
            5,
            index,
            &string(&handle).u64(offset).u32(MOST_DATA as u32),
        ));
    }
    let mut received = Vec::new();
    for index in 0..chunks {
        let mut answer = server.read();
        assert_eq!((answer.kind, answer.id), (103, index));
        let piece = answer.string();
        assert!(
            piece.len() == MOST_DATA || index == chunks - 1,
            "{}",
            piece.len()
        );
        received.extend(piece);
    }
    assert!(received == data);
    assert!(fs::read(directory.path().join("file")).unwrap() == data);
    assert_eq!(server.read_at(&handle, data.len() as u64, 1), Err(1));
    // More than there may be in one answer is cut.
    assert_eq!(
        server.read_at(&handle, 0, 1 << 20).unwrap().len(),
        MOST_DATA
    );
    assert_eq!(server.close(&handle), 0);
}

#[test]
fn offsets_go_beyond_four_gibibytes() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::start(directory.path());
    let far = (5 << 30) + 3;
    let handle = server
        .open("sparse", OPEN_READ | OPEN_WRITE | OPEN_CREATE)
        .unwrap();
    assert_eq!(server.write_at(&handle, far, b"end"), 0);
    assert_eq!(server.read_at(&handle, far - 2, 100).unwrap(), b"\0\0end");
    let mut attributes = server.call(8, &string(&handle));
    assert_eq!((attributes.u32() & 1, attributes.u64()), (1, far + 3));
    assert_eq!(server.write_at(&handle, u64::MAX - 1, b"x"), BAD_MESSAGE);
}

#[test]
fn files_are_opened_as_the_flags_say() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("old"), "old").unwrap();
    let mut server = Server::start(directory.path());
    assert_eq!(server.open("none", OPEN_READ), Err(NO_SUCH_FILE));
    let exclusive = OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE;
    assert_eq!(server.open("old", exclusive), Err(FAILURE));
    let append = server.open("old", OPEN_WRITE | OPEN_APPEND).unwrap();
    assert_eq!(server.write_at(&append, 0, b"er"), 0);
    assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"older");
    assert_eq!(server.read_at(&append, 0, 1), Err(NO_SUCH_FILE));
    server.open("old", OPEN_WRITE | OPEN_TRUNCATE).unwrap();
    assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"");
    // The mode is the client's, less the umask.
    let mode = string("secret")
        .u32(OPEN_WRITE | OPEN_CREATE)
        .u32(4)
        .u32(0o100_600);
    assert_eq!(server.call(3, &mode).kind, 102);
    let made = fs::metadata(directory.path().join("secret")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o600);
}

#[test]
fn what_is_wrong_has_its_code_and_the_server_goes_on() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("full")).unwrap();
    fs::write(directory.path().join("full/file"), "").unwrap();
    let mut server = Server::start(directory.path());
    let both = |a: &str, b: &str| string(a).string(b);
    for (kind, fields, code) in [
        (17, string("none"), NO_SUCH_FILE),
        (17, string("full/file/below"), NO_SUCH_FILE),
        (17, string("a\0b"), BAD_MESSAGE),
        (17, string("x".repeat(5000)), BAD_MESSAGE),
        (15, string("full"), FAILURE),
        (14, string("full").u32(0), FAILURE),
        (11, string("full/file"), NO_SUCH_FILE),
        (18, both("full/file", "full"), FAILURE),
        (19, string("full"), BAD_MESSAGE),
        // Handles of nobody.
        (4, string("none"), FAILURE),
        (4, string([0, 0, 0, 9]), FAILURE),
        (5, string("").u64(0).u32(1), FAILURE),
        (12, string([0; 4]), FAILURE),
        // Nothing of the protocol.
        (99, Fields::default(), UNSUPPORTED),
        (200, string("no-such@example.com"), UNSUPPORTED),
        (17, Fields::default(), BAD_MESSAGE),
        (3, string("file"), BAD_MESSAGE),
        (17, Fields::default().u32(u32::MAX), BAD_MESSAGE),
    ] {
        let given = format!("{kind} {:?}", String::from_utf8_lossy(&fields.0));
        assert_eq!(server.call(kind, &fields).code(), code, "{given}");
    }
    assert_eq!(server.call(17, &string(".")).kind, 105);
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_client_that_does_not_speak_the_protocol_is_left() {
    let directory = TempDir::new().unwrap();
    let before_greeting = packet(17, 1, &string("."));
    let (longest, longer) = ((256u32 << 10) + 1024, (256u32 << 10) + 1025);
    for bytes in [
        before_greeting,
        longer.to_be_bytes().to_vec(),
        vec![0; 4],
        vec![0, 0, 0, 2, 1, 0],
    ] {
        let mut server = Server::spawn(directory.path());
        server.write(&bytes);
        // It ends although the input stays open.
        assert_eq!(server.output.read_to_end(&mut Vec::new()).unwrap(), 0);
        let (code, said) = server.end();
        assert_eq!((code, said.starts_with("sftp-server: ")), (1, true));
    }
    // The longest one is taken.
    let mut server = Server::start(directory.path());
    let fields = Fields(vec![0xff; longest as usize - 5]);
    assert_eq!(server.call(17, &fields).code(), BAD_MESSAGE);
}

#[test]
fn attributes_go_both_ways() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "contents").unwrap();
    symlink("file", directory.path().join("link")).unwrap();
    let mut server = Server::start(directory.path());
    // Size, mode and times at once, through the link.
    let wanted = Fields::default()
        .u32(1 | 4 | 8)
        .u64(3)
        .u32(0o100_640)
        .u32(1000)
        .u32(2_000_000_000);
    let setstat = Fields([string("link").0, wanted.0.clone()].concat());
    assert_eq!(server.call(9, &setstat).code(), 0);
    let mut read = server.call(17, &string("link"));
    let own = fs::metadata(&path).unwrap();
    assert_eq!((read.kind, read.u32(), read.u64()), (105, 15, 3));
    assert_eq!((read.u32(), read.u32()), (own.uid(), own.gid()));
    assert_eq!(
        (read.u32(), read.u32(), read.u32()),
        (0o100_640, 1000, 2_000_000_000)
    );
    assert_eq!(fs::read(&path).unwrap(), b"con");

    let handle = server.open("file", OPEN_READ | OPEN_WRITE).unwrap();
    let fsetstat = Fields(
        [
            string(&handle).0,
            Fields::default().u32(1 | 4).u64(9).u32(0o600).0,
        ]
        .concat(),
    );
    assert_eq!(server.call(10, &fsetstat).code(), 0);
    let own = fs::metadata(&path).unwrap();
    assert_eq!((own.len(), own.mode() & 0o7777), (9, 0o600));

    // The link's own times, and nothing of the file's.
    let times = string("link").u32(8).u32(5).u32(6);
    assert_eq!(server.extended("lsetstat@openssh.com", &times).code(), 0);
    let link = fs::symlink_metadata(directory.path().join("link")).unwrap();
    assert_eq!((link.atime(), link.mtime()), (5, 6));
    assert_eq!(fs::metadata(&path).unwrap().mtime(), own.mtime());
    let size = string("link").u32(1).u64(0);
    assert_eq!(
        server.extended("lsetstat@openssh.com", &size).code(),
        BAD_MESSAGE
    );
    // Attributes nobody knows are skipped.
    let unknown = string("file")
        .u32(0x8000_0004)
        .u32(0o644)
        .u32(1)
        .string("a@b")
        .string("c");
    assert_eq!(server.call(9, &unknown).code(), 0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn a_large_directory_is_listed_completely_in_packets_anybody_can_take() {
    let directory = TempDir::new().unwrap();
    let long = "n".repeat(240);
    for number in 0..700 {
        fs::write(directory.path().join(format!("{long}-{number}")), "12345").unwrap();
    }
    fs::write(directory.path().join("plain"), "12345").unwrap();
    fs::set_permissions(
        directory.path().join("plain"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    symlink("plain", directory.path().join("sym")).unwrap();
    let mut server = Server::start(directory.path());
    let handle = server.open_directory(".").unwrap();
    let mut entries = Vec::new();
    loop {
        let mut answer = server.call(12, &string(&handle));
        if answer.kind == 101 {
            assert_eq!(answer.code(), 1);
            break;
        }
        assert!(answer.rest.len() + 9 <= 34_000);
        for _ in 0..answer.u32() {
            let (name, line) = (answer.text(), answer.text());
            assert_eq!(answer.u32(), 15);
            let size = answer.u64();
            answer.u64();
            let mode = answer.u32();
            answer.u64();
            entries.push((name, line, size, mode));
        }
        assert!(answer.rest.is_empty());
    }
    assert_eq!(server.close(&handle), 0);
    let names: std::collections::BTreeSet<&str> =
        entries.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!((entries.len(), names.len()), (704, 704));
    assert!(names.contains(".") && names.contains(".."));
    let entry = |name: &str| entries.iter().find(|entry| entry.0 == name).unwrap();
    let (_, line, size, mode) = entry("plain");
    assert_eq!((*size, *mode), (5, 0o100_640));
    assert!(
        line.starts_with("-rw-r-----    1 ") && line.ends_with(" plain"),
        "{line}"
    );
    assert_eq!(entry("sym").3 & 0o170_000, 0o120_000);
}

#[test]
fn names_are_moved_linked_and_resolved() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let at = |name: &str| root.join(name);
    fs::write(at("a"), "a").unwrap();
    fs::write(at("b"), "b").unwrap();
    let mut server = Server::start(directory.path());
    let both = |a: &str, b: &str| string(a).string(b);
    // The first kind of rename replaces nothing, the second does.
    assert_eq!(server.call(18, &both("a", "b")).code(), FAILURE);
    assert_eq!(fs::read(at("b")).unwrap(), b"b");
    assert_eq!(server.call(18, &both("a", "c")).code(), 0);
    assert_eq!(
        server
            .extended("posix-rename@openssh.com", &both("c", "b"))
            .code(),
        0
    );
    assert_eq!(
        (fs::read(at("b")).unwrap(), at("c").exists()),
        (b"a".to_vec(), false)
    );
    assert_eq!(
        server
            .extended("hardlink@openssh.com", &both("b", "hard"))
            .code(),
        0
    );
    assert_eq!(fs::metadata(at("b")).unwrap().nlink(), 2);
    // The target comes first.
    assert_eq!(server.call(20, &both("not/there", "link")).code(), 0);
    let mut target = server.call(19, &string("link"));
    assert_eq!(
        (target.kind, target.u32(), target.text()),
        (104, 1, "not/there".into())
    );
    assert_eq!(server.call(7, &string("link")).kind, 105);
    assert_eq!(server.call(17, &string("link")).code(), NO_SUCH_FILE);

    assert_eq!(
        server.call(14, &string("sub").u32(4).u32(0o40_700)).code(),
        0
    );
    assert_eq!(fs::metadata(at("sub")).unwrap().mode() & 0o7777, 0o700);
    let mut real = |path: &str| {
        let mut answer = server.call(16, &string(path));
        match answer.kind {
            104 => (answer.u32(), answer.text()).1,
            _ => format!("status {}", answer.code()),
        }
    };
    assert_eq!(real(""), root.to_str().unwrap());
    assert_eq!(real("sub/../b"), at("b").to_str().unwrap());
    assert_eq!(real("sub/new"), at("sub/new").to_str().unwrap());
    assert_eq!(real("none/new"), format!("status {NO_SUCH_FILE}"));
    assert_eq!(server.call(15, &string("sub")).code(), 0);
    assert_eq!(server.call(13, &string("hard")).code(), 0);
    assert!(!at("sub").exists() && !at("hard").exists());
}

#[test]
fn a_file_is_flushed_and_its_file_system_described() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::start(directory.path());
    let handle = server.open("file", OPEN_WRITE | OPEN_CREATE).unwrap();
    assert_eq!(
        server
            .extended("fsync@openssh.com", &string(&handle))
            .code(),
        0
    );
    let mut by_path = server.extended("statvfs@openssh.com", &string("."));
    let mut by_handle = server.extended("fstatvfs@openssh.com", &string(&handle));
    assert_eq!((by_path.kind, by_path.rest.len()), (201, 88));
    let (block, fragment, blocks) = (by_path.u64(), by_path.u64(), by_path.u64());
    assert!(block > 0 && fragment > 0 && blocks > 0);
    assert_eq!(
        (by_handle.u64(), by_handle.u64(), by_handle.u64()),
        (block, fragment, blocks)
    );
    let mut limits = server.extended("limits@openssh.com", &Fields::default());
    let limits = [limits.u64(), limits.u64(), limits.u64(), limits.u64()];
    assert_eq!(limits, [(256 << 10) + 1024, 255 << 10, 255 << 10, 256]);
}

#[test]
fn handles_are_limited_and_never_come_again() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let mut server = Server::start(directory.path());
    let handles: Vec<_> = (0..256)
        .map(|_| server.open("file", OPEN_READ).unwrap())
        .collect();
    assert_eq!(server.open("file", OPEN_READ), Err(FAILURE));
    assert_eq!(server.open_directory("."), Err(FAILURE));
    assert_eq!(server.close(&handles[0]), 0);
    assert_eq!(server.close(&handles[0]), FAILURE);
    let next = server.open_directory(".").unwrap();
    assert!(!handles.contains(&next));
    // A directory is no file, and the other way round.
    assert_eq!(server.read_at(&next, 0, 1), Err(FAILURE));
    assert_eq!(server.call(12, &string(&handles[1])).code(), FAILURE);
}

#[test]
fn a_file_of_a_pseudo_file_system_is_read_in_full() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::start(directory.path());
    let handle = server.open("/proc/kallsyms", OPEN_READ).unwrap();
    // The kernel returns a page at most of what is longer.
    let read = server.read_at(&handle, 0, 100_000).unwrap();
    assert_eq!(
        read.len(),
        fs::read("/proc/kallsyms").unwrap().len().min(100_000)
    );
    let denied = server.open("/proc/sys/kernel/version", OPEN_WRITE);
    assert_eq!(denied, Err(DENIED));
}
