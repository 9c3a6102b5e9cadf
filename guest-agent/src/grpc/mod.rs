//! gRPC over h2, by hand: the agent needs one server with bounded memory, no copies of bulk bytes and
//! calls that are dropped the moment their client goes away. The whole of it is small.

mod bulk;
mod call;
mod incoming;
mod server;
mod status;

pub use bulk::{field_prefix, Bulk, Filled, BULK_BYTES};
pub use call::{framed, Call, Outgoing};
pub use incoming::Incoming;
pub use server::serve;
pub use status::{describe, Code, Status};

/// Bounds on what the peer may make the agent hold.
pub mod limits {
    /// One message.
    pub const MESSAGE_BYTES: usize = 4 << 20;
    pub const STREAMS: u32 = 256;
    /// Unread bytes of one call, and of all. The second is much larger, so that a few stalled calls (a
    /// process that does not read its stdin) do not stop the others.
    pub const STREAM_WINDOW: u32 = 2 << 20;
    pub const CONNECTION_WINDOW: u32 = 64 << 20;
    pub const FRAME_BYTES: u32 = 64 << 10;
    pub const HEADER_BYTES: u32 = 16 << 10;
    /// Bytes h2 buffers for one call that the peer has not yet allowed to be sent.
    pub const SEND_BUFFER: usize = 512 << 10;
}
