//! Shutdown: who ends the machine depends on who is PID 1.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use crate::agent::Agent;
use crate::boot;
use crate::gen::{ShutdownRequest, ShutdownResponse};
use crate::grpc::{Code, Status};

const LONGEST_MS: u32 = 60_000;
/// For the reply to reach the host before the first signal.
const REPLY: Duration = Duration::from_millis(30);

pub async fn shutdown(agent: &Agent, request: ShutdownRequest) -> Result<ShutdownResponse, Status> {
    let grace = request.grace_ms;
    if grace > LONGEST_MS {
        return Err(Status::invalid("grace_ms is more than 60000"));
    }
    agent.power.shutdown(grace, agent.processes.hold.is_held())
}

/// The agent's relation to the machine.
pub enum Power {
    /// PID 1 is this binary; it takes orders through a pipe.
    Init(File),
    /// PID 1 is the image's own.
    SystemInit,
    /// A plain process, as in tests: the machine is not its own.
    None,
}

impl Power {
    pub fn is_system_init(&self) -> bool {
        matches!(self, Power::SystemInit)
    }

    pub fn owns_machine(&self) -> bool {
        !matches!(self, Power::None)
    }

    /// A workload that is held is killed: it cannot do anything with a grace, nor an init system with an order.
    fn shutdown(&self, grace: u32, held: bool) -> Result<ShutdownResponse, Status> {
        let grace = if held { 0 } else { grace };
        match self {
            Power::Init(orders) => {
                let mut orders = orders
                    .try_clone()
                    .map_err(|error| Status::from_io("asking PID 1", &error))?;
                after_reply(async move {
                    let _ = orders.write_all(&grace.to_ne_bytes());
                });
            }
            Power::SystemInit if held => after_reply(async { boot::reset() }),
            Power::SystemInit => after_reply(boot::end_system_init(Duration::from_millis(
                u64::from(grace),
            ))),
            Power::None => {
                let text = "this agent does not own the machine it runs on";
                return Err(Status::new(Code::FailedPrecondition, text));
            }
        }
        Ok(ShutdownResponse {})
    }
}

fn after_reply(work: impl std::future::Future<Output = ()> + 'static) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(REPLY).await;
        work.await;
    });
}
