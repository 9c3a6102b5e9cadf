//! Finds the guest channel's port and serves it for the life of the machine.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::converse;
use super::port::Port;
use super::stream::Stream;
use crate::agent::Agent;
use crate::channel::{Channel, KEY_LEN};

const NAME: &str = "coppice.agent";

pub async fn serve_port(agent: Rc<Agent>, key: [u8; KEY_LEN]) -> io::Result<()> {
    let mut channel = Channel::new(Stream::Port(Port::new(open().await)), key);
    loop {
        port(&mut channel).connected().await?;
        let hello = match channel.hello().await {
            Ok(hello) => hello,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        };
        port(&mut channel).register()?;
        if converse(&mut channel, hello, &agent).await.is_err() {
            // The host went away before it had its answer; the next one sends a hello of its own.
            tokio::task::yield_now().await;
        }
    }
}

fn port(channel: &mut Channel<Stream>) -> &mut Port {
    match channel.get_mut() {
        Stream::Port(port) => port,
        Stream::Socket(_) => unreachable!("made from a port above"),
    }
}

/// The driver announces ports a little after boot.
async fn open() -> File {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(path) = find() {
            let options = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .clone();
            if let Ok(file) = options.open(path) {
                return file;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn find() -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let name = fs::read_to_string(entry.path().join("name")).ok()?;
            (name.trim_end() == NAME).then(|| PathBuf::from("/dev").join(entry.file_name()))
        })
}
