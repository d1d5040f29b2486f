//! Which server a hello reaches, by its name, and what a client hears whose hello reaches none.

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{
    Answer, INTERNAL_ERROR, UNRECOGNIZED_NAME, answer, ask, labelled,
};
use gateway_tests::peers::tls::{self, Authority};
use gateway_tests::peers::transfer::Pattern;
use gateway_tests::peers::{Server, connect, hellos};
use gateway_tests::skip;
use gateway_tests::topology::{Family, Topology, gateway, server};
use tokio::io::AsyncWriteExt as _;

/// Two servers that label themselves, and an agent with the given configuration before them.
struct Scene {
    net: Topology,
    agent: Agent,
    _servers: [Server; 2],
}

impl Scene {
    async fn new(body: &str) -> Result<Self> {
        let net = Topology::new(2)?;
        let servers = [
            labelled(&net.servers[0], server(Family::V4, 0, 443), "first")?,
            labelled(&net.servers[1], server(Family::V4, 1, 443), "second")?,
        ];
        let agent = Agent::start(&net.gateway, body).await?;
        Ok(Self {
            net,
            agent,
            _servers: servers,
        })
    }

    async fn ask(&self, hello: &[u8]) -> Result<Answer> {
        ask(
            connect(&self.net.client, gateway(Family::V4, PORT)).await?,
            hello,
        )
        .await
    }

    async fn ask_for(&self, name: &str) -> Result<Answer> {
        self.ask(&hellos::asking_for(name)?).await
    }
}

fn to(name: &str, n: u8) -> String {
    route(name, &[server(Family::V4, n, 443)], "")
}

#[tokio::test]
async fn every_pair_of_families_reaches_the_server_with_the_right_certificate() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(2)?;
    let authority = Authority::new()?;
    let mut servers = Vec::new();
    let mut body = listener("");
    for (n, family, name) in [
        (0, Family::V4, "v4.example.com"),
        (1, Family::V6, "v6.example.com"),
    ] {
        let address = server(family, n, 443);
        let identity = authority.issue(&[name])?;
        servers.push(tls::greeter(
            &net.servers[usize::from(n)],
            address,
            &identity,
            name,
        )?);
        body += &route(name, &[address], "");
    }
    let _agent = Agent::start(&net.gateway, &body).await?;
    for family in Family::BOTH {
        for name in ["v4.example.com", "v6.example.com"] {
            let stream = connect(&net.client, gateway(family, PORT)).await?;
            let mut stream = tls::handshake(stream, name, &authority.client()?).await?;
            assert_eq!(tls::greeting(&mut stream).await?, name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_name_is_compared_without_case() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("Web.Example.com", 0))).await?;
    for name in ["web.example.com", "WEB.EXAMPLE.COM", "wEb.eXample.Com"] {
        assert_eq!(
            scene.ask(&hellos::spelled(name)?).await?,
            Answer::server("first"),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_exact_name_goes_before_a_wildcard() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("") + &to("*.example.com", 0) + &to("web.example.com", 1);
    let scene = Scene::new(&body).await?;
    assert_eq!(
        scene.ask_for("web.example.com").await?,
        Answer::server("second")
    );
    assert_eq!(
        scene.ask_for("api.example.com").await?,
        Answer::server("first")
    );
    Ok(())
}

#[tokio::test]
async fn the_longest_wildcard_wins_over_any_number_of_labels() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("") + &to("*.example.com", 0) + &to("*.shop.example.com", 1);
    let scene = Scene::new(&body).await?;
    for (name, label) in [
        ("a.shop.example.com", "second"),
        ("a.b.c.shop.example.com", "second"),
        ("shop.example.com", "first"),
        ("a.b.example.com", "first"),
    ] {
        assert_eq!(scene.ask_for(name).await?, Answer::server(label), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wildcard_does_not_take_its_own_suffix() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("*.example.com", 0))).await?;
    assert_eq!(scene.ask_for("example.com").await?, UNRECOGNIZED_NAME);
    assert_eq!(scene.ask_for("badexample.com").await?, UNRECOGNIZED_NAME);
    Ok(())
}

#[tokio::test]
async fn an_unknown_name_and_no_name_are_refused_by_default() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("web.example.com", 0))).await?;
    assert_eq!(
        scene.ask_for("nobody.example.com").await?,
        UNRECOGNIZED_NAME
    );
    assert_eq!(scene.ask(&hellos::nameless()?).await?, UNRECOGNIZED_NAME);
    Ok(())
}

#[tokio::test]
async fn a_default_route_takes_unknown_names_and_no_name() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("")
        + &to("web.example.com", 0)
        + &to("rest.example.com", 1)
        + "default { route = \"rest.example.com\" }\n";
    let scene = Scene::new(&body).await?;
    assert_eq!(
        scene.ask_for("web.example.com").await?,
        Answer::server("first")
    );
    assert_eq!(
        scene.ask_for("nobody.example.com").await?,
        Answer::server("second")
    );
    assert_eq!(
        scene.ask(&hellos::nameless()?).await?,
        Answer::server("second")
    );
    Ok(())
}

