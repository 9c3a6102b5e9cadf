//! Kept output as the protocol's messages.

use super::log::Log;
use crate::gen::Capture;

pub fn capture(log: &Log, offset: u64) -> Capture {
    Capture {
        head: log.head(offset).to_vec().into(),
        tail: log.tail(offset.max(log.head(0).len() as u64)).into(),
        total_bytes: log.total(),
    }
}
