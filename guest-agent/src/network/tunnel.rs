//! Tunnel: a TCP connection made in the guest.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gen::tunnel_request::Part as Request;
use crate::gen::tunnel_response::Part as Response;
use crate::gen::{CloseStdin, TunnelConnected, TunnelRequest, TunnelResponse, TunnelTarget};
use crate::grpc::{field_prefix, Bulk, Code, Incoming, Outgoing, Status};

use super::resolve::resolve;

const PATIENCE: Duration = Duration::from_secs(30);
const CHUNK_BYTES: usize = 64 << 10;

pub async fn tunnel(
    mut incoming: Incoming<TunnelRequest>,
    outgoing: Outgoing<TunnelResponse>,
) -> Result<(), Status> {
    let first = incoming.next().await?.and_then(|message| message.part);
    let Some(Request::Target(target)) = first else {
        return Err(Status::invalid("the first message must be the target"));
    };
    let stream = connect(&target).await?;
    let connected = Response::Connected(TunnelConnected {});
    outgoing
        .send(&TunnelResponse {
            part: Some(connected),
        })
        .await?;

    let (reader, writer) = stream.into_split();
    let mut up = std::pin::pin!(to_socket(&mut incoming, writer));
    let mut down = std::pin::pin!(from_socket(reader, &outgoing));
    // It is over when both directions are, or one has failed.
    let mut up_done = false;
    let mut down_done = false;
    while !(up_done && down_done) {
        tokio::select! {
            outcome = &mut up, if !up_done => { outcome?; up_done = true; }
            outcome = &mut down, if !down_done => { outcome?; down_done = true; }
        }
    }
    Ok(())
}

async fn connect(target: &TunnelTarget) -> Result<TcpStream, Status> {
    let port = u16::try_from(target.port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| Status::invalid("port is not between 1 and 65535"))?;
    let addresses = match target.host.as_str() {
        "" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        host => resolve(host).await?,
    };
    let mut last = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
    for address in addresses {
        let address = SocketAddr::new(address, port);
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from_raw_os_error(libc::ETIMEDOUT),
        }
    }
    let word = match last.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        _ => "unreachable",
    };
    let text = Status::from_io(&format!("connecting to port {port}"), &last).message;
    Err(Status::new(Code::Unavailable, text).with(word))
}

/// Until the client has sent its end.
async fn to_socket(
    incoming: &mut Incoming<TunnelRequest>,
    mut writer: OwnedWriteHalf,
) -> Result<(), Status> {
    while let Some(message) = incoming.next().await? {
        match message.part {
            Some(Request::Data(data)) => {
                if let Err(error) = writer.write_all(&data).await {
                    return Err(broken(&error));
                }
            }
            Some(Request::End(_)) => break,
            _ => return Err(Status::invalid("only data may follow the target")),
        }
    }
    // Fails when the other side has closed altogether, which the reading half reports.
    let _ = writer.shutdown().await;
    Ok(())
}

async fn from_socket(
    reader: OwnedReadHalf,
    outgoing: &Outgoing<TunnelResponse>,
) -> Result<(), Status> {
    let mut bulk = Bulk::default();
    loop {
        outgoing.ready().await?;
        reader.readable().await.map_err(|error| broken(&error))?;
        let chunk = match bulk.fill(CHUNK_BYTES, |out| reader.try_read(out)) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                let end = Response::End(CloseStdin {});
                return outgoing.send(&TunnelResponse { part: Some(end) }).await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(broken(&error)),
        };
        let mut prefix = Vec::with_capacity(8);
        field_prefix(2, chunk.len(), &mut prefix);
        outgoing.send_framed(chunk.frame(&prefix)).await?;
    }
}

fn broken(error: &io::Error) -> Status {
    let text = Status::from_io("the connection in the guest broke", error).message;
    Status::new(Code::Aborted, text).with("broken")
}
