//! Readers that stop while their senders offer without end: what a host holds for them with the sockmap
//! engine's bound, and what it would hold without.
//!
//! The kernel half alone, on connections of loopback in a network namespace of their own: no agent
//! relays, so with the bound what is passed stays in the sockets. Needs root and a kernel object
//! (`cargo xtask ebpf`); says so and ends where either is missing. Without the bound memory is really
//! taken, up to `CULVERT_BENCH_MIB` (200) in all: then the senders are told to stop.
//!
//! ```sh
//! cargo xtask ebpf
//! sudo -E cargo bench -p gateway-agent --bench stalled
//! ```
//!
//! Columns: bytes that senders could offer; bytes redirected that wait outside of all buffers; the
//! kernel's slab of socket buffers; memory of the host that is gone, which whoever else is busy blurs.

use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use comfy_table::Table;
use gateway_agent::bpf::splice::JoinTerms;
use gateway_agent::bpf::{Joined, Splices, embedded};
use gateway_agent::sys::{netns, tcp};
use gateway_common::abi::splice::Direction;

const MEBIBYTE: u64 = 1 << 20;

/// Connections at once.
const FLOWS: usize = 100;

/// Buffers of those who speak, and the agent's first ones (`proxy/splice/sockmap/buffers.rs`).
const SMALL: u32 = 64 * 1024;
const WINDOW: u32 = 32 * 1024;
const SEND: u32 = 512 * 1024;

/// The largest segment, as on Ethernet: loopback's would fill a window.
const MOST_SEGMENT: u32 = 1400;

/// How long no sender must get on to be called blocked.
const STILL: Duration = Duration::from_millis(300);

fn main() -> Result<()> {
    // `cargo test --benches` runs it as well, and nobody wants the numbers.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        println!("stalled: skipped, needs root to load programs: run `sudo -E cargo bench`");
        return Ok(());
    }
    if embedded().is_none() {
        println!("stalled: skipped, no kernel object: run `cargo xtask ebpf` first");
        return Ok(());
    }
    let most = most()?;
    let mut table = Table::new();
    table.set_header([
        "bound",
        "flows",
        "blocked",
        "offered, MiB",
        "beyond buffers, MiB",
        "most of a flow, KiB",
        "slab, MiB",
        "memory gone, MiB",
    ]);
    for bounded in [true, false] {
        let found = netns::apart(|| measure(bounded, most).map_err(io::Error::other));
        let found = found.with_context(|| format!("bound: {bounded}"))?;
        table.add_row(found.row(bounded));
    }
    println!("{table}");
    Ok(())
}

/// What the senders may offer in all.
fn most() -> Result<u64> {
    let name = "CULVERT_BENCH_MIB";
    let Some(text) = std::env::var_os(name) else {
        return Ok(200 * MEBIBYTE);
    };
    let number = text.to_str().and_then(|text| text.parse::<u64>().ok());
    let number = number.with_context(|| format!("{name} must be a number, such as 200"))?;
    Ok(number * MEBIBYTE)
}

/// What a run came to.
struct Found {
    blocked: bool,
    offered: u64,
    beyond: u64,
    most_beyond: u64,
    slab: u64,
    memory: u64,
}

impl Found {
    fn row(&self, bounded: bool) -> [String; 8] {
        let mebibytes =
            |bytes: u64| format!("{}.{}", bytes / MEBIBYTE, bytes % MEBIBYTE * 10 / MEBIBYTE);
        [
            if bounded { "on" } else { "off" }.to_owned(),
            FLOWS.to_string(),
            if self.blocked { "yes" } else { "no, capped" }.to_owned(),
            mebibytes(self.offered),
            mebibytes(self.beyond),
            (self.most_beyond / 1024).to_string(),
            mebibytes(self.slab),
            mebibytes(self.memory),
        ]
    }
}

