//! The first bytes: cut, split, padded, followed by others, odd and wrong.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::peers::{End, connect, read_to_end};
use gateway_tests::topology::{Family, gateway};
use gateway_tests::wait;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::settle;
use crate::Trial;
use crate::hello::{Hello, SERVER_NAME, names};
use crate::stream::Stream;
use crate::world::{World, echo_name};

/// Connections at a time: enough that gaps overlap.
const AT_ONCE: usize = 128;

/// Bytes behind a hello, as early data is.
const BEHIND: usize = 700;

/// Gaps in the middle of a hello, in milliseconds.
const GAPS: [u64; 3] = [0, 1, 50];

/// Cuts hellos at every byte and in other ways; all must be routed, and arrive as they were sent.
pub(crate) async fn cut(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let mut tasks = JoinSet::new();
    let mut count = 0_u64;
    for family in Family::BOTH {
        for (hello, step) in [
            (plain(family), 1),
            (plain(family).post_quantum(), trial.amount(19, 1)),
        ] {
            let bytes = hello.bytes();
            let first = trial.chance.usize(1..=step);
            for (number, at) in (first..bytes.len()).step_by(step).enumerate() {
                let gap = GAPS[number % GAPS.len()];
                let all = trial.amount(&[gap][..], &GAPS[..]).to_vec();
                for gap in all {
                    let pieces = [&bytes[..at], &bytes[at..]].map(<[u8]>::to_vec);
                    let what = format!("{family:?}: cut at {at} of {}, {gap} ms", bytes.len());
                    send(&world, &mut tasks, family, (pieces.into(), gap), what).await?;
                    count += 1;
                }
            }
        }
        for pieces in whole(trial, family) {
            let what = format!("{family:?}: a hello in {} writes", pieces.len());
            send(&world, &mut tasks, family, (pieces, 0), what).await?;
            count += 1;
        }
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    Ok(format!("{count} hellos, each with {BEHIND} bytes behind"))
}

fn plain(family: Family) -> Hello {
    Hello::asking_for(echo_name(family).as_bytes())
}

/// Hellos in records of all sizes, padded, doubled, and byte by byte.
fn whole(trial: &mut Trial, family: Family) -> Vec<Vec<Vec<u8>>> {
    let plain = plain(family);
    let mut all = Vec::new();
    for size in [1, 2, 3, 5, 16, 100, 255, 1000] {
        all.push(vec![plain.clone().post_quantum().in_records(size)]);
    }
    for length in [511, 512, 4096, 16_383, 16_384, 16_385, 40_000, 65_536] {
        all.push(vec![plain.clone().padded(length).bytes()]);
        let size = trial.chance.usize(200..16_384);
        all.push(vec![plain.clone().padded(length).in_records(size)]);
    }
    let twice = [plain.bytes(), plain.bytes()].concat();
    all.push(vec![twice]);
    for hello in [plain.bytes(), plain.in_records(1)] {
        all.push(hello.into_iter().map(|byte| vec![byte]).collect());
    }
    all
}

/// Sends the pieces of a hello and bytes behind it; all of it must come back from the server.
async fn send(
    world: &World,
    tasks: &mut JoinSet<Result<()>>,
    family: Family,
    (pieces, gap): (Vec<Vec<u8>>, u64),
    what: String,
) -> Result<()> {
    settle(tasks, AT_ONCE).await?;
    let mut stream = connect(&world.net.client, gateway(family, PORT)).await?;
    tasks.spawn(async move {
        let mut wanted = pieces.concat();
        let behind = Stream::new(wanted.len() as u64).bytes(0, BEHIND);
        wanted.extend(&behind);
        let sent = async {
            for (number, piece) in pieces.iter().enumerate() {
                if number > 0 && gap > 0 {
                    sleep(Duration::from_millis(gap)).await;
                }
                stream.write_all(piece).await?;
            }
            stream.write_all(&behind).await?;
            stream.shutdown().await
        };
        sent.await.with_context(|| what.clone())?;
        let (got, end) = hear(stream).await.with_context(|| what.clone())?;
        ensure!(
            got == wanted,
            "{what}: {} bytes came back, not the {} that were sent",
            got.len(),
            wanted.len()
        );
        ensure!(end == End::Fin, "{what}: ended by {end:?}");
        Ok(())
    });
    Ok(())
}

async fn hear(mut stream: TcpStream) -> Result<(Vec<u8>, End)> {
    let mut bytes = Vec::new();
    let end = wait::within("the echo", read_to_end(&mut stream, &mut bytes)).await??;
    Ok((bytes, end))
}

/// What must become of first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They reach the server that the name is for, unchanged.
    Routed,
    /// The client gets this fatal alert.
    Alert(u8),
    /// The connection ends without a word.
    Dropped,
    /// Another end.
    Other,
}

