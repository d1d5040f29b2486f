//! A changed configuration takes effect at once and whole, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{Answer, UNRECOGNIZED_NAME, ask, labelled};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{Server, connect, hellos, listen};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use rustix::process::Signal;

struct Scene {
    net: Arc<Topology>,
    agent: Agent,
    _servers: [Server; 2],
}

impl Scene {
    async fn new(body: &str) -> Result<Self> {
        let net = Topology::new(2)?;
        let servers = [
            labelled(&net.servers[0], server(Family::V4, 0, 443), "old")?,
            labelled(&net.servers[1], server(Family::V4, 1, 443), "new")?,
        ];
        let agent = Agent::start(&net.gateway, body).await?;
        Ok(Self {
            net: Arc::new(net),
            agent,
            _servers: servers,
        })
    }

    async fn ask_for(&self, name: &str) -> Result<Answer> {
        ask_for(&self.net, name).await
    }

    /// Asks until the answer is the expected one.
    async fn until(&self, name: &str, expected: &Answer) -> Result<()> {
        wait::until("the new configuration", || async move {
            Ok((self.ask_for(name).await? == *expected).then_some(()))
        })
        .await
    }
}

async fn ask_for(net: &Topology, name: &str) -> Result<Answer> {
    ask(
        connect(&net.client, gateway(Family::V4, PORT)).await?,
        &hellos::asking_for(name)?,
    )
    .await
}

fn to(name: &str, n: u8) -> String {
    listener("") + &route(name, &[server(Family::V4, n, 443)], "")
}

const NAME: &str = "web.example.com";

#[tokio::test]
async fn the_reload_command_takes_the_new_routes() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    assert_eq!(scene.ask_for(NAME).await?, Answer::server("old"));
    scene.agent.reload(&to(NAME, 1))?;
    assert_eq!(scene.ask_for(NAME).await?, Answer::server("new"));
    scene.agent.reload(&to("other.example.com", 1))?;
    assert_eq!(scene.ask_for(NAME).await?, UNRECOGNIZED_NAME);
    Ok(())
}

#[tokio::test]
async fn a_changed_file_is_taken_without_being_told() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    scene.agent.configure(&to(NAME, 1))?;
    scene.until(NAME, &Answer::server("new")).await
}

#[tokio::test]
async fn a_hangup_signal_reloads() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new(&to(NAME, 0)).await?;
    scene.agent.configure(&to(NAME, 1))?;
    scene.agent.process().signal(Signal::HUP)?;
    scene.until(NAME, &Answer::server("new")).await
}

#[tokio::test]
async fn a_bad_file_leaves_the_last_good_one_in_force_and_says_so() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    let generation = scene.agent.metric("culvert_snapshot_generation")?;
    scene
        .agent
        .configure(&(to(NAME, 1) + "lisstener \"x\" {}\n"))?;
    let output = scene.agent.cli(&["reload"])?;
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr)?;
    assert!(errors.contains("culvert.hcl:"), "no place in: {errors}");
    assert!(
        errors.contains("lisstener") && errors.contains("listener"),
        "{errors}"
    );
    assert_eq!(scene.ask_for(NAME).await?, Answer::server("old"));
    assert!(scene.agent.expect(&["status"])?.contains("lisstener"));
    assert!(scene.agent.own_log()?.contains("lisstener"));
    assert!(scene.agent.metric("culvert_last_reload_ok")?.abs() < f64::EPSILON);
    let now = scene.agent.metric("culvert_snapshot_generation")?;
    assert!((now - generation).abs() < f64::EPSILON);
    Ok(())
}

#[tokio::test]
async fn a_live_connection_outlives_its_route() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let far = listen(&net.servers[0], server(Family::V4, 0, 443))?;
    let agent = Agent::start(&net.gateway, &to(NAME, 0)).await?;
    let mut pair = Pair::join(&net.client, gateway(Family::V4, PORT), NAME, &far).await?;
    agent.reload(&to("other.example.com", 0))?;
    pair.check().await
}

#[tokio::test]
async fn listeners_come_and_go() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    let extra = gateway(Family::V6, 9443);
    let more = format!("listener \"more\" {{ address = \"{extra}\" }}\n");
    scene.agent.reload(&(to(NAME, 0) + &more))?;
    let hello = hellos::asking_for(NAME)?;
    let got = ask(connect(&scene.net.client, extra).await?, &hello).await?;
    assert_eq!(got, Answer::server("old"));
    scene.agent.reload(&to(NAME, 0))?;
    wait::until("the listener to be gone", || async {
        Ok(connect(&scene.net.client, extra)
            .await
            .is_err()
            .then_some(()))
    })
    .await?;
    assert_eq!(scene.ask_for(NAME).await?, Answer::server("old"));
    Ok(())
}

#[tokio::test]
async fn what_cannot_change_at_run_time_is_refused_with_advice() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    let text = std::fs::read_to_string(scene.agent.config())?;
    let renamed = text.replace(scene.agent.instance(), "another");
    std::fs::write(scene.agent.config(), renamed)?;
    let output = scene.agent.cli(&["reload"])?;
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr)?;
    assert!(
        errors.contains("instance") && errors.contains("restart"),
        "{errors}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_fail_no_connection() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&to(NAME, 0)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| tokio::spawn(keep_asking(Arc::clone(&scene.net), Arc::clone(&stop))))
        .collect();
    for round in 1..=40_u8 {
        // Routes to add and remove besides the one under load, so that every table changes.
        let more: String = (0..round)
            .map(|n| {
                route(
                    &format!("r{n}.example.com"),
                    &[server(Family::V4, 0, 443)],
                    "",
                )
            })
            .collect();
        scene.agent.reload(&(to(NAME, round % 2) + &more))?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for task in load {
        answers += task.await??;
    }
    assert!(answers > 100, "only {answers} connections: that is no load");
    Ok(())
}

/// Asks without pause until told to stop; any answer but a server's is an error.
async fn keep_asking(net: Arc<Topology>, stop: Arc<AtomicBool>) -> Result<u32> {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let got = ask_for(&net, NAME).await?;
        ensure!(
            matches!(got, Answer::Server(_)),
            "got {got:?} after {answers} good answers"
        );
        answers += 1;
    }
    Ok(answers)
}
