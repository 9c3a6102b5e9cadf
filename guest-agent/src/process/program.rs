//! The program and the arguments that a command comes to.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use super::env::Vars;
use super::spec::{Command, Launch};
use crate::sftp;

pub struct Program {
    /// To be tried in turn. None for what the agent does itself.
    pub paths: Vec<String>,
    pub argv: Vec<String>,
    /// What the shell reads; must stay open across exec.
    pub script: Option<File>,
}

impl Program {
    pub fn new(launch: &Launch) -> io::Result<Program> {
        let shell = &launch.shell;
        let mut script = None;
        let (path, argv) = match &launch.command {
            Command::Argv(argv) => (argv[0].as_str(), argv.clone()),
            Command::Shell(text) => (
                shell.as_str(),
                vec![shell.clone(), "-c".into(), text.clone()],
            ),
            Command::Script(text) => {
                let file = in_memory(text)?;
                let name = format!("/proc/self/fd/{}", file.as_raw_fd());
                script = Some(file);
                (shell.as_str(), vec![shell.clone(), name])
            }
            // The dash makes it a login shell.
            Command::Login => {
                let name = shell.rsplit('/').next().unwrap_or(shell);
                (shell.as_str(), vec![format!("-{name}")])
            }
            Command::Sftp => (
                "",
                vec!["coppice-guest-agent".into(), sftp::ARGUMENT.into()],
            ),
        };
        let paths = match path {
            "" => Vec::new(),
            path => paths(path, &launch.env),
        };
        Ok(Program {
            paths,
            argv,
            script,
        })
    }
}

fn in_memory(text: &str) -> io::Result<File> {
    // SAFETY: the name is a C string; the descriptor is ours.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"command".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Where to look for a program, as a shell would: through PATH unless it names a path.
fn paths(program: &str, env: &Vars) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_string()];
    }
    let path = env.get("PATH").map_or("", String::as_str);
    path.split(':')
        .filter(|part| !part.is_empty())
        .map(|part| format!("{part}/{program}"))
        .collect()
}
