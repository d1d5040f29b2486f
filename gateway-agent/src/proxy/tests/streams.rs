//! Byte-exact both ways, half-close each way, and what ends a quiet stream.

use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::proxy::close::CloseReason;

/// Sends `length` pseudo-random bytes in writes of odd sizes and ends with FIN; the checksum.
async fn send(stream: &mut (impl tokio::io::AsyncWrite + Unpin), length: usize, seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut hash = Xxh3::new();
    let mut left = length;
    while left > 0 {
        let size = random.usize(1..=200_000).min(left);
        let bytes: Vec<u8> = core::iter::repeat_with(|| random.u8(..))
            .take(size)
            .collect();
        hash.update(&bytes);
        stream.write_all(&bytes).await.unwrap();
        left -= size;
    }
    stream.shutdown().await.unwrap();
    hash.digest()
}

/// Reads to FIN with reads of odd sizes; length and checksum.
async fn receive(stream: &mut (impl tokio::io::AsyncRead + Unpin), seed: u64) -> (usize, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut hash = Xxh3::new();
    let mut total = 0;
    loop {
        let mut bytes = vec![0; random.usize(1..=100_000)];
        let read = stream.read(&mut bytes).await.unwrap();
        if read == 0 {
            return (total, hash.digest());
        }
        hash.update(&bytes[..read]);
        total += read;
    }
}

async fn both_ways(pipes: u64, length: usize) {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.pipes = pipes;
    let rig = setup.start();
    let (client, upstream) = joined(&rig, &listener).await;
    let (mut client_in, mut client_out) = client.into_split();
    let (mut upstream_in, mut upstream_out) = upstream.into_split();
    let (up, got_up, down, got_down) = tokio::join!(
        send(&mut client_out, length, 1),
        receive(&mut upstream_in, 2),
        send(&mut upstream_out, length, 3),
        receive(&mut client_in, 4),
    );
    assert_eq!((length, up), got_up, "upload");
    assert_eq!((length, down), got_down, "download");
    let record = rig.record().await;
    assert_eq!(record.reason, CloseReason::Finished);
    assert_eq!(record.sent, length as u64);
    assert_eq!(
        record.received,
        (length + hello("web.example.com").len()) as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_exact_both_ways_at_once_through_pipes() {
    both_ways(16, 20_000_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_exact_both_ways_at_once_without_pipes() {
    both_ways(0, 20_000_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_byte_and_of_none_are_exact() {
    both_ways(16, 1).await;
    both_ways(16, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_done_sending_still_receives() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let (request, _) = read_out(&mut upstream).await;
    assert_eq!(request, b"request");
    let sent = send(&mut upstream, 3_000_000, 5).await;
    assert_eq!(receive(&mut client, 6).await, (3_000_000, sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_done_sending_still_receives() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    upstream.write_all(b"banner").await.unwrap();
    upstream.shutdown().await.unwrap();
    let (banner, _) = read_out(&mut client).await;
    assert_eq!(banner, b"banner");
    let sent = send(&mut client, 3_000_000, 7).await;
    assert_eq!(receive(&mut upstream, 8).await, (3_000_000, sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_in_single_bytes_with_early_data_behind_it_arrives_whole() {
    let (listener, address) = server().await;
    let rig = Setup::to(&[address]).start();
    let hello = [hello("WEB.example.com."), b"early data".to_vec()].concat();
    let mut client = rig.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in &hello {
        client.write_all(&[*byte]).await.unwrap();
    }
    accept_hello(&listener, &hello).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_ends_at_its_idle_timeout() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.limits.idle_timeout = Duration::from_millis(200);
    let rig = setup.start();
    let (_client, _upstream) = joined(&rig, &listener).await;
    assert_eq!(rig.record().await.reason, CloseReason::IdleTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_connection_has_its_own_timeout() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.limits.half_close_timeout = Duration::from_millis(200);
    let rig = setup.start();
    let (mut client, _upstream) = joined(&rig, &listener).await;
    client.shutdown().await.unwrap();
    assert_eq!(rig.record().await.reason, CloseReason::HalfCloseTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_short_by_its_idle_timeout_does_not_end_as_if_it_were_whole() {
    let (listener, address) = server().await;
    let mut setup = Setup::to(&[address]);
    setup.limits.idle_timeout = Duration::from_millis(200);
    let rig = setup.start();
    let (mut client, mut upstream) = joined(&rig, &listener).await;
    // More than fits into all buffers on the way: the gateway is left with bytes.
    client.write_all(&vec![5; 50_000_000]).await.unwrap_err();
    assert_eq!(rig.record().await.reason, CloseReason::IdleTimeout);
    let (_, ended) = read_out(&mut upstream).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Bytes that `serve` takes for one connection.
fn size_of_life<F>(_serve: impl Fn(Arc<Gateway>, crate::proxy::Accepted) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_connection_costs_little_memory() {
    let life = size_of_life(crate::proxy::serve);
    let connection = size_of::<crate::proxy::Connection>();
    println!("a connection's future: {life} bytes, what it is known by: {connection} bytes");
    assert!(life + connection <= 4_096, "{life} + {connection}");
}
