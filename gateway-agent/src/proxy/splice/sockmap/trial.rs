//! The self-test: does this kernel keep every byte, in order, when it redirects?
//!
//! Its bugs are silent, so only sums at both ends prove a relay. Real sockets in a network namespace of
//! their own, spliced by the engine itself: both ways at once and with small buffers, bytes that are
//! there before the kernel takes over, half-closes, and a reader that stops.

use core::fmt;
use core::sync::atomic::AtomicU64;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream as Blocking};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use gateway_common::abi::splice::Direction;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::Xxh3;

use super::super::End;
use super::{CloseReason, Legs, Run, Splice, Splicer, Stop, Terms};
use crate::control::snapshot::Sockmap;
use crate::sys::netns;

/// Bytes each way of a test of streams: many times what the kernel may hold back.
const MUCH: u64 = 4 << 20;

/// The same with small buffers, which make the kernel's worker stop and go.
const LITTLE: u64 = 2 << 20;

/// A small send buffer: the kernel takes hardly any less.
const SMALL: u32 = 8192;

/// Buffers of those who speak.
const USUAL: usize = 64 << 10;

/// The largest segment, as on Ethernet: loopback's would fill a window.
const MOST_SEGMENT: u32 = 1400;

/// The send buffer towards a reader that stops; what one segment may add unseen.
const ROOM: u32 = 256 << 10;
const SEGMENT: u64 = 256 << 10;

/// What may wait beyond a small send buffer.
const BEYOND: u32 = 128 << 10;

/// How long a round may take that is one of many.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a writer must stand still to be called blocked.
const STILL: Duration = Duration::from_millis(100);

/// Tries the kernel out, once.
///
/// # Errors
/// What went wrong, or that it took longer than `limit`.
pub(crate) async fn self_test(splicer: &dyn Splicer, limit: Duration) -> Result<()> {
    let families = Family::both();
    match timeout(limit, round(splicer, &families, 0)).await {
        Ok(done) => done,
        Err(_elapsed) => bail!("not done after {limit:?}"),
    }
}

/// Tries the kernel out for some time; how many rounds that were.
///
/// # Errors
/// What went wrong.
pub(crate) async fn long_self_test(splicer: &dyn Splicer, time: Duration) -> Result<u64> {
    let families = Family::both();
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        let done = timeout(PATIENCE, round(splicer, &families, rounds)).await;
        let done = done.unwrap_or_else(|_elapsed| bail!("not done after {PATIENCE:?}"));
        done.with_context(|| format!("round {rounds}"))?;
        rounds += 1;
    }
    Ok(rounds)
}

/// One of each test, each over the next family.
async fn round(splicer: &dyn Splicer, families: &[Family], number: u64) -> Result<()> {
    let mut turns = families.iter().cycle().skip(usize::from(number % 2 == 1));
    let mut next = || turns.next().copied().unwrap_or(Family::V4);
    let family = next();
    let streams_of = |length, bounds, family| streams(splicer, length, bounds, family);
    streams_of(MUCH, Bounds::default(), family)
        .await
        .with_context(|| format!("two streams over {family}"))?;
    let (small, family) = (Bounds::small(), next());
    streams_of(LITTLE, small, family)
        .await
        .with_context(|| format!("two streams with small buffers over {family}"))?;
    let family = next();
    stalled_reader(splicer, family)
        .await
        .with_context(|| format!("a reader that stops over {family}"))
}

