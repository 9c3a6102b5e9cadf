//! Hold, Release and a change of the generation, on a real agent.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{is_alive, say_hello, shell, wait_for, word, Agent, Client};
use coppice_guest_agent::gen::*;
use tonic::Code;

/// Appends a byte to `file` for ever.
fn counter(file: &Path) -> ProcessSpec {
    shell(&format!(
        "while :; do printf x >> {}; sleep 0.01; done",
        file.display()
    ))
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

async fn start(client: &mut Client, spec: ProcessSpec) -> u64 {
    let request = StartRequest { spec: Some(spec) };
    let started = client.process.start(request).await.unwrap();
    started.into_inner().process_id
}

async fn hold(client: &mut Client) {
    client.system.hold(HoldRequest {}).await.unwrap();
}

async fn release(client: &mut Client) {
    client.system.release(ReleaseRequest {}).await.unwrap();
}

async fn is_held(client: &mut Client) -> bool {
    let info = client.system.get_info(GetInfoRequest {}).await.unwrap();
    info.into_inner().held
}

async fn list(client: &mut Client) -> Vec<ProcessInfo> {
    let response = client.process.list(ListProcessesRequest {}).await.unwrap();
    response.into_inner().processes
}

#[tokio::test]
async fn a_held_workload_stands_still_and_goes_on() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    let file = agent.path("count");
    start(&mut client, counter(&file)).await;
    wait_for("it counts", || length(&file) > 3).await;
    assert!(!is_held(&mut client).await);
    hold(&mut client).await;
    let at = length(&file);
    hold(&mut client).await;
    assert!(is_held(&mut client).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(length(&file), at);
    release(&mut client).await;
    release(&mut client).await;
    assert!(!is_held(&mut client).await);
    wait_for("it counts on", || length(&file) > at + 3).await;
}

#[tokio::test]
async fn what_is_started_meanwhile_runs_from_the_release_on() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    hold(&mut client).await;
    let mut other = client.clone();
    let exec = tokio::spawn(async move { other.exec(shell("echo ran")).await });
    // One that is given up starts nothing.
    let mut other = client.clone();
    let file = agent.path("given-up");
    let spec = shell(&format!("touch {}", file.display()));
    let given_up = tokio::spawn(async move { other.exec(spec).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!exec.is_finished());
    given_up.abort();
    // The agent answers all the time.
    client.system.ping(PingRequest {}).await.unwrap();
    assert!(list(&mut client).await.is_empty());
    release(&mut client).await;
    let response = exec.await.unwrap().unwrap();
    assert_eq!(&response.stdout.unwrap().head[..], b"ran\n");
    client.exec(shell("sleep 0.1")).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn a_time_out_does_not_run_while_the_workload_is_held() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    let spec = ProcessSpec {
        timeout_ms: 700,
        ..shell("sleep 70101")
    };
    let id = start(&mut client, spec).await;
    hold(&mut client).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    let processes = list(&mut client).await;
    assert!(processes[0].exited.is_none());
    release(&mut client).await;
    let get = GetProcessRequest {
        process_id: id,
        wait_ms: 20_000,
        ..Default::default()
    };
    let got = client.process.get(get).await.unwrap().into_inner();
    assert!(got.process.unwrap().exited.unwrap().timed_out);
}

#[tokio::test]
async fn a_held_process_can_be_killed() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    let process_id = start(&mut client, shell("sleep 70102")).await;
    wait_for("it runs", || is_alive("70102")).await;
    hold(&mut client).await;
    let signal = SignalRequest {
        process_id,
        signal: 9,
        leader_only: false,
    };
    client.process.signal(signal).await.unwrap();
    let get = GetProcessRequest {
        process_id,
        wait_ms: 20_000,
        ..Default::default()
    };
    let got = client.process.get(get).await.unwrap().into_inner();
    assert_eq!(got.process.unwrap().exited.unwrap().signal, Some(9));
    assert!(is_held(&mut client).await);
}

