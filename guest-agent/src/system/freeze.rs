//! Sync and Thaw.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::blocking::blocking;
use crate::gen::{SyncRequest, SyncResponse, ThawResponse};
use crate::grpc::{Code, Status};

// From linux/fs.h.
const FIFREEZE: libc::Ioctl = 0xc004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xc004_5878_u32 as libc::Ioctl;
const DEFAULT_MS: u32 = 10_000;
const LONGEST_MS: u32 = 60_000;

/// Freezes the root file system and makes sure that it thaws. The timer is a thread of its own: the
/// workers may all be stuck in writes to the frozen file system, and a host may never come back.
#[derive(Default)]
pub struct Freezer {
    timer: Arc<Mutex<Option<Sender<()>>>>,
}

impl Freezer {
    pub async fn sync(&self, request: SyncRequest) -> Result<SyncResponse, Status> {
        if !request.freeze {
            return blocking(|| {
                // SAFETY: no memory is involved.
                unsafe { libc::sync() };
                Ok(SyncResponse {})
            })
            .await;
        }
        let thaw_after = match request.thaw_after_ms {
            0 => DEFAULT_MS,
            ms if ms <= LONGEST_MS => ms,
            _ => return Err(Status::invalid("thaw_after_ms is more than 60000")),
        };
        let timer = self.timer.clone();
        blocking(move || {
            // SAFETY: no memory is involved.
            unsafe { libc::sync() };
            freeze(&timer, Duration::from_millis(u64::from(thaw_after)))
                .map_err(|error| refuse("freezing the root file system", &error))?;
            Ok(SyncResponse {})
        })
        .await
    }

    /// Runs here and not on a worker, see above; thawing does not wait for a disk.
    pub async fn thaw(&self) -> Result<ThawResponse, Status> {
        let timer = lock(&self.timer).take();
        if timer.is_none() {
            return Ok(ThawResponse {});
        }
        // The timer thread finds its sender gone and ends.
        drop(timer);
        thaw().map_err(|error| refuse("thawing the root file system", &error))?;
        Ok(ThawResponse {})
    }
}

fn freeze(timer: &Arc<Mutex<Option<Sender<()>>>>, thaw_after: Duration) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    {
        let mut slot = lock(timer);
        if slot.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        *slot = Some(sender);
    }
    // The thread exists before the freeze: nothing that could fail comes after it.
    let shared = timer.clone();
    let armed = thread::Builder::new()
        .name("thaw".into())
        .stack_size(64 << 10)
        .spawn(move || {
            if receiver.recv_timeout(thaw_after) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = thaw();
                lock(&shared).take();
            }
        });
    // Not under the lock: this waits for writers, and Thaw must not wait for it.
    let outcome = armed.and_then(|_| ioctl(FIFREEZE));
    if outcome.is_err() {
        lock(timer).take();
    } else if lock(timer).is_none() {
        // Thaw was called, or the time was over, before the freeze was complete.
        return thaw();
    }
    outcome
}

fn thaw() -> io::Result<()> {
    match ioctl(FITHAW) {
        // Not frozen any more.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        outcome => outcome,
    }
}

fn ioctl(request: libc::Ioctl) -> io::Result<()> {
    let root = File::open("/")?;
    // SAFETY: both requests ignore their argument.
    if unsafe { libc::ioctl(root.as_raw_fd(), request, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn refuse(what: &str, error: &io::Error) -> Status {
    match error.raw_os_error() {
        Some(libc::EBUSY) => Status::new(
            Code::FailedPrecondition,
            "the root file system is frozen already",
        ),
        Some(libc::EOPNOTSUPP | libc::ENOTTY) => Status::new(
            Code::FailedPrecondition,
            "the root file system cannot be frozen",
        ),
        _ => Status::from_io(what, error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
