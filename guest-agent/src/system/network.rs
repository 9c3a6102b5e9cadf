//! The network part of Configure: checked, applied, and told by GetInfo.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::identity::replace;
use crate::gen::NetworkIdentity;
use crate::grpc::{Code, Status};
use crate::network::{apply, card, find, first_address, Netlink, Settings};

const NAME_SERVERS: usize = 8;
/// IFNAMSIZ without the NUL.
const NAME_BYTES: usize = 15;
const RESOLVER: &str = "/etc/resolv.conf";

/// A NetworkIdentity that is well-formed.
pub struct Network {
    interface: String,
    settings: Settings,
    dns: Vec<IpAddr>,
}

impl Network {
    pub fn parse(identity: &NetworkIdentity) -> Result<Network, Status> {
        let refuse = |text: &str| Status::invalid(format!("network: {text}"));
        let interface = &identity.interface;
        if interface.len() > NAME_BYTES || !interface.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("interface is not the name of one"));
        }
        let address = host_address(&identity.address)
            .ok_or_else(|| refuse("address is not the IPv4 address of a host"))?;
        let prefix_length = match identity.prefix_length {
            length @ 1..=32 => length as u8,
            _ => return Err(refuse("prefix_length is not between 1 and 32")),
        };
        let gateway = match identity.gateway.as_str() {
            "" => None,
            text => match host_address(text) {
                Some(gateway) if gateway != address => Some(gateway),
                _ => return Err(refuse("gateway is not the IPv4 address of another host")),
            },
        };
        if identity.dns.len() > NAME_SERVERS {
            return Err(refuse("more than 8 name servers"));
        }
        let dns: Result<Vec<IpAddr>, _> = identity.dns.iter().map(|text| text.parse()).collect();
        Ok(Network {
            interface: interface.clone(),
            settings: Settings {
                mac: parse_mac(&identity.mac)
                    .ok_or_else(|| refuse("mac is not the address of one card"))?,
                address,
                prefix_length,
                gateway,
            },
            dns: dns.map_err(|_| refuse("dns has something that is no address"))?,
        })
    }

    /// All but the name servers. Waits for no disk. `unused`: no workload has had the machine yet.
    pub fn apply(&self, unused: bool) -> Result<(), Status> {
        let failed = |error| Status::from_io("setting up the network", &error);
        let netlink = Netlink::open().map_err(failed)?;
        let Some(card) = card(&netlink, &self.interface).map_err(failed)? else {
            let text = match self.interface.as_str() {
                "" => "setting up the network: the machine has no network card".to_string(),
                name => format!("setting up the network: there is no Ethernet interface {name}"),
            };
            return Err(Status::new(Code::FailedPrecondition, text));
        };
        apply(&netlink, &card, &self.settings, unused).map_err(failed)
    }

    pub fn has_name_servers(&self) -> bool {
        !self.dns.is_empty()
    }

    pub fn write_name_servers(&self) -> Result<(), Status> {
        write_name_servers(Path::new(RESOLVER), &self.dns)
            .map_err(|error| Status::from_io("writing the name servers", &error))
    }
}

/// MAC and IPv4 address of the first card, empty where there is none.
pub fn first_card() -> (String, String) {
    let read = || -> std::io::Result<(String, String)> {
        let netlink = Netlink::open()?;
        let Some(interface) = find(&netlink, "")? else {
            return Ok(Default::default());
        };
        let address = first_address(&netlink, &interface)?;
        let mac = interface.mac.map(|byte| format!("{byte:02x}")).join(":");
        Ok((mac, address.map_or_else(String::new, |it| it.to_string())))
    };
    read().unwrap_or_default()
}

fn host_address(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    let first = address.octets()[0];
    // Not "this network", loopback, multicast or reserved.
    ((1..=223).contains(&first) && first != 127).then_some(address)
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = digits.then(|| u8::from_str_radix(part, 16).ok())??;
    }
    (parts.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

/// A link into /run leads to what a resolver service makes there, which would write it again or is not running;
/// it becomes a file, as does one that leads nowhere. Any other link is somebody's wish and is followed.
fn write_name_servers(path: &Path, servers: &[IpAddr]) -> std::io::Result<()> {
    let linked: Option<PathBuf> = fs::canonicalize(path)
        .ok()
        .filter(|target| !target.starts_with("/run"));
    let text: String = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    let target = linked.as_deref().unwrap_or(path);
    // A copy finds what its parent was told, and its first write to the file system would cost more than all the
    // rest of its renewal.
    let is_file = fs::symlink_metadata(target).is_ok_and(|there| there.is_file());
    if is_file && fs::read_to_string(target).is_ok_and(|there| there == text) {
        return Ok(());
    }
    replace(target, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn identity() -> NetworkIdentity {
        NetworkIdentity {
            mac: "52:54:00:AB:cd:01".into(),
            address: "10.0.0.2".into(),
            prefix_length: 24,
            gateway: "10.0.0.1".into(),
            dns: vec!["10.0.0.1".into(), "fd00::1".into()],
            ..Default::default()
        }
    }

    #[test]
    fn only_a_whole_and_sane_identity_is_taken() {
        assert_eq!(
            Network::parse(&identity()).unwrap().settings.mac,
            [0x52, 0x54, 0, 0xab, 0xcd, 1]
        );
        let bad: [fn(&mut NetworkIdentity); 16] = [
            |it| it.mac = String::new(),
            |it| it.mac = "53:54:00:00:00:01".into(),
            |it| it.mac = "00:00:00:00:00:00".into(),
            |it| it.mac = "52:54:00:00:00".into(),
            |it| it.mac = "52:54:00:00:00:01:02".into(),
            |it| it.mac = "+2:54:00:00:00:01".into(),
            |it| it.address = String::new(),
            |it| it.address = "127.0.0.1".into(),
            |it| it.address = "224.0.0.1".into(),
            |it| it.address = "0.0.0.0".into(),
            |it| it.prefix_length = 0,
            |it| it.prefix_length = 33,
            |it| it.gateway = "10.0.0.2".into(),
            |it| it.dns = vec!["example.org".into()],
            |it| it.dns = vec!["10.0.0.1".into(); 9],
            |it| it.interface = "a b".into(),
        ];
        for (index, change) in bad.into_iter().enumerate() {
            let mut changed = identity();
            change(&mut changed);
            let status = Network::parse(&changed).err();
            let code = status.map(|status| status.code);
            assert_eq!(code, Some(Code::InvalidArgument), "case {index}");
        }
    }

    #[test]
    fn name_servers_replace_a_dangling_link_and_go_through_another() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let servers = ["10.0.0.1".parse().unwrap()];
        symlink("/run/no/such/resolver", at("dangling")).unwrap();
        write_name_servers(&at("dangling"), &servers).unwrap();
        assert!(fs::symlink_metadata(at("dangling")).unwrap().is_file());

        fs::write(at("real"), "nameserver 1.1.1.1\n").unwrap();
        symlink("real", at("link")).unwrap();
        write_name_servers(&at("link"), &servers).unwrap();
        assert!(at("link").is_symlink());
        for name in ["dangling", "real"] {
            let text = fs::read_to_string(at(name)).unwrap();
            assert_eq!(text, "nameserver 10.0.0.1\n");
        }
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(at("real")).unwrap());
        let before = inode();
        write_name_servers(&at("link"), &servers).unwrap();
        assert_eq!(inode(), before, "written although it was the same");
    }
}
