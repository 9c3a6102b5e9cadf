//! The machine's network interface: what it is, and what Configure makes of it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use super::netlink::{attributes, Answer, Netlink, Request};

const IFINFO: usize = 16;
const IFADDR: usize = 8;
/// From linux/rtnetlink.h: the gateway need not be within the prefix.
const RTNH_F_ONLINK: u32 = 4;

/// An Ethernet interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    pub mac: [u8; 6],
}

/// What an interface is to be; checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub gateway: Option<Ipv4Addr>,
}

/// The one of that name; the machine's first card when it is empty.
pub fn find(netlink: &Netlink, name: &str) -> io::Result<Option<Interface>> {
    let mut all: Vec<Interface> = netlink
        .dump(libc::RTM_GETLINK, &[0; IFINFO])?
        .iter()
        .filter_map(interface)
        .filter(|interface| name.is_empty() || interface.name == name)
        .collect();
    // Bridges and tunnels that a workload made have no device behind them.
    all.sort_by_key(|interface| (!has_device(&interface.name), interface.index));
    Ok(all.into_iter().next())
}

/// The first IPv4 address of an interface.
pub fn first_address(netlink: &Netlink, interface: &Interface) -> io::Result<Option<Ipv4Addr>> {
    let all = addresses(netlink, interface.index)?;
    Ok(all
        .iter()
        .filter(|(body, _)| i32::from(body[0]) == libc::AF_INET)
        .find_map(|(_, value)| Some(Ipv4Addr::from(*value.first_chunk::<4>()?))))
}

/// Nothing of what the interface was before is left. Whoever uses a connection of its old address finds it dead.
pub fn apply(netlink: &Netlink, interface: &Interface, settings: &Settings) -> io::Result<()> {
    let index = interface.index;
    // Routes, neighbours and the addresses that were made from the old MAC go with the link.
    set_link(netlink, index, false, Some(settings.mac))?;
    for (body, value) in addresses(netlink, index)? {
        let request = Request::new(libc::RTM_DELADDR, 0, &body).attribute(libc::IFA_LOCAL, &value);
        match netlink.change(request) {
            // With a primary address its secondary ones may have gone.
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {}
            outcome => outcome?,
        }
    }
    add_address(netlink, index, settings)?;
    set_link(netlink, index, true, None)?;
    match settings.gateway {
        Some(gateway) => add_default_route(netlink, index, gateway),
        None => Ok(()),
    }
}

fn set_link(netlink: &Netlink, index: u32, up: bool, mac: Option<[u8; 6]>) -> io::Result<()> {
    let mut body = [0; IFINFO];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let flag = libc::IFF_UP as u32;
    body[8..12].copy_from_slice(&(if up { flag } else { 0 }).to_ne_bytes());
    body[12..16].copy_from_slice(&flag.to_ne_bytes());
    netlink.change(Request::new(libc::RTM_NEWLINK, 0, &body))?;
    let Some(mac) = mac else { return Ok(()) };
    // A request of its own: the kernel would set the address before the flags, and some drivers only change it
    // while they are down.
    body[8..16].fill(0);
    netlink.change(Request::new(libc::RTM_NEWLINK, 0, &body).attribute(libc::IFLA_ADDRESS, &mac))
}

fn add_address(netlink: &Netlink, index: u32, settings: &Settings) -> io::Result<()> {
    let mut body = [0; IFADDR];
    body[0] = libc::AF_INET as u8;
    body[1] = settings.prefix_length;
    body[4..].copy_from_slice(&index.to_ne_bytes());
    let address = settings.address.octets();
    let mut request = Request::new(
        libc::RTM_NEWADDR,
        libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        &body,
    )
    .attribute(libc::IFA_LOCAL, &address)
    .attribute(libc::IFA_ADDRESS, &address);
    // Networks of one or two addresses have no broadcast.
    if settings.prefix_length < 31 {
        let hosts = u32::MAX >> settings.prefix_length;
        let broadcast = (u32::from(settings.address) | hosts).to_be_bytes();
        request = request.attribute(libc::IFA_BROADCAST, &broadcast);
    }
    netlink.change(request)
}

fn add_default_route(netlink: &Netlink, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
    // struct rtmsg: family, lengths and TOS of both ends, table, protocol, scope, type, flags.
    let mut body = [0; 12];
    body[0] = libc::AF_INET as u8;
    body[4] = libc::RT_TABLE_MAIN;
    body[5] = libc::RTPROT_STATIC;
    body[6] = libc::RT_SCOPE_UNIVERSE;
    body[7] = libc::RTN_UNICAST;
    body[8..].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    netlink.change(
        Request::new(libc::RTM_NEWROUTE, flags, &body)
            .attribute(libc::RTA_GATEWAY, &gateway.octets())
            .attribute(libc::RTA_OIF, &index.to_ne_bytes()),
    )
}

/// None for what is not Ethernet: loopback, tunnels.
fn interface((kind, payload): &Answer) -> Option<Interface> {
    // struct ifinfomsg: family, type (at 2), index (at 4), flags, change.
    let hardware = u16::from_ne_bytes(*payload.get(2..)?.first_chunk()?);
    if *kind != libc::RTM_NEWLINK || hardware != libc::ARPHRD_ETHER {
        return None;
    }
    let index = u32::from_ne_bytes(*payload.get(4..)?.first_chunk()?);
    let attribute = |wanted| {
        attributes(payload, IFINFO).find_map(|(kind, value)| (kind == wanted).then_some(value))
    };
    let name = attribute(libc::IFLA_IFNAME)?;
    Some(Interface {
        index,
        name: String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned(),
        mac: attribute(libc::IFLA_ADDRESS)?.try_into().ok()?,
    })
}

/// struct ifaddrmsg and the address itself, of every family.
fn addresses(netlink: &Netlink, index: u32) -> io::Result<Vec<([u8; IFADDR], Vec<u8>)>> {
    let own = |(kind, payload): &Answer| {
        let body = *payload.first_chunk::<IFADDR>()?;
        if *kind != libc::RTM_NEWADDR || u32::from_ne_bytes(*body[4..].first_chunk()?) != index {
            return None;
        }
        let attribute = |wanted| {
            attributes(payload, IFADDR).find_map(|(kind, value)| (kind == wanted).then_some(value))
        };
        // IPv6 has only the second, unless it is a point-to-point address.
        let value = attribute(libc::IFA_LOCAL).or_else(|| attribute(libc::IFA_ADDRESS))?;
        Some((body, value.to_vec()))
    };
    let answers = netlink.dump(libc::RTM_GETADDR, &[0; IFADDR])?;
    Ok(answers.iter().filter_map(own).collect())
}

fn has_device(name: &str) -> bool {
    fs::symlink_metadata(Path::new("/sys/class/net").join(name).join("device")).is_ok()
}
