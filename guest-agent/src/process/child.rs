//! What a child does between its birth and exec. It shares the agent's memory: system calls only.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr;

/// How far a child got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Session,
    Terminal,
    Streams,
    User,
    Directory,
    Exec,
}

/// Everything the child needs, made ready by the parent.
pub struct ChildPlan {
    /// Becomes 0, 1 and 2. None of them is below 3.
    pub streams: [RawFd; 3],
    pub terminal: bool,
    /// Stays open across exec.
    pub script: Option<RawFd>,
    /// uid, gid, groups. None for root.
    pub user: Option<(u32, u32, *const u32, usize)>,
    pub cwd: *const libc::c_char,
    pub cwd_or_root: bool,
    /// Executed instead of `programs`.
    pub own: Option<RawFd>,
    /// Tried in turn; ends with a null.
    pub programs: *const *const libc::c_char,
    pub argv: *const *const libc::c_char,
    pub envp: *const *const libc::c_char,
    /// Where it failed and with which errno, for the parent.
    pub failure: Option<(Step, i32)>,
}

const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";

/// # Safety
/// Only to be called in the child of `vfork_into`, with pointers that stay valid until it execs.
pub unsafe extern "C" fn run(plan: *mut ChildPlan) -> ! {
    let step = prepare(&*plan).err().unwrap_or_else(|| {
        exec(&*plan);
        Step::Exec
    });
    (*plan).failure = Some((step, *libc::__errno_location()));
    libc::_exit(127)
}

unsafe fn prepare(plan: &ChildPlan) -> Result<(), Step> {
    // Rust ignores SIGPIPE; what is ignored stays so across exec.
    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    let mut none: libc::sigset_t = std::mem::zeroed();
    libc::sigemptyset(&mut none);
    libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());

    check(libc::setsid(), Step::Session)?;
    for (target, source) in plan.streams.iter().enumerate() {
        check(libc::dup2(*source, target as RawFd), Step::Streams)?;
    }
    if plan.terminal {
        check(libc::ioctl(0, libc::TIOCSCTTY, 0), Step::Terminal)?;
    }
    if let Some(script) = plan.script {
        check(libc::fcntl(script, libc::F_SETFD, 0), Step::Streams)?;
    }
    // The agent is the last that should be killed for memory, its children are not.
    let score = libc::open(OOM_SCORE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
    if score >= 0 {
        libc::write(score, c"0".as_ptr().cast(), 1);
        libc::close(score);
    }
    if let Some((uid, gid, groups, count)) = plan.user {
        // Not the functions of libc: those change every thread of the agent.
        check(
            libc::syscall(libc::SYS_setgroups, count, groups) as i32,
            Step::User,
        )?;
        check(
            libc::syscall(libc::SYS_setresgid, gid, gid, gid) as i32,
            Step::User,
        )?;
        check(
            libc::syscall(libc::SYS_setresuid, uid, uid, uid) as i32,
            Step::User,
        )?;
    }
    libc::umask(0o022);
    let entered = libc::chdir(plan.cwd);
    if entered < 0 && plan.cwd_or_root {
        return check(libc::chdir(c"/".as_ptr()), Step::Directory);
    }
    check(entered, Step::Directory)
}

/// Returns only when no program could be executed, with errno of the most telling attempt.
unsafe fn exec(plan: &ChildPlan) {
    if let Some(own) = plan.own {
        let nothing = c"".as_ptr();
        let flags = libc::AT_EMPTY_PATH;
        libc::syscall(
            libc::SYS_execveat,
            own,
            nothing,
            plan.argv,
            plan.envp,
            flags,
        );
        return;
    }
    let mut denied = 0;
    let mut program = plan.programs;
    while !(*program).is_null() {
        libc::execve(*program, plan.argv, plan.envp);
        match *libc::__errno_location() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => denied = libc::EACCES,
            _ => return,
        }
        program = program.add(1);
    }
    if denied != 0 {
        *libc::__errno_location() = denied;
    }
}

fn check(outcome: i32, step: Step) -> Result<(), Step> {
    if outcome < 0 {
        Err(step)
    } else {
        Ok(())
    }
}
