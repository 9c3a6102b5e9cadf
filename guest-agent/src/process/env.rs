//! The environment of a process: defaults, the image's variables, SetEnv's, the spec's, in that order.

use std::collections::BTreeMap;
use std::fs;

use super::users::Account;

pub type Vars = BTreeMap<String, String>;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where an image built from an OCI image keeps that image's variables, one KEY=VALUE a line.
const IMAGE_ENV: &str = "/etc/coppice/image.env";
const SYSTEM_ENV: &str = "/etc/environment";

/// With `login` the account's own variables are not overruled by the image's and SetEnv's.
pub fn build(account: &Account, login: bool, terminal: bool, set: &Vars, spec: &Vars) -> Vars {
    let mut vars = Vars::new();
    let own = [
        ("HOME", &account.home),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("SHELL", &account.shell),
    ]
    .map(|(name, value)| (name.to_string(), value.clone()));
    let mut put = |name: &str, value: &str| {
        vars.insert(name.to_string(), value.to_string());
    };
    put("PATH", PATH);
    put("LANG", "C.UTF-8");
    if terminal {
        put("TERM", "xterm-256color");
    }
    vars.extend(own.clone());
    vars.extend(parse_system(
        &fs::read_to_string(SYSTEM_ENV).unwrap_or_default(),
    ));
    vars.extend(parse_image(
        &fs::read_to_string(IMAGE_ENV).unwrap_or_default(),
    ));
    vars.extend(set.clone());
    if login {
        vars.extend(own);
    }
    vars.extend(spec.clone());
    vars
}

/// [A-Za-z_][A-Za-z0-9_]*
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// /etc/environment as pam_env reads it: an optional `export`, optional quotes, comments.
fn parse_system(text: &str) -> Vars {
    pairs(
        text,
        |line| line.strip_prefix("export ").unwrap_or(line).trim_start(),
        |value| {
            let value = value.trim();
            ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value)
        },
    )
}

/// The OCI form: everything after the first `=` is the value.
fn parse_image(text: &str) -> Vars {
    pairs(text, |line| line, |value| value)
}

fn pairs(text: &str, line_of: fn(&str) -> &str, value_of: fn(&str) -> &str) -> Vars {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line_of(line).split_once('='))
        .filter(|(name, value)| is_name(name) && !value.contains('\0'))
        .map(|(name, value)| (name.to_string(), value_of(value).to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn a_login_has_the_accounts_variables_whatever_is_set_for_all() {
        let account = Account {
            name: "dev".into(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
            home: "/home/dev".into(),
            shell: "/bin/sh".into(),
        };
        let set = vars(&[("HOME", "/elsewhere"), ("A", "1")]);
        let spec = vars(&[("SHELL", "/bin/own")]);
        let of = |login| build(&account, login, false, &set, &spec);
        assert_eq!(of(true)["HOME"], "/home/dev");
        assert_eq!(of(true)["A"], "1");
        assert_eq!(of(true)["SHELL"], "/bin/own");
        assert_eq!(of(false)["HOME"], "/elsewhere");
    }

    #[test]
    fn the_system_file_knows_quotes_and_export() {
        let text = "# c\nA=1\nexport B=\"two words\"\nC='x'\n D = 4\nE=\"open\n=5\n";
        assert_eq!(
            parse_system(text),
            vars(&[("A", "1"), ("B", "two words"), ("C", "x"), ("E", "\"open")])
        );
    }

    #[test]
    fn the_image_file_is_literal() {
        assert_eq!(parse_image("A=\"1\"=2 \nbad\n"), vars(&[("A", "\"1\"=2 ")]));
    }

    #[test]
    fn names_are_checked() {
        assert!(is_name("_a9"));
        for bad in ["", "9a", "a-b", "a b", "ä", "A="] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
