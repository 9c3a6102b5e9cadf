//! FileService on a real agent.

mod common;

use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use common::{bytes, wait_for, word, Agent, Client};
use coppice_guest_agent::gen::file_change::Kind;
use coppice_guest_agent::gen::*;
use tonic::{Code, Status};

fn header(path: &Path) -> WriteHeader {
    WriteHeader {
        path: bytes(path),
        ..Default::default()
    }
}

async fn write(client: &mut Client, header: WriteHeader, data: &[u8]) -> Result<u64, Status> {
    let mut messages = vec![write_request::Part::Header(header)];
    for chunk in data.chunks(256 << 10) {
        messages.push(write_request::Part::Data(Bytes::copy_from_slice(chunk)));
    }
    let messages = messages
        .into_iter()
        .map(|part| WriteRequest { part: Some(part) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(client.file.write(stream).await?.into_inner().bytes)
}

async fn read(client: &mut Client, request: ReadRequest) -> Result<Vec<u8>, Status> {
    let mut stream = client.file.read(request).await?.into_inner();
    let mut data = Vec::new();
    while let Some(message) = stream.message().await? {
        if let Some(read_response::Part::Data(chunk)) = message.part {
            data.extend_from_slice(&chunk);
        }
    }
    Ok(data)
}

fn read_of(path: &Path) -> ReadRequest {
    ReadRequest {
        path: bytes(path),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let data: Vec<u8> = (0..5_000_000u32)
        .map(|number| ((number * 7) >> 3) as u8)
        .collect();
    let path = agent.path("a/b/file");
    let with_parents = WriteHeader {
        parents: true,
        ..header(&path)
    };
    assert_eq!(
        write(&mut client, with_parents, &data).await.unwrap(),
        data.len() as u64
    );
    assert_eq!(read(&mut client, read_of(&path)).await.unwrap(), data);
    let part = ReadRequest {
        offset: 1_000_001,
        limit: 300_000,
        ..read_of(&path)
    };
    assert_eq!(
        read(&mut client, part).await.unwrap(),
        data[1_000_001..1_300_001]
    );
    let beyond = ReadRequest {
        offset: 1 << 40,
        ..read_of(&path)
    };
    assert!(read(&mut client, beyond).await.unwrap().is_empty());

    let append = WriteHeader {
        append: true,
        ..header(&path)
    };
    write(&mut client, append, b"end").await.unwrap();
    let at = WriteHeader {
        offset: Some(2),
        ..header(&path)
    };
    write(&mut client, at, b"!!").await.unwrap();
    let new = fs::read(&path).unwrap();
    assert_eq!(new.len(), data.len() + 3);
    assert_eq!(
        (&new[2..4], &new[new.len() - 3..]),
        (&b"!!"[..], &b"end"[..])
    );
}

#[tokio::test]
async fn an_atomic_write_is_all_or_nothing() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let directory = agent.path("d");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("file");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("file", directory.join("link")).unwrap();

    let short = WriteHeader {
        atomic: true,
        size: Some(10),
        ..header(&path)
    };
    let status = write(&mut client, short, b"short").await.unwrap_err();
    assert_eq!(word(&status), "truncated");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let exclusive = WriteHeader {
        atomic: true,
        exclusive: true,
        ..header(&path)
    };
    let status = write(&mut client, exclusive, b"x").await.unwrap_err();
    assert_eq!(
        (status.code(), word(&status)),
        (Code::AlreadyExists, "exists")
    );

    // Through a link the file is replaced, not the link; its mode stays.
    let whole = WriteHeader {
        atomic: true,
        size: Some(3),
        ..header(&directory.join("link"))
    };
    write(&mut client, whole, b"new").await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(fs::symlink_metadata(directory.join("link"))
        .unwrap()
        .is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    wait_for("no temporary file is left", || {
        fs::read_dir(&directory).unwrap().count() == 2
    })
    .await;
}

#[tokio::test]
async fn errors_have_their_words() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let file = agent.path("file");
    fs::write(&file, "x").unwrap();
    let directory = agent.path("full");
    fs::create_dir_all(directory.join("inner")).unwrap();

    let status = read(&mut client, read_of(&agent.path("no")))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), word(&status)),
        (Code::NotFound, "not_found")
    );
    let status = read(&mut client, read_of(&directory)).await.unwrap_err();
    assert_eq!(word(&status), "is_a_directory");
    let status = read(&mut client, read_of(&file.join("x")))
        .await
        .unwrap_err();
    assert_eq!(word(&status), "not_a_directory");
    let relative = ReadRequest {
        path: "etc".into(),
        ..Default::default()
    };
    let status = read(&mut client, relative).await.unwrap_err();
    assert_eq!(
        (status.code(), word(&status)),
        (Code::InvalidArgument, "invalid_path")
    );
    let remove = RemoveRequest {
        path: bytes(&directory),
        ..Default::default()
    };
    let status = client.file.remove(remove.clone()).await.unwrap_err();
    assert_eq!(word(&status), "not_empty");
    client
        .file
        .remove(RemoveRequest {
            recursive: true,
            ..remove.clone()
        })
        .await
        .unwrap();
    assert_eq!(
        word(&client.file.remove(remove.clone()).await.unwrap_err()),
        "not_found"
    );
    client
        .file
        .remove(RemoveRequest {
            force: true,
            ..remove
        })
        .await
        .unwrap();
    symlink("loop", agent.path("loop")).unwrap();
    let status = read(&mut client, read_of(&agent.path("loop")))
        .await
        .unwrap_err();
    assert_eq!(word(&status), "too_many_links");
}

