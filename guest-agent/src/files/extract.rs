//! Extract: a tar stream from the host, unpacked below a directory.

use std::fs;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::path::absolute;
use super::unpack::unpack;
use crate::gen::extract_request::Part;
use crate::gen::{ExtractRequest, ExtractResponse};
use crate::grpc::{Incoming, Status};

/// Chunks between the connection and the worker.
const AHEAD: usize = 4;

pub async fn extract(mut incoming: Incoming<ExtractRequest>) -> Result<ExtractResponse, Status> {
    let first = incoming.next().await?.and_then(|message| message.part);
    let Some(Part::Header(header)) = first else {
        return Err(Status::invalid("the first message must be the header"));
    };
    let root = absolute(&header.path)?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut worker = tokio::task::spawn_blocking(move || {
        fs::create_dir_all(&root)
            .map_err(|error| Status::from_io(&root.display().to_string(), &error))?;
        let mut stream = Stream {
            receiver,
            current: Bytes::new(),
            ended: false,
        };
        let done = unpack(&mut stream, &root, header.keep_owner)?;
        // What follows the end of an archive is padding.
        io::copy(&mut stream, &mut io::sink())
            .map_err(|error| Status::from_io("the upload", &error))?;
        Ok(ExtractResponse {
            entries: done.entries,
            bytes: done.bytes,
        })
    });
    let finished = |outcome: Result<_, _>| match outcome {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::internal("the work was abandoned")),
    };
    loop {
        let next = tokio::select! {
            biased;
            // It only ends before its input when it has failed.
            outcome = &mut worker => return finished(outcome),
            next = incoming.next() => next?,
        };
        let piece = match next {
            Some(ExtractRequest {
                part: Some(Part::Data(data)),
            }) if data.is_empty() => continue,
            Some(ExtractRequest {
                part: Some(Part::Data(data)),
            }) => data,
            Some(_) => return Err(Status::invalid("only data may follow the header")),
            // Empty: the regular end, as against a sender that is dropped.
            None => Bytes::new(),
        };
        let at_end = piece.is_empty();
        if sender.send(piece).await.is_err() || at_end {
            return finished(worker.await);
        }
    }
}

/// The upload as a reader, on the worker's side.
struct Stream {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
    ended: bool,
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(piece) => {
                    self.ended = piece.is_empty();
                    self.current = piece;
                }
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let count = self.current.len().min(out.len());
        self.current.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}
