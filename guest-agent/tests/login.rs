//! Logins: what an SSH server would start, on a real agent.

mod common;

use std::path::Path;
use std::time::Duration;

use common::session::Session;
use common::{is_alive, wait_for, Agent, Client};
use coppice_guest_agent::gen::process_input::Input;
use coppice_guest_agent::gen::process_output::Output;
use coppice_guest_agent::gen::*;

fn login(command: &str) -> ProcessSpec {
    ProcessSpec {
        command: command.into(),
        login: true,
        ..Default::default()
    }
}

/// Shell that waits until the test makes the file `go`, or has ended, and then makes `done`.
fn until_go(agent: &Agent) -> String {
    let directory = agent.directory.path().display();
    format!(
        "while [ -d {directory} ] && [ ! -e {directory}/go ]; do sleep 0.02; done; \
         touch {directory}/done"
    )
}

/// Lets `until_go` go on, and waits for what it does then.
async fn finish_by_itself(agent: &Agent) {
    assert!(!agent.path("done").exists());
    std::fs::write(agent.path("go"), "").unwrap();
    wait_for("it goes on", || agent.path("done").exists()).await;
}

/// How many cgroups the agent has at present.
fn cgroups(agent: &Agent) -> usize {
    let root = agent.cgroup.as_ref().unwrap();
    let entries = std::fs::read_dir(root).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

fn descriptors(agent: &Agent) -> usize {
    let directory = format!("/proc/{}/fd", agent.pid());
    std::fs::read_dir(directory).unwrap().count()
}

/// Whether a process has ended, reaped or not.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    state.is_empty() || state.starts_with('Z')
}

async fn open(client: &mut Client, spec: ProcessSpec) -> (Session, u32) {
    let mut session = Session::open(client, Input::Start(spec)).await;
    let pid = session.started().await.pid;
    (session, pid)
}

fn with_terminal(spec: ProcessSpec) -> ProcessSpec {
    let size = TerminalSize {
        columns: 80,
        rows: 24,
    };
    ProcessSpec {
        terminal: Some(size),
        ..spec
    }
}

/// Name, home and shell of root, from the file that the agent reads.
fn root() -> (String, String, String) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd
        .lines()
        .find(|line| line.starts_with("root:"))
        .unwrap();
    let fields: Vec<&str> = line.split(':').collect();
    (fields[0].into(), fields[5].into(), fields[6].into())
}

async fn output_of(agent: &Agent, spec: ProcessSpec) -> String {
    let mut client = agent.connect().await;
    let response = client.exec(spec).await.unwrap();
    String::from_utf8(response.stdout.unwrap().head.to_vec()).unwrap()
}

#[tokio::test]
async fn a_command_runs_in_the_accounts_shell_and_home() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    // For every process, and still not for a login's own variables.
    let vars = [
        ("HOME".to_string(), "/set".to_string()),
        ("OTHER".into(), "1".into()),
    ];
    let request = SetEnvRequest { vars: vars.into() };
    client.process.set_env(request).await.unwrap();
    let (name, home, shell) = root();
    let command = "pwd; echo $USER $LOGNAME $HOME $SHELL $OTHER; readlink /proc/$$/exe; echo $0";
    let said = output_of(&agent, login(command)).await;
    let real = std::fs::canonicalize(&shell).unwrap();
    let expected = format!(
        "{home}\n{name} {name} {home} {shell} 1\n{}\n{shell}\n",
        real.display()
    );
    assert_eq!(said, expected);
    // Where the caller says so it is another directory.
    let spec = ProcessSpec {
        cwd: "/proc".into(),
        ..login("pwd")
    };
    assert_eq!(output_of(&agent, spec).await, "/proc\n");
    // And without a login it is all as it was.
    let spec = ProcessSpec {
        login: false,
        ..login("echo $HOME $0")
    };
    assert_eq!(output_of(&agent, spec).await, "/set /bin/sh\n");
}

