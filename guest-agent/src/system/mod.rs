//! SystemService: identity, clock, entropy, load, shutdown.

mod configure;
mod freeze;
mod grow;
mod identity;
mod info;
mod power;
mod procfs;
mod stats;

pub use configure::configure;
pub use freeze::Freezer;
pub use grow::grow_root;
pub use info::{boot_id, get_info, ping};
pub use power::Power;
pub use stats::get_stats;

/// All memory of the machine.
pub fn memory_bytes() -> u64 {
    procfs::memory().0
}
