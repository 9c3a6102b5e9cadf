//! The agent as PID 1: from the kernel's hands to a running service and back to the reset.
//!
//! One thread, no async runtime; it must not panic. Whatever fails before the service runs is said in
//! one line on the console and resets the machine.

mod cmdline;
mod control_groups;
mod early;
mod identity_files;
mod init;
mod loopback;
mod mounts;
mod root;
mod system_init;

pub use cmdline::{parse_key, Cmdline};
pub use control_groups::PROCESSES;
pub use early::start as start_init;
pub use init::reset;
pub use system_init::end as end_system_init;