#[tokio::test]
async fn without_a_command_it_is_a_login_shell() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let (_, _, shell) = root();
    let expected = format!("name=-{}.", shell.rsplit('/').next().unwrap());
    for terminal in [
        None,
        Some(TerminalSize {
            columns: 80,
            rows: 24,
        }),
    ] {
        let spec = ProcessSpec {
            stdin: true,
            terminal,
            ..login("")
        };
        let mut session = Session::open(&mut client, Input::Start(spec)).await;
        session.started().await;
        session
            .send(Input::Stdin("echo name=$0.; exit 7\n".into()))
            .await;
        let mut seen = String::new();
        let code = loop {
            match session.next().await.unwrap() {
                Output::Stdout(chunk) => seen += &String::from_utf8_lossy(&chunk.data),
                Output::Exited(exited) => break exited.exit_code,
                _ => {}
            }
        };
        assert!(seen.contains(&expected), "{seen:?}");
        assert_eq!(code, Some(7));
    }
}

#[tokio::test]
async fn an_account_whose_home_is_missing_begins_at_the_root() {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let agent = Agent::start();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let without_home = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (!std::path::Path::new(fields[5]).exists()).then(|| fields[0].to_string())
    });
    let Some(user) = without_home else { return };
    let spec = ProcessSpec {
        argv: vec!["pwd".into()],
        user,
        ..login("")
    };
    assert_eq!(output_of(&agent, spec).await, "/\n");
}

#[tokio::test]
async fn a_call_ends_at_once_when_what_is_left_has_its_output_elsewhere() {
    let agent = Agent::start();
    let command = format!(
        "nohup sh -c '{}' >/dev/null 2>&1 & echo started",
        until_go(&agent)
    );
    assert_eq!(output_of(&agent, login(&command)).await, "started\n");
    finish_by_itself(&agent).await;
}

#[tokio::test]
async fn a_call_waits_for_whoever_has_its_output() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    let command = format!(
        "{{ {}; echo late; }} & echo early; exit 3",
        until_go(&agent)
    );
    let (mut session, pid) = open(&mut client, login(&command)).await;
    session.until("early\n").await;
    wait_for("the leader ends", || has_ended(pid)).await;
    // Without a login nobody waits that long for silence to end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    finish_by_itself(&agent).await;
    session.until("late\n").await;
    assert_eq!(session.exited().await.exit_code, Some(3));
}

#[tokio::test]
async fn a_terminals_session_ends_with_its_leader_and_jobs_may_live_on() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    // Both have the terminal open; one does not heed that it is hung up.
    let command = format!(
        "sleep 60.0201 & trap '' HUP; {{ {}; }} & echo started; exit 4",
        until_go(&agent)
    );
    let (mut session, _) = open(&mut client, with_terminal(login(&command))).await;
    session.until("started").await;
    assert_eq!(session.exited().await.exit_code, Some(4));
    wait_for("the other ends", || !is_alive("60.0201")).await;
    finish_by_itself(&agent).await;
}

#[tokio::test]
async fn a_client_that_goes_hangs_up_and_what_has_its_own_session_lives_on() {
    for terminal in [false, true] {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let (own, heard) = (agent.path("own"), agent.path("heard"));
        // It begins in its own time, and no sooner may the client go.
        let command = format!(
            "trap 'touch {heard}; exit' HUP
             setsid sh -c 'touch {own}; {}' </dev/null >/dev/null 2>&1 &
             while [ ! -e {own} ]; do sleep 0.02; done
             echo ready; while :; do sleep 0.02; done",
            until_go(&agent),
            own = own.display(),
            heard = heard.display(),
        );
        let spec = if terminal {
            with_terminal(login(&command))
        } else {
            login(&command)
        };
        let (mut session, pid) = open(&mut client, spec).await;
        session.until("ready").await;
        drop(session);
        wait_for("it hears of it", || heard.exists()).await;
        wait_for("it ends", || has_ended(pid)).await;
        finish_by_itself(&agent).await;
    }
}

