//! A checked ProcessSpec.

use std::path::{Path, PathBuf};

use super::env::{self, Vars};
use super::users::{self, Account};
use crate::files::absolute;
use crate::gen::{ProcessSpec, TerminalSize};
use crate::grpc::{Code, Status};

const COMMAND_BYTES: usize = 1 << 20;
const ENV_BYTES: usize = 1 << 20;
const LABEL_CHARS: usize = 128;
const ARGUMENTS: usize = 4096;
const DEFAULT_KEEP: u32 = 128 << 10;
const MOST_KEEP: u32 = 4 << 20;
/// Linux takes no longer string as one argument or variable, its NUL included.
const STRING_BYTES: usize = 128 << 10;
const WORKSPACE: &str = "/workspace";
const SHELL: &str = "/bin/sh";
const SFTP: &str = "sftp";

/// What is run.
#[derive(Debug)]
pub enum Command {
    Argv(Vec<String>),
    Shell(String),
    /// A command that is too long for an argument: the shell reads it from a file.
    Script(String),
    /// The shell itself, as a login begins.
    Login,
    /// The agent's own server, on the process's stdin and stdout.
    Sftp,
}

/// Everything that is needed to start a process, checked.
pub struct Launch {
    pub command: Command,
    /// Runs whatever needs a shell.
    pub shell: String,
    pub env: Vars,
    pub cwd: String,
    /// The root will do where `cwd` cannot be entered.
    pub cwd_or_root: bool,
    pub account: Account,
    pub terminal: Option<TerminalSize>,
    pub timeout_ms: u64,
    pub keep: bool,
    /// Ends as a session of sshd does. A job, which no client's going ends, does not.
    pub session: bool,
    pub keep_bytes: usize,
    pub stdin: bool,
    pub label: String,
    pub output_file: Option<PathBuf>,
}

impl Launch {
    pub fn new(spec: ProcessSpec, set: &Vars) -> Result<Launch, Status> {
        check_vars(&spec.env)?;
        if spec.label.chars().count() > LABEL_CHARS {
            return Err(Status::invalid("label has more than 128 characters"));
        }
        if spec.keep_bytes > MOST_KEEP {
            return Err(Status::invalid("keep_bytes is more than 4194304"));
        }
        if spec.user.contains('\0') || spec.cwd.contains('\0') {
            return Err(Status::invalid("user or cwd contains a NUL"));
        }
        let command = command(spec.command, spec.argv, &spec.subsystem, spec.login)?;
        if matches!(command, Command::Sftp) && spec.terminal.is_some() {
            return Err(Status::invalid("a subsystem takes no terminal"));
        }
        let mut account = users::lookup(&spec.user)?;
        if spec.login && !Path::new(&account.shell).exists() {
            account.shell = SHELL.into();
        }
        let at_home = (spec.login || matches!(command, Command::Sftp)) && spec.cwd.is_empty();
        Ok(Launch {
            command,
            shell: match spec.login {
                true => account.shell.clone(),
                false => SHELL.into(),
            },
            env: env::build(
                &account,
                spec.login,
                spec.terminal.is_some(),
                set,
                &spec.env,
            ),
            cwd: match at_home {
                true => account.home.clone(),
                false => directory(spec.cwd),
            },
            cwd_or_root: at_home,
            account,
            terminal: spec.terminal,
            timeout_ms: spec.timeout_ms,
            keep: spec.keep,
            session: spec.login && !spec.keep,
            keep_bytes: if spec.keep_bytes == 0 {
                DEFAULT_KEEP
            } else {
                spec.keep_bytes
            } as usize,
            stdin: spec.stdin || spec.terminal.is_some(),
            label: spec.label,
            output_file: match spec.output_file.is_empty() {
                true => None,
                false => Some(absolute(&spec.output_file)?),
            },
        })
    }

    /// For lists: at most 256 bytes.
    pub fn title(&self) -> String {
        let mut title = match &self.command {
            Command::Argv(argv) => argv.join(" "),
            Command::Shell(text) | Command::Script(text) => text.clone(),
            Command::Login => self.shell.clone(),
            Command::Sftp => SFTP.into(),
        };
        let mut end = title.len().min(256);
        while !title.is_char_boundary(end) {
            end -= 1;
        }
        title.truncate(end);
        title
    }
}

