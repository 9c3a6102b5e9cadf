//! The workload as a whole: the cgroups it runs in, stopped and continued by the kernel's freezer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup::{children, write_control};

/// Takes in what a workload has put into the root cgroup, which cannot be frozen.
const STRAYS: &str = "coppice-strays";

/// Which cgroups are the workload's.
pub struct Workload {
    /// Where the agent's processes have theirs.
    own: PathBuf,
    /// The machine is the agent's: everything at the top of the hierarchy belongs to the workload (an init system's
    /// slices, a container engine's groups), but for the group the agent itself is in.
    all: bool,
}

impl Workload {
    pub fn new(own: &Path, all: bool) -> Workload {
        Workload {
            own: own.to_path_buf(),
            all,
        }
    }

    /// Whether it was frozen by an agent that ran before this one.
    pub fn was_frozen(&self) -> bool {
        is_told_to_freeze(&self.own)
    }

    /// Asks for the freeze of everything that is not frozen yet and adds it to `frozen`. False while something
    /// still runs.
    pub fn freeze(&self, frozen: &mut Vec<PathBuf>) -> io::Result<bool> {
        if self.all {
            self.gather_strays();
        }
        let mut complete = true;
        for group in self.groups() {
            // What the workload has frozen itself is not ours to thaw.
            if !is_told_to_freeze(&group) {
                match write_control(&group, "cgroup.freeze", "1") {
                    // Removed meanwhile.
                    Err(error) if is_gone(&error) => continue,
                    outcome => outcome?,
                }
                frozen.push(group.clone());
            }
            complete &= is_frozen(&group);
        }
        Ok(complete)
    }

    /// Everything an earlier agent may have frozen.
    pub fn frozen_groups(&self) -> Vec<PathBuf> {
        let mut groups = self.groups();
        groups.retain(|group| is_told_to_freeze(group));
        groups
    }

    fn groups(&self) -> Vec<PathBuf> {
        let Some(root) = self.own.parent().filter(|_| self.all) else {
            return vec![self.own.clone()];
        };
        let agent = top_group_of_agent().map(|name| root.join(name));
        children(root)
            .filter(|group| Some(group) != agent.as_ref())
            .collect()
    }

    /// Whatever cannot be moved ends just now or is a thread of the kernel.
    fn gather_strays(&self) {
        let Some(root) = self.own.parent() else {
            return;
        };
        let listed = fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
        let strays: Vec<i32> = listed
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| !is_agent(*pid) && !is_kernel_thread(*pid))
            .collect();
        if strays.is_empty() {
            return;
        }
        let group = root.join(STRAYS);
        let _ = fs::create_dir(&group);
        for pid in strays {
            let _ = write_control(&group, "cgroup.procs", &pid.to_string());
        }
    }
}

/// A group that has gone needs no thaw.
pub fn thaw(groups: &[PathBuf]) -> io::Result<()> {
    let mut outcome = Ok(());
    for group in groups {
        match write_control(group, "cgroup.freeze", "0") {
            Err(error) if !is_gone(&error) => outcome = Err(error),
            _ => {}
        }
    }
    outcome
}

fn is_told_to_freeze(group: &Path) -> bool {
    fs::read(group.join("cgroup.freeze")).is_ok_and(|value| value.starts_with(b"1"))
}

fn is_frozen(group: &Path) -> bool {
    match fs::read_to_string(group.join("cgroup.events")) {
        Ok(events) => events.lines().any(|line| line == "frozen 1"),
        Err(error) => is_gone(&error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// The service and the process that starts it again, which is PID 1 unless the image has an init of its own.
fn is_agent(pid: i32) -> bool {
    // SAFETY: no memory is involved.
    unsafe { pid == libc::getpid() || pid == libc::getppid() }
}

/// They are in no process group. Where PID 1 is the agent's, whose children all begin a group, nobody else is;
/// to ask for each of some fifty would take most of a hold's time.
fn is_kernel_thread(pid: i32) -> bool {
    // SAFETY: no memory is involved.
    let (group, parent) = unsafe { (libc::getpgid(pid), libc::getppid()) };
    group == 0 && (parent == 1 || fs::read_link(format!("/proc/{pid}/exe")).is_err())
}

/// Name of the agent's group below the root; None when it is in the root itself.
fn top_group_of_agent() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let top = path.split('/').next()?;
    (!top.is_empty()).then(|| top.to_string())
}
