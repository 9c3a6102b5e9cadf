//! Hold and Release.

use std::rc::Rc;

use crate::agent::Agent;
use crate::gen::{HoldResponse, ReleaseResponse};
use crate::grpc::Status;

pub async fn hold(agent: &Rc<Agent>) -> Result<HoldResponse, Status> {
    agent.processes.hold.hold().await?;
    Ok(HoldResponse {})
}

pub async fn release(agent: &Rc<Agent>) -> Result<ReleaseResponse, Status> {
    agent.processes.hold.release().await?;
    Ok(ReleaseResponse {})
}
