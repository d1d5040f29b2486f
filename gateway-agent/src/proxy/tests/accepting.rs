//! Accepting: nothing that a queue has taken is lost when accepting begins or ends, and whoever is
//! turned away is told so at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as StdStream;

use gateway_common::wire::Alert;

use super::*;
use crate::proxy::close::CloseReason;

/// More than a task may accept in one turn of the runtime.
const MANY: usize = 300;

/// Connects without the runtime, which learns nothing of it before the test waits for something.
fn waiting(rig: &Rig) -> Vec<StdStream> {
    let connect = |_| StdStream::connect(rig.address).unwrap();
    (0..MANY).map(connect).collect()
}

#[tokio::test]
async fn what_waits_when_accepting_ends_is_served() {
    let mut setup = Setup::to(&[]);
    setup.permits = 1_000;
    let rig = setup.start();
    let clients = waiting(&rig);
    rig.acceptors.close().await;
    drop(clients);
    for record in rig.records.first(MANY).await {
        assert_eq!(record.reason, CloseReason::BareConnect);
    }
}

#[tokio::test]
async fn what_waits_when_an_address_is_given_up_is_served() {
    let mut setup = Setup::to(&[]);
    setup.permits = 1_000;
    let mut without = setup.snapshot();
    without.listeners.clear();
    let mut rig = setup.start();
    let clients = waiting(&rig);
    rig.acceptors.unbind(&without);
    drop(clients);
    rig.records.first(MANY).await;
}

#[tokio::test]
async fn a_client_that_is_turned_away_while_accepting_ends_is_told() {
    let mut setup = Setup::to(&[]);
    setup.permits = 0;
    let rig = setup.start();
    let mut client = StdStream::connect(rig.address).unwrap();
    rig.acceptors.close().await;
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, Alert::InternalError.record());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_before_the_snapshot_is_in_force() {
    let (listener, address) = server().await;
    let hello = hello("web.example.com");
    let mut rig = Setup::to(&[address]).bound();
    let mut client = StdStream::connect(rig.address).unwrap();
    client.write_all(&hello).unwrap();
    assert!(rig.records.accepted.lock().unwrap().is_empty());
    rig.acceptors.serve();
    accept_hello(&listener, &hello).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_moves_from_every_address_to_one_of_them_without_a_refused_client() {
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut setup = Setup::to(&[]);
    setup.address = ([127, 0, 0, 1], port).into();
    let next = setup.snapshot();
    setup.address = ([0, 0, 0, 0], port).into();
    let mut rig = setup.start();
    rig.acceptors.bind(&next).unwrap();
    rig.acceptors.unbind(&next);
    StdStream::connect(("127.0.0.1", port)).unwrap();
}