#[tokio::test]
async fn a_directory_is_listed_in_order_with_its_links() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let directory = agent.path("d");
    fs::create_dir(&directory).unwrap();
    for number in 0..600 {
        fs::write(directory.join(format!("f{number:03}")), "").unwrap();
    }
    symlink("f000", directory.join("a")).unwrap();
    symlink("nowhere", directory.join("b")).unwrap();
    let request = ListFilesRequest {
        path: bytes(&directory),
    };
    let mut stream = client.file.list(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        entries.extend(message.entries);
    }
    assert_eq!(entries.len(), 602);
    assert!(entries.is_sorted_by_key(|entry| entry.name.clone()));
    assert_eq!(
        (entries[0].kind(), entries[0].target_kind()),
        (FileKind::Symlink, FileKind::File)
    );
    assert_eq!(&entries[1].link_target[..], b"nowhere");
    assert_eq!(entries[1].target_kind(), FileKind::Unspecified);
}

#[tokio::test]
async fn text_is_replaced_exactly() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let path = agent.path("file");
    fs::write(&path, "one two one").unwrap();
    let edit = EditRequest {
        path: bytes(&path),
        old_text: "one".into(),
        new_text: "three".into(),
        ..Default::default()
    };
    let status = client
        .file
        .edit(EditRequest {
            unique: true,
            ..edit.clone()
        })
        .await
        .unwrap_err();
    assert_eq!(word(&status), "ambiguous");
    let done = client.file.edit(edit.clone()).await.unwrap().into_inner();
    assert_eq!(done.replacements, 1);
    assert_eq!(fs::read(&path).unwrap(), b"three two one");
    client
        .file
        .edit(EditRequest {
            all: true,
            ..edit.clone()
        })
        .await
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"three two three");
    assert_eq!(word(&client.file.edit(edit).await.unwrap_err()), "no_match");
}

#[tokio::test]
async fn copies_and_renames_keep_what_is_there() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let (from, to) = (agent.path("from"), agent.path("to"));
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("sub/file"), "data").unwrap();
    fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("sub/file", from.join("link")).unwrap();
    let copy = CopyRequest {
        from: bytes(&from),
        to: bytes(&to),
        ..Default::default()
    };
    assert_eq!(
        word(&client.file.copy(copy.clone()).await.unwrap_err()),
        "is_a_directory"
    );
    let copy = CopyRequest {
        recursive: true,
        ..copy
    };
    assert_eq!(
        client
            .file
            .copy(copy.clone())
            .await
            .unwrap()
            .into_inner()
            .bytes,
        4
    );
    assert_eq!(
        fs::metadata(to.join("sub/file")).unwrap().mode() & 0o777,
        0o751
    );
    assert_eq!(
        fs::read_link(to.join("link")).unwrap(),
        Path::new("sub/file")
    );
    assert_eq!(
        word(&client.file.copy(copy.clone()).await.unwrap_err()),
        "exists"
    );
    client
        .file
        .copy(CopyRequest {
            overwrite: true,
            ..copy
        })
        .await
        .unwrap();
    let inside = CopyRequest {
        to: bytes(from.join("sub/x")),
        from: bytes(&from),
        recursive: true,
        overwrite: false,
    };
    assert_eq!(
        client.file.copy(inside).await.unwrap_err().code(),
        Code::InvalidArgument
    );

    let rename = RenameRequest {
        from: bytes(to.join("link")),
        to: bytes(to.join("sub/file")),
        overwrite: false,
    };
    assert_eq!(
        word(&client.file.rename(rename.clone()).await.unwrap_err()),
        "exists"
    );
    client
        .file
        .rename(RenameRequest {
            overwrite: true,
            ..rename
        })
        .await
        .unwrap();
    assert!(fs::symlink_metadata(to.join("sub/file"))
        .unwrap()
        .is_symlink());
}

