//! The Coppice guest agent. `main.rs` chooses a role; everything else is here, so that tests reach it.
//!
//! - `boot`: PID 1, from the initramfs to the reset
//! - `service`, `transport`, `channel`: from the virtio port (or a socket) to an HTTP/2 conversation
//! - `grpc`, `routes`: from HTTP/2 to a handler for each rpc of the contract (`gen`)
//! - `system`, `process`, `files`, `network`: the handlers
//! - `sftp`: what the process service starts as a process of its own

mod agent;
mod blocking;
pub mod boot;
pub mod channel;
pub mod files;
pub mod gen;
mod grpc;
mod network;
mod process;
mod routes;
pub mod service;
pub mod sftp;
mod system;
mod transport;
mod watched;
