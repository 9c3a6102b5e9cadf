//! SFTP through the agent, with an account's rights; and OpenSSH's clients, where they are installed.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output as Finished};

use common::session::Session;
use common::sftp::{packet, string, Fields, OPEN_CREATE, OPEN_READ, OPEN_WRITE};
use common::{word, Agent};
use coppice_guest_agent::gen::process_input::Input;
use coppice_guest_agent::gen::process_output::Output;
use coppice_guest_agent::gen::*;
use tempfile::TempDir;
use tonic::Code;

fn sftp(user: &str) -> ProcessSpec {
    ProcessSpec {
        subsystem: "sftp".into(),
        user: user.into(),
        stdin: true,
        ..Default::default()
    }
}

/// The payload of the next packet.
async fn answer(session: &mut Session, pending: &mut Vec<u8>) -> Vec<u8> {
    loop {
        if let Some((length, rest)) = pending.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if rest.len() >= length {
                let answer = rest[..length].to_vec();
                pending.drain(..4 + length);
                return answer;
            }
        }
        match session.next().await {
            Some(Output::Stdout(chunk)) => pending.extend_from_slice(&chunk.data),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn files_travel_through_the_agent() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let mut session = Session::open(&mut client, Input::Start(sftp(""))).await;
    session.started().await;
    let mut pending = Vec::new();
    let path = agent.path("file");
    let path = path.to_str().unwrap();
    let open = string(path)
        .u32(OPEN_READ | OPEN_WRITE | OPEN_CREATE)
        .u32(0);
    for packet in [packet(1, 3, &Fields::default()), packet(3, 1, &open)] {
        session.send(Input::Stdin(packet.into())).await;
    }
    assert_eq!(answer(&mut session, &mut pending).await[0], 2);
    let handle = answer(&mut session, &mut pending).await[9..].to_vec();
    let piece: Vec<u8> = (0..255u32 << 10)
        .map(|number| (number % 251) as u8)
        .collect();
    for index in 0..40u32 {
        let offset = u64::from(index) * piece.len() as u64;
        let write = string(&handle).u64(offset).string(&piece);
        session
            .send(Input::Stdin(packet(6, index, &write).into()))
            .await;
        let status = answer(&mut session, &mut pending).await;
        assert_eq!((status[0], &status[5..9]), (101, &[0; 4][..]));
    }
    assert!(fs::read(path)
        .unwrap()
        .chunks(piece.len())
        .all(|chunk| chunk == piece));
    for index in 0..40u32 {
        let offset = u64::from(index) * piece.len() as u64;
        let read = string(&handle).u64(offset).u32(piece.len() as u32);
        session
            .send(Input::Stdin(packet(5, index, &read).into()))
            .await;
    }
    for _ in 0..40 {
        assert!(answer(&mut session, &mut pending).await[9..] == piece);
    }
    session.send(Input::CloseStdin(CloseStdin {})).await;
    assert_eq!(session.exited().await.exit_code, Some(0));
}

#[tokio::test]
async fn the_server_has_the_rights_of_the_account() {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let open_to_all = agent.path("open");
    fs::create_dir(&open_to_all).unwrap();
    fs::set_permissions(agent.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(agent.path("secret"), "").unwrap();
    fs::set_permissions(agent.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();

    let mut session = Session::open(&mut client, Input::Start(sftp("nobody"))).await;
    session.started().await;
    let own = open_to_all.join("own");
    let create = OPEN_WRITE | OPEN_CREATE;
    let requests = [
        packet(1, 3, &Fields::default()),
        packet(
            3,
            1,
            &string(agent.path("secret").to_str().unwrap())
                .u32(OPEN_READ)
                .u32(0),
        ),
        packet(3, 2, &string(own.to_str().unwrap()).u32(create).u32(0)),
        packet(16, 3, &string(".")),
    ];
    session.send(Input::Stdin(requests.concat().into())).await;
    let mut pending = Vec::new();
    assert_eq!(answer(&mut session, &mut pending).await[0], 2);
    let denied = answer(&mut session, &mut pending).await;
    assert_eq!((denied[0], denied[8]), (101, 3));
    assert_eq!(answer(&mut session, &mut pending).await[0], 102);
    let owner = fs::metadata(&own).unwrap();
    assert_ne!(owner.uid(), 0);
    assert_eq!(owner.mode() & 0o7777, 0o644);
    // Its home does not exist.
    let cwd = answer(&mut session, &mut pending).await;
    assert_eq!(&cwd[9..14], &[0, 0, 0, 1, b'/']);
}

#[tokio::test]
async fn there_is_no_other_subsystem_and_none_with_a_terminal() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let other = ProcessSpec {
        subsystem: "scp".into(),
        ..Default::default()
    };
    let terminal = ProcessSpec {
        terminal: Some(TerminalSize::default()),
        ..sftp("")
    };
    for spec in [other, terminal] {
        let status = client.exec(spec).await.unwrap_err();
        assert_eq!((status.code(), word(&status)), (Code::InvalidArgument, ""));
    }
}

/// A directory with files of many sizes, and a script that is the server for clients.
fn material() -> TempDir {
    let directory = TempDir::new().unwrap();
    let tree = directory.path().join("tree/below/deep");
    fs::create_dir_all(&tree).unwrap();
    for size in [0, 1, 1000, 32_768, 261_120, 261_121, 3_000_000] {
        let data: Vec<u8> = (0..size)
            .map(|number: u32| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        fs::write(tree.join(format!("file-{size}")), data).unwrap();
    }
    fs::set_permissions(tree.join("file-1"), fs::Permissions::from_mode(0o741)).unwrap();
    let server = directory.path().join("server");
    let program = env!("CARGO_BIN_EXE_coppice-guest-agent");
    fs::write(
        &server,
        format!("#!/bin/sh\nexec '{program}' sftp-server\n"),
    )
    .unwrap();
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn run(command: &mut Command) -> Option<Finished> {
    match command.output() {
        Ok(finished) => {
            let said = String::from_utf8_lossy(&finished.stderr);
            assert!(finished.status.success(), "{command:?}: {said}");
            Some(finished)
        }
        // It is not installed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

fn assert_same(one: &Path, other: &Path) {
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other));
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            assert_same(&one, &other);
        } else {
            assert!(
                fs::read(&one).unwrap() == fs::read(&other).unwrap(),
                "{name:?}"
            );
            let mode = |path: &Path| fs::metadata(path).unwrap().mode();
            assert_eq!(mode(&one), mode(&other), "{name:?}");
        }
    }
}

#[test]
fn openssh_sftp_moves_trees_both_ways() {
    let directory = material();
    let batch = directory.path().join("batch");
    let lines = "put -Rp tree up\nls -l up/below/deep\nget -Rp up down\nrename up up2\nsymlink up2 link\nln up2/below/deep/file-1 hard\ndf\nchmod 600 hard\nrm link\nmkdir made\nrmdir made\n";
    fs::write(&batch, lines).unwrap();
    let server = directory.path().join("server");
    let mut command = Command::new("sftp");
    command
        .current_dir(directory.path())
        .arg("-D")
        .arg(&server)
        .arg("-b")
        .arg(&batch);
    let Some(finished) = run(&mut command) else {
        return;
    };
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(said.contains("-rwxr----x    1 "), "{said}");
    assert_same(
        &directory.path().join("tree"),
        &directory.path().join("down"),
    );
    assert!(!directory.path().join("link").exists() && !directory.path().join("made").exists());
    let hard = fs::metadata(directory.path().join("hard")).unwrap();
    assert_eq!((hard.mode() & 0o7777, hard.nlink()), (0o600, 2));
}

#[test]
fn openssh_scp_moves_trees_both_ways() {
    let directory = material();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    let copy = |from: String, to: String| {
        run(Command::new("scp").args(["-rpD", &at("server"), &from, &to])).is_some()
    };
    if !copy(at("tree"), format!("guest:{}", at("up"))) {
        return;
    }
    assert_same(&directory.path().join("tree"), &directory.path().join("up"));
    copy(format!("guest:{}", at("up")), at("down"));
    assert_same(
        &directory.path().join("tree"),
        &directory.path().join("down"),
    );
}
