use crate::gen::{WatchRequest, WatchResponse};
use crate::grpc::{Code, Outgoing, Status};

pub async fn watch(_request: WatchRequest, _outgoing: Outgoing<WatchResponse>) -> Result<(), Status> {
    Err(Status::new(Code::Unimplemented, "not yet"))
}
