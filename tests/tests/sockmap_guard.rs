//! The sum of what waits in the kernel: beyond `engine.sockmap_total` the largest connections are held
//! back, lose nothing, and go on afterwards.
//!
//! What waits is what the kernel's worker has not got to. Here it does not get its turn: the senders
//! write from a thread of real-time priority that keeps the worker's processor to itself, for less time
//! than the kernel allows such threads at once. The agent has the other processor.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream as Blocking;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gateway_tests::agent::Agent;
use gateway_tests::engines::Scene;
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, receive_exact};
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use tokio::net::TcpStream;

/// Bytes of each connection: in all more than the limit of 1 MiB, each less than a send buffer takes.
const SMALL: [usize; 8] = [20_000; 8];
const LARGE: [usize; 5] = [200_000, 250_000, 300_000, 350_000, 380_000];

/// The processor that the senders keep to themselves, and everyone else's.
const THEIRS: usize = 0;
const OURS: usize = 1;

/// The kernel takes a processor from real-time threads after 0.95 s.
const LONGEST: Duration = Duration::from_millis(700);

/// What the senders have been told: to wait, to send one byte more, to stop.
const WAIT: u8 = 0;
const MORE: u8 = 1;
const STOP: u8 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_total_the_largest_are_held_back_and_go_on() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    if thread::available_parallelism()?.get() < 2 {
        skip::record("needs two processors");
        return Ok(());
    }
    for family in Family::BOTH {
        let done = held_back(family).await;
        done.with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

async fn held_back(family: Family) -> Result<()> {
    let mut scene = Scene::with_engine("sockmap", family, "sockmap_total = \"1MiB\"").await?;
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    let sizes: Vec<usize> = SMALL.into_iter().chain(LARGE).collect();
    for _ in &sizes {
        let mut pair = scene.pair(family).await?;
        pair.check().await?;
        let Pair {
            mut client,
            mut server,
        } = pair;
        // A young connection is relayed until its windows are settled.
        goes_on(&scene.agent, &mut client, &mut server).await?;
        // The program's word is of the last segment: this one finds nothing before it.
        cross(&mut client, &mut server, b"quiet").await?;
        clients.push(client.into_std()?);
        servers.push(server);
    }
    keep_off(scene.agent.process().id())?;

    let told = AtomicU8::new(WAIT);
    let agent = &scene.agent;
    let before = warnings(agent)?;
    let everywhere = sched_getaffinity(None)?;
    let (clients, paused) = thread::scope(|scope| {
        let senders = scope.spawn(|| send(clients, &sizes, &told));
        let seen = keep_to(None, OURS).and_then(|()| watch(agent, before, &told));
        told.store(STOP, Ordering::Relaxed);
        sched_setaffinity(None, &everywhere)?;
        let clients = senders
            .join()
            .map_err(|_panic| anyhow!("a thread panicked"))?;
        anyhow::Ok((clients, seen?))
    })?;
    let clients = clients?;
    println!("{family:?}: held back {paused:?} of {sizes:?}");
    let (small, large) = paused.split_at_checked(SMALL.len()).context("all")?;
    ensure!(!small.contains(&true), "small ones: {paused:?}");
    ensure!(large.contains(&true), "none of the large: {paused:?}");

    // What was sent meanwhile arrives, and the stream goes on, redirected.
    for ((client, mut server), size) in clients.into_iter().zip(servers).zip(sizes) {
        let mut client = TcpStream::from_std(client)?;
        let expected = payload(size + 1);
        let mut arrived = vec![0; expected.len()];
        let all = tokio::io::AsyncReadExt::read_exact(&mut server, &mut arrived);
        wait::within("what was held back", all).await??;
        ensure!(arrived == expected, "bytes changed on their way");
        goes_on(&scene.agent, &mut client, &mut server).await?;
    }
    Ok(())
}

/// Waits until the kernel redirects what is sent, then sends more.
async fn goes_on(agent: &Agent, client: &mut TcpStream, server: &mut TcpStream) -> Result<()> {
    let from = client.local_addr()?.to_string();
    let deadline = Instant::now() + wait::PATIENCE;
    loop {
        let before = redirected(agent, &from)?;
        cross(client, server, b"again").await?;
        if redirected(agent, &from)? == before + 5 {
            break;
        }
        ensure!(Instant::now() < deadline, "{from} is relayed for good");
    }
    let pattern = Pattern {
        seed: 3,
        length: 1 << 20,
    };
    let length = pattern.length;
    let both = async { tokio::join!(pattern.send(client), receive_exact(server, length)) };
    let (sent, received) = wait::within("a transfer", both).await?;
    ensure!(sent? == received?, "bytes changed on their way");
    Ok(())
}

fn redirected(agent: &Agent, source: &str) -> Result<u64> {
    let all = connections(agent)?;
    let one = all.iter().find(|one| one["source"] == source);
    // None before the kernel has taken over.
    let count = &one.context("the connection")?["spliced"][UP]["redirected"];
    Ok(count.as_u64().unwrap_or(0))
}

/// Sends what each connection is to send, and one byte more when told to, as the only thread that its
/// processor runs; until it is told to stop.
fn send(mut clients: Vec<Blocking>, sizes: &[usize], told: &AtomicU8) -> Result<Vec<Blocking>> {
    keep_to(None, THEIRS)?;
    real_time()?;
    let end = Instant::now() + LONGEST;
    let mut sent = vec![0; sizes.len()];
    loop {
        let order = told.load(Ordering::Relaxed);
        if order == STOP || Instant::now() > end {
            break;
        }
        send_some(&mut clients, sizes, &mut sent, usize::from(order == MORE))?;
    }
    // The thread ends, and with it its priority: what is missing follows in peace.
    ensure!(
        sent.iter().zip(sizes).all(|(sent, size)| *sent == size + 1),
        "not all was sent in time: {sent:?}"
    );
    Ok(clients)
}

fn send_some(
    clients: &mut [Blocking],
    sizes: &[usize],
    sent: &mut [usize],
    more: usize,
) -> Result<()> {
    for ((client, size), sent) in clients.iter_mut().zip(sizes).zip(sent) {
        let bytes = payload(size + more);
        match client.write(bytes.get(*sent..).unwrap_or_default()) {
            Ok(written) => *sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("send"),
        }
    }
    Ok(())
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

/// Waits until the agent says that it holds connections back, has each send a byte more, and says which
/// are paused, in the order of their making.
fn watch(agent: &Agent, before: usize, told: &AtomicU8) -> Result<Vec<bool>> {
    let end = Instant::now() + LONGEST;
    while warnings(agent)? == before {
        ensure!(
            Instant::now() < end,
            "nothing is held back: {:?}",
            connections(agent)?
        );
    }
    let moved_before = moved(agent)?;
    told.store(MORE, Ordering::Relaxed);
    while moved(agent)?
        .iter()
        .zip(&moved_before)
        .any(|(now, then)| now == then)
    {
        if Instant::now() > end {
            bail!("a byte more did not arrive everywhere");
        }
    }
    let all = connections(agent)?;
    Ok(all
        .iter()
        .map(|one| one["spliced"][UP]["paused"] == true)
        .collect())
}

/// How often the agent has held connections back.
fn warnings(agent: &Agent) -> Result<usize> {
    Ok(agent
        .own_log()?
        .matches("too much waits in the kernel")
        .count())
}

/// Index of the direction to the server in what is said of a connection.
const UP: usize = 1;

/// Bytes that came from each client since the kernel took over.
fn moved(agent: &Agent) -> Result<Vec<u64>> {
    let all = connections(agent)?;
    let count = |one: &Value| {
        let up = &one["spliced"][UP];
        Some(up["redirected"].as_u64()? + up["relayed"].as_u64()?)
    };
    let all: Option<Vec<u64>> = all.iter().map(count).collect();
    all.context("counts of every connection")
}

/// What the agent says of its connections, oldest first.
fn connections(agent: &Agent) -> Result<Vec<Value>> {
    let (status, text) = agent.admin("GET", "/connections", "")?;
    ensure!(status == 200, "{status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("no list: {text}"))
}

/// Keeps every thread of a process off the senders' processor.
fn keep_off(pid: u32) -> Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let id = thread?.file_name().to_string_lossy().parse()?;
        keep_to(Pid::from_raw(id), OURS)?;
    }
    Ok(())
}

/// Keeps a thread, the calling one if none is named, to a processor.
fn keep_to(thread: Option<Pid>, processor: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(thread, &only).with_context(|| format!("keep to processor {processor}"))
}

/// Gives the calling thread the lowest real-time priority.
#[expect(unsafe_code, reason = "no crate of the tree wraps sched_setscheduler")]
fn real_time() -> Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live across the call, which reads them.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    ensure!(
        result == 0,
        "cannot become a real-time thread: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