#[tokio::test]
async fn a_leader_that_does_not_end_is_killed_with_its_group_alone() {
    for terminal in [false, true] {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let (own, heard) = (agent.path("own"), agent.path("heard"));
        let command = format!(
            "(trap '' HUP; exec sleep 60.0202) &
             trap 'touch {heard}' HUP
             setsid sh -c 'touch {own}; {}' </dev/null >/dev/null 2>&1 &
             while [ ! -e {own} ]; do sleep 0.02; done
             echo ready; while :; do sleep 0.02; done",
            until_go(&agent),
            own = own.display(),
            heard = heard.display(),
        );
        let spec = if terminal {
            with_terminal(login(&command))
        } else {
            login(&command)
        };
        let (mut session, pid) = open(&mut client, spec).await;
        session.until("ready").await;
        wait_for("its child runs", || is_alive("60.0202")).await;
        drop(session);
        wait_for("it hears of it", || heard.exists()).await;
        wait_for("it is killed", || has_ended(pid)).await;
        wait_for("its group is killed", || !is_alive("60.0202")).await;
        finish_by_itself(&agent).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_after_the_leader_hangs_up_what_the_call_waits_for() {
    let agent = Agent::start();
    let mut client = agent.connect().await;
    // All have its output open, so that the call goes on.
    let heard = agent.path("heard");
    let command = format!(
        "(trap '' HUP; echo one; {}) & \
         (trap 'touch {}; exit' HUP; echo two; while :; do sleep 0.02; done) & exit 0",
        until_go(&agent),
        heard.display(),
    );
    let (mut session, pid) = open(&mut client, login(&command)).await;
    let mut seen = session.until("o").await;
    while !(seen.contains("one") && seen.contains("two")) {
        seen += &session.until("o").await;
    }
    wait_for("the leader ends", || has_ended(pid)).await;
    drop(session);
    wait_for("it hears of it", || heard.exists()).await;
    finish_by_itself(&agent).await;
    let gone = || !Path::new(&format!("/proc/{pid}")).exists();
    wait_for("the leader is reaped", gone).await;
    let list = client.process.list(ListProcessesRequest {}).await.unwrap();
    assert!(list.into_inner().processes.is_empty());
}

#[tokio::test]
async fn nothing_is_left_of_many_logins_once_what_they_started_has_ended() {
    const LOGINS: usize = 20;
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    client.exec(login("true")).await.unwrap();
    wait_for("its cgroup is gone", || cgroups(&agent) == 0).await;
    let before = descriptors(&agent);
    let command = format!("nohup sh -c '{}' >/dev/null 2>&1 &", until_go(&agent));
    for _ in 0..LOGINS {
        client.exec(login(&command)).await.unwrap();
    }
    assert_eq!(cgroups(&agent), LOGINS);
    finish_by_itself(&agent).await;
    wait_for("their cgroups are gone", || cgroups(&agent) == 0).await;
    wait_for("the agent has closed them", || {
        descriptors(&agent) <= before
    })
    .await;
}

#[tokio::test]
async fn a_time_limit_ends_what_a_login_has_left() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    let limited = |command: &str| ProcessSpec {
        timeout_ms: 1500,
        ..login(command)
    };
    // Its cgroup goes only when nothing lives in it.
    let command = "setsid sleep 60.0203 >/dev/null 2>&1 &";
    client.exec(limited(command)).await.unwrap();
    wait_for("its cgroup is gone", || cgroups(&agent) == 0).await;
    assert!(!is_alive("60.0203"));
    // While it is waited for as well.
    let response = client
        .exec(limited("setsid sleep 60.0204 & exit 0"))
        .await
        .unwrap();
    assert!(response.exited.unwrap().timed_out);
    wait_for("its cgroup is gone", || cgroups(&agent) == 0).await;
    assert!(!is_alive("60.0204"));
}

#[tokio::test]
async fn a_hold_stops_what_a_login_has_left() {
    let agent = Agent::start();
    if !agent.has_cgroups() {
        return;
    }
    let mut client = agent.connect().await;
    let file = agent.path("count");
    let length = || std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
    let command = format!(
        "(while :; do printf x >> {}; sleep 0.01; done) >/dev/null 2>&1 &",
        file.display()
    );
    client.exec(login(&command)).await.unwrap();
    wait_for("it counts", || length() > 3).await;
    client.system.hold(HoldRequest {}).await.unwrap();
    let at = length();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(length(), at);
    client.system.release(ReleaseRequest {}).await.unwrap();
    wait_for("it counts on", || length() > at + 3).await;
}
