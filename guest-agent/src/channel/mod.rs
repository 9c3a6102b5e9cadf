//! What is below HTTP/2 on the guest channel: the hello, found anywhere in a byte stream.
//!
//! Nothing here knows a device, a clock or a service, so all of it runs in tests and fuzzers.

mod hello;
mod scanner;
mod stream;

pub use hello::{Answer, Hello, ANSWER_LEN, HELLO_LEN, KEY_LEN, PROTOCOL_GENERATION};
pub use scanner::{Scan, Scanner};
pub use stream::{Channel, Conversation};
