//! clone3 with the memory shared, as vfork does it: no page table is copied, and the child is born in
//! its cgroup, so that nothing it starts can escape and no migration is paid for.
//!
//! This is the file that knows the machine's registers.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// struct clone_args of linux/sched.h.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts a child that runs `run(argument)` while this thread waits, until it execs or exits.
///
/// # Safety
/// `run` must never return, never unwind and only do what is safe in a child that shares the memory of
/// a process with several threads: system calls, no allocation, no locks.
pub unsafe fn vfork_into<T>(
    cgroup: Option<RawFd>,
    run: unsafe extern "C" fn(*mut T) -> !,
    argument: *mut T,
) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Default::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup as u64;
    }
    let outcome = clone_and_call(&args, run as *const (), argument.cast());
    if outcome < 0 {
        return Err(io::Error::from_raw_os_error(-outcome as i32));
    }
    Ok((outcome as i32, OwnedFd::from_raw_fd(pidfd)))
}

/// The child goes on below this thread's stack pointer and never leaves the assembly block, so the
/// compiler never sees a function return twice.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_and_call(args: &CloneArgs, run: *const (), argument: *mut ()) -> i64 {
    let outcome: i64;
    std::arch::asm!(
        "syscall",
        "test rax, rax",
        "jnz 2f",
        "mov rdi, {argument}",
        "call {run}",
        "ud2",
        "2:",
        argument = in(reg) argument,
        run = in(reg) run,
        inlateout("rax") libc::SYS_clone3 => outcome,
        in("rdi") std::ptr::from_ref(args),
        in("rsi") size_of::<CloneArgs>(),
        // Not lateout: both are overwritten by the system call while the inputs are still needed.
        out("rcx") _,
        out("r11") _,
    );
    outcome
}
