//! The two cases that are not slices: memory of idle connections, and changes of routes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::bench::{self, NAME};
use gateway_tests::wait;
use tokio::time::sleep;

use crate::case::{Case, Path};
use crate::gateway::Gateway;
use crate::host;
use crate::metric::Metric;
use crate::slice::{Samples, fault};
use crate::stage::Stage;
use crate::statistics::median;
use crate::target::Target;

/// How long idle connections are held once all are open: buffers are given back a moment later.
const HELD: &str = "6s";

/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(200);

/// Looks at memory after the last connection was opened: three seconds of the six.
const LOOKS: usize = 15;

/// Opens connections through a fresh gateway and weighs it: an old one has memory to reuse.
pub(crate) async fn idle(
    stage: &Stage,
    target: &Target,
    connections: u32,
    port: u16,
) -> Result<Samples> {
    let mut gateway = match target {
        Target::Routing => {
            stage.route(true)?;
            None
        }
        _ => Some(Gateway::start(stage, target, port, &[NAME.to_owned()]).await?),
    };
    let address = if gateway.is_some() {
        stage.path(Path::Near, port)?.1
    } else {
        stage.server()
    };
    let count = connections.to_string();
    let arguments = [
        "--json",
        "--sni",
        NAME,
        "--mode",
        "idle",
        "--streams",
        &count,
        "--duration",
        HELD,
    ];
    let weigh = || -> Result<(f64, f64)> {
        let resident = gateway.as_ref().map_or(Ok(0), Gateway::resident)?;
        Ok((bytes(resident), bytes(host::slab()?)))
    };
    let empty = weigh()?;
    let client = bench::client(&stage.net.client, address, &arguments);
    let weighing = async {
        wait::until("all idle connections", || {
            let open = open_connections(stage);
            async move { Ok((open? >= connections).then_some(())) }
        })
        .await?;
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            sleep(LOOK).await;
            looks.push(weigh()?);
        }
        Ok(looks)
    };
    let (result, looks): (Result<_>, Result<Vec<_>>) = tokio::join!(client, weighing);
    stage.route(false)?;
    let result = result?;
    if result.code != Some(0) {
        bail!("{}", fault(&result));
    }
    let looks = looks?;
    if let Some(gateway) = &mut gateway {
        gateway.check_engine()?;
    }
    let each = |of: fn(&(f64, f64)) -> f64| -> Result<f64> {
        let full =
            median(&looks.iter().map(of).collect::<Vec<_>>()).context("memory was weighed")?;
        Ok((full - of(&empty)) / f64::from(connections))
    };
    let mut samples = vec![(Metric::Slab, each(|it| it.1)?)];
    if gateway.is_some() {
        samples.push((Metric::Resident, each(|it| it.0)?));
    }
    Ok(samples)
}

/// Replaces all routes while a download runs: the time until the last new name is served.
pub(crate) async fn changes(
    stage: &Stage,
    case: &Case,
    gateway: &mut Gateway,
    routes: u32,
    generation: usize,
) -> Result<Samples> {
    let mut names = vec![NAME.to_owned()];
    names.extend((0..routes).map(|n| format!("r{n}.g{generation}.example.com")));
    let (client, address) = stage.path(case.path, gateway.port())?;
    // Longer than any change but a broken one's, and ended by nobody: the download must live on.
    let arguments = [
        "--json",
        "--sni",
        NAME,
        "--mode",
        "download",
        "--duration",
        "3s",
    ];
    let download = bench::client(client, address, &arguments);
    let change = async {
        // The download is under way once its connection is there.
        wait::until("the download", || {
            let open = open_connections(stage);
            async move { Ok((open? >= 1).then_some(())) }
        })
        .await?;
        let start = Instant::now();
        gateway.change(stage, &names).await?;
        Ok(start.elapsed())
    };
    let (result, taken): (Result<_>, Result<Duration>) = tokio::join!(download, change);
    let (result, taken) = (result?, taken?);
    ensure!(
        result.code == Some(0),
        "the download did not survive: {}",
        fault(&result)
    );
    Ok(vec![(Metric::ApplySeconds, taken.as_secs_f64())])
}

/// TCP sockets of the client's namespace that are in use.
fn open_connections(stage: &Stage) -> Result<u32> {
    let _inside = stage.net.client.enter()?;
    let mut open = 0;
    for (path, family) in [("sockstat", "TCP:"), ("sockstat6", "TCP6:")] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(family));
        let mut words = line.unwrap_or_default().split_whitespace();
        if words.by_ref().any(|word| word == "inuse") {
            open += words.next().unwrap_or("0").parse::<u32>()?;
        }
    }
    Ok(open)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory of a machine is far below 2^52 bytes"
)]
const fn bytes(count: u64) -> f64 {
    count as f64
}
