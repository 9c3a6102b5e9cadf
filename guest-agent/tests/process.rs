//! Open, jobs and signals on a real agent.

mod common;

use std::time::Duration;

use common::session::Session;
use common::{is_alive, peak_kb, shell, wait_for, word, Agent};
use coppice_guest_agent::gen::process_input::Input;
use coppice_guest_agent::gen::process_output::Output;
use coppice_guest_agent::gen::*;
use tonic::Code;

#[tokio::test]
async fn a_stream_is_complete_and_the_agent_stays_small() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let mut session =
        Session::open(&mut client, Input::Start(shell("yes | head -c 268435456"))).await;
    session.started().await;
    let mut total = 0;
    let exited = loop {
        match session.next().await.unwrap() {
            Output::Stdout(chunk) => {
                assert_eq!(chunk.offset, total);
                total += chunk.data.len() as u64;
                if total < 1 << 20 {
                    // A slow reader: the writer must wait, not the agent's memory grow.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Output::Exited(exited) => break exited,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((total, exited.stdout_bytes), (1 << 28, 1 << 28));
    let peak = peak_kb(agent.pid());
    assert!(peak < 64 << 10, "{peak} kB");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_process_along() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let mut session = Session::open(&mut client, Input::Start(shell("sleep 70003"))).await;
    session.started().await;
    wait_for("it runs", || is_alive("70003")).await;
    drop(session);
    wait_for("the process is gone", || !is_alive("70003")).await;

    // The same for the whole connection.
    let mut session = Session::open(&mut client, Input::Start(shell("sleep 70004"))).await;
    session.started().await;
    wait_for("it runs", || is_alive("70004")).await;
    let mut other = agent.connect().await;
    wait_for("the process is gone", || !is_alive("70004")).await;
    other.exec(shell("true")).await.unwrap();
}

#[tokio::test]
async fn a_job_survives_its_connection_and_can_be_attached() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let spec = ProcessSpec {
        label: "job".into(),
        ..shell("echo one; read x; echo got $x")
    };
    let spec = ProcessSpec {
        stdin: true,
        ..spec
    };
    let request = StartRequest { spec: Some(spec) };
    let id = client
        .process
        .start(request)
        .await
        .unwrap()
        .into_inner()
        .process_id;
    drop(client);

    let mut client = agent.connect().await;
    let get = GetProcessRequest {
        process_id: id,
        wait_ms: 5000,
        ..Default::default()
    };
    let got = client.process.get(get).await.unwrap().into_inner();
    assert_eq!(&got.stdout.unwrap().head[..], b"one\n");
    let attach = Attach {
        process_id: id,
        ..Default::default()
    };
    let mut session = Session::open(&mut client, Input::Attach(attach)).await;
    session.started().await;
    session.until("one\n").await;
    session.send(Input::Stdin("two\n".into())).await;
    session.until("got two\n").await;
    assert_eq!(session.exited().await.exit_code, Some(0));

    // Finished: listed, readable from an offset, then forgotten.
    let list = client
        .process
        .list(ListProcessesRequest {})
        .await
        .unwrap()
        .into_inner()
        .processes;
    assert_eq!(
        (list.len(), list[0].label.as_str(), list[0].kept),
        (1, "job", true)
    );
    let get = GetProcessRequest {
        process_id: id,
        stdout_offset: 4,
        ..Default::default()
    };
    let got = client.process.get(get).await.unwrap().into_inner();
    assert_eq!(&got.stdout.unwrap().head[..], b"got two\n");
    client
        .process
        .remove(RemoveProcessRequest { process_id: id })
        .await
        .unwrap();
    let get = GetProcessRequest {
        process_id: id,
        ..Default::default()
    };
    let status = client.process.get(get).await.unwrap_err();
    assert_eq!(
        (status.code(), word(&status)),
        (Code::NotFound, "not_found")
    );
}

#[tokio::test]
async fn a_kept_process_never_waits_for_its_client() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let spec = ProcessSpec {
        keep: true,
        ..shell("yes | head -c 134217728; echo end")
    };
    let mut session = Session::open(&mut client, Input::Start(spec)).await;
    let id = session.started().await.process_id;
    // Nothing is read from the session, and still it ends.
    let get = GetProcessRequest {
        process_id: id,
        wait_ms: 0,
        ..Default::default()
    };
    let mut ended = false;
    for _ in 0..200 {
        let got = client.process.get(get).await.unwrap().into_inner();
        ended = got.process.unwrap().exited.is_some();
        if ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ended);
    let (mut next, mut gap) = (0, false);
    while let Some(Output::Stdout(chunk)) = session.next().await {
        gap |= chunk.offset > next;
        assert!(chunk.offset >= next);
        next = chunk.offset + chunk.data.len() as u64;
    }
    assert!(gap);
    assert_eq!(next, (1 << 27) + 4);
}

#[tokio::test]
async fn a_terminal_has_a_size_a_foreground_and_a_memory() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let spec = ProcessSpec {
        terminal: Some(TerminalSize {
            columns: 100,
            rows: 30,
        }),
        keep: true,
        argv: vec!["/bin/sh".into()],
        ..Default::default()
    };
    let mut session = Session::open(&mut client, Input::Start(spec)).await;
    let id = session.started().await.process_id;
    session
        .send(Input::Stdin("stty size; echo $TERM\n".into()))
        .await;
    let seen = session.until("xterm-256color").await;
    assert!(seen.contains("30 100"), "{seen:?}");
    session
        .send(Input::Resize(TerminalSize {
            columns: 120,
            rows: 40,
        }))
        .await;
    session.send(Input::Stdin("stty size\n".into())).await;
    session.until("40 120").await;
    // The interrupt goes to the program in the foreground, not to the shell.
    session
        .send(Input::Stdin("sleep 70005; echo after=$?\n".into()))
        .await;
    wait_for("it sleeps", || is_alive("70005")).await;
    session.send(Input::Signal(2)).await;
    wait_for("it was interrupted", || !is_alive("70005")).await;
    drop(session);

    let attach = Attach {
        process_id: id,
        ..Default::default()
    };
    let mut session = Session::open(&mut client, Input::Attach(attach)).await;
    session.started().await;
    session.until("40 120").await;
    session.send(Input::Stdin("exit 7\n".into())).await;
    assert_eq!(session.exited().await.exit_code, Some(7));
}

