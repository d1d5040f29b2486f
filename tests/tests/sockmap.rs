//! What only the sockmap engine promises: bounded memory, nothing lost while the kernel takes
//! over, nothing left behind, and a reason where it is not used.
//!
//! The tests that every engine passes are in `splice.rs` and `ends.rs`. The full sizes take minutes:
//! `CULVERT_FULL=1 cargo test --release -p gateway-tests --test sockmap -- --test-threads 1`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::engines::{NAME, Scene};
use gateway_tests::objects::{self, Kind, Object};
use gateway_tests::peers::listen;
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, Receipt, Sum, receive};
use gateway_tests::sockets;
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use rustix::process::Signal;
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

const MEBIBYTE: u64 = 1 << 20;

/// The default of `engine.sockmap_budget`.
const BUDGET: u64 = 256 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn stalled_readers_hold_no_more_than_their_budgets() -> Result<()> {
    let (count, length) = sizes((100, 4), (1000, 8));
    on_both_families(|family| stalled_readers(family, count, length * MEBIBYTE)).await
}

/// What a test is run with: as much as fits every run, or the full size.
fn sizes<T>(usual: T, full: T) -> T {
    if std::env::var_os("CULVERT_FULL").is_some() {
        full
    } else {
        usual
    }
}

async fn on_both_families<W>(test: impl Fn(Family) -> W) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let done = test(family).await;
        done.with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

/// Connections whose servers stop reading while the clients offer `length` bytes: more than anything may
/// take, so that every one of them is blocked.
async fn stalled_readers(family: Family, count: u64, length: u64) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    let mut flows = Vec::new();
    for seed in 0..count {
        let mut pair = scene.pair(family).await?;
        pair.check().await?;
        for socket in [&pair.client, &pair.server] {
            // The kernel doubles it: 64 KiB.
            SockRef::from(socket).set_recv_buffer_size(32 * 1024)?;
            SockRef::from(socket).set_send_buffer_size(32 * 1024)?;
        }
        flows.push(Flow::new(&pair)?);
        let Pair { mut client, server } = pair;
        readers.push(server);
        let pattern = Pattern { seed, length };
        senders.push(async move {
            let sum = pattern.send(&mut client).await?;
            client.shutdown().await?;
            // The connection must outlive its own stream.
            anyhow::Ok((sum, client))
        });
    }
    all_spliced(&scene, flows.len()).await?;
    let senders: Vec<_> = senders.into_iter().map(tokio::spawn).collect();
    let held = Held::at_rest(&scene, family, &flows).await?;
    let finished = senders.iter().filter(|task| task.is_finished()).count();
    ensure!(finished == 0, "{finished} senders were not blocked");
    for one in connections(&scene)? {
        let up = &one["spliced"][UP];
        ensure!(up["paused"] == true, "not paused: {one}");
    }
    println!("{family:?}: {count} stalled: {held:?}");
    ensure!(held.most_beyond <= BUDGET, "more than a budget: {held:?}");
    ensure!(
        held.beyond <= count * BUDGET,
        "more than all budgets: {held:?}"
    );
    let mut sums = Vec::new();
    for mut server in readers {
        sums.push(tokio::spawn(async move { receive(&mut server).await }));
    }
    for (sender, received) in senders.into_iter().zip(sums) {
        let (sent, _client) = sender.await??;
        ensure!(sent == received.await??, "bytes changed on their way");
    }
    Ok(())
}

/// A connection, by what its two sockets at the gateway are found by.
struct Flow {
    client: SocketAddr,
    upstream: SocketAddr,
}

impl Flow {
    fn new(pair: &Pair) -> Result<Self> {
        Ok(Self {
            client: pair.client.local_addr()?,
            upstream: pair.server.peer_addr()?,
        })
    }
}

