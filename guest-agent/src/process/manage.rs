//! List, Get, Signal, Remove, SetEnv.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::capture::capture;
use super::handle::{STDERR, STDOUT};
use super::registry::Processes;
use super::spec::check_vars;
use crate::gen::{
    GetProcessRequest, GetProcessResponse, ListProcessesResponse, RemoveProcessRequest,
    RemoveProcessResponse, SetEnvRequest, SetEnvResponse, SignalRequest, SignalResponse,
};
use crate::grpc::{Code, Status};

const LONGEST_WAIT_MS: u32 = 300_000;

pub async fn list(processes: &Rc<Processes>) -> Result<ListProcessesResponse, Status> {
    let processes = processes
        .list()
        .iter()
        .map(|process| process.info())
        .collect();
    Ok(ListProcessesResponse { processes })
}

pub async fn get(
    processes: &Rc<Processes>,
    request: GetProcessRequest,
) -> Result<GetProcessResponse, Status> {
    if request.wait_ms > LONGEST_WAIT_MS {
        return Err(Status::invalid("wait_ms is more than 300000"));
    }
    let process = processes.get(request.process_id)?;
    let offsets = [request.stdout_offset, request.stderr_offset];
    if request.wait_ms > 0 {
        let news = process.wait_until(|process| {
            !process.is_running()
                || process.total(STDOUT) > offsets[STDOUT]
                || process.total(STDERR) > offsets[STDERR]
        });
        // Nothing new is an answer too.
        let _ = timeout(Duration::from_millis(u64::from(request.wait_ms)), news).await;
    }
    let captured = |stream: usize| Some(capture(&process.logs[stream].borrow(), offsets[stream]));
    Ok(GetProcessResponse {
        process: Some(process.info()),
        stdout: captured(STDOUT),
        stderr: captured(STDERR),
    })
}

pub async fn signal(
    processes: &Rc<Processes>,
    request: SignalRequest,
) -> Result<SignalResponse, Status> {
    check_signal(request.signal)?;
    let process = processes.get(request.process_id)?;
    // A finished job may have left daemons behind, and they are part of its tree.
    if !process.is_running() && (request.leader_only || !process.tree.is_alive()) {
        let text = format!("process {} has ended", request.process_id);
        return Err(Status::new(Code::FailedPrecondition, text).with("ended"));
    }
    if request.leader_only {
        process.tree.signal_leader(request.signal);
    } else {
        process.tree.signal(request.signal);
    }
    Ok(SignalResponse {})
}

pub fn check_signal(signal: i32) -> Result<(), Status> {
    if (1..=64).contains(&signal) {
        Ok(())
    } else {
        Err(Status::invalid("signal is not between 1 and 64"))
    }
}

pub async fn remove(
    processes: &Rc<Processes>,
    request: RemoveProcessRequest,
) -> Result<RemoveProcessResponse, Status> {
    processes.remove(request.process_id)?;
    Ok(RemoveProcessResponse {})
}

pub async fn set_env(
    processes: &Rc<Processes>,
    request: SetEnvRequest,
) -> Result<SetEnvResponse, Status> {
    let mut vars = processes.env.borrow().clone();
    vars.extend(request.vars);
    check_vars(&vars)?;
    processes.env.replace(vars);
    Ok(SetEnvResponse {})
}
