//! Logins: what an SSH server would start, on a real agent.

mod common;

use common::session::Session;
use common::Agent;
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