/// What the gateway holds on the way up, by the kernel's books of its sockets and nothing of the agent's:
/// bytes that have been acknowledged to clients and not given to the sockets towards servers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    /// Bytes that have arrived from clients.
    arrived: u64,
    /// How many of them the gateway holds before the sockets towards servers.
    held: u64,
    /// Memory that the clients' receive buffers are charged with.
    charged: u64,
    /// Memory that the send buffers towards servers are charged with.
    sending: u64,
    /// Bytes held beyond what the receive buffer of their connection is charged with, in all and the
    /// most of one connection.
    beyond: u64,
    most_beyond: u64,
}

impl Held {
    fn look(scene: &Scene, family: Family, flows: &[Flow]) -> Result<Self> {
        let mut clients = HashMap::new();
        let mut upstreams = HashMap::new();
        for socket in sockets::list(&scene.net.gateway, family)? {
            clients.insert(socket.remote, socket);
            upstreams.insert(socket.local, socket);
        }
        let mut all = Self::default();
        for flow in flows {
            let found = clients.get(&flow.client).zip(upstreams.get(&flow.upstream));
            let Some((client, upstream)) = found else {
                bail!("{} has lost a socket", flow.client);
            };
            // Of what the upstream socket was given one may be its SYN.
            let held = client.arrived.saturating_sub(upstream.given - 1);
            let beyond = held.saturating_sub(client.receive_charge);
            all.arrived += client.arrived;
            all.held += held;
            all.charged += client.receive_charge;
            all.sending += upstream.send_charge;
            all.beyond += beyond;
            all.most_beyond = all.most_beyond.max(beyond);
        }
        Ok(all)
    }

    /// Waits until nothing arrives any more.
    async fn at_rest(scene: &Scene, family: Family, flows: &[Flow]) -> Result<Self> {
        let mut last = (Self::default(), Instant::now());
        let rest = wait::until("senders that are blocked", || {
            let rest = Self::look(scene, family, flows).map(|now| {
                if now != last.0 {
                    last = (now, Instant::now());
                    return None;
                }
                (last.1.elapsed() > STILL).then_some(now)
            });
            async { rest }
        })
        .await;
        if let Err(error) = rest {
            // What the agent says of it comes after the end.
            let record = scene.agent.logged(|_record| true).await;
            return Err(error.context(format!("{record:?}")));
        }
        rest
    }
}

/// Index of the direction to the server in what is said of a connection.
const UP: usize = 1;

/// How long nothing must change to be called at rest: longer than the agent ever pauses.
const STILL: Duration = Duration::from_millis(500);

