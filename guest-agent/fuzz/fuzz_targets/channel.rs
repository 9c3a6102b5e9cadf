//! Any bytes in any pieces: the channel must not panic, and find the hello that follows.
#![no_main]

use coppice_guest_agent::channel::{Channel, Hello, KEY_LEN};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Of few distinct bytes, so that a fuzzer finds parts of it.
const KEY: [u8; KEY_LEN] = *b"aabaabcaabaabcdaabaabcaabaabcdef";

fuzz_target!(|data: (u8, Vec<u8>)| {
    let (piece, bytes) = data;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let last = Hello {
            protocol: 1,
            generation: u64::MAX,
            nonce: [0xff; 16],
        };
        let (mut host, guest) = tokio::io::duplex(usize::from(piece) + 1);
        let feed = async {
            let _ = host.write_all(&bytes).await;
            let _ = host.write_all(&last.encode(&KEY)).await;
        };
        let serve = async {
            let mut channel = Channel::new(guest, KEY);
            let mut out = [0; 64];
            while channel.hello().await.unwrap() != last {
                while channel
                    .conversation()
                    .read(&mut out)
                    .await
                    .is_ok_and(|count| count > 0)
                {}
            }
        };
        tokio::join!(feed, serve);
    });
});
