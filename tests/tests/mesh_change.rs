//! A mesh that changes under load: new connections follow, open ones are left alone.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::mesh::client::{converse, exactly};
use gateway_tests::mesh::net::{Datacenter, SPARE, wan};
use gateway_tests::mesh::state::{GATEWAY_PORT, Registration, State};
use gateway_tests::mesh::{World, identity, on_each_engine, server_name};
use gateway_tests::peers::connect;
use gateway_tests::peers::pump::Pump;
use gateway_tests::peers::spiffe::meet;
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};

/// A pump to one instance of a service that has several.
async fn pump_to(world: &World, service: &str, instance: &str) -> Result<Pump> {
    for seed in 0..20 {
        let (name, pump) = world.pump(service, seed).await?;
        if name == instance {
            return Ok(pump);
        }
    }
    bail!("{instance} was never chosen")
}

#[tokio::test]
async fn an_instance_that_is_out_gets_no_new_connections_and_keeps_its_old_ones() -> Result<()> {
    let changes: [fn(&mut Registration); 2] = [
        |instance| instance.status = "critical",
        |instance| instance.maintenance = true,
    ];
    on_each_engine(&Family::BOTH, async |mut world, _engine| {
        for change in changes {
            let mut pump = pump_to(&world, "web", "web-1").await?;
            world.change(|state| change(state.instance("web-1")))?;
            exactly(&world.answers("web", 6).await?, &["web-2"])?;
            // Its subset has nobody else: one that is down is better than nobody.
            exactly(&world.answers("v1.web", 2).await?, &["web-1"])?;
            pump.turn().await?;
            world.change(|state| {
                let instance = state.instance("web-1");
                *instance = Registration::new("web-1", "web", 11, "1");
            })?;
            exactly(&world.answers("web", 6).await?, &["web-1", "web-2"])?;
            pump.turn().await?;
            pump.finish().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn when_all_instances_are_down_all_are_tried() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut world = World::new(State::new(Family::V4), "").await?;
    world.change(|state| {
        for instance in &mut state.instances {
            instance.status = "critical";
        }
    })?;
    exactly(&world.answers("web", 6).await?, &["web-1", "web-2"])
}

#[tokio::test]
async fn instances_come_and_go() -> Result<()> {
    on_each_engine(&[Family::V6], async |mut world, _engine| {
        let mut pump = pump_to(&world, "web", "web-1").await?;
        let third = Registration::new("web-3", "web", 13, "1");
        world.run(&third)?;
        world.change(|state| state.instances.push(third))?;
        exactly(
            &world.answers("web", 6).await?,
            &["web-1", "web-2", "web-3"],
        )?;
        world.change(|state| state.instances.retain(|it| it.name != "web-1"))?;
        exactly(&world.answers("web", 6).await?, &["web-2", "web-3"])?;
        pump.turn().await?;
        pump.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_gateway_that_moves_takes_new_connections_with_it() -> Result<()> {
    on_each_engine(&Family::BOTH, async |mut world, _engine| {
        let family = world.state.family;
        let (_, mut pump) = world.pump("web", 1).await?;
        world.change(|state| state.gateway = SPARE)?;
        let moved = SocketAddr::new(wan(family, SPARE), GATEWAY_PORT).to_string();
        exactly(&world.answers("web", 4).await?, &["web-1", "web-2"])?;
        let near = world.agent(Datacenter::Dc1);
        let record = near.logged(|record| record["endpoint"] == moved).await?;
        assert_eq!(record["sni"], server_name("web"));
        pump.turn().await?;
        pump.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn changed_files_are_taken_without_being_told() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut world = World::new(State::new(Family::V4), "").await?;
    world.tell(|state| state.instance("web-1").status = "critical")?;
    let world = &world;
    wait::until("the change of a file", || async move {
        let answers = world.answers("web", 4).await?;
        Ok(exactly(&answers, &["web-2"]).is_ok().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_restarted_gateway_serves_those_who_waited() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut world = World::new(State::new(Family::V4), "").await?;
    let agent = world.agent(Datacenter::Dc2);
    wait::until("sockets in the store", || {
        let stored = agent.stored();
        async { Ok((stored? > 0).then_some(())) }
    })
    .await?;
    world.agent_mut(Datacenter::Dc2).0.process().kill()?;
    let stream = connect(&world.net.client, world.near_gateway(Family::V4)).await?;
    let roots = world.authority.roots()?;
    let waiting = tokio::spawn(async move {
        let web = identity(Datacenter::Dc2, "web");
        converse(meet(stream, &server_name("web"), &web, &roots).await?).await
    });
    let (agent, namespace) = world.agent_mut(Datacenter::Dc2);
    agent.restart(namespace).await?;
    assert!(waiting.await??.instance.starts_with("web-"));
    exactly(&world.answers("web", 4).await?, &["web-1", "web-2"])
}

/// Files with one fault each, and what must be said of them.
const FAULTS: [(&str, &str, &str, &str); 5] = [
    (
        "bad-mode.hcl",
        "Kind = \"service-defaults\"\nName = \"web\"\nMeshGateway {\n  Mode = \"locl\"\n}\n",
        "bad-mode.hcl:4",
        "locl",
    ),
    (
        "bad-kind.hcl",
        "Kind = \"service-resolvers\"\nName = \"web\"\n",
        "bad-kind.hcl:1",
        "service-resolver",
    ),
    (
        "duplicate.hcl",
        "Kind = \"service-resolver\"\nName = \"web\"\n",
        "duplicate.hcl:",
        "web",
    ),
    (
        "dangling.json",
        "{\n  \"Kind\": \"service-resolver\",\n  \"Name\": \"old\",\n  \"Redirect\": {\n    \
         \"Service\": \"web\",\n    \"ServiceSubset\": \"v9\"\n  }\n}\n",
        "dangling.json:",
        "v9",
    ),
    (
        "cycle.hcl",
        "config_entries {\n  bootstrap = [\n    { kind = \"service-resolver\", name = \"left\", \
         redirect = { service = \"right\" } },\n    { kind = \"service-resolver\", name = \
         \"right\", redirect = { service = \"left\" } },\n  ]\n}\n",
        "cycle.hcl:",
        "left",
    ),
];

#[tokio::test]
async fn all_faults_of_all_files_are_told_and_the_last_good_mesh_stays() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let world = World::new(State::new(Family::V4), "").await?;
    let (_, mut pump) = world.pump("web", 1).await?;
    let agent = world.agent(Datacenter::Dc2);
    for (file, text, ..) in FAULTS {
        agent.write(&format!("mesh.d/{file}"), text)?;
    }
    let output = agent.cli(&["reload"])?;
    ensure!(!output.status.success(), "faults were taken");
    let errors = String::from_utf8(output.stderr)?;
    for (_, _, place, word) in FAULTS {
        ensure!(
            errors.contains(place) && errors.contains(word),
            "no {place} with {word} in:\n{errors}"
        );
    }
    let status = agent.expect(&["status"])?;
    ensure!(status.contains("bad-mode.hcl"), "{status}");
    exactly(&world.answers("web", 4).await?, &["web-1", "web-2"])?;
    pump.turn().await?;
    for (file, ..) in FAULTS {
        agent.remove(&format!("mesh.d/{file}"))?;
    }
    agent.expect(&["reload"]).context("the faults are gone")?;
    pump.turn().await?;
    pump.finish().await?;
    Ok(())
}
