//! NetworkService and SystemService on a real agent.

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{word, Agent};
use coppice_guest_agent::gen::tunnel_request::Part as Up;
use coppice_guest_agent::gen::tunnel_response::Part as Down;
use coppice_guest_agent::gen::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

fn target(host: &str, port: u16) -> Up {
    Up::Target(TunnelTarget {
        host: host.into(),
        port: u32::from(port),
    })
}

#[tokio::test]
async fn a_tunnel_carries_both_directions_and_their_ends() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await.unwrap();
        received.reverse();
        socket.write_all(&received).await.unwrap();
    });
    let (sender, receiver) = mpsc::channel(4);
    sender
        .send(TunnelRequest {
            part: Some(target("localhost", port)),
        })
        .await
        .unwrap();
    let mut down = client
        .network
        .tunnel(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let first = down.message().await.unwrap().unwrap();
    assert!(matches!(first.part, Some(Down::Connected(_))));
    let data: Vec<u8> = (0..2_000_000u32)
        .map(|number| (number >> 4) as u8)
        .collect();
    for chunk in data.chunks(100_000) {
        let part = Some(Up::Data(bytes::Bytes::copy_from_slice(chunk)));
        sender.send(TunnelRequest { part }).await.unwrap();
    }
    sender
        .send(TunnelRequest {
            part: Some(Up::End(CloseStdin {})),
        })
        .await
        .unwrap();
    let mut received = Vec::new();
    let mut ended = false;
    while let Some(message) = down.message().await.unwrap() {
        match message.part {
            Some(Down::Data(chunk)) => received.extend_from_slice(&chunk),
            Some(Down::End(_)) => ended = true,
            other => panic!("{other:?}"),
        }
    }
    received.reverse();
    assert_eq!(received, data);
    assert!(ended);
    server.await.unwrap();
}

#[tokio::test]
async fn a_tunnel_to_nobody_says_so() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (part, code, expected) in [
        (target("", port), Code::Unavailable, "refused"),
        (target("", 0), Code::InvalidArgument, ""),
        (Up::End(CloseStdin {}), Code::InvalidArgument, ""),
    ] {
        let request = tokio_stream::iter([TunnelRequest { part: Some(part) }]);
        let status = client.network.tunnel(request).await.unwrap_err();
        assert_eq!((status.code(), word(&status)), (code, expected));
    }
}

#[tokio::test]
async fn listeners_are_listed_with_their_process() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(listener.local_addr().unwrap().port());
    let list = client
        .network
        .list_listeners(ListListenersRequest {})
        .await
        .unwrap()
        .into_inner();
    let own = list
        .listeners
        .iter()
        .find(|listener| listener.port == port)
        .unwrap();
    assert_eq!(
        (own.address.as_str(), own.pid),
        ("127.0.0.1", std::process::id())
    );
}

/// The messages of a watch until one says what is expected of a port: whether somebody listens.
async fn until_port(watch: &mut Streaming<WatchListenersResponse>, port: u32, expected: bool) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.message());
        let message = next.await.expect("no change was told").unwrap().unwrap();
        let found = message.listeners.iter().find(|found| found.port == port);
        if let Some(found) = found {
            assert_eq!(found.pid, std::process::id());
        }
        if found.is_some() == expected {
            return;
        }
    }
}

#[tokio::test]
async fn every_watcher_is_told_at_once_and_whenever_listeners_change() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = |listener: &TcpListener| u32::from(listener.local_addr().unwrap().port());
    let mut watches = Vec::new();
    for _ in 0..3 {
        let call = client.network.watch_listeners(WatchListenersRequest {});
        watches.push(call.await.unwrap().into_inner());
    }
    for watch in &mut watches {
        until_port(watch, port(&first), true).await;
    }
    let second = TcpListener::bind("[::1]:0").await;
    let second = match second {
        Ok(listener) => listener,
        // A machine without IPv6.
        Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    for watch in &mut watches {
        until_port(watch, port(&second), true).await;
    }
    let gone = port(&first);
    drop(first);
    for watch in &mut watches {
        until_port(watch, gone, false).await;
    }
}

#[tokio::test]
async fn a_listener_that_changes_hands_is_told_without_a_change_of_its_socket() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(listener.local_addr().unwrap().port());
    let fd = listener.as_raw_fd();
    // Only the shell has it then, which becomes another program.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "read line; exec sleep 70006"])
        .stdin(Stdio::piped());
    // SAFETY: one system call.
    let mut child = unsafe {
        command.pre_exec(move || {
            libc::fcntl(fd, libc::F_SETFD, 0);
            Ok(())
        })
    }
    .spawn()
    .unwrap();
    drop(listener);
    let call = client.network.watch_listeners(WatchListenersRequest {});
    let mut watch = call.await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("sleep") {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.message());
        let message = next.await.expect("no change was told").unwrap().unwrap();
        let own = message.listeners.into_iter().find(|own| own.port == port);
        seen.extend(
            own.filter(|own| own.pid == child.id())
                .map(|own| own.process),
        );
        drop(child.stdin.take());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen, ["sh", "sleep"]);
}

/// Bytes that a process has read so far, from files of /proc too.
fn bytes_read(pid: u32) -> u64 {
    let counters = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn nothing_is_looked_at_once_nobody_watches() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = client.network.watch_listeners(WatchListenersRequest {});
    let mut watch = call.await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let before = bytes_read(agent.pid());
    while bytes_read(agent.pid()) == before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(watch);
    // After an answer to a later call the agent knows that the watcher has gone, and has finished its look.
    client.system.ping(PingRequest {}).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = bytes_read(agent.pid());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(bytes_read(agent.pid()), before);
}

#[tokio::test]
async fn the_system_is_described() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let info = client
        .system
        .get_info(GetInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(info.protocol_generation, 1);
    assert_eq!(info.boot_id.len(), 36);
    assert!(info.vcpus > 0 && info.memory_bytes > 0 && info.agent_rss_bytes > 0);
    let stats = client
        .system
        .get_stats(GetStatsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(
        stats.disk_total_bytes > 0 && stats.cpu_total_ms > stats.cpu_busy_ms && stats.processes > 1
    );
    client.system.sync(SyncRequest::default()).await.unwrap();
    client.system.thaw(ThawRequest {}).await.unwrap();
    for bad in [
        ConfigureRequest {
            hostname: Some("a b".into()),
            ..Default::default()
        },
        ConfigureRequest {
            machine_id: Some("x".into()),
            ..Default::default()
        },
        ConfigureRequest {
            entropy: Some("short".into()),
            ..Default::default()
        },
    ] {
        assert_eq!(
            client.system.configure(bad).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    let shutdown = client
        .system
        .shutdown(ShutdownRequest { grace_ms: 0 })
        .await
        .unwrap_err();
    assert_eq!(shutdown.code(), Code::FailedPrecondition);
}
