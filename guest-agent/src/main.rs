//! One binary, three roles: PID 1 of a microVM, a plain server on a socket, or the SFTP server of one client.

use std::path::PathBuf;
use std::process::ExitCode;

use coppice_guest_agent::boot;
use coppice_guest_agent::service::{self, ServeOptions, Socket};
use coppice_guest_agent::sftp;

const USAGE: &str = "\
usage: coppice-guest-agent serve (--unix PATH | --vsock PORT) --key HEX
         [--generation N] [--cgroup DIRECTORY] [--own-machine]

Serves the guest protocol as a plain process. As PID 1 it takes its orders from the kernel command line.
  --cgroup DIRECTORY  a cgroup v2 directory below which processes get cgroups of their own
  --own-machine       let Configure and Shutdown act on this machine";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        boot::start_init();
    }
    let mut args = std::env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some("serve") => serve(args),
        Some(sftp::ARGUMENT) => sftp::serve_standard_streams(),
        Some("--version") => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => Err(USAGE.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut socket = None;
    let mut key = None;
    let mut options = ServeOptions::default();
    while let Some(name) = args.next() {
        if name == "--own-machine" {
            options.own_machine = true;
            continue;
        }
        let value = args.next().ok_or(USAGE)?;
        match name.as_str() {
            "--unix" => socket = Some(Socket::Unix(PathBuf::from(value))),
            "--vsock" => socket = value.parse().ok().map(Socket::Vsock),
            "--key" => key = boot::parse_key(&value),
            "--generation" => options.generation = value.parse().map_err(|_| USAGE)?,
            "--cgroup" => options.cgroups = Some(PathBuf::from(value)),
            _ => return Err(USAGE.into()),
        }
    }
    let (Some(socket), Some(key)) = (socket, key) else {
        return Err(USAGE.into());
    };
    service::serve(socket, key, options).map_err(|error| format!("coppice-guest-agent: {error}"))
}
