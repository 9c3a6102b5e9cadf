//! Finds a hello in bytes.

use super::hello::{Hello, HELLO_LEN, KEY_LEN};

/// What a piece of the stream holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// No hello, and none can have begun here.
    Nothing,
    /// From `start` on these bytes may be the beginning of a hello.
    Partial { start: usize },
    /// A hello whose last byte is before `end`.
    Found { hello: Hello, end: usize },
}

/// Horspool's search for one key: it looks at about every 30th byte, in plain scalar code, because the
/// vector instructions of the usual search crates are slow where the CPU is emulated.
pub struct Scanner {
    key: [u8; KEY_LEN],
    /// How far the key may be moved when this byte stands under its last one.
    shift: [u8; 256],
}

impl Scanner {
    pub fn new(key: [u8; KEY_LEN]) -> Scanner {
        let mut shift = [KEY_LEN as u8; 256];
        for (index, byte) in key[..KEY_LEN - 1].iter().enumerate() {
            shift[usize::from(*byte)] = (KEY_LEN - 1 - index) as u8;
        }
        Scanner { key, shift }
    }

    pub fn scan(&self, data: &[u8]) -> Scan {
        let mut from = 0;
        while let Some(at) = self.find(data, from) {
            let Some(record) = data[at..].first_chunk::<HELLO_LEN>() else {
                return Scan::Partial { start: at };
            };
            if let Some(hello) = Hello::decode(record) {
                return Scan::Found {
                    hello,
                    end: at + HELLO_LEN,
                };
            }
            from = at + 1;
        }
        match self.tail(&data[from..]) {
            0 => Scan::Nothing,
            length => Scan::Partial {
                start: data.len() - length,
            },
        }
    }

    fn find(&self, data: &[u8], from: usize) -> Option<usize> {
        let last = self.key[KEY_LEN - 1];
        let mut end = from + KEY_LEN - 1;
        while let Some(&byte) = data.get(end) {
            let start = end + 1 - KEY_LEN;
            if byte == last && data[start..=end] == self.key {
                return Some(start);
            }
            end += usize::from(self.shift[usize::from(byte)]);
        }
        None
    }

    /// Length of the longest end of `data` that is a proper beginning of the key.
    fn tail(&self, data: &[u8]) -> usize {
        let longest = data.len().min(KEY_LEN - 1);
        (1..=longest)
            .rev()
            .find(|length| data[data.len() - length..] == self.key[..*length])
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memchr::memmem;
    use proptest::prelude::*;

    const HELLO: Hello = Hello {
        protocol: 1,
        generation: 5,
        nonce: [7; 16],
    };

    #[test]
    fn the_second_of_two_overlapping_keys_is_found() {
        let key = [0x11; KEY_LEN];
        let mut data = vec![0x11; 5];
        data.extend(HELLO.encode(&key));
        assert_eq!(
            Scanner::new(key).scan(&data),
            Scan::Found {
                hello: HELLO,
                end: data.len()
            }
        );
    }

    #[test]
    fn a_key_with_a_bad_sum_is_noise_and_the_next_one_counts() {
        let key: [u8; KEY_LEN] = std::array::from_fn(|i| i as u8);
        let mut data = HELLO.encode(&key).to_vec();
        data[79] ^= 1;
        assert_eq!(Scanner::new(key).scan(&data), Scan::Nothing);
        // Cut short by the hello that follows it.
        data.truncate(50);
        data.extend(HELLO.encode(&key));
        assert_eq!(
            Scanner::new(key).scan(&data),
            Scan::Found {
                hello: HELLO,
                end: 130
            }
        );
    }

    proptest! {
        // A small alphabet makes near misses and overlaps common.
        #[test]
        fn agrees_with_a_plain_search(
            key in proptest::array::uniform32(0u8..2),
            noise in proptest::collection::vec(0u8..2, 0..300),
            at in proptest::option::of(0usize..300),
        ) {
            let mut data = noise;
            if let Some(at) = at {
                let at = at.min(data.len());
                data.splice(at..at, key);
            }
            prop_assert_eq!(Scanner::new(key).find(&data, 0), memmem::find(&data, &key));
        }

        #[test]
        fn no_beginning_of_a_key_is_missed(
            key in proptest::array::uniform32(any::<u8>()),
            noise in proptest::collection::vec(any::<u8>(), 0..100),
            cut in 1usize..HELLO_LEN,
        ) {
            let mut data = noise.clone();
            data.extend(&HELLO.encode(&key)[..cut]);
            let Scan::Partial { start } = Scanner::new(key).scan(&data) else {
                return Err(TestCaseError::fail("not seen"));
            };
            prop_assert!(start <= noise.len());
        }
    }
}
