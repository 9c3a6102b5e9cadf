//! One client: every request is answered, in its order.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, DirBuilderExt, FileExt};
use std::path::Path;

use super::attributes::{self, Attributes};
use super::change::{apply, Target};
use super::failure::Failure;
use super::handles::{open_file, read, Handle, Handles};
use super::input::Input;
use super::listing::Listing;
use super::long_name::Names;
use super::paths::{c_path, real, rename};
use super::reply::{Kind, Replies};
use super::request::{parse, Request, EXTENSIONS};
use super::{volume, MOST_DATA, MOST_HANDLES, MOST_PACKET};

const VERSION: u32 = 3;
/// Answers are sent together as long as there are requests to be done, and no more of them than this.
const TOGETHER: usize = 64 << 10;

/// Until the client closes its end.
///
/// # Errors
/// The client does not speak the protocol, or has gone in the middle of it.
pub fn serve(input: File, mut output: File) -> io::Result<()> {
    let mut input = Input::new(input);
    let mut session = Session::default();
    loop {
        let packet = input.next()?;
        let idle = packet.is_none();
        if let Some(packet) = packet {
            session.take(packet)?;
        }
        if idle || session.out.len() >= TOGETHER {
            output.write_all(session.out.bytes())?;
            session.out.clear();
        }
        if idle && !input.wait()? {
            return Ok(());
        }
    }
}

#[derive(Default)]
struct Session {
    begun: bool,
    handles: Handles,
    names: Names,
    out: Replies,
}

impl Session {
    fn take(&mut self, packet: &[u8]) -> io::Result<()> {
        let Some((id, request)) = parse(packet) else {
            return Err(io::Error::other("a packet without a number"));
        };
        match request {
            // In the place of a number there is the version.
            Some(Request::Init) => {
                self.begun = true;
                self.out.begin(VERSION);
                for (name, version) in EXTENSIONS {
                    self.out.string(name.as_bytes());
                    self.out.string(version.as_bytes());
                }
                self.out.end(Ok(Kind::Version));
            }
            _ if !self.begun => return Err(io::Error::other("a request before the greeting")),
            request => {
                self.out.begin(id);
                let outcome = match request {
                    Some(request) => self.answer(request),
                    None => Err(Failure::BAD_MESSAGE),
                };
                self.out.end(outcome);
            }
        }
        Ok(())
    }

    /// Writes the answer after its head, and says what it is.
    fn answer(&mut self, request: Request<'_>) -> Result<Kind, Failure> {
        match request {
            Request::Open {
                path,
                flags,
                attributes,
            } => {
                let open = || open_file(path, flags, attributes.permissions(0o666));
                self.add(|| Ok(Handle::File(open()?)))
            }
            Request::Opendir(path) => self.add(|| Ok(Handle::Directory(Listing::open(path)?))),
            Request::Close(handle) => {
                self.handles.close(handle)?;
                Ok(self.out.success())
            }
            Request::Read {
                handle,
                offset,
                length,
            } => {
                let file = self.handles.file(handle)?;
                let most = (length as usize).min(MOST_DATA);
                match self.out.filled(most, |room| read(file, room, offset))? {
                    0 => Err(Failure::END),
                    _ => Ok(Kind::Data),
                }
            }
            Request::Readdir(handle) => {
                let listing = self.handles.directory(handle)?;
                listing.put_batch(&mut self.names, &mut self.out)
            }
            Request::Stat(path) => self.put_attributes(&fs::metadata(path)?),
            Request::Lstat(path) => self.put_attributes(&fs::symlink_metadata(path)?),
            Request::Fstat(handle) => {
                let metadata = self.handles.file(handle)?.metadata()?;
                self.put_attributes(&metadata)
            }
            Request::Realpath(path) => self.put_path(&real(path)?),
            Request::Readlink(path) => self.put_path(&fs::read_link(path)?),
            Request::Statvfs(path) => {
                let found = volume::of_path(&c_path(path)?)?;
                Ok(volume::put(&mut self.out, &found))
            }
            Request::Fstatvfs(handle) => {
                let found = volume::of_file(self.handles.file(handle)?)?;
                Ok(volume::put(&mut self.out, &found))
            }
            Request::Limits => {
                for limit in [MOST_PACKET, MOST_DATA, MOST_DATA, MOST_HANDLES] {
                    self.out.u64(limit as u64);
                }
                Ok(Kind::Extended)
            }
            request => {
                self.change(request)?;
                Ok(self.out.success())
            }
        }
    }

    /// Requests that return nothing.
    fn change(&self, request: Request<'_>) -> Result<(), Failure> {
        match request {
            Request::Write {
                handle,
                offset,
                data,
            } => self.handles.file(handle)?.write_all_at(data, offset)?,
            Request::Fsync(handle) => self.handles.file(handle)?.sync_all()?,
            Request::Setstat(path, wanted) => apply(&Target::Path(&c_path(path)?), &wanted)?,
            Request::Lsetstat(path, wanted) => set_link(path, &wanted)?,
            Request::Fsetstat(handle, wanted) => {
                apply(&Target::File(self.handles.file(handle)?), &wanted)?;
            }
            Request::Remove(path) => fs::remove_file(path)?,
            Request::Rmdir(path) => fs::remove_dir(path)?,
            Request::Mkdir(path, wanted) => DirBuilder::new()
                .mode(wanted.permissions(0o777))
                .create(path)?,
            Request::Rename { from, to, replace } => rename(from, to, replace)?,
            Request::Symlink { target, link } => symlink(target, link)?,
            Request::Hardlink { from, to } => fs::hard_link(from, to)?,
            _ => return Err(Failure::UNSUPPORTED),
        }
        Ok(())
    }

    fn add(&mut self, open: impl FnOnce() -> Result<Handle, Failure>) -> Result<Kind, Failure> {
        let number = self.handles.add(open)?;
        self.out.string(&number.to_be_bytes());
        Ok(Kind::Handle)
    }

    fn put_attributes(&mut self, of: &Metadata) -> Result<Kind, Failure> {
        attributes::put(&mut self.out, of);
        Ok(Kind::Attributes)
    }

    fn put_path(&mut self, path: &Path) -> Result<Kind, Failure> {
        let bytes = path.as_os_str().as_bytes();
        self.out.u32(1);
        self.out.string(bytes);
        self.out.string(bytes);
        attributes::put_none(&mut self.out);
        Ok(Kind::Name)
    }
}

fn set_link(path: &Path, wanted: &Attributes) -> Result<(), Failure> {
    if wanted.size.is_some() {
        // A link's size is that of its text.
        return Err(Failure::BAD_MESSAGE);
    }
    Ok(apply(&Target::Link(&c_path(path)?), wanted)?)
}
