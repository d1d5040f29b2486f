//! Who is refused is told why, and costs no more than a timer.

use gateway_common::wire::Alert;

use super::*;
use crate::proxy::close::CloseReason;

async fn refused(rig: &Rig, bytes: &[u8]) -> (Vec<u8>, CloseReason) {
    let mut client = rig.connect().await;
    client.write_all(bytes).await.unwrap();
    let (answer, ended) = read_out(&mut client).await;
    assert!(ended.is_ok(), "{ended:?}");
    drop(client);
    (answer, rig.record().await.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_gets_its_alert_even_with_more_bytes_behind_the_hello() {
    let (_listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let bytes = [hello("other.example.com"), vec![0; 100_000]].concat();
    let (answer, reason) = refused(&rig, &bytes).await;
    assert_eq!(answer, Alert::UnrecognizedName.record());
    assert_eq!(reason, CloseReason::UnknownName);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_source_gets_access_denied() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.access = Access::new(&[], &["127.0.0.0/8".parse().unwrap()]);
    let (answer, reason) = refused(&setup.start(), &hello("web.example.com")).await;
    assert_eq!(answer, Alert::AccessDenied.record());
    assert_eq!(reason, CloseReason::ListenerDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_gives_internal_error() {
    let (listener, address) = server().await;
    drop(listener);
    let (answer, reason) = refused(&Setup::to(&[address]).start(), &hello("web.example.com")).await;
    assert_eq!(answer, Alert::InternalError.record());
    assert_eq!(reason, CloseReason::ConnectFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_turns_alerts_into_plain_closes() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.refuse = Refuse::Close;
    let (answer, _) = refused(&setup.start(), &hello("other.example.com")).await;
    assert!(answer.is_empty(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_is_named_and_gets_no_alert() {
    let (_listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (answer, reason) = refused(&rig, b"GET / HTTP/1.1\r\nHost: web.example.com\r\n\r\n").await;
    assert!(answer.is_empty(), "{answer:?}");
    assert!(reason.label().contains("http"), "{}", reason.label());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_costs_a_timer_and_blocks_nobody() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.limits.hello_timeout = Duration::from_millis(300);
    let rig = setup.start();
    let mut silent = rig.connect().await;
    let (_client, _upstream) = joined(&rig, &listener).await;
    let (answer, _) = read_out(&mut silent).await;
    assert!(answer.is_empty());
    assert_eq!(rig.record().await.reason, CloseReason::HelloTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_connect_is_known_as_one() {
    let (_listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    drop(rig.connect().await);
    assert_eq!(rig.record().await.reason, CloseReason::BareConnect);
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_connection_limit_clients_are_turned_away() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.permits = 1;
    let rig = setup.start();
    let (_client, _upstream) = joined(&rig, &listener).await;
    let mut second = rig.connect().await;
    let (answer, _) = read_out(&mut second).await;
    assert_eq!(answer, Alert::InternalError.record());
    assert_eq!(rig.record().await.reason, CloseReason::ConnectionLimit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_refuses_is_known_by_name_and_reason() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.refused = Some("exported with protocol http".into());
    let rig = setup.start();
    let (answer, reason) = refused(&rig, &hello("web.example.com")).await;
    assert_eq!(answer, Alert::UnrecognizedName.record());
    assert_eq!(reason, CloseReason::RouteRefused);
    let (route, _) = rig.record().await.route.unwrap();
    assert_eq!(&*route.name, "web.example.com");
    assert_eq!(route.uses.now(), 0, "a refused one takes no place");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_all_down_refuse_without_panic_and_are_tried_with() {
    let (listener, address) = server().await;
    let down = |panic_percent| {
        let mut setup = Setup::to(&[address]);
        setup.health = Checked::Down;
        setup.panic_percent = panic_percent;
        setup.start()
    };
    let (answer, reason) = refused(&down(0), &hello("web.example.com")).await;
    assert_eq!(answer, Alert::InternalError.record());
    assert_eq!(reason, CloseReason::AllDown);
    let (_client, _upstream) = joined(&down(50), &listener).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_a_routes_own_limit_clients_are_refused_until_one_leaves() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.max_connections = Some(1);
    let rig = setup.start();
    let (client, upstream) = joined(&rig, &listener).await;
    let (answer, reason) = refused(&rig, &hello("web.example.com")).await;
    assert_eq!(answer, Alert::InternalError.record());
    assert_eq!(reason, CloseReason::RouteLimit);
    drop((client, upstream));
    rig.records.first(2).await;
    let (_client, _upstream) = joined(&rig, &listener).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_no_connection_refuses_the_first() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.max_connections = Some(0);
    let (_, reason) = refused(&setup.start(), &hello("web.example.com")).await;
    assert_eq!(reason, CloseReason::RouteLimit);
}

/// Waits until no connection is open.
async fn all_permits_back(rig: &Rig) {
    let back = async {
        while rig.gateway.permits.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let back = tokio::time::timeout(PATIENCE, back).await;
    back.expect("the connection gives its permit back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_that_never_stops_sending_is_left() {
    let (_listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let mut client = rig.connect().await;
    client.write_all(&hello("other.example.com")).await.unwrap();
    let flood = async { while client.write(&[0; 65_536]).await.is_ok() {} };
    tokio::join!(flood, all_permits_back(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_to_whom_nothing_is_said_is_not_waited_for() {
    let (_listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.limits.hello_timeout = Duration::from_millis(100);
    let rig = setup.start();
    let silent = rig.connect().await;
    assert_eq!(rig.record().await.reason, CloseReason::HelloTimeout);
    let begun = std::time::Instant::now();
    all_permits_back(&rig).await;
    assert!(begun.elapsed() < crate::proxy::close::LINGER / 2);
    drop(silent);
}
