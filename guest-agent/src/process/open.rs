//! Open: one client talking to one process.

use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::exec::given;
use super::handle::{Leash, Process, STDERR, STDOUT};
use super::manage::check_signal;
use super::pty;
use super::registry::Processes;
use super::spec::Launch;
use crate::gen::process_input::Input;
use crate::gen::process_output::Output;
use crate::gen::{ProcessInput, ProcessOutput, Started};
use crate::grpc::{field_prefix, Bulk, Filled, Incoming, Outgoing, Status};

/// A chunk of output is no larger than this: it is copied once, out of the log.
const CHUNK_BYTES: usize = 128 << 10;

pub async fn open(
    processes: &Rc<Processes>,
    mut incoming: Incoming<ProcessInput>,
    outgoing: Outgoing<ProcessOutput>,
) -> Result<(), Status> {
    let first = incoming.next().await?.and_then(|message| message.input);
    let (process, cursors, leash) = match first {
        Some(Input::Start(spec)) => {
            let launch = Launch::new(given(Some(spec))?, &processes.env.borrow())?;
            // A kept process never waits for a client.
            let owned = !launch.keep;
            let process = processes.start(launch, owned).await?;
            (process.clone(), [0, 0], owned.then(|| Leash(process)))
        }
        Some(Input::Attach(attach)) => {
            let process = processes.get(attach.process_id)?;
            (process, [attach.stdout_offset, attach.stderr_offset], None)
        }
        _ => return Err(Status::invalid("the first input must be start or attach")),
    };
    let _attached = Attached::new(&process);
    let started = Started {
        process_id: process.id.get(),
        pid: process.tree.pid as u32,
    };
    outgoing
        .send(&ProcessOutput {
            output: Some(Output::Started(started)),
        })
        .await?;

    let owner = leash.is_some();
    tokio::select! {
        biased;
        outcome = send_output(&process, &outgoing, cursors, owner) => outcome,
        status = take_input(&process, &mut incoming, owner) => Err(status),
    }
}

async fn send_output(
    process: &Process,
    outgoing: &Outgoing<ProcessOutput>,
    mut cursors: [u64; 2],
    owner: bool,
) -> Result<(), Status> {
    let mut bulk = Bulk::default();
    loop {
        let exited = *process.exited.borrow();
        // What a job's daemons write after its end is not waited for.
        if let Some(end) = exited {
            if cursors[STDOUT] >= end.stdout_bytes && cursors[STDERR] >= end.stderr_bytes {
                return outgoing
                    .send(&ProcessOutput {
                        output: Some(Output::Exited(end)),
                    })
                    .await;
            }
        }
        let mut sent = false;
        for stream in [STDOUT, STDERR] {
            // First room at the peer, then the bytes: so nothing is taken that cannot be sent.
            if process.logs[stream]
                .borrow()
                .read(cursors[stream])
                .is_none()
            {
                continue;
            }
            outgoing.ready().await?;
            if let Some((frame, next)) = chunk(process, &mut bulk, stream, cursors[stream]) {
                outgoing.send_framed(frame).await?;
                cursors[stream] = next;
                sent = true;
                if owner {
                    process.owner.set(Some(cursors));
                    process.room.notify_waiters();
                }
            }
        }
        if sent {
            continue;
        }
        if let Some(exited) = exited {
            return outgoing
                .send(&ProcessOutput {
                    output: Some(Output::Exited(exited)),
                })
                .await;
        }
        let news = |process: &Process| {
            !process.is_running()
                || [STDOUT, STDERR]
                    .into_iter()
                    .any(|stream| process.total(stream) > cursors[stream])
        };
        process.wait_until(news).await;
    }
}

