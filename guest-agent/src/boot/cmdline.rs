//! The kernel command line, as far as it is for the agent.

use crate::channel::KEY_LEN;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cmdline {
    /// Root disk; without one the machine stays in the initramfs.
    pub root: Option<String>,
    pub rootfs: String,
    pub hostname: Option<String>,
    pub generation: u64,
    pub key: Option<[u8; KEY_LEN]>,
    pub vsock: bool,
    /// Boot the image's own init.
    pub system_init: bool,
}

impl Cmdline {
    pub fn parse(text: &str) -> Result<Cmdline, String> {
        let mut cmdline = Cmdline {
            rootfs: "ext4".into(),
            ..Default::default()
        };
        for word in text.split_whitespace() {
            let Some((name, value)) = word.split_once('=') else {
                continue;
            };
            let refuse = || Err(format!("kernel parameter {name} has a bad value"));
            match name {
                "coppice.root" if value.starts_with("/dev/") => cmdline.root = Some(value.into()),
                "coppice.rootfs" if !value.is_empty() => cmdline.rootfs = value.into(),
                "coppice.hostname" => cmdline.hostname = Some(value.into()),
                "coppice.generation" => match value.parse() {
                    Ok(generation) => cmdline.generation = generation,
                    Err(_) => return refuse(),
                },
                "coppice.key" => match parse_key(value) {
                    Some(key) => cmdline.key = Some(key),
                    None => return refuse(),
                },
                "coppice.transport" => match value {
                    "vsock" => cmdline.vsock = true,
                    "virtio" => {}
                    _ => return refuse(),
                },
                "coppice.init" => match value {
                    "system" => cmdline.system_init = true,
                    "agent" => {}
                    _ => return refuse(),
                },
                "coppice.root" | "coppice.rootfs" => return refuse(),
                _ => {}
            }
        }
        Ok(cmdline)
    }
}

/// 64 hex digits.
pub fn parse_key(text: &str) -> Option<[u8; KEY_LEN]> {
    if text.len() != KEY_LEN * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_LEN];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_parameters_are_ignored_and_ours_are_read() {
        let key = "0f".repeat(32);
        let text = format!(
            "console=ttyS0 quiet coppice.root=/dev/vda coppice.key={key} coppice.generation=3 \
             coppice.transport=vsock coppice.init=system coppice.hostname=a root=/dev/sda x=\n"
        );
        let cmdline = Cmdline::parse(&text).unwrap();
        assert_eq!(cmdline.root.as_deref(), Some("/dev/vda"));
        assert_eq!(cmdline.rootfs, "ext4");
        assert_eq!(cmdline.key, Some([0x0f; KEY_LEN]));
        assert_eq!(
            (cmdline.generation, cmdline.vsock, cmdline.system_init),
            (3, true, true)
        );
    }

    #[test]
    fn what_is_ours_but_wrong_is_refused() {
        for bad in [
            "coppice.key=00",
            "coppice.key=+0000000000000000000000000000000000000000000000000000000000000000",
            "coppice.generation=x",
            "coppice.transport=tcp",
            "coppice.init=maybe",
            "coppice.root=vda",
        ] {
            assert!(Cmdline::parse(bad).is_err(), "{bad}");
        }
    }
}
