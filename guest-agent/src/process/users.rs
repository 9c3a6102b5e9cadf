//! Accounts of the guest, from its own files: a static binary has no name service switch.

use std::fs;

use crate::grpc::{Code, Status};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
    pub home: String,
    pub shell: String,
}

/// The account of that name or uid; root when empty.
pub fn lookup(user: &str) -> Result<Account, Status> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let wanted = if user.is_empty() { "0" } else { user };
    let Some(mut account) = find(&passwd, wanted) else {
        if wanted == "0" || wanted == "root" {
            return Ok(root());
        }
        let text = format!("there is no user {user:?} in the guest");
        return Err(Status::new(Code::NotFound, text).with("user_unknown"));
    };
    if account.uid != 0 {
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        account.groups.extend(groups_of(&group, &account.name));
        account.groups.dedup();
    }
    Ok(account)
}

fn root() -> Account {
    Account {
        name: "root".into(),
        uid: 0,
        gid: 0,
        groups: vec![0],
        home: "/root".into(),
        shell: "/bin/sh".into(),
    }
}

/// By name first: a name may consist of digits.
fn find(passwd: &str, user: &str) -> Option<Account> {
    let accounts = || passwd.lines().filter_map(parse);
    accounts().find(|account| account.name == user).or_else(|| {
        let uid: u32 = user.parse().ok()?;
        accounts().find(|account| account.uid == uid)
    })
}

fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else {
        return None;
    };
    let gid = gid.parse().ok()?;
    let or = |value: &str, default: &str| {
        if value.is_empty() {
            default.to_string()
        } else {
            value.to_string()
        }
    };
    Some(Account {
        name: name.to_string(),
        uid: uid.parse().ok()?,
        gid,
        groups: vec![gid],
        home: or(home, "/"),
        shell: or(shell, "/bin/sh"),
    })
}

fn groups_of<'a>(group: &'a str, name: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else {
            return None;
        };
        members
            .split(',')
            .any(|member| member == name)
            .then(|| gid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# comment\nbroken:x:1\n\
        dev:x:1000:1000::/home/dev:\n7:x:1007:1007::/:/bin/sh\nbig:x:4294967295999:1::/:/bin/sh\n";

    #[test]
    fn accounts_are_found_by_name_and_then_by_uid() {
        let dev = find(PASSWD, "dev").unwrap();
        assert_eq!(
            (dev.uid, dev.home.as_str(), dev.shell.as_str()),
            (1000, "/home/dev", "/bin/sh")
        );
        assert_eq!(find(PASSWD, "1000").unwrap().name, "dev");
        assert_eq!(find(PASSWD, "7").unwrap().uid, 1007);
        assert_eq!(find(PASSWD, "broken"), None);
        assert_eq!(find(PASSWD, "big"), None);
        assert_eq!(find(PASSWD, "nobody"), None);
    }

    #[test]
    fn groups_are_those_that_list_the_name() {
        let group = "root:x:0:\ndocker:x:998:dev,other\nsudo:x:27:others\nadm:x:4:dev\nbad\n";
        assert_eq!(groups_of(group, "dev").collect::<Vec<_>>(), [998, 4]);
    }
}
