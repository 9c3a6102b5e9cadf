//! NetworkService and SystemService on a real agent.

mod common;

use common::{word, Agent};
use coppice_guest_agent::gen::tunnel_request::Part as Up;
use coppice_guest_agent::gen::tunnel_response::Part as Down;
use coppice_guest_agent::gen::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

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
    while let Some(message) = down.message().await.unwrap() {
        match message.part {
            Some(Down::Data(chunk)) => received.extend_from_slice(&chunk),
            other => panic!("{other:?}"),
        }
    }
    received.reverse();
    assert_eq!(received, data);
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
