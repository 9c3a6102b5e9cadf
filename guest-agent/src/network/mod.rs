//! NetworkService: the guest's network seen from inside. And its interface, for Configure.

mod dns;
mod interface;
mod listeners;
mod netlink;
mod resolve;
mod sockets;
mod tunnel;

pub use interface::{apply, card, find, first_address, prepare_card, Settings};
pub use listeners::{list_listeners, watch_listeners, Listeners};
pub use netlink::Netlink;
pub use tunnel::tunnel;
