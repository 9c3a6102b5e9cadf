//! Watch: changes below a directory, through inotify.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

use super::inotify::{self, Event};
use super::path::{absolute, to_bytes};
use crate::blocking::blocking;
use crate::gen::file_change::Kind;
use crate::gen::{FileChange, WatchRequest, WatchResponse};
use crate::grpc::{Outgoing, Status};
use crate::watched;

/// Events are collected this long, so that a burst makes one message.
const COLLECT: Duration = Duration::from_millis(20);
const CHANGES: usize = 1000;

pub async fn watch(request: WatchRequest, outgoing: Outgoing<WatchResponse>) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    let recursive = request.recursive;
    let (fd, mut tree) = blocking(move || {
        let fd = Arc::new(inotify::open().map_err(|error| failed(&path, &error))?);
        let mut tree = Tree {
            fd: fd.clone(),
            paths: HashMap::new(),
            recursive,
        };
        tree.add(&path, None)
            .map_err(|error| failed(&path, &error))?;
        Ok((fd, tree))
    })
    .await?;
    let fd = watched::watch(fd, Interest::READABLE)
        .map_err(|error| Status::from_io("watching", &error))?;
    outgoing
        .send(&WatchResponse {
            changes: Vec::new(),
            resync: true,
        })
        .await?;

    loop {
        let events = next_events(&fd).await?;
        // New directories must be read and watched, which may take its time.
        let (back, response, gone) = blocking(move || {
            let (response, gone) = tree.take_in(events);
            Ok((tree, response, gone))
        })
        .await?;
        tree = back;
        if response.resync || !response.changes.is_empty() {
            outgoing.send(&response).await?;
        }
        if gone {
            return Ok(());
        }
        tokio::time::sleep(COLLECT).await;
    }
}

async fn next_events(fd: &AsyncFd<Arc<OwnedFd>>) -> Result<Vec<Event>, Status> {
    fd.async_io(Interest::READABLE, |fd| inotify::read(fd))
        .await
        .map_err(|error| Status::from_io("watching", &error))
}

struct Tree {
    fd: Arc<OwnedFd>,
    paths: HashMap<i32, PathBuf>,
    recursive: bool,
}

impl Tree {
    /// Watches a path and, where asked for, everything below it. What is found in a directory that is
    /// new is reported: it may have come before the watch.
    fn add(&mut self, path: &Path, mut found: Option<&mut Changes>) -> io::Result<()> {
        let id = inotify::add(&self.fd, path)?;
        self.paths.insert(id, path.to_path_buf());
        let is_directory = fs::symlink_metadata(path)?.is_dir();
        if !is_directory || !(self.recursive || found.is_some()) {
            return Ok(());
        }
        for entry in fs::read_dir(path)?.flatten() {
            let child = entry.path();
            if let Some(found) = found.as_deref_mut() {
                found.add(Kind::Created, &child);
            }
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if self.recursive && is_directory {
                match self.add(&child, found.as_deref_mut()) {
                    // Removed meanwhile, or not to be entered.
                    Err(error) if error.raw_os_error() != Some(libc::ENOSPC) => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// The response for some events, and whether the watched path itself has gone.
    fn take_in(&mut self, events: Vec<Event>) -> (WatchResponse, bool) {
        let mut changes = Changes::default();
        let mut lost = false;
        for event in events {
            if event.mask & libc::IN_Q_OVERFLOW != 0 {
                lost = true;
                continue;
            }
            if event.mask & libc::IN_IGNORED != 0 {
                self.paths.remove(&event.watch);
                continue;
            }
            let Some(base) = self.paths.get(&event.watch) else {
                continue;
            };
            let path = match event.name.is_empty() {
                true => base.clone(),
                false => base.join(OsStr::from_bytes(&event.name)),
            };
            let is_directory = event.mask & libc::IN_ISDIR != 0;
            let Some(kind) = kind(event.mask) else {
                continue;
            };
            // What happens to a directory itself is told by its parent's watch, if that is watched.
            let own = event.name.is_empty();
            if own && is_directory && kind != Kind::Removed {
                continue;
            }
            changes.add(kind, &path);
            if kind == Kind::Created && is_directory && self.recursive {
                // Too many watches: the reader must look for itself.
                lost |= matches!(self.add(&path, Some(&mut changes)),
                    Err(error) if error.raw_os_error() == Some(libc::ENOSPC));
            }
            if kind == Kind::Removed && is_directory && !own {
                self.forget(&path);
            }
        }
        lost |= changes.list.len() > CHANGES;
        if lost {
            return (
                WatchResponse {
                    changes: Vec::new(),
                    resync: true,
                },
                self.paths.is_empty(),
            );
        }
        (
            WatchResponse {
                changes: changes.list,
                resync: false,
            },
            self.paths.is_empty(),
        )
    }

    /// A directory that was moved away is still watched, under a path that is not its own any more.
    fn forget(&mut self, path: &Path) {
        let below: Vec<i32> = self
            .paths
            .iter()
            .filter(|(_, watched)| watched.starts_with(path))
            .map(|(id, _)| *id)
            .collect();
        for id in below {
            inotify::remove(&self.fd, id);
            self.paths.remove(&id);
        }
    }
}

#[derive(Default)]
struct Changes {
    list: Vec<FileChange>,
}

impl Changes {
    /// A file that is written to makes many events: one is enough.
    fn add(&mut self, kind: Kind, path: &Path) {
        let change = FileChange {
            kind: kind as i32,
            path: to_bytes(path),
        };
        if self.list.last() != Some(&change) && self.list.len() <= CHANGES {
            self.list.push(change);
        }
    }
}

fn kind(mask: u32) -> Option<Kind> {
    if mask & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0 {
        Some(Kind::Created)
    } else if mask
        & (libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_DELETE_SELF | libc::IN_MOVE_SELF)
        != 0
    {
        Some(Kind::Removed)
    } else if mask & (libc::IN_MODIFY | libc::IN_ATTRIB | libc::IN_CLOSE_WRITE) != 0 {
        Some(Kind::Changed)
    } else {
        None
    }
}

fn failed(path: &Path, error: &io::Error) -> Status {
    Status::from_io(&path.display().to_string(), error)
}
