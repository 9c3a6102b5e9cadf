//! The boot sequence.

use std::fs;
use std::io;

use super::cmdline::Cmdline;
use super::{control_groups, identity_files, init, loopback, mounts, root, system_init};
use crate::network::prepare_card;

/// Open files that a process may have: the soft limit of a service on other systems is often more, but
/// some programs walk all of it.
const OPEN_FILES: (u64, u64) = (1024 * 64, 1024 * 1024);

/// Never returns: the machine ends with PID 1.
pub fn start() -> ! {
    let fault = match boot() {
        Ok(never) => match never {},
        Err(fault) => fault,
    };
    eprintln!("coppice-agent: fatal: {fault}");
    init::reset();
}

fn boot() -> Result<std::convert::Infallible, String> {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0o022) };
    mounts::kernel()?;
    let text = fs::read_to_string("/proc/cmdline").map_err(|error| error.to_string())?;
    let cmdline = Cmdline::parse(&text)?;
    if cmdline.key.is_none() {
        return Err("kernel parameter coppice.key is missing".into());
    }
    if let Some(device) = &cmdline.root {
        root::mount_root(device, &cmdline.rootfs)?;
        root::switch_root()?;
    }
    // An init system mounts what it finds missing, in its own way.
    if cmdline.system_init && cmdline.root.is_some() {
        control_groups::mount_all()?;
    } else {
        mounts::system()?;
        control_groups::mount_all()?;
        if cmdline.root.is_some() {
            identity_files::cover();
        }
        // A kernel without a network has no loopback either.
        let _ = loopback::up();
    }
    // An init system sets its links up itself.
    prepare_card(!cmdline.system_init);
    set_limits();
    if let Some(name) = &cmdline.hostname {
        set_hostname(name);
    }
    if cmdline.system_init && cmdline.root.is_some() {
        system_init::hand_over(&cmdline)
    } else {
        init::run(&cmdline)
    }
}

/// The host has checked the name; a bad one is not worth a boot.
fn set_hostname(name: &str) {
    // SAFETY: pointer and length are those of one string.
    if unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } < 0 {
        eprintln!(
            "coppice-agent: setting the host name: {}",
            io::Error::last_os_error()
        );
    }
}

fn set_limits() {
    let limit = libc::rlimit {
        rlim_cur: OPEN_FILES.0,
        rlim_max: OPEN_FILES.1,
    };
    // SAFETY: one valid rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}
