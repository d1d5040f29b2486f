//! `culvert bench`: every mode through a gateway, and every fault of one that spoils bytes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::bench::{BenchResult, BenchServer, Direction, NAME, Spoil, client, spoiler};
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::Server;
use gateway_tests::peers::tls::{Authority, greeter};
use gateway_tests::skip;
use gateway_tests::topology::{Family, Topology, gateway, server};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Lengths of what stands before the payload, behind the hello: docs/bench.md has them.
const REQUEST_AND_GO: u64 = 56;
const ANSWER: u64 = 35;

/// A gateway with one route to a bench server of both families.
struct Scene {
    net: Topology,
    agent: Agent,
    server: BenchServer,
}

impl Scene {
    async fn new(arguments: &[&str]) -> Result<Self> {
        let net = Topology::new(1)?;
        let addresses = Family::BOTH.map(|family| server(family, 0, 443));
        let server = BenchServer::start(&net.servers[0], &addresses, arguments)?;
        let body = listener("") + &route(NAME, &addresses, "");
        let agent = Agent::start(&net.gateway, &body).await?;
        Ok(Self { net, agent, server })
    }

    async fn run(&self, family: Family, arguments: &[&str]) -> Result<BenchResult> {
        let arguments = [&["--sni", NAME], arguments].concat();
        client(&self.net.client, gateway(family, PORT), &arguments).await
    }

    async fn json(&self, family: Family, arguments: &str) -> Result<Value> {
        let arguments: Vec<&str> = arguments.split_whitespace().chain(["--json"]).collect();
        self.run(family, &arguments).await?.json()
    }
}

/// A server, and in front of it something that spoils bytes instead of a gateway.
struct Spoiled {
    net: Topology,
    _server: BenchServer,
    _spoiler: Server,
}

impl Spoiled {
    fn new(family: Family, direction: Direction, position: u64, spoil: Spoil) -> Result<Self> {
        let net = Topology::new(1)?;
        let address = server(family, 0, 443);
        let there = BenchServer::start(&net.servers[0], &[address], &[])?;
        let between = gateway(family, PORT);
        let spoiler = spoiler(&net.gateway, between, address, (direction, position, spoil))?;
        Ok(Self {
            net,
            _server: there,
            _spoiler: spoiler,
        })
    }

    async fn run(&self, family: Family, mode: &str) -> Result<BenchResult> {
        let arguments = ["--sni", NAME, "--hello", "small", "-m", mode, "-b", "1M"];
        client(&self.net.client, gateway(family, PORT), &arguments).await
    }
}

fn number(report: &Value, pointer: &str) -> f64 {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no {pointer} in {report}"))
}

#[track_caller]
fn assert_no(result: &BenchResult, expected: &str) {
    assert_eq!(result.code, Some(1), "{result:?}");
    assert!(
        result.errors.contains(expected),
        "no \"{expected}\" in {result:?}"
    );
}

#[tokio::test]
async fn transfers_move_every_byte_through_the_gateway() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    let length = f64::from(3 * (1 << 20));
    for (family, arguments) in [
        (Family::V4, "--hello small"),
        (Family::V6, "--hello split"),
        (Family::V4, "--tls"),
        (Family::V6, "--tls --hello split"),
    ] {
        for (mode, up, down) in [
            ("upload", length, 0.0),
            ("download", 0.0, length),
            ("both", length, length),
        ] {
            let arguments = format!("-m {mode} -s 3 -b 1M {arguments}");
            let report = scene.json(family, &arguments).await?;
            assert!(
                (number(&report, "/upload/bytes") - up).abs() < 0.5,
                "{report}"
            );
            assert!(
                (number(&report, "/download/bytes") - down).abs() < 0.5,
                "{report}"
            );
            assert_eq!(report["connections"]["opened"], 3, "{report}");
        }
    }
    // It went through the gateway and not around it.
    let record = scene.agent.logged(|record| record["sni"] == NAME).await?;
    assert!(record["sent"].as_u64() > Some(0) || record["received"].as_u64() > Some(0));
    assert_eq!(scene.server.errors()?, "");
    Ok(())
}

