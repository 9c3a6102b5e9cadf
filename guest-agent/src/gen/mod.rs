//! Generated from the protocol; see `codegen/`. `client.rs` beside this file belongs to the tests.

mod messages;
mod methods;

pub use messages::*;
pub use methods::Method;