#[tokio::test]
async fn an_agent_that_is_started_again_knows_that_the_machine_is_held() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    hold(&mut agent.connect().await).await;
    let cgroup = agent.cgroup.as_ref().unwrap().to_str().unwrap();
    let next = Agent::start_with(&["--cgroup", cgroup]);
    let mut client = next.connect().await;
    assert!(is_held(&mut client).await);
    let mut other = client.clone();
    let exec = tokio::spawn(async move { other.exec(shell("true")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!exec.is_finished());
    release(&mut client).await;
    exec.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_machine_that_cannot_be_held_runs_on() {
    let agent = Agent::start_with(&["--cgroup", "/proc/no-cgroup"]);
    let mut client = agent.connect().await;
    let status = client.system.hold(HoldRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    client.exec(shell("true")).await.unwrap();
}

#[tokio::test]
async fn a_new_generation_gives_every_process_a_new_id() {
    let agent = Agent::start_with(&["--generation", "3"]);
    let connect = |generation| {
        let agent = &agent;
        async move {
            let mut stream = agent.dial().await;
            say_hello(&mut stream, generation).await;
            Client::new(stream).await
        }
    };
    let mut client = connect(3).await;
    let first = start(&mut client, shell("sleep 70103")).await;
    let second = start(&mut client, shell("sleep 0.3; echo done")).await;
    assert_eq!((first, second), (1, 2));
    let same = ConfigureRequest {
        generation: Some(3),
        ..Default::default()
    };
    client.system.configure(same).await.unwrap();
    assert_eq!(list(&mut client).await[0].process_id, 1);

    if agent.has_cgroups() {
        hold(&mut client).await;
    }
    let mut client = connect(7).await;
    let status = client.exec(shell("true")).await.unwrap_err();
    assert_eq!(word(&status), "not_configured");
    let configure = ConfigureRequest {
        generation: Some(7),
        release: Some(true),
        ..Default::default()
    };
    client.system.configure(configure).await.unwrap();
    assert!(!is_held(&mut client).await);

    let ids: Vec<(u64, u64)> = list(&mut client)
        .await
        .iter()
        .map(|process| (process.process_id, process.inherited_from))
        .collect();
    assert_eq!(ids, [(700_001, 1), (700_002, 2)]);
    // Waits for the end alone.
    let get = |process_id| GetProcessRequest {
        process_id,
        wait_ms: 20_000,
        stdout_offset: 1 << 20,
        stderr_offset: 1 << 20,
    };
    let status = client.process.get(get(1)).await.unwrap_err();
    assert_eq!(
        (status.code(), word(&status)),
        (Code::NotFound, "not_found")
    );
    let got = client.process.get(get(700_002)).await.unwrap().into_inner();
    assert_eq!(got.process.unwrap().stdout_bytes, 5);
    assert_eq!(start(&mut client, shell("true")).await, 700_003);
    let remove = RemoveProcessRequest {
        process_id: 700_002,
    };
    client.process.remove(remove).await.unwrap();

    // Downwards the numbers go on: a process of the life before may still have the first of them.
    let configure = ConfigureRequest {
        generation: Some(2),
        ..Default::default()
    };
    client.system.configure(configure).await.unwrap();
    let processes = list(&mut client).await;
    assert_eq!(
        (processes[0].process_id, processes[0].inherited_from),
        (700_004, 700_001)
    );
    let too_large = ConfigureRequest {
        generation: Some(u64::MAX),
        ..Default::default()
    };
    let status = client.system.configure(too_large).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_first_generation_forgets_what_ran_before_and_counts_from_one() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    client.exec(shell("true")).await.unwrap();
    let ended = start(&mut client, shell("true")).await;
    let running = start(&mut client, shell("sleep 70104")).await;
    assert_eq!((ended, running), (2, 3));
    let get = GetProcessRequest {
        process_id: ended,
        wait_ms: 20_000,
        ..Default::default()
    };
    client.process.get(get).await.unwrap();
    let configure = ConfigureRequest {
        generation: Some(9),
        ..Default::default()
    };
    client.system.configure(configure).await.unwrap();
    let processes = list(&mut client).await;
    let ids: Vec<(u64, u64)> = processes
        .iter()
        .map(|process| (process.process_id, process.inherited_from))
        .collect();
    assert_eq!(ids, [(1, 3)]);
    assert_eq!(start(&mut client, shell("sleep 70105")).await, 2);
    // It is not in the cgroup of another, which had its number.
    let signal = SignalRequest {
        process_id: 2,
        signal: 9,
        leader_only: false,
    };
    client.process.signal(signal).await.unwrap();
    wait_for("it ends", || !is_alive("70105")).await;
    assert!(is_alive("70104"));
}