#[tokio::test]
async fn a_listener_may_override_the_default() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("default = { action = \"reject\" }")
        + &to("web.example.com", 0)
        + "default { route = \"web.example.com\" }\n";
    let scene = Scene::new(&body).await?;
    assert_eq!(
        scene.ask_for("nobody.example.com").await?,
        UNRECOGNIZED_NAME
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_tls_is_never_routed() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("") + &to("web.example.com", 0) + "default { route = \"web.example.com\" }";
    let scene = Scene::new(&body).await?;
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: web.example.com\r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0, 0, 0, 8, 4, 210, 22, 47],
        &[0x16, 3, 1, 0, 4, 2, 0, 0, 0],
        &[0xff; 64],
    ] {
        let got = scene.ask(bytes).await?;
        assert!(!matches!(got, Answer::Server(_)), "{bytes:?} got {got:?}");
    }
    scene
        .agent
        .logged(|record| record.to_string().contains("http"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_setting_turns_alerts_into_plain_closes() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("refuse = \"close\"") + &to("web.example.com", 0);
    let scene = Scene::new(&body).await?;
    assert_eq!(scene.ask_for("nobody.example.com").await?, Answer::Closed);
    Ok(())
}

#[tokio::test]
async fn a_route_without_a_living_endpoint_answers_internal_error() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let nowhere = server(Family::V4, 0, 9);
    let scene = Scene::new(&(listener("") + &route("web.example.com", &[nowhere], ""))).await?;
    assert_eq!(scene.ask_for("web.example.com").await?, INTERNAL_ERROR);
    Ok(())
}

#[tokio::test]
async fn a_hello_dripped_byte_by_byte_is_routed() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("web.example.com", 0))).await?;
    let mut stream = connect(&scene.net.client, gateway(Family::V4, PORT)).await?;
    for byte in hellos::asking_for("web.example.com")? {
        stream.write_all(&[byte]).await?;
        // Lets the agent see the bytes one by one instead of all at once.
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(stream).await?, Answer::server("first"));
    Ok(())
}

#[tokio::test]
async fn a_hello_in_many_records_is_routed() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("web.example.com", 0))).await?;
    let hello = hellos::asking_for("web.example.com")?;
    for size in [1, 2, 7, 100] {
        let records = hellos::in_records(&hello, size)?;
        assert_eq!(
            scene.ask(&records).await?,
            Answer::server("first"),
            "records of {size} bytes"
        );
    }
    Ok(())
}

#[tokio::test]
async fn silent_clients_do_not_hold_up_others() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("web.example.com", 0))).await?;
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut stream = connect(&scene.net.client, gateway(Family::V4, PORT)).await?;
        if n % 2 == 0 {
            stream.write_all(&[0x16, 3, 1]).await?;
        }
        silent.push(stream);
    }
    assert_eq!(
        scene.ask_for("web.example.com").await?,
        Answer::server("first")
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_finishes_its_hello_is_let_go() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    // Long enough for the bytes to come in time on a busy machine: a connection without a byte
    // would not be logged.
    let body = listener("") + &to("web.example.com", 0) + "limits { hello_timeout = \"1s\" }\n";
    let scene = Scene::new(&body).await?;
    let mut stream = connect(&scene.net.client, gateway(Family::V4, PORT)).await?;
    stream.write_all(&[0x16, 3, 1]).await?;
    let got = answer(stream).await?;
    assert!(!matches!(got, Answer::Server(_)), "{got:?}");
    scene
        .agent
        .logged(|record| record["reason"].to_string().contains("timeout"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_hello_above_the_limit_is_refused() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let body = listener("") + &to("web.example.com", 0) + "limits { hello_size = \"4KiB\" }\n";
    let scene = Scene::new(&body).await?;
    // A handshake record that announces a hello of 60 000 bytes, and enough of it.
    let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
    Pattern {
        seed: 1,
        length: 16_000,
    }
    .send(&mut bytes)
    .await?;
    let got = scene.ask(&bytes).await?;
    assert!(!matches!(got, Answer::Server(_)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn connections_without_a_byte_are_counted_and_not_logged() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&(listener("") + &to("web.example.com", 0))).await?;
    for _ in 0..3 {
        drop(connect(&scene.net.client, gateway(Family::V4, PORT)).await?);
    }
    let sample = "culvert_bare_connects_total{listener=\"tls\"}";
    gateway_tests::wait::until("three bare connects", || {
        let count = scene.agent.metric(sample);
        async { Ok((count? >= 3.0).then_some(())) }
    })
    .await?;
    // A routed connection afterwards: its record must be the only one.
    scene.ask_for("web.example.com").await?;
    scene
        .agent
        .logged(|record| record["sni"] == "web.example.com")
        .await?;
    assert_eq!(scene.agent.access_log()?.len(), 1);
    Ok(())
}
