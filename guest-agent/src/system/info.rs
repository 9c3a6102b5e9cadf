//! Ping and GetInfo.

use std::ffi::CStr;
use std::fs;
use std::mem::zeroed;

use super::network::first_card;
use super::procfs::{self, read_trimmed};
use crate::agent::Agent;
use crate::channel::PROTOCOL_GENERATION;
use crate::gen::{GetInfoResponse, PingResponse};
use crate::grpc::Status;

pub async fn ping() -> Result<PingResponse, Status> {
    Ok(PingResponse {
        uptime_ns: procfs::uptime_ns(),
    })
}

pub async fn get_info(agent: &Agent) -> Result<GetInfoResponse, Status> {
    let (hostname, kernel_release) = names();
    let (mac, address) = first_card();
    Ok(GetInfoResponse {
        agent_version: env!("CARGO_PKG_VERSION").to_string(),
        protocol_generation: u32::from(PROTOCOL_GENERATION),
        generation: agent.generation(),
        boot_id: hyphenated(agent.boot_id()),
        hostname,
        machine_id: read_trimmed("/etc/machine-id"),
        kernel_release,
        os: fs::read_to_string("/etc/os-release")
            .map(|text| pretty_name(&text))
            .unwrap_or_default(),
        uptime_ms: procfs::uptime_ns() / 1_000_000,
        vcpus: vcpus(),
        memory_bytes: procfs::memory().0,
        agent_rss_bytes: procfs::agent_rss_bytes(),
        system_init: agent.power.is_system_init(),
        held: agent.processes.hold.is_held(),
        mac,
        address,
    })
}

/// The 16 bytes of the kernel's boot id; zero when there is no /proc.
pub fn boot_id() -> [u8; 16] {
    let text = read_trimmed("/proc/sys/kernel/random/boot_id").replace('-', "");
    u128::from_str_radix(&text, 16).unwrap_or(0).to_be_bytes()
}

fn hyphenated(id: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(id));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// Host name and release of the kernel.
pub fn names() -> (String, String) {
    // SAFETY: uname fills a zeroed struct with NUL-terminated strings.
    unsafe {
        let mut name: libc::utsname = zeroed();
        libc::uname(&mut name);
        let text = |field: &[libc::c_char]| {
            CStr::from_ptr(field.as_ptr())
                .to_string_lossy()
                .into_owned()
        };
        (text(&name.nodename), text(&name.release))
    }
}

fn vcpus() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as u32
}

fn pretty_name(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|value| value.trim().trim_matches(['"', '\'']).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_system_is_unquoted() {
        assert_eq!(
            pretty_name("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(pretty_name("ID=x"), "");
    }

    #[test]
    fn a_boot_id_is_written_as_the_kernel_writes_it() {
        let id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(hyphenated(id), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
