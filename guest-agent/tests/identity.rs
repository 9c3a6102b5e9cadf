//! Configure's network identity on a real agent, in a network namespace of its own.

mod common;

use std::process::Command;

use common::{Agent, Client};
use coppice_guest_agent::gen::*;
use tonic::Code;

/// Makes the cards, hides the files of the machine that Configure writes, and becomes the agent.
const SETUP: &str = "
    ip link set lo up
    ip link add other type veth peer name card
    ip link set other up
    ip link set card up
    ip addr add 192.168.7.2/24 dev card
    ip addr add 192.168.7.3/24 dev card
    ip addr add 10.9.9.9/32 dev card
    ip route add default via 192.168.7.1 dev card
    ip neigh add 192.168.7.1 lladdr 02:00:00:00:00:99 dev card
    mount -t tmpfs none /etc
    exec \"$@\"";

/// None where namespaces cannot be made.
fn start() -> Option<Agent> {
    let unshare = ["--net", "--mount", "--uts"];
    let probe = Command::new("unshare")
        .args(unshare)
        .args(["ip", "link", "add", "card", "type", "veth"])
        .stderr(std::process::Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-ec", SETUP, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_coppice-guest-agent"));
    Some(Agent::start_program(command, &["--own-machine"]))
}

fn identity() -> NetworkIdentity {
    NetworkIdentity {
        mac: "52:54:00:12:34:56".into(),
        address: "10.20.30.40".into(),
        prefix_length: 20,
        gateway: "10.20.16.1".into(),
        dns: vec!["10.20.16.1".into()],
        ..Default::default()
    }
}

async fn configure(client: &mut Client, network: NetworkIdentity) -> Result<(), tonic::Status> {
    let request = ConfigureRequest {
        network: Some(network),
        ..Default::default()
    };
    client.system.configure(request).await.map(drop)
}

async fn output(client: &mut Client, command: &str) -> String {
    let spec = ProcessSpec {
        env: [(
            "PATH".to_string(),
            "/usr/sbin:/usr/bin:/sbin:/bin".to_string(),
        )]
        .into(),
        ..common::shell(command)
    };
    let response = client.exec(spec).await.unwrap();
    String::from_utf8_lossy(&response.stdout.unwrap().head).into_owned()
}

#[tokio::test]
async fn a_card_gets_a_new_identity_and_keeps_nothing_of_the_old_one() {
    let Some(agent) = start() else { return };
    let mut client = agent.connect().await;
    // Twice: what is there already is no obstacle.
    for _ in 0..2 {
        configure(&mut client, identity()).await.unwrap();
    }
    let addresses = output(&mut client, "ip -4 -o addr show dev card").await;
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
    assert!(addresses.contains("10.20.30.40/20 brd 10.20.31.255"));
    let link = output(&mut client, "ip link show dev card").await;
    assert!(
        link.contains("52:54:00:12:34:56") && link.contains(",UP"),
        "{link}"
    );
    let routes = output(&mut client, "ip -4 route show").await;
    assert!(
        routes.contains("default via 10.20.16.1 dev card"),
        "{routes}"
    );
    assert!(!routes.contains("192.168.7"), "{routes}");
    let neighbours = output(&mut client, "ip neigh show dev card").await;
    assert!(!neighbours.contains("192.168.7"), "{neighbours}");
    let v6 = output(&mut client, "ip -6 -o addr show dev card").await;
    assert_eq!(v6, "");
    let resolver = output(&mut client, "cat /etc/resolv.conf").await;
    assert_eq!(resolver, "nameserver 10.20.16.1\n");

    let info = client
        .system
        .get_info(GetInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (info.mac.as_str(), info.address.as_str()),
        ("52:54:00:12:34:56", "10.20.30.40")
    );
}

#[tokio::test]
async fn a_named_card_without_gateway_and_name_servers_gets_none() {
    let Some(agent) = start() else { return };
    let mut client = agent.connect().await;
    let network = NetworkIdentity {
        interface: "other".into(),
        prefix_length: 32,
        gateway: String::new(),
        dns: Vec::new(),
        ..identity()
    };
    configure(&mut client, network.clone()).await.unwrap();
    let addresses = output(&mut client, "ip -4 -o addr show dev other").await;
    assert!(addresses.contains("10.20.30.40/32"), "{addresses}");
    let routes = output(&mut client, "ip -4 route show dev other").await;
    assert!(!routes.contains("default"), "{routes}");
    let resolver = output(&mut client, "cat /etc/resolv.conf 2>&1").await;
    assert!(resolver.contains("No such file"), "{resolver}");

    // A gateway on the link, outside the prefix.
    let network = NetworkIdentity {
        gateway: "169.254.1.1".into(),
        ..network
    };
    configure(&mut client, network).await.unwrap();
    let routes = output(&mut client, "ip -4 route show dev other").await;
    assert!(routes.contains("default via 169.254.1.1"), "{routes}");
}

#[tokio::test]
async fn a_missing_card_fails_and_the_machine_stays_what_and_how_it_is() {
    let Some(agent) = start() else { return };
    let mut client = agent.connect().await;
    if agent.has_cgroups() {
        client.system.hold(HoldRequest {}).await.unwrap();
    }
    let network = NetworkIdentity {
        interface: "missing".into(),
        ..identity()
    };
    let request = ConfigureRequest {
        generation: Some(5),
        network: Some(network),
        release: Some(true),
        ..Default::default()
    };
    let status = client.system.configure(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("network"), "{status}");
    let info = client
        .system
        .get_info(GetInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((info.generation, info.held), (0, agent.has_cgroups()));
}
