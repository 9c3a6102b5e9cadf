//! ProcessService: everything that runs in the guest at the host's request.
//!
//! A call makes a `Launch` out of a spec (spec, env, users), starts it (spawn, clone, child, pty,
//! cgroup) and gets a `Process`, whose supervisor drains its output into two `Log`s, and into files where that is
//! asked for, and sees to its end. Clients only ever read the logs. A login is hung up instead of killed (hangup), and what it leaves
//! running is outlived. `Hold` stops the workload as a whole.

mod capture;
mod cgroup;
mod child;
mod clone;
mod env;
mod exec;
mod handle;
mod hangup;
mod hold;
mod log;
mod manage;
mod open;
mod outlive;
mod output_file;
mod program;
mod pty;
mod registry;
mod spawn;
mod spec;
mod stdin;
mod supervise;
mod tree;
mod users;
mod workload;

pub use exec::{exec, start};
pub use manage::{get, list, remove, set_env, signal};
pub use open::open;
pub use registry::{Processes, Scope};
