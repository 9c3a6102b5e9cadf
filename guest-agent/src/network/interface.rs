//! The machine's network interface: what it is, and what Configure makes of it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::OnceLock;

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
    let own = |(kind, payload): &Answer| {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let body = payload.first_chunk::<IFADDR>()?;
        let index = u32::from_ne_bytes(*body[4..].first_chunk()?);
        if *kind != libc::RTM_NEWADDR || index != interface.index {
            return None;
        }
        let (_, value) = attributes(payload, IFADDR).find(|(kind, _)| *kind == libc::IFA_LOCAL)?;
        Some(Ipv4Addr::from(*value.first_chunk::<4>()?))
    };
    let mut body = [0; IFADDR];
    body[0] = libc::AF_INET as u8;
    Ok(netlink.dump(libc::RTM_GETADDR, &body)?.iter().find_map(own))
}

/// The first card as it was found at boot, so that a copy need not look for it.
static CARD: OnceLock<Interface> = OnceLock::new();
/// That card is up and has not been told anything since.
static UNTOLD: AtomicBool = AtomicBool::new(false);

/// At boot, before anything can be sent: the first card speaks no IPv6, whose addresses would be made from a MAC
/// that is not the machine's for long, and with `up` it is up, so that it only has to be told its addresses.
/// Whatever fails here shows when it is told.
pub fn prepare_card(up: bool) {
    let prepare = || -> io::Result<()> {
        let netlink = Netlink::open()?;
        if let Some(card) = find(&netlink, "")? {
            disable_ipv6(&card.name)?;
            if up {
                set_link(&netlink, card.index, None)?;
                UNTOLD.store(true, Relaxed);
            }
            let _ = CARD.set(card);
        }
        Ok(())
    };
    if let Err(error) = prepare() {
        eprintln!("coppice-agent: preparing the network card: {error}");
    }
}

/// As `find`, but without looking where boot has looked.
pub fn card(netlink: &Netlink, name: &str) -> io::Result<Option<Interface>> {
    match CARD.get() {
        Some(card) if name.is_empty() => Ok(Some(card.clone())),
        _ => find(netlink, name),
    }
}

/// Nothing of what the interface was before is left. Whoever uses a connection of its old address finds it dead.
/// With `unused`, no workload has had the machine: what boot has prepared is still so.
pub fn apply(
    netlink: &Netlink,
    interface: &Interface,
    settings: &Settings,
    unused: bool,
) -> io::Result<()> {
    let index = interface.index;
    let prepared = UNTOLD.swap(false, Relaxed) && CARD.get() == Some(interface);
    if !(unused && prepared) {
        disable_ipv6(&interface.name)?;
        // With the last address go the routes and the neighbours.
        while remove_address(netlink, index)? {}
    }
    set_link(netlink, index, Some(settings.mac))?;
    add_address(netlink, index, settings)?;
    match settings.gateway {
        Some(gateway) => add_default_route(netlink, index, gateway),
        None => Ok(()),
    }
}

/// With it go the addresses it has. It is no failure where the kernel has no IPv6.
fn disable_ipv6(name: &str) -> io::Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    let outcome = fs::read(&path).and_then(|now| match now.as_slice() {
        b"1\n" => Ok(()),
        _ => fs::write(&path, "1"),
    });
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Up, and with that MAC: virtio cards take a new one while they are up.
fn set_link(netlink: &Netlink, index: u32, mac: Option<[u8; 6]>) -> io::Result<()> {
    let mut body = [0; IFINFO];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let flag = libc::IFF_UP as u32;
    body[8..12].copy_from_slice(&flag.to_ne_bytes());
    body[12..16].copy_from_slice(&flag.to_ne_bytes());
    let request = Request::new(libc::RTM_SETLINK, 0, &body);
    netlink.change(match mac {
        Some(mac) => request.attribute(libc::IFLA_ADDRESS, &mac),
        None => request,
    })
}

/// Its first IPv4 address; false when it has none.
fn remove_address(netlink: &Netlink, index: u32) -> io::Result<bool> {
    let mut body = [0; IFADDR];
    body[0] = libc::AF_INET as u8;
    body[4..].copy_from_slice(&index.to_ne_bytes());
    match netlink.change(Request::new(libc::RTM_DELADDR, 0, &body)) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(false),
        outcome => outcome.map(|()| true),
    }
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

fn has_device(name: &str) -> bool {
    fs::symlink_metadata(Path::new("/sys/class/net").join(name).join("device")).is_ok()
}
