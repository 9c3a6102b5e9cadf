//! Manifest and Digest on a real agent.

mod common;

use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use common::{bytes, word, Agent, Client};
use coppice_guest_agent::gen::*;
use tonic::Code;

async fn manifest(client: &mut Client, path: &Path, max_depth: u32) -> Vec<ManifestEntry> {
    let request = ManifestRequest {
        path: bytes(path),
        max_depth,
    };
    let mut stream = client.file.manifest(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(message.entries.len() <= 512);
        all.extend(message.entries);
    }
    all
}

fn paths(entries: &[ManifestEntry]) -> Vec<String> {
    let text = |entry: &ManifestEntry| String::from_utf8_lossy(&entry.path).into_owned();
    entries.iter().map(text).collect()
}

async fn digest(client: &mut Client, paths: Vec<Bytes>) -> Vec<DigestResponse> {
    let request = DigestRequest { paths };
    let mut stream = client.file.digest(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        all.push(message);
    }
    all
}

#[tokio::test]
async fn a_manifest_is_in_pre_order_and_sorted_by_bytes() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let root = agent.path("tree");
    fs::create_dir_all(root.join("a/inner")).unwrap();
    fs::create_dir(root.join("B")).unwrap();
    for name in ["a/inner/file", "a/x", "a.txt", "ä"] {
        fs::write(root.join(name), name).unwrap();
    }
    let all = manifest(&mut client, &root, 0).await;
    let expected = ["B", "a", "a/inner", "a/inner/file", "a/x", "a.txt", "ä"];
    assert_eq!(paths(&all), expected);
    let top = manifest(&mut client, &root, 1).await;
    assert_eq!(paths(&top), ["B", "a", "a.txt", "ä"]);
    let two = manifest(&mut client, &root, 2).await;
    assert_eq!(paths(&two), ["B", "a", "a/inner", "a/x", "a.txt", "ä"]);
}

#[tokio::test]
async fn an_entry_says_what_the_kernel_says() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let root = agent.path("kinds");
    fs::create_dir(&root).unwrap();
    let file = root.join("file");
    fs::write(&file, "12345").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(&file, root.join("linked")).unwrap();
    symlink("/etc/passwd", root.join("symlink")).unwrap();
    // Led through, it would never end.
    symlink("..", root.join("up")).unwrap();
    let all = manifest(&mut client, &root, 0).await;
    assert_eq!(paths(&all), ["file", "linked", "symlink", "up"]);
    let metadata = fs::metadata(&file).unwrap();
    let entry = &all[0];
    assert_eq!(
        (entry.kind(), entry.size, entry.nlink),
        (FileKind::File, 5, 2)
    );
    assert_eq!(
        (entry.mode, entry.uid, entry.gid, entry.inode),
        (0o104_751, metadata.uid(), metadata.gid(), metadata.ino())
    );
    let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    assert_eq!(
        (entry.mtime_ns, entry.ctime_ns),
        (
            nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            nanoseconds(metadata.ctime(), metadata.ctime_nsec())
        )
    );
    assert_eq!(all[1].inode, entry.inode);
    assert_eq!(
        (all[2].kind(), &all[2].target[..]),
        (FileKind::Symlink, &b"/etc/passwd"[..])
    );
    let null = manifest(&mut client, Path::new("/dev"), 1).await;
    let null = null.iter().find(|entry| &entry.path[..] == b"null");
    let null = null.unwrap();
    assert_eq!(
        (null.kind(), null.device),
        (FileKind::Other, fs::metadata("/dev/null").unwrap().rdev())
    );
}