#[tokio::test]
async fn signals_reach_the_tree_or_the_leader() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let spec = shell("trap 'echo leader' USR1; sh -c 'trap \"echo child\" USR1; echo ready; while :; do sleep 0.05; done' & while :; do sleep 0.05; done");
    let mut session = Session::open(&mut client, Input::Start(spec)).await;
    let id = session.started().await.process_id;
    session.until("ready").await;
    let signal = SignalRequest {
        process_id: id,
        signal: 10,
        leader_only: true,
    };
    client.process.signal(signal).await.unwrap();
    session.until("leader").await;
    let signal = SignalRequest {
        process_id: id,
        signal: 9,
        leader_only: false,
    };
    client.process.signal(signal).await.unwrap();
    assert_eq!(session.exited().await.signal, Some(9));
    let status = client.process.signal(signal).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn many_finished_jobs_keep_their_ends_in_bounded_memory() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let mut first = 0;
    // More output than may be kept of all of them together.
    for number in 0..80 {
        let spec = ProcessSpec {
            keep_bytes: 4 << 20,
            ..shell("echo begin; yes | head -c 8388608; echo end")
        };
        let request = StartRequest { spec: Some(spec) };
        let started = client.process.start(request).await.unwrap().into_inner();
        let id = started.process_id;
        if number == 0 {
            first = id;
        }
        let get = GetProcessRequest {
            process_id: id,
            wait_ms: 60_000,
            stdout_offset: u64::MAX,
            stderr_offset: u64::MAX,
        };
        let got = client.process.get(get).await.unwrap().into_inner();
        assert_eq!(got.process.unwrap().exited.unwrap().exit_code, Some(0));
    }
    let get = GetProcessRequest {
        process_id: first,
        ..Default::default()
    };
    for _ in 0..2 {
        let got = client.process.get(get).await.unwrap().into_inner();
        let stdout = got.stdout.unwrap();
        assert_eq!(stdout.total_bytes, 8_388_608 + 10);
        assert!(stdout.head.starts_with(b"begin\n") && stdout.tail.ends_with(b"y\nend\n"));
        // The oldest has made room.
        assert!(stdout.head.len() <= 4096);
    }
    let peak = peak_kb(agent.pid());
    assert!(peak < 220 << 10, "{peak} kB");
}
