//! Exec on a real agent.

mod common;

use std::time::{Duration, Instant};

use common::{bytes, is_alive, peak_kb, shell, wait_for, word, Agent};
use coppice_guest_agent::gen::*;
use tonic::Code;

#[tokio::test]
async fn exec_returns_both_streams_and_the_code() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let response = client
        .exec(shell("echo out; echo err >&2; exit 3"))
        .await
        .unwrap();
    let exited = response.exited.unwrap();
    assert_eq!(
        (exited.exit_code, exited.signal, exited.timed_out),
        (Some(3), None, false)
    );
    assert_eq!(&response.stdout.unwrap().head[..], b"out\n");
    assert_eq!(&response.stderr.unwrap().head[..], b"err\n");
    let killed = client
        .exec(shell("kill -TERM $$"))
        .await
        .unwrap()
        .exited
        .unwrap();
    assert_eq!((killed.exit_code, killed.signal), (None, Some(15)));
}

#[tokio::test]
async fn input_reaches_the_process_and_ends() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let input = vec![b'x'; 1 << 20];
    let request = ExecRequest {
        spec: Some(shell("wc -c")),
        input: input.into(),
    };
    let response = client.process.exec(request).await.unwrap().into_inner();
    assert_eq!(&response.stdout.unwrap().head[..], b"1048576\n");
}

#[tokio::test]
async fn what_did_not_start_says_why() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let argv = |program: &str| ProcessSpec {
        argv: vec![program.into()],
        ..Default::default()
    };
    let cases = [
        (argv("/no/such/program"), Code::NotFound, "not_found"),
        (argv("no-such-program"), Code::NotFound, "not_found"),
        (argv("/etc/passwd"), Code::PermissionDenied, "permission"),
        (
            ProcessSpec {
                cwd: "/no/such".into(),
                ..shell("true")
            },
            Code::NotFound,
            "not_found",
        ),
        (
            ProcessSpec {
                user: "no-such".into(),
                ..shell("true")
            },
            Code::NotFound,
            "user_unknown",
        ),
        (
            ProcessSpec {
                keep: true,
                ..shell("true")
            },
            Code::InvalidArgument,
            "",
        ),
        (
            shell(&"x".repeat((1 << 20) + 1)),
            Code::InvalidArgument,
            "too_large",
        ),
    ];
    for (spec, code, expected) in cases {
        let shown = format!("{spec:.100?}");
        let status = client.exec(spec).await.unwrap_err();
        assert_eq!((status.code(), word(&status)), (code, expected), "{shown}");
    }
}

#[tokio::test]
async fn a_command_longer_than_an_argument_runs() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let command = format!("echo {}", "x".repeat(200_000));
    let response = client.exec(shell(&command)).await.unwrap();
    assert_eq!(response.stdout.unwrap().total_bytes, 200_001);
}

#[tokio::test]
async fn a_gibibyte_is_counted_and_its_ends_are_kept() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let response = client
        .exec(shell("yes | head -c 1073741824; echo end"))
        .await
        .unwrap();
    let stdout = response.stdout.unwrap();
    assert_eq!(stdout.total_bytes, (1 << 30) + 4);
    assert_eq!((stdout.head.len(), stdout.tail.len()), (131_072, 131_072));
    assert!(stdout.head.starts_with(b"y\ny\n") && stdout.tail.ends_with(b"y\nend\n"));
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let command = "sh -c 'sleep 70001 & sleep 70001' & sleep 70001";
    let spec = ProcessSpec {
        timeout_ms: 300,
        ..shell(command)
    };
    let exited = client.exec(spec).await.unwrap().exited.unwrap();
    assert!(exited.timed_out);
    assert_eq!(exited.signal, Some(9));
    wait_for("the tree is gone", || !is_alive("70001")).await;
}

#[tokio::test]
async fn a_detached_grandchild_delays_nothing_and_does_not_survive() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let begin = Instant::now();
    // Without cgroups a new session is out of reach.
    let detach = if agent.has_cgroups() { "setsid" } else { "" };
    let response = client
        .exec(shell(&format!("{detach} sleep 70002 & echo done")))
        .await
        .unwrap();
    assert_eq!(&response.stdout.unwrap().head[..], b"done\n");
    assert!(begin.elapsed() < Duration::from_secs(3));
    wait_for("the grandchild is gone", || !is_alive("70002")).await;
}

