//! Work that may wait for a disk, off the one thread that must never wait.

use crate::grpc::Status;

pub async fn blocking<T, F>(work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Status> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::internal("the work was abandoned")),
    }
}
