//! From an rpc's path to its handler. The match is over every rpc of the contract.

use std::future::Future;
use std::rc::Rc;

use prost::Message;

use crate::agent::Agent;
use crate::gen::{self, Method};
use crate::grpc::{Call, Code, Incoming, Outgoing, Status};
use crate::{files, network, process, system};

pub async fn route(agent: Rc<Agent>, path: String, call: Call) -> Result<(), Status> {
    let Some(method) = Method::from_path(&path) else {
        return Err(Status::new(
            Code::Unimplemented,
            format!("no method {path}"),
        ));
    };
    if !method.is_system() && !agent.is_current() {
        let text = "this machine was restored or forked and has not been configured since";
        return Err(Status::new(Code::FailedPrecondition, text).with("not_configured"));
    }
    let outcome = dispatch(&agent, method, call).await;
    if moves_bulk(method) {
        agent.trim_soon();
    }
    outcome
}

async fn dispatch(agent: &Rc<Agent>, method: Method, call: Call) -> Result<(), Status> {
    use Method::*;
    let processes = &agent.processes;
    match method {
        SystemPing => unary(call, |_: gen::PingRequest| system::ping()).await,
        SystemGetInfo => unary(call, |_: gen::GetInfoRequest| system::get_info(agent)).await,
        SystemConfigure => unary(call, |request| system::configure(agent, request)).await,
        SystemHold => unary(call, |_: gen::HoldRequest| system::hold(agent)).await,
        SystemRelease => unary(call, |_: gen::ReleaseRequest| system::release(agent)).await,
        SystemGetStats => unary(call, |_: gen::GetStatsRequest| system::get_stats()).await,
        SystemSync => unary(call, |request| agent.freezer.sync(request)).await,
        SystemThaw => unary(call, |_: gen::ThawRequest| agent.freezer.thaw()).await,
        SystemGrowRoot => unary(call, |_: gen::GrowRootRequest| system::grow_root()).await,
        SystemShutdown => unary(call, |request| system::shutdown(agent, request)).await,

        ProcessOpen => bidirectional(call, |i, o| process::open(processes, i, o)).await,
        ProcessStart => unary(call, |request| process::start(processes, request)).await,
        ProcessExec => unary(call, |request| process::exec(processes, request)).await,
        ProcessList => {
            unary(call, |_: gen::ListProcessesRequest| {
                process::list(processes)
            })
            .await
        }
        ProcessGet => unary(call, |request| process::get(processes, request)).await,
        ProcessSignal => unary(call, |request| process::signal(processes, request)).await,
        ProcessRemove => unary(call, |request| process::remove(processes, request)).await,
        ProcessSetEnv => unary(call, |request| process::set_env(processes, request)).await,

        FileStat => unary(call, files::stat).await,
        FileList => streaming(call, files::list).await,
        FileRead => streaming(call, files::read).await,
        FileWrite => collecting(call, files::write).await,
        FileEdit => unary(call, files::edit).await,
        FileMakeDirectory => unary(call, files::make_directory).await,
        FileRemove => unary(call, files::remove).await,
        FileRename => unary(call, files::rename).await,
        FileCopy => unary(call, files::copy).await,
        FileWatch => streaming(call, files::watch).await,
        FileSearch => streaming(call, files::search).await,
        FileArchive => streaming(call, files::archive).await,
        FileExtract => collecting(call, files::extract).await,
        FileManifest => streaming(call, files::manifest).await,
        FileDigest => streaming(call, files::digest).await,

        NetworkTunnel => bidirectional(call, network::tunnel).await,
        NetworkListListeners => {
            unary(call, |_: gen::ListListenersRequest| {
                network::list_listeners()
            })
            .await
        }
        NetworkWatchListeners => {
            streaming(call, |_: gen::WatchListenersRequest, outgoing| {
                network::watch_listeners(agent, outgoing)
            })
            .await
        }
    }
}

fn moves_bulk(method: Method) -> bool {
    use Method::*;
    matches!(
        method,
        ProcessOpen
            | ProcessExec
            | ProcessRemove
            | FileRead
            | FileWrite
            | FileEdit
            | FileCopy
            | FileSearch
            | FileArchive
            | FileExtract
            | FileManifest
            | FileDigest
            | NetworkTunnel
    )
}

async fn unary<I, O, F>(call: Call, handler: impl FnOnce(I) -> F) -> Result<(), Status>
where
    I: Message + Default,
    O: Message,
    F: Future<Output = Result<O, Status>>,
{
    let (incoming, outgoing) = call.split();
    let response = handler(incoming.only().await?).await?;
    outgoing.send(&response).await
}

async fn streaming<I, O, F>(
    call: Call,
    handler: impl FnOnce(I, Outgoing<O>) -> F,
) -> Result<(), Status>
where
    I: Message + Default,
    O: Message,
    F: Future<Output = Result<(), Status>>,
{
    let (incoming, outgoing) = call.split();
    handler(incoming.only().await?, outgoing).await
}

async fn collecting<I, O, F>(
    call: Call,
    handler: impl FnOnce(Incoming<I>) -> F,
) -> Result<(), Status>
where
    I: Message + Default,
    O: Message,
    F: Future<Output = Result<O, Status>>,
{
    let (incoming, outgoing) = call.split();
    let response = handler(incoming).await?;
    outgoing.send(&response).await
}

async fn bidirectional<I, O, F>(
    call: Call,
    handler: impl FnOnce(Incoming<I>, Outgoing<O>) -> F,
) -> Result<(), Status>
where
    I: Message + Default,
    O: Message,
    F: Future<Output = Result<(), Status>>,
{
    let (incoming, outgoing) = call.split();
    handler(incoming, outgoing).await
}
