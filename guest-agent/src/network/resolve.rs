//! Host names, without libc's resolver: that one loads libraries of the guest, which a static binary
//! must not. Names come from /etc/hosts, `localhost` always means loopback; other names are asked for
//! at the guest's name servers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::dns;
use crate::grpc::{Code, Status};

const TRIES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn resolve(host: &str) -> Result<Vec<IpAddr>, Status> {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(vec![address]);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]);
    }
    let known = in_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), &name);
    if !known.is_empty() {
        return Ok(known);
    }
    let servers = name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    for server in servers.iter().cycle().take(servers.len() * TRIES) {
        if let Ok(Some(addresses)) = timeout(PATIENCE, ask(*server, &name)).await {
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            break;
        }
    }
    let text = format!("the guest cannot resolve {host:?}");
    Err(Status::new(Code::NotFound, text).with("unknown_host"))
}

/// None when there was no usable answer.
async fn ask(server: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
    let local: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await.ok()?;
    socket.connect(SocketAddr::new(server, 53)).await.ok()?;
    let mut addresses = Vec::new();
    for kind in [dns::A, dns::AAAA] {
        let id = random_id();
        socket.send(&dns::query(id, name, kind)?).await.ok()?;
        let mut answer = [0; 1500];
        loop {
            let length = socket.recv(&mut answer).await.ok()?;
            if let Some(found) = dns::answers(&answer[..length], id, kind) {
                addresses.extend(found);
                break;
            }
        }
    }
    Some(addresses)
}

fn random_id() -> u16 {
    let mut id = [0; 2];
    // SAFETY: two bytes of room.
    unsafe { libc::getrandom(id.as_mut_ptr().cast(), id.len(), 0) };
    u16::from_ne_bytes(id)
}

fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    hosts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('#').next()?.split_whitespace();
            let address = fields.next()?.parse().ok()?;
            fields
                .any(|field| field.eq_ignore_ascii_case(name))
                .then_some(address)
        })
        .collect()
}

fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse().ok())
        .take(3)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let hosts = "127.0.0.1 localhost\n10.1.2.3 db db.internal # db2\n::1 db\nbad db\n";
        let found: Vec<String> = in_hosts(hosts, "db")
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(found, ["10.1.2.3", "::1"]);
        assert!(in_hosts(hosts, "db2").is_empty());
    }

    #[test]
    fn name_servers_are_read() {
        let text = "# x\nnameserver 10.0.2.3\n nameserver fe80::1\nnameserver bad\nsearch a\n";
        assert_eq!(name_servers(text).len(), 2);
    }
}