fn measure(bounded: bool, most: u64) -> Result<Found> {
    let splices = Splices::open(1, bounded)?;
    let route = splices.route("", "bench")?;
    let flows: Vec<Flow> = (0..FLOWS)
        .map(|_| Flow::new(&splices, route))
        .collect::<Result<_>>()?;
    let before = Host::look()?;
    let mut senders: Vec<&TcpStream> = flows.iter().map(|flow| &flow.client).collect();
    let block = vec![7; 16 * 1024];
    let mut offered = 0;
    let mut moved = Instant::now();
    while moved.elapsed() < STILL && offered < most {
        for sender in &mut senders {
            match sender.write(&block) {
                Ok(written) => {
                    offered += written as u64;
                    moved = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("offer bytes"),
            }
        }
    }
    let blocked = offered < most;
    // What is under way arrives, so that all that waits is where it stays.
    let mut last = waiting(&flows)?;
    let mut since = Instant::now();
    while since.elapsed() < STILL {
        let now = waiting(&flows)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    let after = Host::look()?;
    let (beyond, most_beyond) = last;
    Ok(Found {
        blocked,
        offered,
        beyond,
        most_beyond,
        slab: after.slab.saturating_sub(before.slab),
        memory: before.available.saturating_sub(after.available),
    })
}

/// Bytes redirected that no socket has taken: in all, and the most of one flow.
fn waiting(flows: &[Flow]) -> Result<(u64, u64)> {
    let (mut all, mut most) = (0, 0);
    for flow in flows {
        let redirected = flow.joined.stream(Direction::Upstream)?.redirected;
        let given = tcp::given(&flow.upstream)?.0 - flow.given_before;
        let waits = redirected.saturating_sub(given);
        all += waits;
        most = most.max(waits);
    }
    Ok((all, most))
}

/// A spliced connection whose server does not read.
struct Flow {
    client: TcpStream,
    upstream: TcpStream,
    given_before: u64,
    joined: Arc<Joined>,
    _accepted: TcpStream,
    _server: TcpStream,
}

impl Flow {
    fn new(splices: &Splices, route: u32) -> Result<Self> {
        let (client, accepted) = connection()?;
        let (upstream, server) = connection()?;
        for socket in [&client, &server] {
            tcp::set_receive_buffer(socket, SMALL)?;
            tcp::set_send_buffer(socket, SMALL)?;
        }
        tcp::set_receive_buffer(&accepted, 3 * WINDOW)?;
        tcp::set_window(&accepted, WINDOW)?;
        tcp::set_send_buffer(&upstream, SEND)?;
        for socket in [&client, &accepted, &upstream, &server] {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
        }
        let terms = JoinTerms {
            budget: 256 * 1024,
            route,
            ..JoinTerms::default()
        };
        let given_before = tcp::given(&upstream)?.0;
        let joined = splices.join([accepted.as_fd(), upstream.as_fd()], terms)?;
        if !joined.is_whole() {
            bail!("the kernel took one socket of two");
        }
        Ok(Self {
            client,
            upstream,
            given_before,
            joined,
            _accepted: accepted,
            _server: server,
        })
    }
}

fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    socket2::SockRef::from(&listener).set_tcp_mss(MOST_SEGMENT)?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    Ok((near, far))
}

/// What the host says of its memory, bytes.
struct Host {
    available: u64,
    slab: u64,
}

impl Host {
    fn look() -> Result<Self> {
        let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let mut lines = text.lines();
        let kibibytes = lines.find_map(|line| line.strip_prefix("MemAvailable:"));
        let kibibytes = kibibytes.context("no MemAvailable in /proc/meminfo")?;
        let kibibytes: u64 = kibibytes.trim().trim_end_matches(" kB").parse()?;
        // slabinfo(5): name, objects in use, objects, size of one.
        let text = fs::read_to_string("/proc/slabinfo").context("read /proc/slabinfo")?;
        let mut slab = 0;
        for line in text.lines().filter(|line| line.starts_with("skbuff_")) {
            let mut numbers = line.split_whitespace().skip(1).map(str::parse::<u64>);
            if let (Some(Ok(active)), _, Some(Ok(size))) =
                (numbers.next(), numbers.next(), numbers.next())
            {
                slab += active * size;
            }
        }
        Ok(Self {
            available: kibibytes * 1024,
            slab,
        })
    }
}