/// A framed `ProcessOutput` with what lies at `cursor`, and the cursor after it.
fn chunk(
    process: &Process,
    bulk: &mut Bulk,
    stream: usize,
    cursor: u64,
) -> Option<(bytes::Bytes, u64)> {
    let log = process.logs[stream].borrow();
    let (offset, piece) = log.read(cursor)?;
    let piece = &piece[..piece.len().min(CHUNK_BYTES)];
    let copied = bulk.fill(piece.len(), |out| {
        out.copy_from_slice(piece);
        Ok::<_, std::convert::Infallible>(out.len())
    });
    let filled = copied.ok().flatten()?;
    let next = offset + filled.len() as u64;
    Some((frame(filled, stream, offset), next))
}

/// ProcessOutput { stdout | stderr: Chunk { offset, data } }
fn frame(data: Filled, stream: usize, offset: u64) -> bytes::Bytes {
    let mut inner = Vec::with_capacity(24);
    if offset > 0 {
        prost::encoding::uint64::encode(1, &offset, &mut inner);
    }
    field_prefix(2, data.len(), &mut inner);
    let mut prefix = Vec::with_capacity(32);
    let tag = if stream == STDOUT { 2 } else { 3 };
    field_prefix(tag, inner.len() + data.len(), &mut prefix);
    prefix.extend(inner);
    data.frame(&prefix)
}

/// Runs until something is wrong with the input.
async fn take_input(
    process: &Rc<Process>,
    incoming: &mut Incoming<ProcessInput>,
    owner: bool,
) -> Status {
    loop {
        let message = match incoming.next().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                // The client of a process that is its own will not say anything any more.
                if owner {
                    close_stdin(process);
                }
                return std::future::pending().await;
            }
            Err(status) => return status,
        };
        match message.input {
            Some(Input::Stdin(data)) => match &process.stdin {
                Some(stdin) => stdin.push(data).await,
                None => return Status::invalid("the process was started without stdin"),
            },
            Some(Input::CloseStdin(_)) => close_stdin(process),
            Some(Input::Resize(_)) if !process.has_terminal => {
                return Status::invalid("the process has no terminal")
            }
            Some(Input::Resize(size)) => {
                if let Some(terminal) = &*process.terminal.borrow() {
                    // It fails only when the terminal has gone with its process.
                    let _ = pty::resize(terminal.as_raw_fd(), &size);
                }
            }
            Some(Input::Signal(signal)) => match check_signal(signal) {
                Ok(()) => send_signal(process, signal),
                Err(status) => return status,
            },
            Some(Input::Start(_) | Input::Attach(_)) => {
                return Status::invalid("start and attach are only taken first")
            }
            // An input this generation does not know.
            None => {}
        }
    }
}

fn close_stdin(process: &Process) {
    if let Some(stdin) = &process.stdin {
        stdin.close();
    }
}

fn send_signal(process: &Process, signal: i32) {
    if !process.is_running() {
        return;
    }
    let foreground = process
        .terminal
        .borrow()
        .as_ref()
        .and_then(|fd| pty::foreground(fd.as_raw_fd()));
    match foreground {
        // SAFETY: no memory is involved; the group is above 1.
        Some(group) => drop(unsafe { libc::kill(-group, signal) }),
        None => process.tree.signal(signal),
    }
}

/// Counts a client while it lives.
struct Attached(Rc<Process>);

impl Attached {
    fn new(process: &Rc<Process>) -> Attached {
        process.clients.set(process.clients.get() + 1);
        Attached(process.clone())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gen::Chunk;
    use prost::Message;

    #[test]
    fn a_chunk_is_framed_as_prost_would_encode_it() {
        for (offset, size) in [(0, 1), (300, 200), (u64::MAX - 9, 100_000)] {
            let data = vec![7; size];
            let filled = Bulk::default().fill(size, |out| {
                out.copy_from_slice(&data);
                Ok::<_, ()>(size)
            });
            let framed = frame(filled.unwrap().unwrap(), STDERR, offset);
            let chunk = Chunk {
                offset,
                data: data.into(),
            };
            let message = ProcessOutput {
                output: Some(Output::Stderr(chunk)),
            };
            assert_eq!(framed[5..], message.encode_to_vec());
        }
    }
}
