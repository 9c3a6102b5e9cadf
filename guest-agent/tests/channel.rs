//! The channel alone, over pipes in memory: every way a hello can be cut into pieces.

use coppice_guest_agent::channel::{Channel, Hello, HELLO_LEN, KEY_LEN};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Few distinct bytes, so that parts of the key occur in the data all the time.
const KEY: [u8; KEY_LEN] = [
    1, 1, 2, 1, 1, 2, 3, 1, 1, 2, 1, 1, 2, 3, 4, 1, 1, 2, 1, 1, 2, 3, 1, 1, 2, 1, 1, 2, 3, 4, 5, 6,
];
const HELLO: Hello = Hello {
    protocol: 1,
    generation: 9,
    nonce: [8; 16],
};

/// Feeds `pieces` and returns what the conversation after the first hello has seen before the second.
fn between(pieces: Vec<Vec<u8>>, buffer: usize) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut host, guest) = tokio::io::duplex(64);
        let mut channel = Channel::new(guest, KEY);
        let feed = async {
            for piece in pieces {
                host.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            assert_eq!(channel.hello().await.unwrap(), HELLO);
            let mut seen = Vec::new();
            let mut out = vec![0; buffer];
            loop {
                match channel.conversation().read(&mut out).await {
                    Ok(0) => panic!("no second hello"),
                    Ok(count) => seen.extend_from_slice(&out[..count]),
                    Err(_) => break,
                }
            }
            assert_eq!(channel.hello().await.unwrap(), HELLO);
            seen
        };
        tokio::join!(feed, read).1
    })
}

fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_between_hellos_arrives_unchanged_and_nothing_of_the_next_hello(
        noise in proptest::collection::vec(0u8..7, 0..200),
        data in proptest::collection::vec(0u8..7, 0..400),
        bad in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
        buffer in 1usize..200,
    ) {
        let hello = HELLO.encode(&KEY);
        let mut sent = data;
        if bad {
            // A key with a bad sum in the middle is data like any other.
            let mut record = hello;
            record[70] ^= 1;
            let middle = sent.len() / 2;
            sent.splice(middle..middle, record);
        }
        let stream = [&noise[..], &hello, &sent, &hello].concat();
        let seen = between(pieces(&stream, &cuts), buffer);
        // A few bytes of the second hello's key may have been handed on before it was one.
        let expected = [&sent[..], &hello].concat();
        prop_assert!(expected.starts_with(&seen), "seen {seen:?}");
        prop_assert!(seen.len() < sent.len() + 8);
    }
}

#[test]
fn a_hello_is_found_wherever_it_is_cut() {
    let hello = HELLO.encode(&KEY);
    for cut in 0..=HELLO_LEN {
        let stream = [&hello[..], b"abc", &hello[..]].concat();
        let at = hello.len() + 3 + cut;
        let seen = between(vec![stream[..at].to_vec(), stream[at..].to_vec()], 64);
        assert!(
            seen.starts_with(b"abc") || seen.is_empty(),
            "cut {cut}: {seen:?}"
        );
    }
}

#[test]
fn bytes_that_end_like_a_key_begins_are_not_kept_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut host, guest) = tokio::io::duplex(4096);
        let mut channel = Channel::new(guest, KEY);
        host.write_all(&HELLO.encode(&KEY)).await.unwrap();
        channel.hello().await.unwrap();
        for length in 1..8 {
            let data = [b"x", &KEY[..length]].concat();
            host.write_all(&data).await.unwrap();
            let mut seen = vec![0; data.len()];
            channel.conversation().read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, data);
        }
    });
}
