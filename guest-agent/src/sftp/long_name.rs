//! Lines as `ls -l` prints them: clients show them as they are.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY: i64 = 86_400;
/// Older dates have their year instead of the time.
const HALF_A_YEAR: i64 = 365 * DAY / 2;
/// Names are cut to this many characters, so that an entry's size is bounded.
const NAME_CHARS: usize = 32;

/// Names of users and groups, read when they are first needed.
#[derive(Default)]
pub struct Names {
    users: Option<BTreeMap<u32, String>>,
    groups: Option<BTreeMap<u32, String>>,
}

impl Names {
    fn user(&mut self, uid: u32) -> String {
        let users = self.users.get_or_insert_with(|| table("/etc/passwd"));
        name_or_number(users, uid)
    }

    fn group(&mut self, gid: u32) -> String {
        let groups = self.groups.get_or_insert_with(|| table("/etc/group"));
        name_or_number(groups, gid)
    }
}

fn table(path: &str) -> BTreeMap<u32, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(id))) = (name, id.map(str::parse)) {
            let name = name.chars().take(NAME_CHARS).collect();
            names.entry(id).or_insert(name);
        }
    }
    names
}

fn name_or_number(names: &BTreeMap<u32, String>, id: u32) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// Times are UTC.
pub fn long_name(name: &[u8], of: &Metadata, names: &mut Names, now: SystemTime) -> Vec<u8> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64);
    let mut line = format!(
        "{}  {:>3} {:<8} {:<8} {:>8} {} ",
        mode(of.mode()),
        of.nlink(),
        names.user(of.uid()),
        names.group(of.gid()),
        of.size(),
        date(of.mtime(), now),
    )
    .into_bytes();
    line.extend_from_slice(name);
    line
}

/// drwxr-xr-x
fn mode(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFREG => '-',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn date(time: i64, now: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(DAY));
    let month = MONTHS[month];
    if time > now || time < now - HALF_A_YEAR {
        return format!("{month} {day:>2} {year:>5}");
    }
    let minutes = time.rem_euclid(DAY) / 60;
    format!("{month} {day:>2} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// Year, month (from 0) and day of a day since the epoch, in years that begin in March, so that leap days are last.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = era * 400 + year + i64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_does() {
        for (bits, text) in [
            (0o100644, "-rw-r--r--"),
            (0o041777, "drwxrwxrwt"),
            (0o104755, "-rwsr-xr-x"),
            (0o102644, "-rw-r-Sr--"),
            (0o120777, "lrwxrwxrwx"),
            (0o020600, "crw-------"),
        ] {
            assert_eq!(mode(bits), text);
        }
    }

    #[test]
    fn dates_have_the_time_or_the_year() {
        let now = 1_709_251_199; // 2024-02-29 23:59:59
        assert_eq!(date(now, now), "Feb 29 23:59");
        assert_eq!(date(now + 1, now), "Mar  1  2024");
        assert_eq!(date(0, now), "Jan  1  1970");
        assert_eq!(date(-1, now), "Dec 31  1969");
        assert_eq!(date(951_782_400, now), "Feb 29  2000");
        assert_eq!(date(4_107_542_400, now), "Mar  1  2100");
        assert_eq!(date(1_704_067_199, now), "Dec 31 23:59");
    }
}