#[tokio::test]
async fn changes_are_told_also_in_new_directories() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let root = agent.path("watched");
    fs::create_dir_all(root.join("old")).unwrap();
    let request = WatchRequest {
        path: bytes(&root),
        recursive: true,
    };
    let mut stream = client.file.watch(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.resync && first.changes.is_empty());
    fs::write(root.join("old/file"), "x").unwrap();
    fs::create_dir_all(root.join("new/deep")).unwrap();
    fs::write(root.join("new/deep/file"), "x").unwrap();
    fs::remove_file(root.join("old/file")).unwrap();
    let mut wanted = vec![
        (Kind::Created, root.join("old/file")),
        (Kind::Created, root.join("new")),
        (Kind::Created, root.join("new/deep/file")),
        (Kind::Removed, root.join("old/file")),
    ];
    while !wanted.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(5), stream.message());
        let message = next
            .await
            .unwrap_or_else(|_| panic!("still wanted: {wanted:?}"));
        for change in message.unwrap().unwrap().changes {
            wanted.retain(|(kind, path)| !(change.kind() == *kind && change.path == bytes(path)));
        }
    }
}

#[tokio::test]
async fn search_finds_lines_and_names() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let root = agent.path("tree");
    fs::create_dir_all(root.join("ignored")).unwrap();
    fs::write(root.join(".gitignore"), "ignored\n").unwrap();
    fs::write(root.join("ignored/b.rs"), "needle\n").unwrap();
    fs::write(
        root.join("a.rs"),
        "one\ntwo Needle\nthree\nfour needle\nfive\n",
    )
    .unwrap();
    fs::write(root.join("a.txt"), "needle\n").unwrap();
    let request = SearchRequest {
        path: bytes(&root),
        pattern: "nee.le".into(),
        ignore_case: true,
        include: vec!["*.rs".into()],
        context: 1,
        ..Default::default()
    };
    let (matches, truncated) = search(&mut client, request.clone()).await;
    assert!(!truncated);
    assert_eq!(
        matches.iter().map(|found| found.line).collect::<Vec<_>>(),
        [2, 4]
    );
    let first = &matches[0];
    assert_eq!(
        (first.start, first.end, &first.text[..]),
        (4, 10, &b"two Needle"[..])
    );
    assert_eq!(
        (&first.before[0][..], &first.after[0][..]),
        (&b"one"[..], &b"three"[..])
    );
    assert_eq!(
        (&matches[1].before[0][..], &matches[1].after[0][..]),
        (&b"three"[..], &b"five"[..])
    );

    let all = SearchRequest {
        all_files: true,
        max_results: 1,
        ..request.clone()
    };
    let (matches, truncated) = search(&mut client, all).await;
    assert_eq!((matches.len(), truncated), (1, true));
    let literal = SearchRequest {
        literal: true,
        ..request.clone()
    };
    assert!(search(&mut client, literal).await.0.is_empty());
    let names = SearchRequest {
        pattern: String::new(),
        ..request.clone()
    };
    assert_eq!(search(&mut client, names).await.0.len(), 1);
    let bad = SearchRequest {
        pattern: "(".into(),
        ..request
    };
    let mut stream = match client.file.search(bad).await {
        Err(status) => return assert_eq!(word(&status), "bad_pattern"),
        Ok(response) => response.into_inner(),
    };
    assert_eq!(word(&stream.message().await.unwrap_err()), "bad_pattern");
}

async fn search(client: &mut Client, request: SearchRequest) -> (Vec<SearchMatch>, bool) {
    let mut stream = client.file.search(request).await.unwrap().into_inner();
    let (mut matches, mut truncated) = (Vec::new(), false);
    while let Some(message) = stream.message().await.unwrap() {
        matches.extend(message.matches);
        truncated = message.truncated;
    }
    (matches, truncated)
}