/// Which addresses a test uses.
#[derive(Debug, Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// Those that this host has.
    fn both() -> Vec<Self> {
        let six = netns::apart(|| TcpListener::bind(Self::V6.address())).is_ok();
        if six {
            vec![Self::V4, Self::V6]
        } else {
            vec![Self::V4]
        }
    }

    fn address(self) -> SocketAddr {
        match self {
            Self::V4 => (Ipv4Addr::LOCALHOST, 0).into(),
            Self::V6 => (Ipv6Addr::LOCALHOST, 0).into(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What a test allows the engine, where it is not the usual.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    /// See [`Terms::beyond`].
    beyond: u32,
    /// See [`Terms::most_send`].
    most_send: Option<u32>,
}

impl Bounds {
    /// A small send buffer and what waits for it make the kernel's worker stop and go.
    fn small() -> Self {
        Self {
            beyond: BEYOND,
            most_send: Some(SMALL),
        }
    }
}

/// The four sockets of a spliced connection.
struct Four {
    client: TcpStream,
    accepted: TcpStream,
    upstream: TcpStream,
    server: TcpStream,
}

impl Four {
    fn new(family: Family) -> Result<Self> {
        let make = || -> io::Result<[Blocking; 4]> {
            let (client, accepted) = connection(family)?;
            let (upstream, server) = connection(family)?;
            for socket in [&accepted, &upstream] {
                SockRef::from(socket).set_tcp_nodelay(true)?;
                // Or everything might have arrived, its end included, before the kernel takes over.
                SockRef::from(socket).set_recv_buffer_size(USUAL)?;
            }
            for socket in [&client, &accepted, &upstream, &server] {
                socket.set_nonblocking(true)?;
            }
            Ok([client, accepted, upstream, server])
        };
        let made = netns::apart(make).context("make sockets")?;
        let [client, accepted, upstream, server] = made.map(TcpStream::from_std);
        Ok(Self {
            client: client?,
            accepted: accepted?,
            upstream: upstream?,
            server: server?,
        })
    }
}

fn connection(family: Family) -> io::Result<(Blocking, Blocking)> {
    let listener = TcpListener::bind(family.address())?;
    SockRef::from(&listener).set_tcp_mss(MOST_SEGMENT)?;
    let near = Blocking::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    Ok((near, far))
}

/// Splices by the engine until the end; what the kernel did is in `seen` meanwhile and afterwards.
async fn spliced(
    splicer: &dyn Splicer,
    (client, upstream): (&TcpStream, &TcpStream),
    bounds: Bounds,
    seen: &Seen,
) -> Result<()> {
    let (received, sent) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut legs = Legs {
        client,
        upstream,
        first_bytes: Bytes::new(),
        prepended: 0,
        consumed: 0,
        repeatable: false,
        idle_timeout: Duration::from_secs(3600),
        half_close_timeout: Duration::from_secs(3600),
        rests_after: None,
        received: &received,
        sent: &sent,
    };
    let terms = Terms {
        datacenter: "",
        service: "self-test",
        budget: Sockmap::default().budget,
        beyond: bounds.beyond,
        most_send: bounds.most_send,
        most_window: None,
        owed: [0; 2],
    };
    let watch = |splice: Option<Arc<dyn Splice>>| {
        if let Some(splice) = splice {
            *seen.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(splice);
        }
    };
    match Box::pin(super::run(&mut legs, splicer, || terms, watch)).await {
        Run::Stopped(Stop::Ended(End::Closed(CloseReason::Finished))) => Ok(()),
        Run::Stopped(stop) => Err(anyhow!("the engine stopped: {stop:?}")),
        Run::Unfit(error) => Err(error).context("the kernel refuses the sockets"),
    }
}

/// What the kernel did with a connection.
#[derive(Default)]
struct Seen(Mutex<Option<Arc<dyn Splice>>>);

impl Seen {
    /// Bytes redirected, and the most that waited in the kernel.
    fn read(&self, direction: Direction) -> Result<(u64, u64)> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let splice = seen.as_ref().context("the kernel never took over")?;
        let stream = splice.stream(direction)?;
        Ok((stream.redirected, stream.most_backlog))
    }
}

/// Both ways at once. Bytes are on their way before the kernel takes over: client and server speak at
/// once. Each ends its stream when it has sent all, and hears the other to its end.
async fn streams(splicer: &dyn Splicer, length: u64, bounds: Bounds, family: Family) -> Result<()> {
    let Four {
        client,
        accepted,
        upstream,
        server,
    } = Four::new(family)?;
    let seen = Seen::default();
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let up = async {
        let sent = send(&mut client_out, 1, length).await?;
        client_out.shutdown().await?;
        Ok::<_, anyhow::Error>(sent)
    };
    let down = async {
        let sent = send(&mut server_out, 2, length).await?;
        server_out.shutdown().await?;
        Ok::<_, anyhow::Error>(sent)
    };
    let pair = (&accepted, &upstream);
    let (sent_up, sent_down, at_server, at_client, ()) = tokio::try_join!(
        up,
        down,
        receive(&mut server_in),
        receive(&mut client_in),
        spliced(splicer, pair, bounds, &seen),
    )?;
    ensure!(
        sent_up == at_server,
        "bytes changed on their way to the server"
    );
    ensure!(
        sent_down == at_client,
        "bytes changed on their way to the client"
    );
    let redirected = seen.read(Direction::Upstream)?.0 + seen.read(Direction::Downstream)?.0;
    ensure!(redirected > 0, "the kernel redirected nothing");
    Ok(())
}

/// The server stops reading while the client offers more than anything may hold.
async fn stalled_reader(splicer: &dyn Splicer, family: Family) -> Result<()> {
    let Four {
        mut client,
        accepted,
        upstream,
        mut server,
    } = Four::new(family)?;
    for socket in [&client, &accepted, &upstream, &server] {
        SockRef::from(socket).set_recv_buffer_size(USUAL)?;
        SockRef::from(socket).set_send_buffer_size(USUAL)?;
    }
    let seen = Seen::default();
    let test = async {
        // The kernel takes over when something has followed: a word each way.
        let mut word = [0; 1];
        client.write_all(b"a").await?;
        server.read_exact(&mut word).await?;
        server.write_all(b"b").await?;
        client.read_exact(&mut word).await?;
        let mut block = vec![0; 64 << 10];
        let (mut offered, mut sent) = (0_u64, Xxh3::new());
        loop {
            block.fill(offered.to_le_bytes().iter().fold(0, |a, b| a ^ b));
            let Ok(written) = timeout(STILL, client.write(&block)).await else {
                break;
            };
            let written = written?;
            sent.update(block.get(..written).unwrap_or_default());
            offered += written as u64;
            ensure!(
                offered < MUCH,
                "a reader that stopped did not stop its sender"
            );
        }
        client.shutdown().await?;
        let arrived = receive(&mut server).await?;
        server.shutdown().await?;
        ensure!(
            arrived == sent.digest(),
            "of {offered} bytes some changed on their way"
        );
        let (_, waited) = seen.read(Direction::Upstream)?;
        let most = u64::from(ROOM) + SEGMENT;
        ensure!(waited <= most, "{waited} bytes waited where {most} may");
        Ok(())
    };
    let bounds = Bounds {
        beyond: 0,
        most_send: Some(ROOM),
    };
    tokio::try_join!(
        test,
        spliced(splicer, (&accepted, &upstream), bounds, &seen)
    )?;
    Ok(())
}

const BLOCK: usize = 16 << 10;

/// Sends numbered blocks: lost, doubled and swapped ones all change the sum.
async fn send(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    seed: u64,
    length: u64,
) -> Result<u64> {
    let mut sum = Xxh3::new();
    let mut block = vec![0; BLOCK];
    for number in 0..length / BLOCK as u64 {
        let mark = (number ^ seed << 56).to_le_bytes();
        for piece in block.chunks_exact_mut(512) {
            piece
                .iter_mut()
                .zip(mark)
                .for_each(|(place, byte)| *place = byte);
        }
        sum.update(&block);
        to.write_all(&block).await?;
    }
    Ok(sum.digest())
}

async fn receive(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<u64> {
    let mut sum = Xxh3::new();
    let mut buffer = vec![0; BLOCK];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(sum.digest()),
            read => sum.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
