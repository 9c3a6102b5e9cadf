//! A real agent in a process of its own, and a client that has said hello to it.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coppice_guest_agent::channel::{Answer, Hello, ANSWER_LEN, KEY_LEN};
use coppice_guest_agent::gen::{ExecRequest, ExecResponse, ProcessSpec};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::Status;

pub mod session;
pub mod sftp;

#[allow(clippy::all)]
#[path = "../../src/gen/client.rs"]
mod client;

use client::file_service_client::FileServiceClient;
use client::network_service_client::NetworkServiceClient;
use client::process_service_client::ProcessServiceClient;
use client::system_service_client::SystemServiceClient;

pub const KEY: [u8; KEY_LEN] = [0x5a; KEY_LEN];

pub struct Agent {
    child: Child,
    pub directory: TempDir,
    pub cgroup: Option<PathBuf>,
}

impl Agent {
    pub fn start() -> Agent {
        Agent::start_with(&[])
    }

    /// With more options of `serve`; the last of several counts.
    pub fn start_with(options: &[&str]) -> Agent {
        let program = Command::new(env!("CARGO_BIN_EXE_coppice-guest-agent"));
        Agent::start_program(program, options)
    }

    /// `command` ends in the agent's program.
    pub fn start_program(mut command: Command, options: &[&str]) -> Agent {
        let directory = TempDir::new().unwrap();
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        command
            .arg("serve")
            .arg("--unix")
            .arg(directory.path().join("socket"))
            .args(["--key", &key]);
        let cgroup = cgroup_root().map(|root| {
            let name = directory
                .path()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            root.join(format!("coppice-test{name}"))
        });
        if let Some(cgroup) = &cgroup {
            command.arg("--cgroup").arg(cgroup);
        }
        command.args(options);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Agent {
            child,
            directory,
            cgroup,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Known from the start: the agent makes its own later, and a test that looked for it would skip itself.
    pub fn has_cgroups(&self) -> bool {
        self.cgroup.is_some()
    }

    pub async fn dial(&self) -> UnixStream {
        let path = self.directory.path().join("socket");
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&path).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the agent does not listen");
    }

    pub async fn connect(&self) -> Client {
        let mut stream = self.dial().await;
        say_hello(&mut stream, 0).await;
        Client::new(stream).await
    }

    /// A path below the agent's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let Some(cgroup) = &self.cgroup else { return };
        for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                let _ = std::fs::write(entry.path().join("cgroup.kill"), "1");
                std::thread::sleep(Duration::from_millis(50));
                let _ = std::fs::remove_dir(entry.path());
            }
        }
        let _ = std::fs::remove_dir(cgroup);
    }
}

/// Where this machine has a cgroup v2 hierarchy we may write to.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let root = PathBuf::from(line.split(' ').nth(1)?);
    let probe = root.join(format!(
        "coppice-probe-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir(&probe).ok()?;
    let usable = probe.join("cgroup.kill").exists();
    let _ = std::fs::remove_dir(&probe);
    usable.then_some(root)
}

/// Returns the good answer, whatever noise comes before it.
pub async fn say_hello(stream: &mut UnixStream, generation: u64) -> Answer {
    let nonce = std::array::from_fn(|_| rand_byte());
    let hello = Hello {
        protocol: 1,
        generation,
        nonce,
    };
    stream.write_all(&hello.encode(&KEY)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut byte));
        read.await.expect("no answer to the hello").unwrap();
        seen.push(byte[0]);
        if let Some(record) = seen.last_chunk::<ANSWER_LEN>() {
            if let Some(answer) = Answer::decode(record).filter(|answer| answer.nonce == nonce) {
                return answer;
            }
        }
    }
}

fn rand_byte() -> u8 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish() as u8
}

#[derive(Clone)]
pub struct Client {
    pub system: SystemServiceClient<Channel>,
    pub process: ProcessServiceClient<Channel>,
    pub file: FileServiceClient<Channel>,
    pub network: NetworkServiceClient<Channel>,
}

impl Client {
    pub async fn new(stream: UnixStream) -> Client {
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let stream = stream.take();
            async move {
                stream
                    .map(TokioIo::new)
                    .ok_or(std::io::Error::other("used"))
            }
        });
        let endpoint = Endpoint::from_static("http://guest")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        const MOST: usize = 16 << 20;
        Client {
            system: SystemServiceClient::new(channel.clone()),
            process: ProcessServiceClient::new(channel.clone()).max_decoding_message_size(MOST),
            file: FileServiceClient::new(channel.clone()).max_decoding_message_size(MOST),
            network: NetworkServiceClient::new(channel),
        }
    }

    pub async fn exec(&mut self, spec: ProcessSpec) -> Result<ExecResponse, Status> {
        let request = ExecRequest {
            spec: Some(spec),
            ..Default::default()
        };
        Ok(self.process.exec(request).await?.into_inner())
    }
}

pub fn shell(command: &str) -> ProcessSpec {
    ProcessSpec {
        command: command.into(),
        ..Default::default()
    }
}

pub fn word(status: &Status) -> &str {
    status
        .metadata()
        .get("coppice-error")
        .map_or("", |word| word.to_str().unwrap())
}

pub fn bytes(path: impl AsRef<Path>) -> bytes::Bytes {
    use std::os::unix::ffi::OsStrExt;
    bytes::Bytes::copy_from_slice(path.as_ref().as_os_str().as_bytes())
}

/// The most memory a process has had, in KiB.
pub fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap()
}

/// Whether a process with this exact marker in its command line is alive.
pub fn is_alive(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .split('\0')
            .any(|word| word == marker)
    })
}

pub async fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..300 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened: {what}");
}
