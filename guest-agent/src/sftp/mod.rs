//! An SFTP server (version 3, draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, as a process of its own: the
//! process service runs the agent's program once more with `ARGUMENT`, with the rights of an account and the client
//! on stdin and stdout.
//!
//! `input` cuts packets out of the stream, `request` reads them, `session` answers them in their order; `reply`
//! collects the answers. It may wait wherever it likes: nobody but its client waits with it.

mod attributes;
mod change;
mod failure;
mod handles;
mod input;
mod listing;
mod long_name;
mod paths;
mod reader;
mod reply;
mod request;
mod session;
mod volume;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

pub use request::{parse, Request};
pub use session::serve;

/// What makes the agent's program this server.
pub const ARGUMENT: &str = "sftp-server";

/// A read or write may ask for this much, as in OpenSSH.
pub const MOST_DATA: usize = 255 << 10;
/// The most that a packet's length may say: 256 KiB of data and what belongs to them.
pub const MOST_PACKET: usize = (256 << 10) + 1024;
/// Files and directories that a client may have open.
pub const MOST_HANDLES: usize = 256;

/// Until the client closes its end.
pub fn serve_standard_streams() -> Result<(), String> {
    // SAFETY: one C string. Otherwise the process would be called by the number of a descriptor.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"sftp-server".as_ptr()) };
    let own = |fd: io::Result<std::os::fd::OwnedFd>| fd.map(File::from);
    let streams = own(io::stdin().as_fd().try_clone_to_owned())
        .and_then(|input| Ok((input, own(io::stdout().as_fd().try_clone_to_owned())?)));
    streams
        .and_then(|(input, output)| serve(input, output))
        .map_err(|error| format!("sftp-server: {error}"))
}
