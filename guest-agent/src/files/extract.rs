use crate::gen::{ExtractRequest, ExtractResponse};
use crate::grpc::{Code, Incoming, Status};

pub fn unpack() {}
pub async fn extract(_incoming: Incoming<ExtractRequest>) -> Result<ExtractResponse, Status> {
    Err(Status::new(Code::Unimplemented, "not yet"))
}
