//! NetworkService: the guest's network seen from inside.

mod dns;
mod listeners;
mod resolve;
mod tunnel;

pub use listeners::list_listeners;
pub use tunnel::tunnel;
