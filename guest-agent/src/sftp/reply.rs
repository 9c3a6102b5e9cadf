//! Answers that have not been sent yet.

use super::failure::{Failure, OK};

/// A length, a type, and the number of the request.
const HEAD: usize = 9;

/// Types of packets that the server sends.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Version = 2,
    Status = 101,
    Handle = 102,
    Data = 103,
    Name = 104,
    Attributes = 105,
    Extended = 201,
}

#[derive(Default)]
pub struct Replies {
    bytes: Vec<u8>,
    /// Where the one begins that is being written.
    start: usize,
}

impl Replies {
    pub fn begin(&mut self, id: u32) {
        self.start = self.bytes.len();
        self.bytes.extend([0; 5]);
        self.u32(id);
    }

    /// Completes what was begun, or replaces it.
    pub fn end(&mut self, outcome: Result<Kind, Failure>) {
        let kind = outcome.unwrap_or_else(|failure| {
            self.bytes.truncate(self.start + HEAD);
            self.status(failure.code, &failure.text)
        });
        let length = (self.bytes.len() - self.start - 4) as u32;
        let head = &mut self.bytes[self.start..];
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4] = kind as u8;
    }

    /// Done, and there is nothing else to say.
    pub fn success(&mut self) -> Kind {
        self.status(OK, "Success")
    }

    fn status(&mut self, code: u32, text: &str) -> Kind {
        self.u32(code);
        self.string(text.as_bytes());
        // No language.
        self.string(b"");
        Kind::Status
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn string(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
    }

    /// A string of at most `most` bytes; `fill` says how many it has written.
    pub fn filled<E>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let at = self.bytes.len();
        self.bytes.resize(at + 4 + most, 0);
        let count = fill(&mut self.bytes[at + 4..])?;
        self.bytes.truncate(at + 4 + count);
        self.set_u32(at, count as u32);
        Ok(count)
    }

    /// How much has been written; also the place of what comes next.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Over what was written at that place.
    pub fn set_u32(&mut self, place: usize, value: u32) {
        self.bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Everything has been sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}
