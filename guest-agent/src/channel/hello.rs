//! The two fixed-size records of the hello. All integers are big-endian.

/// The protocol generation this agent speaks.
pub const PROTOCOL_GENERATION: u16 = 1;
pub const KEY_LEN: usize = 32;
pub const HELLO_LEN: usize = 80;
pub const ANSWER_LEN: usize = 64;

const MAGIC: &[u8; 8] = b"COPPICE!";

/// What the host sends to begin a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    pub protocol: u16,
    pub generation: u64,
    pub nonce: [u8; 16],
}

impl Hello {
    /// The fields after the key, or nothing when the check sum is wrong.
    pub fn decode(record: &[u8; HELLO_LEN]) -> Option<Hello> {
        let sum = u32::from_be_bytes(field(record, 76));
        if crc32fast::hash(&record[KEY_LEN..76]) != sum {
            return None;
        }
        Some(Hello {
            protocol: u16::from_be_bytes(field(record, 32)),
            generation: u64::from_be_bytes(field(record, 36)),
            nonce: field(record, 44),
        })
    }

    /// The host's side, for tests.
    pub fn encode(&self, key: &[u8; KEY_LEN]) -> [u8; HELLO_LEN] {
        let mut record = [0; HELLO_LEN];
        record[..KEY_LEN].copy_from_slice(key);
        record[32..34].copy_from_slice(&self.protocol.to_be_bytes());
        record[36..44].copy_from_slice(&self.generation.to_be_bytes());
        record[44..60].copy_from_slice(&self.nonce);
        let sum = crc32fast::hash(&record[KEY_LEN..76]);
        record[76..].copy_from_slice(&sum.to_be_bytes());
        record
    }
}

/// What the guest replies; HTTP/2 starts with the byte after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub nonce: [u8; 16],
    pub protocol: u16,
    pub generation: u64,
    pub boot_id: [u8; 16],
}

impl Answer {
    pub fn encode(&self) -> [u8; ANSWER_LEN] {
        let mut record = [0; ANSWER_LEN];
        record[..8].copy_from_slice(MAGIC);
        record[8..24].copy_from_slice(&self.nonce);
        record[24..26].copy_from_slice(&self.protocol.to_be_bytes());
        record[28..36].copy_from_slice(&self.generation.to_be_bytes());
        record[36..52].copy_from_slice(&self.boot_id);
        let sum = crc32fast::hash(&record[..60]);
        record[60..].copy_from_slice(&sum.to_be_bytes());
        record
    }

    /// The host's side, for tests.
    pub fn decode(record: &[u8; ANSWER_LEN]) -> Option<Answer> {
        let sum = u32::from_be_bytes(field(record, 60));
        if &record[..8] != MAGIC || crc32fast::hash(&record[..60]) != sum {
            return None;
        }
        Some(Answer {
            nonce: field(record, 8),
            protocol: u16::from_be_bytes(field(record, 24)),
            generation: u64::from_be_bytes(field(record, 28)),
            boot_id: field(record, 36),
        })
    }
}

fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&record[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_those_of_zlib() {
        let hello = Hello {
            protocol: 1,
            generation: 7,
            nonce: [0xab; 16],
        };
        let record = hello.encode(&[9; KEY_LEN]);
        assert_eq!(Hello::decode(&record), Some(hello));
        // zlib.crc32 of the same 44 bytes.
        let mut fields = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        fields.extend([0xab; 16]);
        fields.extend([0; 16]);
        assert_eq!(crc32fast::hash(&fields).to_be_bytes(), record[76..]);
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let answer = Answer {
            nonce: [3; 16],
            protocol: 1,
            generation: 2,
            boot_id: [5; 16],
        };
        let record = answer.encode();
        assert_eq!(Answer::decode(&record), Some(answer));
        for bit in 0..ANSWER_LEN * 8 {
            let mut bad = record;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Answer::decode(&bad), None, "bit {bit}");
        }
    }
}
