//! Statuses: how a request ends that has nothing to return.

use std::borrow::Cow;
use std::io;

use crate::grpc::describe;

pub const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;
const BAD_MESSAGE: u32 = 5;
const UNSUPPORTED: u32 = 8;

#[derive(Debug)]
pub struct Failure {
    pub code: u32,
    pub text: Cow<'static, str>,
}

impl Failure {
    pub const END: Failure = Failure::new(EOF, "End of file");
    pub const BAD_MESSAGE: Failure = Failure::new(BAD_MESSAGE, "Bad message");
    pub const UNSUPPORTED: Failure = Failure::new(UNSUPPORTED, "Operation unsupported");
    pub const NO_HANDLE: Failure = Failure::new(FAILURE, "Invalid handle");
    pub const TOO_MANY: Failure = Failure::new(FAILURE, "Too many open handles");

    const fn new(code: u32, text: &'static str) -> Failure {
        Failure {
            code,
            text: Cow::Borrowed(text),
        }
    }
}

/// The codes are OpenSSH's, for its clients tell people no more than them; the text says what it really was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let code = match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::EBADF | libc::ELOOP) => NO_SUCH_FILE,
            Some(libc::EPERM | libc::EACCES | libc::EFAULT) => PERMISSION_DENIED,
            Some(libc::ENAMETOOLONG | libc::EINVAL) => BAD_MESSAGE,
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => UNSUPPORTED,
            // A path with a NUL.
            None if error.kind() == io::ErrorKind::InvalidInput => BAD_MESSAGE,
            _ => FAILURE,
        };
        Failure {
            code,
            text: describe(&error).into(),
        }
    }
}