#[tokio::test]
async fn a_mount_point_is_listed_and_not_entered_and_a_covered_file_left_out() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let all = manifest(&mut client, Path::new("/"), 2).await;
    let all = paths(&all);
    assert!(all.contains(&"proc".to_string()));
    assert!(!all.iter().any(|path| path.starts_with("proc/")), "{all:?}");

    // The same file system mounted once more.
    let (root, other) = (agent.path("mounts"), agent.path("other"));
    fs::create_dir_all(root.join("on")).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("hidden"), "").unwrap();
    let mount = |program: &str, args: &[&Path]| {
        let mut command = Command::new(program);
        if program == "mount" {
            command.arg("--bind");
        }
        command.args(args).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let (on, covered) = (root.join("on"), root.join("covered"));
    fs::write(&covered, "").unwrap();
    if !mount("mount", &[&other, &on]) {
        return;
    }
    assert!(mount("mount", &[&other.join("hidden"), &covered]));
    let all = manifest(&mut client, &root, 0).await;
    let inside = manifest(&mut client, &on, 0).await;
    assert!(mount("umount", &[&on]) && mount("umount", &[&covered]));
    assert_eq!(paths(&all), ["on"]);
    assert_eq!(paths(&inside), ["hidden"]);
}

#[tokio::test]
async fn large_and_deep_trees_are_complete_and_the_agent_stays_small() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let root = agent.path("large");
    let mut deep = root.join("deep");
    for _ in 0..400 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let wide = root.join("wide");
    fs::create_dir(&wide).unwrap();
    // More names than are held at once.
    let name = |number: u32| format!("{number:0>220}");
    for number in 0..60_000 {
        fs::File::create(wide.join(name(number))).unwrap();
    }
    let all = manifest(&mut client, &root, 0).await;
    assert_eq!(all.len(), 1 + 400 + 1 + 60_000);
    let first = all.len() - 60_000;
    for (number, entry) in all[first..].iter().enumerate() {
        let expected = format!("wide/{}", name(number as u32));
        assert_eq!(entry.path, expected.as_bytes());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 40 << 10, "{peak} kB");
}

#[tokio::test]
async fn only_directories_have_a_manifest() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    for (path, expected) in [
        ("/etc/passwd", "not_a_directory"),
        ("/no/such", "not_found"),
        ("relative", "invalid_path"),
    ] {
        let request = ManifestRequest {
            path: path.into(),
            max_depth: 0,
        };
        let outcome = client.file.manifest(request).await;
        let status = match outcome {
            Ok(response) => response.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(word(&status), expected, "{path}");
    }
}

#[tokio::test]
async fn digests_are_those_of_sha256sum_and_what_has_none_says_why() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let data: Vec<u8> = (0..300_001u32).map(|number| (number * 7) as u8).collect();
    fs::write(agent.path("file"), &data).unwrap();
    fs::write(agent.path("empty"), "").unwrap();
    symlink("file", agent.path("link")).unwrap();
    let list = ["file", "empty", "link", "missing", ".", "file/below"];
    let mut request: Vec<Bytes> = list.iter().map(|name| bytes(agent.path(name))).collect();
    request.push(bytes("/dev/null"));
    request.push(bytes("relative"));
    let all = digest(&mut client, request.clone()).await;
    let given: Vec<Bytes> = all.iter().map(|response| response.path.clone()).collect();
    assert_eq!(given, request);
    for response in &all[..2] {
        let path = String::from_utf8(response.path.to_vec()).unwrap();
        let output = Command::new("sha256sum").arg(&path).output().unwrap();
        let expected = String::from_utf8_lossy(&output.stdout).into_owned();
        let hex: String = response
            .sha256
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(Some(hex.as_str()), expected.split_whitespace().next());
        assert_eq!(response.error, "");
    }
    assert_eq!((all[0].size, all[1].size), (300_001, 0));
    let errors: Vec<&str> = all[2..]
        .iter()
        .map(|response| {
            assert!(response.sha256.is_empty());
            response.error.as_str()
        })
        .collect();
    assert_eq!(
        errors,
        [
            "not_a_file",
            "not_found",
            "not_a_file",
            "not_a_directory",
            "not_a_file",
            "invalid_path"
        ]
    );
    let paths = vec![bytes("/etc/passwd"); 257];
    let outcome = client.file.digest(DigestRequest { paths }).await;
    assert_eq!(outcome.unwrap_err().code(), Code::InvalidArgument);
}
