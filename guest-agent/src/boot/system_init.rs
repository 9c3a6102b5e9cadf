//! `coppice.init=system`: the image's own init is PID 1, with the agent beside it.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::cmdline::Cmdline;
use super::control_groups::{self, PROCESSES};
use super::init;
use crate::service;
use crate::system::Power;

const INITS: [&str; 4] = [
    "/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/bin/init",
];
/// Beyond the grace an init system needs time of its own.
const MARGIN: Duration = Duration::from_secs(5);

/// Starts the service and becomes the image's init.
pub fn hand_over(cmdline: &Cmdline) -> Result<std::convert::Infallible, String> {
    let program = INITS
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or("coppice.init=system, but the image has no init")?;
    // SAFETY: a process with one thread may do anything after its fork.
    match unsafe { libc::fork() } {
        -1 => {
            return Err(format!(
                "starting the service: {}",
                io::Error::last_os_error()
            ))
        }
        0 => {
            // SAFETY: no memory is involved.
            unsafe { libc::setsid() };
            control_groups::enter_agent();
            service::protect();
            keep_running(cmdline)
        }
        _ => {}
    }
    let path = CString::new(program).map_err(|error| error.to_string())?;
    let argv = [path.as_ptr(), std::ptr::null()];
    let env = [
        c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(),
        c"TERM=linux".as_ptr(),
        std::ptr::null(),
    ];
    // SAFETY: lists of C strings that end with a null.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Err(format!("running {program}: {}", io::Error::last_os_error()))
}

/// A small parent that starts the service again if it crashes.
fn keep_running(cmdline: &Cmdline) -> ! {
    for failures in 1..=10 {
        // SAFETY: as above; no status is asked for.
        unsafe {
            match libc::fork() {
                0 => service::run(cmdline, Power::SystemInit, Some(PROCESSES.as_ref())),
                pid if pid > 0 => drop(libc::waitpid(pid, std::ptr::null_mut(), 0)),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(100) * failures);
    }
    std::process::exit(1)
}

/// Asks the init system to end the machine, and does it itself if nothing comes of that.
pub async fn end(grace: Duration) {
    // SAFETY: no memory is involved.
    unsafe {
        // systemd: reboot.target. Others take the usual signal of busybox.
        libc::kill(1, libc::SIGRTMIN() + 5);
        if !Path::new("/run/systemd/system").exists() {
            libc::kill(1, libc::SIGTERM);
        }
    }
    tokio::time::sleep(grace + MARGIN).await;
    init::reset();
}
