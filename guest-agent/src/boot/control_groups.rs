//! The cgroup2 hierarchy of the machine.

use std::fs;

use super::mounts::{mount, NODEV, NOEXEC, NOSUID};

const ROOT: &str = "/sys/fs/cgroup";
/// Where processes get theirs. It delegates no controllers, which makes a cgroup cheap to create.
pub const PROCESSES: &str = "/sys/fs/cgroup/coppice";
const AGENT: &str = "/sys/fs/cgroup/coppice-agent";

/// With every controller usable by what a workload makes at the top, such as a container engine.
pub fn mount_all() -> Result<(), String> {
    mount(
        "cgroup2",
        ROOT,
        "cgroup2",
        NOSUID | NODEV | NOEXEC,
        "nsdelegate",
    )?;
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        // One by one: some can be refused without harm.
        let _ = fs::write(
            format!("{ROOT}/cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
    Ok(())
}

/// Takes the calling process out of the way of an init system, which claims the root cgroup.
pub fn enter_agent() {
    let _ = fs::create_dir_all(AGENT);
    let _ = fs::write(format!("{AGENT}/cgroup.procs"), "0");
}