/// What the agent says of its connections; without a process to be started for it.
fn connections(scene: &Scene) -> Result<Vec<Value>> {
    let (status, text) = scene.agent.admin("GET", "/connections", "")?;
    ensure!(status == 200, "{status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("no list: {text}"))
}

/// Waits until the kernel has taken over so many connections.
async fn all_spliced(scene: &Scene, count: usize) -> Result<()> {
    wait::until("the kernel to take over", || {
        let spliced = connections(scene).map(|all| {
            let spliced = all.iter().filter(|one| one["spliced"].is_array());
            (spliced.count() == count).then_some(())
        });
        async { spliced }
    })
    .await
    .with_context(|| format!("{:?}", connections(scene)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_and_goes_gets_every_byte() -> Result<()> {
    let (length, stops) = sizes((256, 25), (1024, 100));
    on_both_families(|family| stop_and_go(family, length * MEBIBYTE, stops)).await
}

/// How long the reader stops each time: until its socket and the gateway's are full.
const STOP: Duration = Duration::from_millis(20);

/// The part of the bytes outside of the reader's stops that must have been redirected, of the full size; and of
/// the usual one, of which the first stops are a larger part, when send buffers are still to grow. An engine
/// that does not find back to redirecting stays far below both.
const SHARE: f64 = 0.95;
const SHARE_OF_LESS: f64 = 0.9;

async fn stop_and_go(family: Family, length: u64, stops: u64) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    all_spliced(&scene, 1).await?;
    let Pair { mut client, server } = pair;
    let pattern = Pattern { seed: 8, length };
    let sum = pattern.sum().await?;
    let began = Moved::look(&scene)?;
    let sending = tokio::spawn(async move {
        let sum = pattern.send(&mut client).await?;
        client.shutdown().await?;
        anyhow::Ok((sum, client))
    });
    let reader = Arc::new(Reader::default());
    let receiving = tokio::spawn(Arc::clone(&reader).read(server, length));
    // Counted from a look before the reader goes on to one before it stops: all of it is outside of
    // stops, and only the moment after the second look is in no count.
    let (mut going, mut since) = (Moved::default(), began);
    for stop in 1..=stops {
        let part = stop * length / (stops + 1);
        wait::until("the reader to get on", || {
            let there = reader.arrived.load(Ordering::Relaxed) >= part;
            async move { Ok(there.then_some(())) }
        })
        .await?;
        going = going.plus(Moved::look(&scene)?.minus(since));
        let stopped = reader.going.lock().await;
        sleep(STOP).await;
        since = Moved::look(&scene)?;
        drop(stopped);
    }
    let (arrived, _server) = receiving.await??;
    let end = Moved::look(&scene)?;
    going = going.plus(end.minus(since));
    let (sent, _client) = sending.await??;
    ensure!(sent == sum && arrived == sum, "bytes changed on their way");
    let all = end.minus(began);
    ensure!(all.all() == length, "{length} bytes, but {all:?}");
    let share = going.share();
    println!("{family:?}: {share:.3} redirected outside of stops: {going:?} of {all:?}");
    ensure!(
        share >= sizes(SHARE_OF_LESS, SHARE),
        "{share}: {going:?} of {all:?}"
    );
    Ok(())
}

/// A reader that stops while someone else has its lock.
#[derive(Default)]
struct Reader {
    going: Mutex<()>,
    arrived: AtomicU64,
}

impl Reader {
    async fn read(self: Arc<Self>, mut server: TcpStream, length: u64) -> Result<(Sum, TcpStream)> {
        let mut receipt = Receipt::default();
        let mut left = length;
        while left > 0 {
            let _going = self.going.lock().await;
            let part = left.min(64 * 1024);
            receipt.read_exact(&mut server, part).await?;
            left -= part;
            self.arrived.fetch_add(part, Ordering::Relaxed);
        }
        receipt.read_to_end(&mut server).await?;
        Ok((receipt.sum(), server))
    }
}

/// Bytes on the way up, by how they went.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    redirected: u64,
    relayed: u64,
    pauses: u64,
}

impl Moved {
    /// Of the only connection.
    fn look(scene: &Scene) -> Result<Self> {
        let all = connections(scene)?;
        let up = &all.first().context("a connection")?["spliced"][UP];
        let count = |name| up[name].as_u64().with_context(|| format!("{name}: {up}"));
        Ok(Self {
            redirected: count("redirected")?,
            relayed: count("relayed")?,
            pauses: count("pauses")?,
        })
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            redirected: self.redirected + other.redirected,
            relayed: self.relayed + other.relayed,
            pauses: self.pauses + other.pauses,
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            redirected: self.redirected - other.redirected,
            relayed: self.relayed - other.relayed,
            pauses: self.pauses - other.pauses,
        }
    }

    const fn all(self) -> u64 {
        self.redirected + self.relayed
    }

    #[expect(clippy::cast_precision_loss, reason = "some gigabytes are exact")]
    fn share(self) -> f64 {
        self.redirected as f64 / self.all() as f64
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_arrive_while_the_kernel_takes_over_are_kept() -> Result<()> {
    let count = sizes(250, 10_000);
    on_both_families(|family| takeovers(family, count)).await
}

/// Both sides speak at once and in small pieces, the server first as SMTP does, then each waits for
/// the other: a byte that is lost or stuck shows.
async fn takeovers(family: Family, count: u64) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    for seed in 0..count {
        let Pair { client, server } = scene.pair(family).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let talk = |mut socket: TcpStream, mine: u8, other: u8| async move {
            let pieces = 1 + seed % 40;
            let (mut reader, mut writer) = socket.split();
            let write = async {
                for piece in 0..pieces {
                    let number = u8::try_from(piece)?;
                    writer.write_all(&[mine, number]).await?;
                    if piece % 7 == seed % 7 {
                        tokio::task::yield_now().await;
                    }
                }
                anyhow::Ok(())
            };
            let read = async {
                let mut all = vec![0; usize::try_from(pieces * 2)?];
                reader.read_exact(&mut all).await?;
                for (number, pair) in (0..).zip(all.chunks(2)) {
                    ensure!(pair == [other, number], "piece {number}: {pair:?}");
                }
                Ok(())
            };
            tokio::try_join!(write, read)?;
            anyhow::Ok(socket)
        };
        let both = async { tokio::try_join!(talk(client, 1, 2), talk(server, 2, 1)) };
        let (mut client, mut server) = timeout(Duration::from_secs(5), both)
            .await
            .with_context(|| format!("connection {seed} is stuck"))??;
        cross(&mut server, &mut client, b"still").await?;
        cross(&mut client, &mut server, b"there").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_greets_first_is_heard_first() -> Result<()> {
    on_both_families(greeting).await
}

/// After the hello the client says nothing before it has the banner, as SMTP has it; from then on each
/// waits for the other, and at last the client sends its message.
async fn greeting(family: Family) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut pair = scene.pair(family).await?;
    let (client, server) = (&mut pair.client, &mut pair.server);
    // In two pieces: the first has the kernel take over, the second comes while it does or later.
    server.write_all(b"220 mail.exam").await?;
    server.write_all(b"ple.com ESMTP\r\n").await?;
    let mut banner = [0; 28];
    wait::within("the banner", client.read_exact(&mut banner)).await??;
    ensure!(banner == *b"220 mail.example.com ESMTP\r\n");
    all_spliced(&scene, 1).await?;
    let before = Moved::look(&scene)?;
    let (asked, answered) = (
        [
            "EHLO client.example.com",
            "MAIL FROM:<a@example.com>",
            "DATA",
        ],
        ["250 mail.example.com", "250 ok", "354 go on"],
    );
    let mut said = 0;
    for (question, answer) in asked.into_iter().zip(answered) {
        cross(client, server, question.as_bytes()).await?;
        cross(server, client, answer.as_bytes()).await?;
        said += question.len() as u64;
    }
    let message = vec![b'm'; 16 * 1024];
    cross(client, server, &message).await?;
    cross(server, client, b"250 queued").await?;
    said += message.len() as u64;
    let moved = Moved::look(&scene)?.minus(before);
    ensure!(
        moved.redirected > 0 && moved.all() == said,
        "{said} bytes were said after the kernel took over, but {moved:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_readers_may_stop_at_once() -> Result<()> {
    on_both_families(|family| both_stop(family, Duration::ZERO)).await
}

/// By then the agent has no reason of its own left to look at the connection.
#[tokio::test(flavor = "multi_thread")]
async fn both_readers_may_stop_after_a_silence() -> Result<()> {
    on_both_families(|family| both_stop(family, Duration::from_millis(800))).await
}

async fn both_stop(family: Family, silence: Duration) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    all_spliced(&scene, 1).await?;
    let flows = [Flow::new(&pair)?];
    sleep(silence).await;
    let (mut client_in, mut client_out) = pair.client.into_split();
    let (mut server_in, mut server_out) = pair.server.into_split();
    let length = 64 * MEBIBYTE;
    let up = tokio::spawn(async move {
        let sum = Pattern { seed: 1, length }.send(&mut client_out).await?;
        client_out.shutdown().await?;
        anyhow::Ok(sum)
    });
    let down = tokio::spawn(async move {
        let sum = Pattern { seed: 2, length }.send(&mut server_out).await?;
        server_out.shutdown().await?;
        anyhow::Ok(sum)
    });
    Held::at_rest(&scene, family, &flows).await?;
    for (name, task) in [("up", &up), ("down", &down)] {
        let connections = scene.agent.json(&["connections"])?;
        ensure!(
            !task.is_finished(),
            "64 MiB went somewhere {name}: {connections}"
        );
    }
    // One reader goes on: its stream must not need the other's.
    let first = wait::within("the stream up", receive(&mut server_in)).await;
    let first = first.with_context(|| format!("{:?}", scene.agent.json(&["connections"])))??;
    ensure!(first == up.await??);
    let second = wait::within("the stream down", receive(&mut client_in)).await;
    let second = second.with_context(|| format!("{:?}", scene.agent.json(&["connections"])))??;
    ensure!(second == down.await??);
    Ok(())
}

#[tokio::test]
async fn a_kernel_that_is_not_tried_is_not_used_and_said_why() -> Result<()> {
    on_both_families(untried).await
}

async fn untried(family: Family) -> Result<()> {
    let net = Topology::new(1)?;
    let address = server(family, 0, 443);
    let upstream = listen(&net.servers[0], address)?;
    let body = listener("")
        + &route(NAME, &[address], "")
        + "engine {\n prefer = [\"sockmap\", \"copy\"]\n self_test = \"0s\"\n}\n";
    let agent = Setup::new(&net.gateway).start(&body).await?;
    let mut pair = Pair::join(&net.client, gateway(family, PORT), NAME, &upstream).await?;
    pair.check().await?;
    drop(pair);
    let record = agent.logged(|_record| true).await?;
    assert_eq!(record["engine"], "copy", "{record}");
    let status = agent.json(&["status"])?;
    let engine = &status["engines"][0];
    assert_eq!(engine["name"], "sockmap");
    assert_eq!(engine["available"], false, "{engine}");
    assert!(engine["why"].to_string().contains("self_test"), "{engine}");
    Ok(())
}

#[tokio::test]
async fn a_killed_agent_leaves_nothing_after_the_next_start() -> Result<()> {
    on_both_families(killed).await
}

async fn killed(family: Family) -> Result<()> {
    let net = Topology::new(1)?;
    let address = server(family, 0, 443);
    let upstream = listen(&net.servers[0], address)?;
    let bpffs = BpfFilesystem::new()?;
    let body = listener("") + &route(NAME, &[address], "") + "engine { prefer = [\"sockmap\"] }\n";
    let mut agent = Setup::new(&net.gateway).bpffs(&bpffs).start(&body).await?;
    agent.has_engine("sockmap")?;
    let mut pair = Pair::join(&net.client, gateway(family, PORT), NAME, &upstream).await?;
    pair.check().await?;
    let rows = |agent: &Agent, map: &str| -> Result<usize> {
        let maps: Value = serde_json::from_str(&agent.maps(&bpffs, &[map, "--json"])?)?;
        Ok(maps[0]["rows"].as_array().context("rows")?.len())
    };
    for map in ["PEERS", "STREAMS", "FORWARDED"] {
        assert_eq!(rows(&agent, map)?, 2, "{map}");
    }
    let objects = objects::of_process(agent.process().id())?;
    let is_splice = |one: &Object| one.kind == Kind::Program && one.subtype == objects::SK_SKB;
    ensure!(objects.iter().any(is_splice), "no splice: {objects:?}");
    // Bytes are on their way in the kernel as well: nobody reads them.
    pair.client.try_write(&[7; 256 * 1024])?;
    agent.process().signal(Signal::KILL)?;
    agent.process().wait().await?;
    agent.restart(&net.gateway).await?;
    for map in ["PEERS", "STREAMS", "FORWARDED"] {
        assert_eq!(rows(&agent, map)?, 0, "{map}");
    }
    drop(pair);
    // The kernel frees programs and maps a moment after their last user has gone.
    wait::until("the end of what the killed agent had", || {
        let left = objects.iter().map(|one| one.exists());
        let left = left.collect::<Result<Vec<_>>>();
        async { Ok((!left?.contains(&true)).then_some(())) }
    })
    .await?;
    // The second agent has sockets of its own: with it gone there must be none, closed ones included.
    agent.stop().await?;
    wait::until("the end of the killed agent's sockets", || {
        let used = sockets::used(&net.gateway);
        async { Ok((used? == 0).then_some(())) }
    })
    .await
    .with_context(|| format!("{:?}", sockets::list(&net.gateway, family)))
}
