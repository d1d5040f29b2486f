//! RST is passed on as RST, after every byte that came before it, and never as FIN.

use super::*;
use crate::proxy::close::CloseReason;

/// How a side leaves after its last byte.
fn is_reset(ended: &io::Result<()>) -> bool {
    ended
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_before_a_client_reset_arrive_then_the_reset() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    client.write_all(&[7; 300_000]).await.unwrap();
    let (got, ended) = tokio::join!(
        read_some(&mut upstream, 300_000),
        delivered_then_reset(client)
    )
    .0;
    assert_eq!(got, 300_000);
    assert!(is_reset(&ended), "{ended:?}");
    assert_eq!(rig.record().await.reason, CloseReason::ClientReset);
}

/// Reads `least` bytes and then to the end, and counts.
async fn read_some(stream: &mut TcpStream, least: usize) -> (usize, io::Result<()>) {
    let mut buffer = vec![0; least];
    stream.read_exact(&mut buffer).await.unwrap();
    let (rest, ended) = read_out(stream).await;
    (least + rest.len(), ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_before_an_upstream_reset_arrive_then_the_reset() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    upstream.write_all(&[9; 300_000]).await.unwrap();
    let (got, ended) = tokio::join!(
        read_some(&mut client, 300_000),
        delivered_then_reset(upstream)
    )
    .0;
    assert_eq!(got, 300_000);
    assert!(is_reset(&ended), "{ended:?}");
    assert_eq!(rig.record().await.reason, CloseReason::UpstreamReset);
}

/// Resets once the other side's kernel has acknowledged everything: RST destroys what is not
/// delivered yet, with or without a gateway.
async fn delivered_then_reset(stream: TcpStream) {
    while crate::sys::tcp::unacknowledged(&stream).unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    reset(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_still_gets_what_came_before_the_reset() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    let sent = {
        // As much as fits into all buffers on the way while the client reads nothing.
        let mut sent = 0;
        while let Ok(Ok(written)) =
            tokio::time::timeout(Duration::from_millis(300), upstream.write(&[5; 65_536])).await
        {
            sent += written;
        }
        sent
    };
    let unread = crate::sys::tcp::unacknowledged(&upstream).unwrap() as usize;
    reset(upstream);
    let (got, ended) = read_out(&mut client).await;
    assert!(
        got.len() >= sent - unread,
        "{} of {sent}, {unread} unacknowledged",
        got.len()
    );
    assert!(is_reset(&ended), "{ended:?}");
}

/// Writes until nobody takes any more.
async fn fill(stream: &mut TcpStream) {
    let patience = Duration::from_millis(300);
    while let Ok(Ok(_)) = tokio::time::timeout(patience, stream.write(&[5; 65_536])).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_while_the_endpoint_reads_nothing_is_noticed() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    fill(&mut client).await;
    reset(client);
    assert_eq!(rig.record().await.reason, CloseReason::ClientReset);
    let (_, ended) = read_out(&mut upstream).await;
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_resets_while_the_client_reads_nothing_is_noticed() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    fill(&mut upstream).await;
    reset(upstream);
    assert_eq!(rig.record().await.reason, CloseReason::UpstreamReset);
    let (_, ended) = read_out(&mut client).await;
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_half_close_is_passed_on() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    client.shutdown().await.unwrap();
    let mut byte = [0];
    assert_eq!(upstream.read(&mut byte).await.unwrap(), 0, "FIN arrives");
    // Nothing is read from the client any more, and the endpoint is silent: only an error event
    // can tell.
    reset(client);
    assert_eq!(rig.record().await.reason, CloseReason::ClientReset);
    let told = tokio::time::timeout(PATIENCE, upstream.ready(tokio::io::Interest::ERROR)).await;
    told.expect("the endpoint is told").unwrap();
    assert!(
        upstream.take_error().unwrap().is_some(),
        "by an error, not an end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_resets_at_once_is_replaced() {
    let (bad, bad_address) = server().await;
    let (good, good_address) = server().await;
    let rig = Setup::to(&[bad_address, good_address]).start();
    let hello = hello("web.example.com");
    let mut client = rig.connect().await;
    client.write_all(&hello).await.unwrap();
    // Round robin may begin with either; the bad one, once asked, resets after the hello.
    let refuse = async {
        let stream = accept_hello(&bad, &hello).await;
        reset(stream);
        core::future::pending::<()>().await;
    };
    let mut upstream = tokio::select! {
        stream = accept_hello(&good, &hello) => stream,
        () = refuse => unreachable!("pends"),
    };
    upstream.write_all(b"welcome").await.unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"welcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_endpoints_reset_is_the_clients_reset() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, upstream) = joined(&rig, &listener).await;
    reset(upstream);
    let (got, ended) = read_out(&mut client).await;
    assert!(got.is_empty() && is_reset(&ended), "{got:?} {ended:?}");
    assert_eq!(rig.record().await.reason, CloseReason::UpstreamReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_first_bytes_forbids_another_endpoint() {
    let (bad, bad_address) = server().await;
    let (other, other_address) = server().await;
    let rig = Setup::to(&[bad_address, other_address]).start();
    let (first, second) = (&bad, &other);
    let hello = hello("web.example.com");
    let mut client = rig.connect().await;
    client.write_all(&hello).await.unwrap();
    let mut upstream = tokio::select! {
        stream = accept_hello(first, &hello) => stream,
        stream = accept_hello(second, &hello) => stream,
    };
    client.write_all(b"more").await.unwrap();
    let mut more = [0; 4];
    upstream.read_exact(&mut more).await.unwrap();
    reset(upstream);
    let (_, ended) = read_out(&mut client).await;
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn early_data_is_never_said_to_a_second_endpoint() {
    let (first, first_address) = server().await;
    let (second, second_address) = server().await;
    let rig = Setup::to(&[first_address, second_address]).start();
    let bytes = [hello("web.example.com"), b"early data".to_vec()].concat();
    let mut client = rig.connect().await;
    client.write_all(&bytes).await.unwrap();
    let upstream = tokio::select! {
        stream = accept_hello(&first, &bytes) => stream,
        stream = accept_hello(&second, &bytes) => stream,
    };
    reset(upstream);
    let (_, ended) = read_out(&mut client).await;
    assert!(is_reset(&ended), "{ended:?}");
    assert_eq!(rig.record().await.attempts, 1);
}