/// TLS alerts (RFC 8446 section 6).
const DECODE_ERROR: Fate = Fate::Alert(50);
const PROTOCOL_VERSION: Fate = Fate::Alert(70);
const UNRECOGNIZED_NAME: Fate = Fate::Alert(112);

/// Sends every odd hello, whole and byte by byte.
pub(crate) async fn odd(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let mut count = 0;
    for family in Family::BOTH {
        for (what, bytes, wanted) in oddities(echo_name(family)) {
            for drip in [false, true] {
                let got = fate(&world, family, (&bytes, drip)).await;
                let got = got.with_context(|| format!("{family:?}: {what}"))?;
                ensure!(
                    got == wanted,
                    "{family:?}: {what}: {got:?}, expected {wanted:?}"
                );
                count += 1;
            }
        }
    }
    world.rest().await?;
    Ok(format!("{count} odd beginnings"))
}

async fn fate(world: &World, family: Family, (bytes, drip): (&[u8], bool)) -> Result<Fate> {
    let before = world.echoed();
    let mut stream = connect(&world.net.client, gateway(family, PORT)).await?;
    let size = if drip { 7 } else { bytes.len().max(1) };
    for piece in bytes.chunks(size) {
        // Who is refused in the middle cannot send the rest.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if let Err(error) = stream.shutdown().await {
        ensure!(
            error.kind() == std::io::ErrorKind::NotConnected,
            "cannot send FIN: {error}"
        );
    }
    let (got, _end) = hear(stream).await?;
    let reached = world.echoed() > before;
    Ok(match got.as_slice() {
        all if all == bytes && reached => Fate::Routed,
        [0x15, 3, _, 0, 2, 2, number] if !reached => Fate::Alert(*number),
        [] if !reached => Fate::Dropped,
        _ => Fate::Other,
    })
}

/// First bytes, what they are, and what must become of them.
fn oddities(name: &str) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let plain = || Hello::asking_for(name.as_bytes());
    let asking = |name: &[u8]| Hello::asking_for(name).bytes();
    let upper = name.to_uppercase();
    let dotted = format!("{name}.");
    let null = format!("{name}\0.example.org");
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{label}");
    let raw = |bytes: &[u8]| bytes.to_vec();
    vec![
        ("post-quantum", plain().post_quantum().bytes(), Fate::Routed),
        ("GREASE", plain().grease().bytes(), Fate::Routed),
        (
            "ECH of 200 bytes",
            plain().encrypted(200).bytes(),
            Fate::Routed,
        ),
        (
            "ECH of 20 000 bytes",
            plain().encrypted(20_000).post_quantum().grease().bytes(),
            Fate::Routed,
        ),
        ("upper case", asking(upper.as_bytes()), Fate::Routed),
        ("a trailing dot", asking(dotted.as_bytes()), Fate::Routed),
        ("no name", Hello::nameless().bytes(), UNRECOGNIZED_NAME),
        ("an empty name", asking(b""), UNRECOGNIZED_NAME),
        ("a NUL", asking(null.as_bytes()), UNRECOGNIZED_NAME),
        ("an IPv4 literal", asking(b"10.1.0.1"), UNRECOGNIZED_NAME),
        ("an IPv6 literal", asking(b"fd00:1::1"), UNRECOGNIZED_NAME),
        ("255 bytes", asking(long.as_bytes()), UNRECOGNIZED_NAME),
        (
            "an unknown punycode name",
            asking(b"xn--bcher-kva.example"),
            UNRECOGNIZED_NAME,
        ),
        ("bytes above 0x7f", asking(b"\xff\xfe.com"), UNRECOGNIZED_NAME),
        (
            "two names",
            Hello::nameless()
                .extension(SERVER_NAME, names(&[name.as_bytes(), b"other.example.com"]))
                .bytes(),
            DECODE_ERROR,
        ),
        (
            "the extension twice",
            plain()
                .extension(SERVER_NAME, names(&[name.as_bytes()]))
                .bytes(),
            DECODE_ERROR,
        ),
        (
            "an SSLv2 hello",
            raw(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc00123456789abcdef"),
            PROTOCOL_VERSION,
        ),
        (
            "HTTP",
            raw(b"GET / HTTP/1.1\r\nHost: four.example.com\r\n\r\n"),
            Fate::Dropped,
        ),
        ("SSH", raw(b"SSH-2.0-OpenSSH_9.6\r\n"), Fate::Dropped),
        (
            "Postgres",
            raw(b"\0\0\0\x08\x04\xd2\x16\x2f"),
            Fate::Dropped,
        ),
        (
            "a byte more than hellos may have",
            plain().padded(65_537).bytes(),
            DECODE_ERROR,
        ),
        ("nothing", Vec::new(), Fate::Dropped),
        ("half a hello", plain().bytes()[..60].to_vec(), Fate::Dropped),
        (
            "a record of no bytes",
            [b"\x16\x03\x01\0\0", &*plain().bytes()].concat(),
            DECODE_ERROR,
        ),
    ]
}
