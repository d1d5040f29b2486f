//! Reaching an endpoint: retries, racing address families, PROXY headers in and out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use super::*;
use crate::proxy::close::CloseReason;
use crate::proxy::proxy_header;

/// An address that takes SYNs and never answers: a listener whose queue is full.
struct BlackHole {
    _listener: socket2::Socket,
    _filling: Vec<socket2::Socket>,
}

impl BlackHole {
    fn at(address: SocketAddr) -> (Self, SocketAddr) {
        let socket = || {
            let domain = socket2::Domain::for_address(address);
            socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap()
        };
        let listener = socket();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let at = listener.local_addr().unwrap();
        let fill = |_| {
            let client = socket();
            client.set_nonblocking(true).unwrap();
            client
                .connect(&at)
                .expect_err("a connect that does not block is under way");
            client
        };
        let filling = (0..4).map(fill).collect();
        let address = at.as_socket().unwrap();
        (
            Self {
                _listener: listener,
                _filling: filling,
            },
            address,
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_passed_over_and_the_hello_replayed() {
    let (dead, dead_address) = server().await;
    drop(dead);
    let (good, good_address) = server().await;
    let rig = Setup::to(&[dead_address, good_address]).start();
    for _ in 0..4 {
        let (_client, _upstream) = joined(&rig, &good).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_costs_its_connect_timeout_and_no_more() {
    let (_hole, silent) = BlackHole::at((Ipv4Addr::LOCALHOST, 0).into());
    let mut setup = Setup::to(&[silent]);
    setup.limits.connect_timeout = Duration::from_millis(200);
    let rig = setup.start();
    let mut client = rig.connect().await;
    client.write_all(&hello("web.example.com")).await.unwrap();
    let (answer, _) = read_out(&mut client).await;
    assert_eq!(answer, gateway_common::wire::Alert::InternalError.record());
    let record = rig.record().await;
    assert_eq!(record.reason, CloseReason::ConnectFailed);
    assert_eq!(record.attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_many_addresses_costs_no_more_dials_than_allowed() {
    let (closed, address) = server().await;
    drop(closed);
    let mut setup = Setup::to(&[]);
    setup.endpoints = vec![Target::Host {
        host: "shop.internal".into(),
        port: address.port(),
    }];
    setup.resolved = (1..=20)
        .map(|last| Ipv4Addr::new(127, 0, 0, last).into())
        .collect();
    let allowed = setup.limits.connect_attempts;
    let rig = setup.start();
    let mut client = rig.connect().await;
    client.write_all(&hello("web.example.com")).await.unwrap();
    assert_eq!(rig.record().await.attempts, allowed);
    assert_eq!(rig.records.failed.lock().unwrap().len(), allowed as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_lacks_is_not_the_endpoints_fault() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    // No interface has it (RFC 5737).
    setup.source_addresses = vec!["192.0.2.1".parse().unwrap()];
    let rig = setup.start();
    let mut client = rig.connect().await;
    client.write_all(&hello("web.example.com")).await.unwrap();
    assert_eq!(rig.record().await.reason, CloseReason::ConnectFailed);
    let snapshot = rig.gateway.control.snapshot();
    let route = snapshot.routes.get("web.example.com").unwrap();
    assert_eq!(route.cluster.survey(Instant::now())[0].failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_address_family_loses_the_race_to_the_other() {
    let (good, v4) = server().await;
    let (_hole, v6) = BlackHole::at((Ipv6Addr::LOCALHOST, v4.port()).into());
    let mut setup = Setup::to(&[]);
    setup.endpoints = vec![Target::Host {
        host: "shop.internal".into(),
        port: v4.port(),
    }];
    setup.resolved = vec![v6.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST)];
    setup.limits.connect_timeout = PATIENCE * 2;
    setup.limits.attempt_delay = Duration::from_millis(50);
    let rig = setup.start();
    let begun = Instant::now();
    for _ in 0..4 {
        let (_client, _upstream) = joined(&rig, &good).await;
    }
    assert!(
        begun.elapsed() < PATIENCE,
        "nothing waited for the silent family"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_is_told_who_the_client_is() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let (listener, address) = server().await;
        let mut setup = Setup::to(&[address]);
        setup.send_proxy = Some(version);
        let rig = setup.start();
        let hello = hello("web.example.com");
        let mut client = rig.connect().await;
        client.write_all(&hello).await.unwrap();
        let source = client.local_addr().unwrap();
        let header =
            proxy_header::build(version, source, rig.address, Some("web.example.com")).unwrap();
        let expected = [header.as_slice(), hello.as_slice()].concat();
        drop(accept_hello(&listener, &expected).await);
        drop(client);
        let record = rig.record().await;
        assert_eq!(record.prepended as usize, header.len());
        assert_eq!(
            record.received,
            hello.len() as u64,
            "the header is no byte of the client"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_client_is_the_one_that_is_judged_and_logged() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.accept_proxy = Some(AcceptProxy::new(vec!["127.0.0.0/8".parse().unwrap()], true));
    setup.access = Access::new(&["192.0.2.0/24".parse().unwrap()], &[]);
    let rig = setup.start();
    let hello = hello("web.example.com");
    let header = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n";
    let mut client = rig.connect().await;
    client.write_all(header).await.unwrap();
    client.write_all(&hello).await.unwrap();
    drop(accept_hello(&listener, &hello).await);
    drop(client);
    let record = rig.record().await;
    assert_eq!(record.source, "192.0.2.9:4711".parse().unwrap());
    assert_eq!(record.destination, "198.51.100.1:443".parse().unwrap());
    assert_eq!(record.arrived_at, rig.address);
    assert_eq!(record.stripped as usize, header.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_header_that_is_missing_refuses() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.accept_proxy = Some(AcceptProxy::new(vec!["127.0.0.0/8".parse().unwrap()], true));
    let rig = setup.start();
    let mut client = rig.connect().await;
    client.write_all(&hello("web.example.com")).await.unwrap();
    let (answer, _) = read_out(&mut client).await;
    assert!(answer.is_empty());
    assert_eq!(rig.record().await.reason, CloseReason::ProxyHeaderMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_from_elsewhere_is_no_header() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.accept_proxy = Some(AcceptProxy::new(
        vec!["192.0.2.0/24".parse().unwrap()],
        false,
    ));
    let rig = setup.start();
    let mut client = rig.connect().await;
    client
        .write_all(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n")
        .await
        .unwrap();
    let (answer, _) = read_out(&mut client).await;
    assert!(answer.is_empty());
    assert!(matches!(rig.record().await.reason, CloseReason::Hello(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_while_an_endpoint_is_dialled_is_let_go() {
    let (_hole, silent) = BlackHole::at((Ipv4Addr::LOCALHOST, 0).into());
    let mut setup = Setup::to(&[silent]);
    setup.limits.connect_timeout = PATIENCE * 2;
    let rig = setup.start();
    let mut client = rig.connect().await;
    client.write_all(&hello("web.example.com")).await.unwrap();
    reset(client);
    assert_eq!(rig.record().await.reason, CloseReason::ClientReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_its_route_lets_go_of_its_snapshot() {
    let (server, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (_client, _upstream) = joined(&rig, &server).await;
    let snapshot = rig.gateway.control.snapshot();
    // The one in force, and ours.
    assert_eq!(Arc::strong_count(&snapshot), 2);
}
