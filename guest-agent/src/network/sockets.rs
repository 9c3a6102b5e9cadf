//! Listening sockets and whose they are, from /proc.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::system::read_trimmed;

const LISTEN: &str = "0A";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub port: u16,
    pub address: String,
    pub inode: u64,
}

/// Sorted, each address and port once.
pub fn listening() -> Vec<Socket> {
    let mut sockets = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // The second one is missing without IPv6.
        let table = fs::read_to_string(path).unwrap_or_default();
        sockets.extend(table.lines().skip(1).filter_map(parse));
    }
    sockets.sort();
    sockets.dedup_by(|a, b| (&a.address, a.port) == (&b.address, b.port));
    sockets
}

fn parse(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Socket {
        port: u16::from_str_radix(port, 16).ok()?,
        address: parse_address(address)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of 32 bits in the machine's own byte order.
fn parse_address(hex: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        bytes.extend(
            u32::from_str_radix(hex.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        );
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(Ipv6Addr::from(v6).to_string())
}

/// Which process holds a socket: inode to (pid, name). A socket of several belongs to the first.
pub fn owners() -> HashMap<u64, (u32, String)> {
    let mut owners = HashMap::new();
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let mut name = None;
        for fd in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Some(inode) = socket_inode(&fd.path()) else {
                continue;
            };
            let name = name.get_or_insert_with(|| name_of(pid));
            owners.entry(inode).or_insert_with(|| (pid, name.clone()));
        }
    }
    owners
}

/// Empty when there is no such process.
pub fn name_of(pid: u32) -> String {
    read_trimmed(&format!("/proc/{pid}/comm"))
}

fn socket_inode(path: &std::path::Path) -> Option<u64> {
    let target = fs::read_link(path).ok()?;
    target
        .to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_are_taken() {
        let listening =
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1";
        let socket = parse(listening).unwrap();
        assert_eq!(
            (socket.address.as_str(), socket.port, socket.inode),
            ("127.0.0.1", 8080, 4242)
        );
        assert_eq!(parse(&listening.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("junk"), None);
    }

    #[test]
    fn addresses_of_the_sixth_version_too() {
        assert_eq!(
            parse_address("00000000000000000000000001000000").unwrap(),
            "::1"
        );
        assert_eq!(
            parse_address("00000000000000000000000000000000").unwrap(),
            "::"
        );
    }
}
