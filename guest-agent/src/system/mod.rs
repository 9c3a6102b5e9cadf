//! SystemService: identity, clock, entropy, holding the workload, load, shutdown.

mod configure;
mod freeze;
mod grow;
mod hold;
mod identity;
mod info;
mod network;
mod power;
mod procfs;
mod stats;

pub use configure::configure;
pub use freeze::Freezer;
pub use grow::grow_root;
pub use hold::{hold, release};
pub use identity::{HOSTNAME_FILE, MACHINE_ID_FILE};
pub use info::{boot_id, get_info, ping};
pub use power::{shutdown, Power};
pub use procfs::read_trimmed;
pub use stats::get_stats;

/// All memory of the machine.
pub fn memory_bytes() -> u64 {
    procfs::memory().0
}
