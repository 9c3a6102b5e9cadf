//! Exec and Start: processes nobody talks to.

use std::rc::Rc;

use super::capture::capture;
use super::handle::{Leash, STDERR, STDOUT};
use super::registry::Processes;
use super::spec::Launch;
use crate::gen::{ExecRequest, ExecResponse, ProcessSpec, StartRequest, StartResponse};
use crate::grpc::{Code, Status};

const INPUT_BYTES: usize = 1 << 20;

pub async fn exec(processes: &Rc<Processes>, request: ExecRequest) -> Result<ExecResponse, Status> {
    let spec = given(request.spec)?;
    if spec.keep || spec.stdin || spec.terminal.is_some() {
        return Err(Status::invalid("Exec takes no keep, stdin or terminal"));
    }
    if request.input.len() > INPUT_BYTES {
        return Err(Status::invalid("input is larger than 1 MiB").with("too_large"));
    }
    let mut launch = Launch::new(spec, &processes.env.borrow())?;
    launch.stdin = !request.input.is_empty();
    let process = processes.start(launch, false).await?;
    let leash = Leash(process.clone());
    if let Some(stdin) = &process.stdin {
        stdin.push_now(request.input);
        stdin.close();
    }
    process.wait_until(|process| !process.is_running()).await;
    drop(leash);
    let exited = *process.exited.borrow();
    let captured = |stream: usize| Some(capture(&process.logs[stream].borrow(), 0));
    Ok(ExecResponse {
        exited,
        stdout: captured(STDOUT),
        stderr: captured(STDERR),
    })
}

pub async fn start(
    processes: &Rc<Processes>,
    request: StartRequest,
) -> Result<StartResponse, Status> {
    let spec = ProcessSpec {
        keep: true,
        ..given(request.spec)?
    };
    let launch = Launch::new(spec, &processes.env.borrow())?;
    let process = processes.start(launch, false).await?;
    Ok(StartResponse {
        process_id: process.id.get(),
        pid: process.tree.pid as u32,
    })
}

pub fn given(spec: Option<ProcessSpec>) -> Result<ProcessSpec, Status> {
    spec.ok_or_else(|| Status::new(Code::InvalidArgument, "the request has no spec"))
}
