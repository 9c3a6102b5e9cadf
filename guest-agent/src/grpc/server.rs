//! Serves one conversation: HTTP/2 until it ends, each request as a task of its own.

use std::future::{poll_fn, Future};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::RecvStream;
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::call::{Call, Wire};
use super::limits;
use super::status::{Code, Status};

/// Runs until the peer closes, breaks the protocol or the stream fails. Calls that are still running
/// then are dropped before this returns.
pub async fn serve<T, F, R>(io: T, route: F) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Fn(String, Call) -> R + 'static,
    R: Future<Output = Result<(), Status>> + 'static,
{
    let mut connection = h2::server::Builder::new()
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_frame_size(limits::FRAME_BYTES)
        .max_header_list_size(limits::HEADER_BYTES)
        .max_concurrent_streams(limits::STREAMS)
        .max_send_buffer_size(limits::SEND_BUFFER)
        // A host that gives up many calls at once is not an attack.
        .max_pending_accept_reset_streams(limits::STREAMS as usize * 4)
        .max_concurrent_reset_streams(limits::STREAMS as usize)
        .handshake::<_, Bytes>(io)
        .await?;

    let route = Rc::new(route);
    let mut calls = JoinSet::new();
    let outcome = loop {
        tokio::select! {
            biased;
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => {
                    calls.spawn_local(handle(request, respond, route.clone()));
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            },
            Some(_) = calls.join_next() => {}
        }
    };
    drop(connection);
    calls.shutdown().await;
    outcome
}

async fn handle<F, R>(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, route: Rc<F>)
where
    F: Fn(String, Call) -> R,
    R: Future<Output = Result<(), Status>>,
{
    let (head, body) = request.into_parts();
    let grpc = head
        .headers
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if head.method != http::Method::POST || !grpc {
        let mut refusal = Response::new(());
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let _ = respond.send_response(refusal, true);
        return;
    }
    let limit = head
        .headers
        .get("grpc-timeout")
        .and_then(|value| timeout(value.as_bytes()));

    let wire = Wire::new(respond);
    let call = Call {
        body,
        wire: wire.clone(),
    };
    let work = route(head.uri.path().to_string(), call);
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome,
        () = poll_fn(|cx| wire.poll_gone(cx)) => return,
        () = deadline(limit) => Err(Status::new(Code::DeadlineExceeded, "the call's deadline has passed")),
    };
    wire.finish(outcome);
}

async fn deadline(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_the_specification_writes_them() {
        assert_eq!(timeout(b"15S"), Some(Duration::from_secs(15)));
        assert_eq!(
            timeout(b"99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(timeout(b"250m"), Some(Duration::from_millis(250)));
        for bad in [&b"S"[..], b"123456789S", b"-1S", b"5x", b""] {
            assert_eq!(timeout(bad), None);
        }
    }
}
