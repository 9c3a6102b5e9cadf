//! Stat.

use std::fs;

use super::info::file_info;
use super::path::absolute;
use crate::blocking::blocking;
use crate::gen::{StatRequest, StatResponse};
use crate::grpc::Status;

pub async fn stat(request: StatRequest) -> Result<StatResponse, Status> {
    let path = absolute(&request.path)?;
    blocking(move || {
        let metadata = if request.follow {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        let metadata =
            metadata.map_err(|error| Status::from_io(&path.display().to_string(), &error))?;
        Ok(StatResponse {
            info: Some(file_info(&path, &metadata)),
        })
    })
    .await
}