#[tokio::test]
async fn a_transfer_by_time_ends_in_time_and_cuts_the_warm_up() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    for mode in ["upload", "download", "both"] {
        let arguments = format!("-m {mode} -d 1500ms --warm-up 500ms");
        let report = scene.json(Family::V4, &arguments).await?;
        let seconds = number(&report, "/seconds");
        assert!((0.9..1.5).contains(&seconds), "{report}");
        let moved = number(&report, "/upload/bytes") + number(&report, "/download/bytes");
        assert!(moved > 0.0, "{report}");
        assert_eq!(report["intervals"][0]["warm_up"], true, "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn round_trips_are_counted_and_have_percentiles() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    for (family, arguments) in [
        (Family::V4, "-m echo -s 2 -b 10K --size 100"),
        (Family::V6, "-m echo -d 1s --tls"),
        (Family::V4, "-m mixed -s 2 -b 1M --sizes 10:5,70K:1"),
    ] {
        let report = scene.json(family, arguments).await?;
        assert!(number(&report, "/round_trips/count") >= 10.0, "{report}");
        let [p50, p99] =
            ["p50", "p99"].map(|which| number(&report, &format!("/round_trips/latency/{which}")));
        assert!(p50 > 0.0 && p99 >= p50, "{report}");
        let sizes = report["round_trips"]["sizes"].as_array().map(Vec::len);
        let mixed = arguments.contains("mixed");
        assert_eq!(sizes, Some(if mixed { 2 } else { 1 }), "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn an_open_loop_keeps_to_its_rate() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    let report = scene
        .json(Family::V6, "-m echo -s 2 -r 200 -d 1s --warm-up 0s")
        .await?;
    // What is due in a second, whatever each round trip took.
    assert_eq!(report["round_trips"]["count"], 200, "{report}");
    let report = scene
        .json(Family::V4, "-m connect -s 2 -r 50 -d 1s --warm-up 0s")
        .await?;
    let opened = number(&report, "/connections/opened");
    assert!((40.0..=50.0).contains(&opened), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_stall_is_seen_by_all_that_was_due_in_it() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    // After some twenty messages of 64 bytes; half of what is due in the second is due in it.
    let stall = Spoil::Stall(Duration::from_millis(500));
    for (more, seen_by_many) in [(&["-r", "100"][..], true), (&[], false)] {
        let at = REQUEST_AND_GO + 1280;
        let scene = Spoiled::new(Family::V4, Direction::Upstream, at, stall)?;
        let arguments = [
            "--sni",
            NAME,
            "-m",
            "echo",
            "-d",
            "1s",
            "--warm-up",
            "0s",
            "--json",
        ];
        let arguments = [&arguments, more].concat();
        let result = client(&scene.net.client, gateway(Family::V4, PORT), &arguments).await?;
        let report = result.json()?;
        let millisecond = 1000.0;
        let latency = |which| number(&report, &format!("/round_trips/latency/{which}"));
        assert!(latency("max") > 450.0 * millisecond, "{report}");
        assert_eq!(
            latency("p90") > 300.0 * millisecond,
            seen_by_many,
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn connections_are_counted_and_checked() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    for (family, arguments) in [
        (Family::V4, "-m connect -s 4 -d 1s"),
        (Family::V6, "-m connect -s 2 -d 1s --tls --hello small"),
    ] {
        let report = scene.json(family, arguments).await?;
        assert!(number(&report, "/connections/opened") >= 10.0, "{report}");
        assert!(number(&report, "/connections/per_second") > 0.0, "{report}");
        assert!(number(&report, "/connections/answer/p50") > 0.0, "{report}");
        assert_eq!(report["connections"]["failed"], 0, "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn idle_connections_are_held_and_answer_at_the_end() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    let report = scene.json(Family::V4, "-m idle -s 50 -d 1s").await?;
    assert_eq!(report["idle"]["held"], 50, "{report}");
    assert_eq!(report["idle"]["lost"], 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_believed_only_for_its_name() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    let file = home.path().join("ca.pem");
    let file = file.to_str().unwrap();
    let arguments = ["-b", "1K", "--tls", "--ca", file];
    let other = Scene::new(&["--name", "other.example.com", "--ca-out", file]).await?;
    assert_no(
        &other.run(Family::V4, &arguments).await?,
        "--name bench.example.com",
    );
    drop(other);
    let right = Scene::new(&["--name", NAME, "--ca-out", file]).await?;
    let result = right.run(Family::V4, &arguments).await?;
    assert_eq!(result.code, Some(0), "{result:?}");
    Ok(())
}

#[tokio::test]
async fn a_flipped_byte_is_caught_with_its_offset() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for (family, direction, mode, begins) in [
        (Family::V4, Direction::Upstream, "upload", REQUEST_AND_GO),
        (Family::V6, Direction::Downstream, "download", ANSWER),
        (Family::V4, Direction::Upstream, "both", REQUEST_AND_GO),
        (Family::V6, Direction::Upstream, "echo", REQUEST_AND_GO),
        (Family::V4, Direction::Downstream, "echo", ANSWER),
    ] {
        let scene = Spoiled::new(family, direction, begins + 123_456, Spoil::Flip)?;
        let result = scene.run(family, mode).await?;
        let way = match direction {
            Direction::Upstream => "upload",
            Direction::Downstream => "download",
        };
        let expected = format!("WRONG BYTES in the {way}: the byte at offset 123456 is ");
        assert_no(&result, &expected);
    }
    Ok(())
}

#[tokio::test]
async fn lost_and_doubled_bytes_are_told_with_their_number() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for (spoil, expected) in [
        (Spoil::Lose(70_000), "stand the bytes of offset"),
        (Spoil::Lose(70_000), ": 70000 bytes are missing"),
        (Spoil::Double(4096), ": 4096 bytes came twice"),
    ] {
        let at = REQUEST_AND_GO + 200_000;
        let scene = Spoiled::new(Family::V4, Direction::Upstream, at, spoil)?;
        assert_no(&scene.run(Family::V4, "upload").await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_ends_early_is_told_with_its_length() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let at = ANSWER + 300_000;
    let scene = Spoiled::new(Family::V4, Direction::Downstream, at, Spoil::Cut)?;
    let result = scene.run(Family::V4, "download").await?;
    assert_no(
        &result,
        "the download ended too early: the connection was closed after 300000 bytes",
    );
    Ok(())
}

#[tokio::test]
async fn a_refused_name_is_told_with_the_alert() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[]).await?;
    for more in [&[][..], &["--tls"], &["--hello", "split"]] {
        let arguments = [&["--sni", "other.example.com", "-b", "1K"], more].concat();
        let result = client(&scene.net.client, gateway(Family::V4, PORT), &arguments).await?;
        assert_no(
            &result,
            "refused for other.example.com with the TLS alert unrecognized_name",
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_told_with_the_alert() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let body = listener("") + &route(NAME, &[server(Family::V6, 0, 443)], "");
    let _agent = Agent::start(&net.gateway, &body).await?;
    let result = client(&net.client, gateway(Family::V6, PORT), &["--sni", NAME]).await?;
    assert_no(
        &result,
        "with the TLS alert internal_error: no endpoint of the route answers",
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_that_stands_still_is_given_up() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let stall = Spoil::Stall(Duration::from_secs(600));
    for mode in ["download", "echo", "idle"] {
        // Idle connections send no more than one message of 64 bytes, which it holds back.
        let at = if mode == "idle" {
            ANSWER
        } else {
            ANSWER + 100_000
        };
        let scene = Spoiled::new(Family::V4, Direction::Downstream, at, stall)?;
        let arguments = [
            "--sni",
            NAME,
            "-m",
            mode,
            "-s",
            "2",
            "-d",
            "2s",
            "--timeout",
            "1s",
        ];
        let result = client(&scene.net.client, gateway(Family::V4, PORT), &arguments).await?;
        assert_no(&result, "nothing moved for 1s (--timeout)");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_there_is_exit_code_3_with_a_hint() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(0)?;
    for family in Family::BOTH {
        let to = gateway(family, PORT);
        let result = client(&net.client, to, &["--sni", NAME]).await?;
        assert_eq!(result.code, Some(3), "{result:?}");
        let expected = format!("cannot connect to {to}: Connection refused");
        assert!(result.errors.contains(&expected), "{result:?}");
        assert!(
            result.errors.contains("no gateway listens there"),
            "{result:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_far_end_that_is_no_bench_server_is_named() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(0)?;
    let at = |port| gateway(Family::V4, port);
    let identity = Authority::new()?.issue(&[NAME])?;
    let _tls = greeter(
        &net.gateway,
        at(1001),
        &identity,
        "hello, I am a TLS server",
    )?;
    let _http = saying(&net, at(1002), b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
    let _newer = saying(&net, at(1003), b"CVBENCH\n\x00\x02and what version 2 has")?;
    let _mute = saying(&net, at(1004), b"")?;
    for (port, more, expected) in [
        (1001, "", "it sent TLS, as an ordinary server does"),
        (1001, "--tls", "it sent \"hello, I am a TLS server"),
        (1002, "", "it sent \"HTTP/1.1 400 Bad Request"),
        (1002, "--tls", "it sent what is no TLS"),
        (
            1003,
            "",
            "version 2 of the bench protocol, this end version 1",
        ),
        (1004, "", "without an answer"),
    ] {
        let arguments: Vec<&str> = ["--sni", NAME]
            .into_iter()
            .chain(more.split_whitespace())
            .collect();
        assert_no(&client(&net.client, at(port), &arguments).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn limits_of_the_server_are_told_to_the_client() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    // The gateway has an address of each family towards the server: three are two of one client.
    for (limit, arguments, expected) in [
        (
            ["--max-connections", "1"],
            "-s 3 -d 1s",
            "--max-connections",
        ),
        (["--max-bytes", "1M"], "-b 8M", "--max-bytes"),
        (["--max-bytes", "1M"], "-m download -b 8M", "--max-bytes"),
        (
            ["--max-bytes", "1M"],
            "-m echo --size 64K -b 8M",
            "--max-bytes",
        ),
        (["--max-duration", "1s"], "-d 20s", "--max-duration"),
        (
            ["--max-duration", "1s"],
            "-m download -d 20s",
            "--max-duration",
        ),
        (
            ["--max-duration", "1s"],
            "-m idle -s 2 -d 20s",
            "--max-duration",
        ),
    ] {
        let scene = Scene::new(&limit).await?;
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let result = scene.run(Family::V6, &arguments).await?;
        assert_no(&result, expected);
        assert!(
            result.errors.contains("the server has a limit"),
            "{result:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn flags_that_contradict_each_other_are_usage_errors() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(0)?;
    for (arguments, expected) in [
        ("--sni 10.0.0.1", "expected a host name"),
        ("--sni a..b", "no host name"),
        ("--sni a.b -b 0", "nothing"),
        ("--sni a.b -m idle -b 1M", "use --duration"),
        ("--sni a.b -m upload -r 5", "--rate"),
        ("--sni a.b -d 1s --warm-up 1s", "nothing would be measured"),
        ("--sni a.b --size 12Q", "16K"),
        ("--sni a.b --tls --ca /nowhere.pem", "/nowhere.pem"),
    ] {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let result = client(&net.client, gateway(Family::V4, PORT), &arguments).await?;
        assert_eq!(result.code, Some(2), "{result:?}");
        assert!(
            result.errors.contains(expected),
            "no {expected} in {result:?}"
        );
    }
    Ok(())
}

/// A server that says `words` to everybody, whatever they say, and ends.
fn saying(net: &Topology, address: SocketAddr, words: &'static [u8]) -> Result<Server> {
    Server::start(&net.gateway, address, move |mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(words).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        Ok(())
    })
}
