//! Edit: replaces exact text.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use memchr::memmem;

use super::path::absolute;
use super::temporary::{resolve, Attributes, Temporary};
use crate::blocking::blocking;
use crate::gen::{EditRequest, EditResponse};
use crate::grpc::{Code, Status};

/// It is held in memory, twice.
const LARGEST: u64 = 64 << 20;

pub async fn edit(request: EditRequest) -> Result<EditResponse, Status> {
    let path = absolute(&request.path)?;
    if request.old_text.is_empty() {
        return Err(Status::invalid("old_text is empty"));
    }
    blocking(move || run(&path, &request)).await
}

fn run(path: &Path, request: &EditRequest) -> Result<EditResponse, Status> {
    let shown = path.display();
    let failed = |error: io::Error| Status::from_io(&shown.to_string(), &error);
    let target = resolve(path).map_err(failed)?;
    let file = File::open(&target).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if metadata.len() > LARGEST {
        let text = format!("{shown} is larger than 64 MiB");
        return Err(Status::new(Code::ResourceExhausted, text).with("too_large"));
    }
    let old = fs::read(&target).map_err(failed)?;
    let mut places: Vec<usize> = memmem::find_iter(&old, &request.old_text).collect();
    if places.is_empty() {
        let text = format!("the text does not occur in {shown}");
        return Err(Status::new(Code::FailedPrecondition, text).with("no_match"));
    }
    if request.unique && places.len() > 1 {
        let text = format!("the text occurs {} times in {shown}", places.len());
        return Err(Status::new(Code::FailedPrecondition, text).with("ambiguous"));
    }
    if !request.all {
        places.truncate(1);
    }
    let new = replaced(&old, &places, request);
    write(&target, &new).map_err(failed)?;
    Ok(EditResponse {
        replacements: places.len() as u64,
    })
}

fn replaced(old: &[u8], places: &[usize], request: &EditRequest) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len());
    let mut from = 0;
    for place in places {
        new.extend_from_slice(&old[from..*place]);
        new.extend_from_slice(&request.new_text);
        from = place + request.old_text.len();
    }
    new.extend_from_slice(&old[from..]);
    new
}

fn write(target: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = Temporary::beside(target)?;
    temporary.file.write_all(content)?;
    Attributes::default()
        .or_those_of(target)
        .apply(&temporary.file)?;
    temporary.persist(target, false, true)
}
