//! FileService. Every call works on a worker thread, so that a slow disk, a frozen file system or a
//! FUSE server that never answers holds up nothing but itself.

mod archive;
mod beneath;
mod copy;
mod digest;
mod edit;
mod extract;
mod globs;
mod info;
mod inotify;
mod list;
mod manage;
mod manifest;
mod matches;
mod names;
mod path;
mod pax;
mod produce;
mod read;
mod search;
mod stat;
mod temporary;
mod unpack;
mod watch;
mod write;

pub use archive::archive;
pub use copy::copy;
pub use digest::digest;
pub use edit::edit;
pub use extract::extract;
pub use list::list;
pub use manage::{make_directory, remove, rename};
pub use manifest::manifest;
pub(crate) use path::{absolute, to_bytes};
pub use read::read;
pub use search::search;
pub use stat::stat;
pub(crate) use temporary::rename as rename_file;
pub use watch::watch;
pub use write::write;

pub use unpack::{unpack, Unpacked};
