//! gRPC statuses: what every failed call ends with.

use std::fmt;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
}

/// A code, a message for a person and, where callers must tell cases apart, a stable word that travels
/// as the metadata `coppice-error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub message: String,
    pub word: Option<&'static str>,
}

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
            word: None,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Status {
        Status::new(Code::InvalidArgument, message)
    }

    pub fn internal(message: impl Into<String>) -> Status {
        Status::new(Code::Internal, message)
    }

    pub fn with(mut self, word: &'static str) -> Status {
        self.word = Some(word);
        self
    }

    /// A failed system call: `what` says what was being done.
    pub fn from_io(what: &str, error: &io::Error) -> Status {
        let (code, word) = classify(error);
        let status = Status::new(code, format!("{what}: {}", describe(error)));
        Status { word, ..status }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

fn classify(error: &io::Error) -> (Code, Option<&'static str>) {
    use Code::*;
    match error.raw_os_error() {
        Some(libc::ENOENT) => (NotFound, Some("not_found")),
        Some(libc::EEXIST) => (AlreadyExists, Some("exists")),
        Some(libc::ENOTDIR) => (FailedPrecondition, Some("not_a_directory")),
        Some(libc::EISDIR) => (FailedPrecondition, Some("is_a_directory")),
        Some(libc::ENOTEMPTY) => (FailedPrecondition, Some("not_empty")),
        Some(libc::ENOSPC | libc::EDQUOT) => (ResourceExhausted, Some("no_space")),
        Some(libc::EACCES | libc::EPERM | libc::ETXTBSY) => (PermissionDenied, Some("permission")),
        Some(libc::EROFS) => (PermissionDenied, Some("read_only")),
        Some(libc::ELOOP | libc::EMLINK) => (FailedPrecondition, Some("too_many_links")),
        Some(libc::ENAMETOOLONG | libc::EINVAL) => (InvalidArgument, Some("invalid_path")),
        Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN) => {
            (ResourceExhausted, None)
        }
        _ => (Internal, None),
    }
}

/// The system's text without Rust's " (os error N)".
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
