//! GetStats.

use std::fs;
use std::mem::zeroed;

use super::procfs::{self, read_trimmed};
use crate::blocking::blocking;
use crate::gen::GetStatsResponse;
use crate::grpc::Status;

pub async fn get_stats() -> Result<GetStatsResponse, Status> {
    let (disk_total_bytes, disk_available_bytes) = blocking(|| Ok(disk())).await?;
    let (memory_total_bytes, memory_available_bytes) = procfs::memory();
    let (cpu_busy_ms, cpu_total_ms) = procfs::cpu_ms(&read_trimmed("/proc/stat"));
    let (network_receive_bytes, network_transmit_bytes) =
        procfs::network_bytes(&read_trimmed("/proc/net/dev"));
    let load = read_trimmed("/proc/loadavg");
    Ok(GetStatsResponse {
        uptime_ms: procfs::uptime_ns() / 1_000_000,
        memory_total_bytes,
        memory_available_bytes,
        disk_total_bytes,
        disk_available_bytes,
        cpu_busy_ms,
        cpu_total_ms,
        load1: load
            .split(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap_or(0.0),
        processes: processes(),
        agent_rss_bytes: procfs::agent_rss_bytes(),
        network_receive_bytes,
        network_transmit_bytes,
    })
}

fn disk() -> (u64, u64) {
    // SAFETY: statfs fills a zeroed struct.
    unsafe {
        let mut stat: libc::statfs = zeroed();
        if libc::statfs(c"/".as_ptr(), &mut stat) < 0 {
            return (0, 0);
        }
        let block = stat.f_bsize as u64;
        (stat.f_blocks * block, stat.f_bavail * block)
    }
}

fn processes() -> u32 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let is_pid = |name: &[u8]| name.first().is_some_and(u8::is_ascii_digit);
    entries
        .flatten()
        .filter(|entry| is_pid(entry.file_name().as_encoded_bytes()))
        .count() as u32
}
