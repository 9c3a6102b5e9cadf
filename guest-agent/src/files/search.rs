use crate::gen::{SearchRequest, SearchResponse};
use crate::grpc::{Code, Outgoing, Status};

pub async fn search(_request: SearchRequest, _outgoing: Outgoing<SearchResponse>) -> Result<(), Status> {
    Err(Status::new(Code::Unimplemented, "not yet"))
}
