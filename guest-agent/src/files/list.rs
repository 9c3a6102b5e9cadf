//! List.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::info::file_info;
use super::path::absolute;
use super::produce::{produce, Sink};
use crate::gen::{ListFilesRequest, ListFilesResponse};
use crate::grpc::{Outgoing, Status};

const BATCH: usize = 256;

pub async fn list(
    request: ListFilesRequest,
    outgoing: Outgoing<ListFilesResponse>,
) -> Result<(), Status> {
    let path = absolute(&request.path)?;
    produce(&outgoing, move |sink| run(&path, sink)).await
}

fn run(path: &Path, sink: &Sink<ListFilesResponse>) -> Result<(), Status> {
    let failed = |error| Status::from_io(&path.display().to_string(), &error);
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable();
    for batch in names.chunks(BATCH) {
        let entries = batch
            .iter()
            .map(|name| path.join(name))
            // One that has been removed meanwhile is not an error.
            .filter_map(|path| Some(file_info(&path, &fs::symlink_metadata(&path).ok()?)))
            .collect();
        sink.put(ListFilesResponse { entries })?;
    }
    Ok(())
}
