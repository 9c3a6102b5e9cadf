//! Any archive: unpacking it must not panic, and must leave everything beside its directory alone.
#![no_main]

use std::fs;

use coppice_guest_agent::files::unpack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|archive: &[u8]| {
    let directory = tempfile::tempdir().unwrap();
    let (inside, outside) = (
        directory.path().join("inside"),
        directory.path().join("outside"),
    );
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    let _ = unpack(&mut &archive[..], &inside, false);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
});
