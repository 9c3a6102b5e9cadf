//! Cuts packets out of a stream.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use super::MOST_PACKET;

const LENGTH: usize = 4;

pub struct Input {
    file: File,
    /// Room for the longest packet. Only what is used of it is memory.
    buffer: Vec<u8>,
    /// What has been read and not been taken.
    held: Range<usize>,
}

impl Input {
    pub fn new(file: File) -> Input {
        Input {
            file,
            buffer: vec![0; LENGTH + MOST_PACKET],
            held: 0..0,
        }
    }

    /// The next packet that is there already, without its length.
    ///
    /// # Errors
    /// It is longer than any may be: the stream cannot be understood any more.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.buffer[self.held.clone()].first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > MOST_PACKET {
            let text = format!("a packet of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let begin = self.held.start + LENGTH;
        if self.held.end < begin + length {
            return Ok(None);
        }
        self.held.start = begin + length;
        Ok(Some(&self.buffer[begin..begin + length]))
    }

    /// Waits for more, to be called when `next` has found nothing. False at the end.
    ///
    /// # Errors
    /// The stream ends in the middle of a packet, or cannot be read.
    pub fn wait(&mut self) -> io::Result<bool> {
        // Less than a packet is left, so this is done once a packet.
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        let count = loop {
            match self.file.read(&mut self.buffer[self.held.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.held.end += count;
        if count == 0 && !self.held.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn packets(pieces: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut input = Input::new(File::from(OwnedFd::from(server)));
        let mut all = Vec::new();
        for piece in pieces {
            client.write_all(piece).unwrap();
            input.wait()?;
            while let Some(packet) = input.next()? {
                all.push(packet.to_vec());
            }
        }
        drop(client);
        while input.wait()? {
            while let Some(packet) = input.next()? {
                all.push(packet.to_vec());
            }
        }
        Ok(all)
    }

    #[test]
    fn packets_that_are_too_long_or_empty_end_the_stream() {
        let longest = (MOST_PACKET as u32 + 1).to_be_bytes();
        for length in [[0; 4], [0xff; 4], longest] {
            assert_eq!(
                packets(&[&length]).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
        assert_eq!(
            packets(&[&[0, 0, 0, 9, 1]]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_they_arrive(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..90), 1..9),
            piece in 1usize..200,
        ) {
            let mut stream = Vec::new();
            for packet in &sent {
                stream.extend((packet.len() as u32).to_be_bytes());
                stream.extend(packet);
            }
            let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
            prop_assert_eq!(packets(&pieces).unwrap(), sent);
        }
    }
}
