//! Any packet: reading it must not panic, and what follows a request must not change it.
#![no_main]

use coppice_guest_agent::sftp::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let Some((id, Some(request))) = parse(packet) else {
        return;
    };
    let longer = [packet, &[0xff; 8]].concat();
    assert_eq!(parse(&longer), Some((id, Some(request))));
});
