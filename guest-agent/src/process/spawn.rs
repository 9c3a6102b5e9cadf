//! From a checked launch to a running process.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::cgroup::Cgroup;
use super::child::{self, ChildPlan, Step};
use super::clone::vfork_into;
use super::program::Program;
use super::pty;
use super::spec::{Command, Launch};
use crate::grpc::{Code, Status};

/// Fewer switches between a busy writer and the agent than with the default of 64 KiB.
const PIPE_BYTES: libc::c_int = 256 << 10;

/// What the agent holds open for the processes it starts.
pub struct Supplies {
    null: File,
    /// The agent's own program. Of a machine that has left its initramfs no path leads to it.
    own: File,
}

impl Supplies {
    pub fn open() -> io::Result<Supplies> {
        Ok(Supplies {
            null: File::open("/dev/null")?,
            own: File::open("/proc/self/exe")?,
        })
    }
}

/// The agent's ends of what a process was given.
pub struct Spawned {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Output first, then errors; one for both with a terminal. Non-blocking.
    pub outputs: Vec<OwnedFd>,
    /// Non-blocking. With a terminal a second descriptor of it.
    pub stdin: Option<OwnedFd>,
}

/// Nothing has run when this fails.
pub fn spawn(
    launch: &Launch,
    cgroup: Option<&Cgroup>,
    supplies: &Supplies,
) -> Result<Spawned, Status> {
    let (ours, theirs) = streams(launch, supplies.null.as_raw_fd())
        .map_err(|error| not_started("opening the process's streams", &error))?;
    let Program {
        paths,
        argv,
        script,
    } = Program::new(launch)
        .map_err(|error| not_started("writing the command to memory", &error))?;
    let env: Vec<String> = launch
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (argv, paths, env) = (strings(argv)?, strings(paths)?, strings(env)?);
    let (argv_list, path_list, env_list) = (pointers(&argv), pointers(&paths), pointers(&env));
    let cwd = strings(vec![launch.cwd.clone()])?;
    let directory = cgroup
        .map(Cgroup::directory)
        .transpose()
        .map_err(|error| not_started("opening its cgroup", &error))?;
    let account = &launch.account;
    let groups = &account.groups;
    let user =
        (account.uid != 0).then_some((account.uid, account.gid, groups.as_ptr(), groups.len()));
    let mut plan = ChildPlan {
        streams: theirs.raw,
        terminal: launch.terminal.is_some(),
        script: script.as_ref().map(AsRawFd::as_raw_fd),
        user,
        cwd: cwd[0].as_ptr(),
        cwd_or_root: launch.cwd_or_root,
        own: matches!(launch.command, Command::Sftp).then(|| supplies.own.as_raw_fd()),
        programs: path_list.as_ptr(),
        argv: argv_list.as_ptr(),
        envp: env_list.as_ptr(),
        failure: None,
    };
    // SAFETY: `run` keeps the rules, and everything the plan points to outlives the child's use of it,
    // because this thread waits for its exec.
    let born = unsafe {
        vfork_into(
            directory.as_ref().map(AsRawFd::as_raw_fd),
            child::run,
            &raw mut plan,
        )
    };
    let (pid, pidfd) = born.map_err(|error| not_started("starting a process", &error))?;
    // SAFETY: the child wrote it, if at all, before this thread went on.
    if let Some((step, errno)) = unsafe { ptr::read_volatile(&raw const plan.failure) } {
        reap(&pidfd);
        return Err(refusal(launch, step, &io::Error::from_raw_os_error(errno)));
    }
    Ok(Spawned {
        pid,
        pidfd,
        outputs: ours.outputs,
        stdin: ours.stdin,
    })
}

/// The exit status of a child that has ended.
pub fn reap(pidfd: &OwnedFd) -> Option<Ended> {
    // SAFETY: waitid fills a zeroed siginfo.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let id = pidfd.as_raw_fd() as libc::id_t;
        while libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED) < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
        let status = info.si_status();
        Some(match info.si_code {
            libc::CLD_EXITED => Ended::Code(status),
            _ => Ended::Signal(status),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

struct Ours {
    outputs: Vec<OwnedFd>,
    stdin: Option<OwnedFd>,
}

/// The child's ends, closed here once it runs.
struct Theirs {
    raw: [RawFd; 3],
    _owned: Vec<OwnedFd>,
}

fn streams(launch: &Launch, null: RawFd) -> io::Result<(Ours, Theirs)> {
    if let Some(size) = &launch.terminal {
        let (master, slave) = pty::open(size, (launch.account.uid, launch.account.gid))?;
        let stdin = Some(master.try_clone()?);
        let raw = [slave.as_raw_fd(); 3];
        return Ok((
            Ours {
                outputs: vec![master],
                stdin,
            },
            Theirs {
                raw,
                _owned: vec![slave],
            },
        ));
    }
    let (out, out_child) = pipe()?;
    let (err, err_child) = pipe()?;
    let mut raw = [null, out_child.as_raw_fd(), err_child.as_raw_fd()];
    let mut owned = vec![out_child, err_child];
    let mut stdin = None;
    if launch.stdin {
        let (stdin_child, ours) = pipe()?;
        raw[0] = stdin_child.as_raw_fd();
        owned.push(stdin_child);
        set_nonblocking(&ours)?;
        stdin = Some(ours);
    }
    for ours in [&out, &err] {
        set_nonblocking(ours)?;
    }
    // SAFETY: no memory is involved. It is allowed to fail.
    unsafe { libc::fcntl(out.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
    Ok((
        Ours {
            outputs: vec![out, err],
            stdin,
        },
        Theirs { raw, _owned: owned },
    ))
}

/// (read end, write end)
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written, which then belong to us.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn strings(list: Vec<String>) -> Result<Vec<CString>, Status> {
    list.into_iter()
        .map(|text| CString::new(text).map_err(|_| Status::invalid("a string contains a NUL")))
        .collect()
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

fn not_started(what: &str, error: &io::Error) -> Status {
    Status::new(
        Code::ResourceExhausted,
        Status::from_io(what, error).message,
    )
    .with("not_started")
}

fn refusal(launch: &Launch, step: Step, error: &io::Error) -> Status {
    let what = match (step, &launch.command) {
        (Step::Directory, _) => format!("working directory {}", launch.cwd),
        (Step::Exec, Command::Argv(argv)) => argv[0].clone(),
        (Step::Exec, _) => launch.shell.clone(),
        (step, _) => format!("preparing the process ({step:?})"),
    };
    if error.raw_os_error() == Some(libc::E2BIG) {
        return Status::invalid("arguments and variables together are too long").with("too_large");
    }
    let status = Status::from_io(&what, error);
    match status.word {
        Some(_) => status,
        None => Status {
            code: Code::FailedPrecondition,
            ..status
        }
        .with("not_started"),
    }
}
