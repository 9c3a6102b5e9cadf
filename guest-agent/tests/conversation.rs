//! The channel as a host sees it: hellos, reconnects, hostile bytes.

mod common;

use std::time::{Duration, Instant};

use common::{say_hello, shell, Agent, Client, KEY};
use coppice_guest_agent::channel::Hello;
use coppice_guest_agent::gen::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

/// Small and fast; the seed makes a failure repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, limit: usize) -> Vec<u8> {
        (0..self.below(limit)).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn every_hello_is_answered_and_the_last_one_counts() {
    let agent = Agent::start();
    let mut stream = agent.dial().await;
    stream.write_all(b"noise \x5a\x5a\x5a noise").await.unwrap();
    say_hello(&mut stream, 0).await;
    say_hello(&mut stream, 0).await;
    let mut client = Client::new(stream).await;
    client.system.ping(PingRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_hello_in_the_middle_of_a_frame_starts_over() {
    let agent = Agent::start();
    let mut stream = agent.dial().await;
    say_hello(&mut stream, 0).await;
    // The preface, settings, and a data frame that promises more than comes.
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    stream
        .write_all(b"\0\xff\xff\0\0\0\0\0\x01some data")
        .await
        .unwrap();
    say_hello(&mut stream, 0).await;
    let mut client = Client::new(stream).await;
    client.exec(shell("true")).await.unwrap();
}

#[tokio::test]
async fn the_newest_connection_with_a_hello_wins() {
    let agent = Agent::start();
    let mut first = agent.connect().await;
    let _silent = agent.dial().await;
    first.system.ping(PingRequest {}).await.unwrap();
    let mut second = agent.connect().await;
    second.system.ping(PingRequest {}).await.unwrap();
    assert!(first.system.ping(PingRequest {}).await.is_err());
}

#[tokio::test]
async fn an_unconfigured_generation_gets_system_calls_only() {
    let agent = Agent::start();
    let mut stream = agent.dial().await;
    assert_eq!(say_hello(&mut stream, 7).await.generation, 0);
    let mut client = Client::new(stream).await;
    let status = client.exec(shell("true")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let configure = ConfigureRequest {
        generation: Some(7),
        ..Default::default()
    };
    client.system.configure(configure).await.unwrap();
    client.exec(shell("true")).await.unwrap();
    // A plain process must not rename the machine it runs on.
    let configure = ConfigureRequest {
        hostname: Some("x".into()),
        ..Default::default()
    };
    let status = client.system.configure(configure).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let mut stream = agent.dial().await;
    assert_eq!(say_hello(&mut stream, 7).await.generation, 7);
}

#[tokio::test]
async fn deadlines_and_cancelled_calls_leave_the_connection_usable() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let spec = shell("sleep 70101");
    let mut request = tonic::Request::new(ExecRequest {
        spec: Some(spec),
        ..Default::default()
    });
    request.set_timeout(Duration::from_millis(100));
    let status = client.process.exec(request).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    common::wait_for("the process is gone", || !common::is_alive("70101")).await;
    client.system.ping(PingRequest {}).await.unwrap();
}

/// Random and mutated bytes into the channel and the HTTP/2 server behind it: the agent must neither
/// die nor stay deaf, whatever state the bytes have left it in.
#[tokio::test]
async fn hostile_bytes_never_deafen_the_agent() {
    let agent = Agent::start();
    let mut random = Random(0x5eed_0123_4567_89ab);
    let recorded = conversation();
    let begin = Instant::now();
    let mut rounds = 0;
    while begin.elapsed() < Duration::from_secs(5) {
        rounds += 1;
        let mut stream = agent.dial().await;
        let (mut reader, mut writer) = stream.split();
        let attack = async {
            for _ in 0..random.below(4) {
                let piece = match random.below(4) {
                    0 => random.bytes(4096),
                    1 => mutated(&mut random, &recorded),
                    2 => KEY[..random.below(33)].to_vec(),
                    _ => {
                        let hello = Hello {
                            protocol: 1,
                            generation: 0,
                            nonce: [1; 16],
                        };
                        let mut record = hello.encode(&KEY).to_vec();
                        record.truncate(random.below(81));
                        record
                    }
                };
                let _ = writer.write_all(&piece).await;
            }
        };
        // The agent's own bytes are read, as a host would, or the socket would fill up.
        let mut sink = vec![0; 65536];
        tokio::select! {
            () = attack => {}
            () = async { while reader.read(&mut sink).await.is_ok_and(|count| count > 0) {} } => {}
        }
        say_hello(&mut stream, 0).await;
    }
    assert!(rounds > 20, "{rounds}");
    let mut client = agent.connect().await;
    client.exec(shell("true")).await.unwrap();
}

/// A hello and a good beginning of HTTP/2 with one request.
fn conversation() -> Vec<u8> {
    let hello = Hello {
        protocol: 1,
        generation: 0,
        nonce: [2; 16],
    };
    let mut bytes = hello.encode(&KEY).to_vec();
    bytes.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut headers = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/coppice.guest.v1.FileService/Stat"),
        (":authority", "guest"),
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ] {
        headers.push(0);
        for text in [name, value] {
            headers.push(text.len() as u8);
            headers.extend(text.as_bytes());
        }
    }
    frame(&mut bytes, 1, 4, &headers);
    frame(&mut bytes, 0, 1, b"\0\0\0\0\x08\x0a\x04/etc\x10\x01");
    bytes
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, payload: &[u8]) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags, 0, 0, 0, 1]);
    out.extend(payload);
}

fn mutated(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at.max(1)),
            _ => {
                let piece = bytes[at..bytes.len().min(at + 40)].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}
