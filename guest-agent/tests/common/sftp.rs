//! A small SFTP client: one request, one answer, unless a test wants it otherwise.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub const OPEN_READ: u32 = 1;
pub const OPEN_WRITE: u32 = 2;
pub const OPEN_APPEND: u32 = 4;
pub const OPEN_CREATE: u32 = 8;
pub const OPEN_TRUNCATE: u32 = 16;
pub const OPEN_EXCLUSIVE: u32 = 32;

/// Fields of a packet, one after the other.
#[derive(Clone, Default)]
pub struct Fields(pub Vec<u8>);

impl Fields {
    pub fn u32(mut self, value: u32) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn string(self, bytes: impl AsRef<[u8]>) -> Fields {
        let mut fields = self.u32(bytes.as_ref().len() as u32);
        fields.0.extend_from_slice(bytes.as_ref());
        fields
    }
}

pub fn string(bytes: impl AsRef<[u8]>) -> Fields {
    Fields::default().string(bytes)
}

/// What an answer consists of, read from its beginning.
#[derive(Debug)]
pub struct Answer {
    pub kind: u8,
    pub id: u32,
    pub rest: Vec<u8>,
}

impl Answer {
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    pub fn string(&mut self) -> Vec<u8> {
        let length = self.u32() as usize;
        self.take(length)
    }

    pub fn text(&mut self) -> String {
        String::from_utf8(self.string()).unwrap()
    }

    /// The code of a status.
    pub fn code(mut self) -> u32 {
        assert_eq!(self.kind, 101, "{self:?}");
        self.u32()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.rest.drain(..count).collect()
    }
}

/// A packet with its length.
pub fn packet(kind: u8, id: u32, fields: &Fields) -> Vec<u8> {
    let length = 5 + fields.0.len() as u32;
    [
        &length.to_be_bytes()[..],
        &[kind],
        &id.to_be_bytes(),
        &fields.0,
    ]
    .concat()
}

/// A server that works in a directory, and its client.
pub struct Server {
    child: Child,
    pub input: Option<ChildStdin>,
    pub output: ChildStdout,
    next: u32,
}

impl Server {
    /// The greeting has not been said yet.
    pub fn spawn(directory: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coppice-guest-agent"))
            .arg("sftp-server")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Server {
            input: child.stdin.take(),
            output: child.stdout.take().unwrap(),
            child,
            next: 0,
        }
    }

    pub fn start(directory: &Path) -> Server {
        let mut server = Server::spawn(directory);
        let greeting = server.greet();
        assert_eq!((greeting.kind, greeting.id), (2, 3));
        server
    }

    pub fn greet(&mut self) -> Answer {
        self.write(&packet(1, 3, &Fields::default()));
        self.read()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn read(&mut self) -> Answer {
        let mut length = [0; 4];
        self.output.read_exact(&mut length).unwrap();
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.output.read_exact(&mut bytes).unwrap();
        let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        let rest = bytes.split_off(5);
        Answer {
            kind: bytes[0],
            id,
            rest,
        }
    }

    pub fn call(&mut self, kind: u8, fields: &Fields) -> Answer {
        self.next += 1;
        self.write(&packet(kind, self.next, fields));
        let answer = self.read();
        assert_eq!(answer.id, self.next);
        answer
    }

    pub fn extended(&mut self, name: &str, fields: &Fields) -> Answer {
        let mut all = string(name);
        all.0.extend_from_slice(&fields.0);
        self.call(200, &all)
    }

    /// A handle, or the code of the status.
    pub fn open(&mut self, path: &str, flags: u32) -> Result<Vec<u8>, u32> {
        handle(self.call(3, &string(path).u32(flags).u32(0)))
    }

    pub fn open_directory(&mut self, path: &str) -> Result<Vec<u8>, u32> {
        handle(self.call(11, &string(path)))
    }

    pub fn close(&mut self, handle: &[u8]) -> u32 {
        self.call(4, &string(handle)).code()
    }

    /// Data, or the code of the status.
    pub fn read_at(&mut self, handle: &[u8], offset: u64, length: u32) -> Result<Vec<u8>, u32> {
        let mut answer = self.call(5, &string(handle).u64(offset).u32(length));
        match answer.kind {
            103 => Ok(answer.string()),
            _ => Err(answer.code()),
        }
    }

    pub fn write_at(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        self.call(6, &string(handle).u64(offset).string(data))
            .code()
    }

    /// Closes the input; the exit code and what was said.
    pub fn end(mut self) -> (i32, String) {
        drop(self.input.take());
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn handle(mut answer: Answer) -> Result<Vec<u8>, u32> {
    match answer.kind {
        102 => Ok(answer.string()),
        _ => Err(answer.code()),
    }
}
