//! The few numbers of /proc that the services report. A missing file reads as zero: a status report
//! must not fail because of one.

use std::fs;

pub fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_string())
        .unwrap_or_default()
}

/// Monotonic time since boot.
pub fn uptime_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: one valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The counters of statm lag by up to 64 pages a thread, more than the agent has: it is only asked where
/// the exact sum is not to be had.
pub fn agent_rss_bytes() -> u64 {
    let rollup = read_trimmed("/proc/self/smaps_rollup");
    match kilobytes(&rollup, "Rss:") {
        0 => {
            let statm = read_trimmed("/proc/self/statm");
            let pages: u64 = statm
                .split(' ')
                .nth(1)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0);
            pages * 4096
        }
        bytes => bytes,
    }
}

/// (total, available) bytes of memory.
pub fn memory() -> (u64, u64) {
    let text = read_trimmed("/proc/meminfo");
    (
        kilobytes(&text, "MemTotal:"),
        kilobytes(&text, "MemAvailable:"),
    )
}

fn kilobytes(table: &str, name: &str) -> u64 {
    table
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|value| value.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

/// (busy, total) milliseconds of all CPUs, from the first line of /proc/stat.
pub fn cpu_ms(stat: &str) -> (u64, u64) {
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        // Guest time is already part of user time.
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    // USER_HZ is 100 on every architecture there is.
    ((total - idle) * 10, total * 10)
}

/// (received, sent) bytes of all interfaces but loopback, from /proc/net/dev.
pub fn network_bytes(dev: &str) -> (u64, u64) {
    dev.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo")
        .fold((0, 0), |(received, sent), (_, fields)| {
            let fields: Vec<u64> = fields
                .split_whitespace()
                .filter_map(|field| field.parse().ok())
                .collect();
            let field = |index: usize| fields.get(index).copied().unwrap_or(0);
            (received + field(0), sent + field(8))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_counts_waiting_for_io_as_idle() {
        assert_eq!(
            cpu_ms("cpu  10 1 5 100 20 2 3 4 50 60\ncpu0 1 1"),
            (250, 1450)
        );
        assert_eq!(cpu_ms(""), (0, 0));
    }

    #[test]
    fn loopback_is_not_network_traffic() {
        let dev = "Inter-| Receive\n face |bytes\n lo: 9 0 0 0 0 0 0 0 9 0\n eth0: 100 1 0 0 0 0 0 0 200 2\n";
        assert_eq!(network_bytes(dev), (100, 200));
    }
}
