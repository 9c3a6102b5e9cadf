//! One cgroup (v2) for each process: what it starts, however it detaches, is found there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Trees nest only as deep as a workload makes them.
const DEEPEST: usize = 16;
const EVENTS: &str = "cgroup.events";

/// The directory below which processes get their cgroups.
pub struct CgroupRoot {
    path: PathBuf,
}

impl CgroupRoot {
    /// None where there is no cgroup v2 to write to; processes are then killed by their session.
    pub fn open(path: &Path) -> Option<CgroupRoot> {
        fs::create_dir_all(path).ok()?;
        if !path.join("cgroup.kill").exists() {
            let _ = fs::remove_dir(path);
            return None;
        }
        let root = CgroupRoot {
            path: path.to_path_buf(),
        };
        root.clear();
        Some(root)
    }

    /// Ends what a service that crashed has left behind.
    fn clear(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                let _ = write_control(&entry.path(), "cgroup.kill", "1");
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn create(&self, number: u64) -> io::Result<Cgroup> {
        let path = self.path.join(format!("p{number}"));
        match fs::create_dir(&path) {
            // Left by a service that crashed, and emptied by `clear`.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => outcome?,
        }
        Ok(Cgroup { path })
    }
}

pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// For a child to be born into.
    pub fn directory(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// To be watched (urgent data) and asked by `says_populated`.
    pub fn events(&self) -> io::Result<File> {
        File::open(self.path.join(EVENTS))
    }

    pub fn kill(&self) {
        let _ = write_control(&self.path, "cgroup.kill", "1");
    }

    /// Every process in it and below it.
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        collect(&self.path, DEEPEST, &mut pids);
        pids
    }

    pub fn is_populated(&self) -> bool {
        self.events().is_ok_and(|events| says_populated(&events))
    }

    /// True when it is gone; false while something lives in it.
    pub fn remove(&self) -> bool {
        match fs::remove_dir(&self.path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(_) => {
                // Cgroups that a workload made inside.
                remove_below(&self.path, DEEPEST);
                fs::remove_dir(&self.path).is_ok()
            }
        }
    }
}

/// False of a cgroup that has gone.
pub fn says_populated(events: &File) -> bool {
    let mut text = [0; 256];
    let count = events.read_at(&mut text, 0).unwrap_or(0);
    text[..count]
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"populated 1")
}

/// Writes a control of a cgroup. Not as a file is written: cutting it first is work for the kernel, and for nothing.
pub fn write_control(group: &Path, name: &str, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(group.join(name))?;
    file.write_all(value.as_bytes())
}

pub fn children(path: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

fn collect(path: &Path, depth: usize, pids: &mut Vec<i32>) {
    let listed = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    pids.extend(
        listed
            .lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|pid| *pid > 1),
    );
    if depth > 0 {
        children(path).for_each(|child| collect(&child, depth - 1, pids));
    }
}

fn remove_below(path: &Path, depth: usize) {
    for child in children(path) {
        if depth > 0 {
            remove_below(&child, depth - 1);
        }
        let _ = fs::remove_dir(child);
    }
}
