//! Buffers for bulk bytes on their way out: the bytes are read behind room for everything that goes in
//! front of them (gRPC frame header, field tags), so a chunk is sent without being copied.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Largest payload of one chunk.
pub const BULK_BYTES: usize = 256 << 10;
/// Frame header (5) and at most two tags with lengths and an offset.
const HEADROOM: usize = 48;

/// Memory kept for reuse; more is allocated while that many chunks wait to be sent.
const SPARES: usize = 4;

/// Makes chunks out of reused memory.
#[derive(Default)]
pub struct Bulk {
    /// Each the empty rest of a buffer whose chunk was given away.
    spares: VecDeque<BytesMut>,
}

impl Bulk {
    /// Fills at most `limit` bytes by `read`, which returns how many it wrote. None at the end.
    pub fn fill<E>(
        &mut self,
        limit: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Option<Filled>, E> {
        let size = HEADROOM + limit.min(BULK_BYTES);
        let mut buffer = self.take(size);
        let count = read(&mut buffer[HEADROOM..size])?;
        let bytes = buffer.split_to(if count == 0 { 0 } else { HEADROOM + count });
        buffer.clear();
        if self.spares.len() < SPARES {
            self.spares.push_back(buffer);
        }
        Ok((count > 0).then_some(Filled { bytes }))
    }

    fn take(&mut self, size: usize) -> BytesMut {
        for _ in 0..self.spares.len() {
            let Some(mut spare) = self.spares.pop_front() else {
                break;
            };
            if spare.try_reclaim(size) {
                // SAFETY: every buffer here was allocated zeroed over its whole capacity, so its bytes
                // are initialised, whatever they hold now.
                unsafe { spare.set_len(size) };
                return spare;
            }
            self.spares.push_back(spare);
        }
        if self.spares.len() == SPARES {
            self.spares.pop_front();
        }
        BytesMut::zeroed(size)
    }
}

/// A payload with room in front.
pub struct Filled {
    bytes: BytesMut,
}

impl Filled {
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub fn len(&self) -> usize {
        self.bytes.len() - HEADROOM
    }

    /// The framed gRPC message `prefix` + payload. `prefix` is the encoded message up to its bytes
    /// field's length, see `field_prefix`.
    pub fn frame(mut self, prefix: &[u8]) -> Bytes {
        let message = (prefix.len() + self.len()) as u32;
        let start = HEADROOM - prefix.len() - 5;
        self.bytes[start] = 0;
        self.bytes[start + 1..start + 5].copy_from_slice(&message.to_be_bytes());
        self.bytes[start + 5..HEADROOM].copy_from_slice(prefix);
        self.bytes.advance(start);
        self.bytes.freeze()
    }
}

/// Tag and length of a length-delimited field.
pub fn field_prefix(tag: u32, length: usize, out: &mut Vec<u8>) {
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gen::{read_response::Part, ReadResponse};
    use prost::Message;

    #[test]
    fn a_framed_chunk_is_the_message_prost_would_write() {
        let mut bulk = Bulk::default();
        for size in [1, 127, 128, 70_000, BULK_BYTES] {
            let fill = |out: &mut [u8]| {
                out.fill(42);
                Ok::<_, ()>(out.len())
            };
            let filled = bulk.fill(size, fill).unwrap().unwrap();
            let mut prefix = Vec::new();
            field_prefix(2, filled.len(), &mut prefix);
            let framed = filled.frame(&prefix);
            let message = ReadResponse {
                part: Some(Part::Data(vec![42; size].into())),
            };
            assert_eq!(framed[0], 0);
            assert_eq!(framed[1..5], (message.encoded_len() as u32).to_be_bytes());
            assert_eq!(framed[5..], message.encode_to_vec());
        }
    }
}
