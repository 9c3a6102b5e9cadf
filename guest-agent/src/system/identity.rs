//! What a machine is called, checked and written. The host has checked too; this side does not rely
//! on it.

use std::fs::{self, OpenOptions};
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::info::names;
use crate::blocking::blocking;

pub const HOSTNAME_FILE: &str = "/etc/hostname";
pub const MACHINE_ID_FILE: &str = "/etc/machine-id";
const HOSTS_FILE: &str = "/etc/hosts";

/// Changing /etc/hosts is work for the disk; the first command of a copy goes before it.
const HOSTS_DELAY: Duration = Duration::from_millis(150);

/// An RFC 1123 label.
pub fn is_hostname(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub fn is_machine_id(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are those of one string.
    if unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Overwrites a file that is in memory. False where it is on a disk or not there: see `replace`.
pub fn overwrite_in_memory(target: &str, text: &str) -> io::Result<bool> {
    let file = match OpenOptions::new().write(true).open(target) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    // SAFETY: fstatfs fills a zeroed struct.
    let kind = unsafe {
        let mut stat: libc::statfs = zeroed();
        if libc::fstatfs(file.as_raw_fd(), &mut stat) < 0 {
            return Err(io::Error::last_os_error());
        }
        stat.f_type
    };
    if kind != libc::TMPFS_MAGIC {
        return Ok(false);
    }
    // Bytes first: the page is there already, so this cannot fail for want of memory.
    file.write_all_at(text.as_bytes(), 0)?;
    if file.metadata()?.len() > text.len() as u64 {
        file.set_len(text.len() as u64)?;
    }
    Ok(true)
}

/// Missing, or not to be written to.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Brings /etc/hosts up to date when the machine has had time for other things. A copy that is made meanwhile
/// does the same under the name it has then.
pub fn mend_hosts_later() {
    tokio::task::spawn_local(async {
        tokio::time::sleep(HOSTS_DELAY).await;
        let mended = blocking(|| {
            if let Err(error) = mend_hosts() {
                eprintln!("coppice-agent: writing {HOSTS_FILE}: {error}");
            }
            Ok(())
        });
        drop(mended.await);
    });
}

fn mend_hosts() -> io::Result<()> {
    let hosts = fs::read_to_string(HOSTS_FILE).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(error),
    })?;
    replace(Path::new(HOSTS_FILE), &with_own_name(&hosts, &names().0))
}

/// The line of 127.0.1.1 names this machine; the others are left alone.
fn with_own_name(hosts: &str, name: &str) -> String {
    let own = format!("127.0.1.1\t{name}");
    let mut lines: Vec<&str> = Vec::new();
    let mut written = false;
    for line in hosts.lines() {
        if line.split_whitespace().next() != Some("127.0.1.1") {
            lines.push(line);
        } else if !written {
            written = true;
            lines.push(&own);
        }
    }
    if hosts.trim().is_empty() {
        lines = vec![
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
        ];
    }
    if !written {
        lines.push(&own);
    }
    lines.join("\n") + "\n"
}

/// Never leaves half a file. A read-only system keeps what its image says; that is no failure.
pub fn replace(target: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(target).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let outcome = write_beside(target, text)
        // Something mounted over the file cannot be replaced, but written to.
        .or_else(|_| fs::write(target, text));
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        outcome => outcome,
    }
}

fn write_beside(target: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let temporary = target.with_extension("coppice-new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, target).inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_rfc_1123_labels() {
        for good in ["a", "a-b", "0", &"x".repeat(63)] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a b", "ä", "a\n", &"x".repeat(64)] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_keeps_every_other_line() {
        let hosts =
            "127.0.0.1 localhost\n127.0.1.1 old old.example\n# own\n10.0.0.1 x\n127.0.1.1 twice\n";
        let new = "127.0.0.1 localhost\n127.0.1.1\tnew\n# own\n10.0.0.1 x\n";
        assert_eq!(with_own_name(hosts, "new"), new);
        assert_eq!(with_own_name(new, "new"), new);
        assert!(with_own_name("", "new").contains("localhost"));
    }

    #[test]
    fn a_file_in_memory_is_overwritten_and_one_on_a_disk_is_not() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = memory.path().join("name");
        let name = path.to_str().unwrap();
        assert!(!overwrite_in_memory(name, "x\n").unwrap());
        fs::write(&path, "a-long-name\n").unwrap();
        for text in ["short\n", "a-longer-name-than-that\n"] {
            assert!(overwrite_in_memory(name, text).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // A file system that is not tmpfs, wherever the tests run.
        assert!(!overwrite_in_memory("/proc/self/comm", "x\n").unwrap());
        assert_ne!(fs::read_to_string("/proc/self/comm").unwrap(), "x\n");
    }

    #[test]
    fn machine_ids_are_lower_case_hex() {
        assert!(is_machine_id("0123456789abcdef0123456789abcdef"));
        assert!(!is_machine_id("0123456789ABCDEF0123456789abcdef"));
        assert!(!is_machine_id(""));
    }
}