pub fn check_vars(vars: &Vars) -> Result<(), Status> {
    let mut total = 0;
    for (name, value) in vars {
        if !env::is_name(name) {
            return Err(Status::invalid(format!(
                "{name:?} is not a name for a variable"
            )));
        }
        if value.contains('\0') {
            return Err(Status::invalid(format!(
                "the value of {name} contains a NUL"
            )));
        }
        let size = name.len() + value.len() + 2;
        if size > STRING_BYTES {
            return Err(too_large(format!(
                "the variable {name} is longer than 128 KiB"
            )));
        }
        total += size;
    }
    if total > ENV_BYTES {
        return Err(too_large("the variables are larger than 1 MiB"));
    }
    Ok(())
}

fn command(
    command: String,
    argv: Vec<String>,
    subsystem: &str,
    login: bool,
) -> Result<Command, Status> {
    let given = [!command.is_empty(), !argv.is_empty(), !subsystem.is_empty()];
    match given.into_iter().filter(|given| *given).count() {
        0 if login => return Ok(Command::Login),
        1 => {}
        _ => {
            return Err(Status::invalid(
                "exactly one of command, argv and subsystem must be given, or login",
            ))
        }
    }
    match subsystem {
        "" => {}
        SFTP => return Ok(Command::Sftp),
        other => return Err(Status::invalid(format!("there is no subsystem {other:?}"))),
    }
    if command.contains('\0') || argv.iter().any(|argument| argument.contains('\0')) {
        return Err(Status::invalid("the command contains a NUL"));
    }
    let length = command.len()
        + argv
            .iter()
            .map(|argument| argument.len() + 1)
            .sum::<usize>();
    if length > COMMAND_BYTES || argv.len() > ARGUMENTS {
        return Err(too_large(
            "the command is larger than 1 MiB or 4096 arguments",
        ));
    }
    if argv.iter().any(|argument| argument.len() >= STRING_BYTES) {
        return Err(too_large("Linux takes no argument longer than 128 KiB"));
    }
    Ok(if !argv.is_empty() {
        if argv[0].is_empty() {
            return Err(Status::invalid("argv[0] is empty"));
        }
        Command::Argv(argv)
    } else if command.len() < STRING_BYTES {
        Command::Shell(command)
    } else {
        Command::Script(command)
    })
}

fn directory(cwd: String) -> String {
    match cwd.as_str() {
        "" if Path::new(WORKSPACE).is_dir() => WORKSPACE.to_string(),
        "" => "/".to_string(),
        _ => cwd,
    }
}

fn too_large(text: impl Into<String>) -> Status {
    Status::new(Code::InvalidArgument, text).with("too_large")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(spec: ProcessSpec) -> bool {
        Launch::new(spec, &Vars::new()).is_err()
    }

    #[test]
    fn exactly_one_of_command_argv_and_subsystem_is_taken_or_a_login_alone() {
        for (text, argv, subsystem, login, good) in [
            ("", "", "", false, false),
            ("a", "", "", false, true),
            ("", "a", "", false, true),
            ("", "", "sftp", false, true),
            ("", "", "", true, true),
            ("a", "", "", true, true),
            ("", "a", "", true, true),
            ("", "", "sftp", true, true),
            ("a", "b", "", false, false),
            ("a", "", "sftp", true, false),
            ("", "a", "sftp", false, false),
            ("", "", "scp", false, false),
        ] {
            let spec = ProcessSpec {
                command: text.into(),
                argv: argv.split_whitespace().map(String::from).collect(),
                subsystem: subsystem.into(),
                login,
                ..Default::default()
            };
            assert_eq!(!refused(spec.clone()), good, "{spec:?}");
        }
    }

    #[test]
    fn a_subsystem_takes_no_terminal() {
        assert!(refused(ProcessSpec {
            subsystem: "sftp".into(),
            terminal: Some(TerminalSize::default()),
            ..Default::default()
        }));
    }

    #[test]
    fn a_command_too_long_for_an_argument_becomes_a_script() {
        assert!(matches!(
            command("x".repeat(131_071), vec![], "", false),
            Ok(Command::Shell(_))
        ));
        assert!(matches!(
            command("x".repeat(131_072), vec![], "", false),
            Ok(Command::Script(_))
        ));
        assert!(command("x".repeat((1 << 20) + 1), vec![], "", false).is_err());
        assert!(command(String::new(), vec!["x".repeat(131_072)], "", false).is_err());
    }

    #[test]
    fn titles_are_cut_between_characters() {
        let spec = ProcessSpec {
            command: "ä".repeat(200),
            ..Default::default()
        };
        assert_eq!(Launch::new(spec, &Vars::new()).unwrap().title().len(), 256);
        let spec = ProcessSpec {
            command: "x".to_string() + &"ä".repeat(200),
            ..Default::default()
        };
        assert_eq!(Launch::new(spec, &Vars::new()).unwrap().title().len(), 255);
    }
}
