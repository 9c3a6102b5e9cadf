//! Archive and Extract on a real agent.

mod common;

use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use common::{bytes, word, Agent, Client};
use coppice_guest_agent::gen::*;
use tonic::Status;

async fn unpack(client: &mut Client, to: &Path, archive: &[u8]) -> Result<ExtractResponse, Status> {
    let header = ExtractHeader {
        path: bytes(to),
        keep_owner: false,
    };
    let mut parts = vec![extract_request::Part::Header(header)];
    parts.extend(
        archive
            .chunks(100_000)
            .map(|chunk| extract_request::Part::Data(Bytes::copy_from_slice(chunk))),
    );
    let messages: Vec<_> = parts
        .into_iter()
        .map(|part| ExtractRequest { part: Some(part) })
        .collect();
    Ok(client
        .file
        .extract(tokio_stream::iter(messages))
        .await?
        .into_inner())
}

async fn pack(client: &mut Client, path: &Path, exclude: &[&str]) -> Vec<u8> {
    let exclude = exclude.iter().map(ToString::to_string).collect();
    let request = ArchiveRequest {
        path: bytes(path),
        exclude,
    };
    let mut stream = client.file.archive(request).await.unwrap().into_inner();
    let mut archive = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        archive.extend_from_slice(&message.data);
    }
    archive
}

#[tokio::test]
async fn an_archive_unpacks_to_what_was_packed() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let (from, to) = (agent.path("from"), agent.path("to/new"));
    fs::create_dir_all(from.join("deep/node_modules")).unwrap();
    fs::write(from.join("deep/node_modules/x"), "x").unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    fs::create_dir(from.join("d".repeat(120))).unwrap();
    fs::write(from.join(&long), "long").unwrap();
    let big: Vec<u8> = (0..3_000_001u32)
        .map(|number| (number >> 5) as u8)
        .collect();
    fs::write(from.join("deep/big"), &big).unwrap();
    fs::set_permissions(from.join("deep/big"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(from.join("deep/big"), from.join("deep/twin")).unwrap();
    symlink("../elsewhere", from.join("link")).unwrap();

    let archive = pack(&mut client, &from, &["node_modules"]).await;
    let done = unpack(&mut client, &to, &archive).await.unwrap();
    assert_eq!(done.entries, 6);
    assert_eq!(fs::read(to.join(&long)).unwrap(), b"long");
    assert_eq!(fs::read(to.join("deep/big")).unwrap(), big);
    let (old, new) = (
        fs::metadata(from.join("deep/big")).unwrap(),
        fs::metadata(to.join("deep/big")).unwrap(),
    );
    assert_eq!(new.mode(), old.mode());
    assert_eq!(
        (new.mtime(), new.mtime_nsec()),
        (old.mtime(), old.mtime_nsec())
    );
    assert_eq!(new.ino(), fs::metadata(to.join("deep/twin")).unwrap().ino());
    assert_eq!(
        fs::read_link(to.join("link")).unwrap(),
        Path::new("../elsewhere")
    );
    assert!(!to.join("deep/node_modules").exists());
    // A second time over the first.
    unpack(&mut client, &to, &archive).await.unwrap();
}

fn tar_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // Past the checks of the crate: this is what an attacker writes.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let is_file = *kind == tar::EntryType::Regular;
        if !is_file {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        header.set_cksum();
        builder
            .append(&header, if is_file { content.as_bytes() } else { b"" })
            .unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn nothing_unpacks_outside() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let outside = agent.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let target = outside.to_str().unwrap();
    let absolute = format!("{target}/evil");
    let secret = format!("{target}/secret");
    let attacks: [&[(&str, tar::EntryType, &str)]; 8] = [
        &[("../outside/evil", Regular, "x")],
        &[(&absolute, Regular, "x")],
        &[("a/../../outside/evil", Regular, "x")],
        &[("link", Symlink, target), ("link/evil", Regular, "x")],
        &[
            ("link", Symlink, "../outside"),
            ("link/deeper/evil", Directory, ""),
        ],
        &[
            ("link", Symlink, target),
            ("link", Directory, ""),
            ("link/evil", Regular, "x"),
        ],
        &[("hard", Link, &secret)],
        &[
            ("link", Symlink, target),
            ("hard", Link, "link/secret"),
            ("hard", Regular, "x"),
        ],
    ];
    for (number, attack) in attacks.iter().enumerate() {
        let to = agent.path(&format!("to{number}"));
        let status = unpack(&mut client, &to, &tar_of(attack)).await.unwrap_err();
        assert!(
            ["invalid_path", "not_a_directory"].contains(&word(&status)),
            "{number}: {status:?}"
        );
    }
    // A file takes the place of a link rather than being written through it.
    let to = agent.path("to");
    let secret = tar_of(&[("link", Symlink, &secret), ("link", Regular, "mine")]);
    unpack(&mut client, &to, &secret).await.unwrap();
    assert_eq!(fs::read(to.join("link")).unwrap(), b"mine");
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let good = tar_of(&[("file", tar::EntryType::Regular, &"x".repeat(5000))]);
    let cut = unpack(&mut client, &agent.path("cut"), &good[..2000])
        .await
        .unwrap_err();
    assert_eq!(word(&cut), "bad_archive");
    let noise = unpack(&mut client, &agent.path("noise"), &[7; 5000])
        .await
        .unwrap_err();
    assert_eq!(word(&noise), "bad_archive");
    // A long name that would fill memory.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(64 << 20);
    header.set_cksum();
    let mut bomb = header.as_bytes().to_vec();
    bomb.resize(8 << 20, b'x');
    let bomb = unpack(&mut client, &agent.path("bomb"), &bomb)
        .await
        .unwrap_err();
    assert_eq!(word(&bomb), "bad_archive");
}