#[tokio::test]
async fn variables_are_layered_and_checked() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let vars = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    };
    let bad = SetEnvRequest {
        vars: vars(&[("GOOD", "1"), ("not-good", "1")]),
    };
    assert_eq!(
        client.process.set_env(bad).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let set = SetEnvRequest {
        vars: vars(&[("A", "set"), ("B", "set")]),
    };
    client.process.set_env(set).await.unwrap();
    let spec = ProcessSpec {
        env: vars(&[("B", "spec")]),
        ..shell("echo $A $B $GOOD $HOME")
    };
    let response = client.exec(spec).await.unwrap();
    assert_eq!(&response.stdout.unwrap().head[..], b"set spec /root\n");
}

#[tokio::test]
async fn many_processes_at_once_leave_nothing_behind() {
    let agent = Agent::start();
    let client = agent.connect().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut client = client.clone();
        tasks.spawn(async move {
            let response = client.exec(shell(&format!("echo {number}"))).await.unwrap();
            assert_eq!(response.stdout.unwrap().head, format!("{number}\n"));
        });
    }
    tasks.join_all().await;
    let mut client = client;
    let list = client
        .process
        .list(ListProcessesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(list.processes.is_empty());
    let fds = || {
        std::fs::read_dir(format!("/proc/{}/fd", agent.pid()))
            .unwrap()
            .count()
    };
    wait_for("descriptors are closed", || fds() < 20).await;
}

#[tokio::test]
async fn all_output_goes_to_a_file_too_and_the_agent_stays_small() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let out = agent.path("deep/er/out");
    let spec = ProcessSpec {
        output_file: bytes(&out),
        keep_bytes: 4096,
        ..shell("yes | head -c 268435456; echo end; echo problem >&2")
    };
    let response = client.exec(spec.clone()).await.unwrap();
    let exited = response.exited.unwrap();
    assert_eq!((exited.exit_code, exited.output_errno), (Some(0), 0));
    assert_eq!(response.stdout.unwrap().head.len(), 4096);
    assert_eq!(
        std::fs::metadata(&out).unwrap().len(),
        exited.stdout_bytes,
        "stdout is whole"
    );
    let written = std::fs::read(&out).unwrap();
    assert!(written.starts_with(b"y\ny\n") && written.ends_with(b"y\nend\n"));
    let errors = agent.path("deep/er/out.stderr");
    assert_eq!(std::fs::read(&errors).unwrap(), b"problem\n");
    assert!(peak_kb(agent.pid()) < 64 << 10);

    // What was there before is not.
    let spec = ProcessSpec {
        command: "echo again".into(),
        ..spec
    };
    client.exec(spec).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), b"again\n");
    assert_eq!(std::fs::read(&errors).unwrap(), b"");
}

#[tokio::test]
async fn an_output_file_that_cannot_be_opened_starts_nothing_and_one_that_fails_is_told() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let mark = agent.path("ran");
    let spec = ProcessSpec {
        output_file: bytes(agent.directory.path()),
        ..shell(&format!("touch {}", mark.display()))
    };
    let status = client.exec(spec).await.unwrap_err();
    assert_eq!(word(&status), "not_started");
    assert!(!mark.exists());

    let spec = ProcessSpec {
        output_file: bytes("relative"),
        ..shell("true")
    };
    let status = client.exec(spec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    // The command itself goes on, and its output is kept as ever.
    let full = agent.path("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let spec = ProcessSpec {
        output_file: bytes(&full),
        ..shell("echo one; sleep 0.1; echo two")
    };
    let response = client.exec(spec).await.unwrap();
    let exited = response.exited.unwrap();
    assert_eq!(
        (exited.exit_code, exited.output_errno),
        (Some(0), libc::ENOSPC as u32)
    );
    assert_eq!(&response.stdout.unwrap().head[..], b"one\ntwo\n");
}
