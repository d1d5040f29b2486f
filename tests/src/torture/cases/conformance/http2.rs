//! HTTP/2 by nghttp2's server, its load generator, and curl.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::topology::Family;

use super::{Program, Stage, Visit, bracketed, same_lines, tells};
use crate::Trial;

const PROGRAMS: &[Program] = &[
    ("nghttpd", "nghttp2-server"),
    ("h2load", "nghttp2-client"),
    ("curl", "curl"),
];

const PORT: u16 = 4461;

/// Sizes of the pages: less than a frame, more than the windows of a stream and of a connection.
const SMALL: usize = 100;
const LARGE: usize = 1_000_000;

/// Streams at a time that curl has on its one connection.
const DOWNLOADS: usize = 20;

/// What the load generator does.
struct Load {
    requests: usize,
    clients: usize,
    streams: usize,
    page: (&'static str, usize),
    /// Sends the large page, which the server returns instead of its own.
    uploads: bool,
}

const LOADS: [Load; 5] = [
    load((2000, 1, 100), ("small", SMALL), false),
    load((1000, 50, 1), ("small", SMALL), false),
    load((60, 1, 10), ("large", LARGE), false),
    load((100, 10, 5), ("large", LARGE), false),
    load((60, 4, 8), ("small", LARGE), true),
];

const fn load(
    (requests, clients, streams): (usize, usize, usize),
    page: (&'static str, usize),
    uploads: bool,
) -> Load {
    Load {
        requests,
        clients,
        streams,
        page,
        uploads,
    }
}

/// `h2load` and `curl` against `nghttpd`, over both families.
pub(in super::super) async fn http2(trial: &mut Trial) -> Result<String> {
    let stage = Stage::new(trial, PROGRAMS, &[PORT], "").await?;
    for (name, size) in [("small", SMALL), ("large", LARGE)] {
        let mut page = vec![0; size];
        trial.chance.fill(&mut page);
        stage.write(name, page)?;
    }
    let mut server = Command::new("nghttpd");
    server.args(["--htdocs", ".", "--echo-upload", "--trailer", "x-end: yes"]);
    server.args([&PORT.to_string(), "key.pem", "certificate.pem"]);
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let servers = vec![stage.serve(PORT, &mut server).await?];
    let times = trial.amount(1, 5);
    let (mut requests, mut files) = (0, 0);
    for family in Family::BOTH {
        let visits = stage.visits((family, PORT));
        for load in &LOADS {
            requests += loaded(visits, load, times).await?;
        }
        for _ in 0..times {
            files += downloaded(visits).await?;
        }
    }
    stage.rest(servers).await?;
    Ok(format!(
        "{requests} requests of h2load as without a gateway, {files} files of curl byte by byte"
    ))
}

/// The load generator: every request succeeds, and the bytes are those of the pages.
async fn loaded(visits: [Visit<'_>; 2], load: &Load, times: usize) -> Result<usize> {
    let requests = load.requests * times;
    let what = format!(
        "{requests} requests, {} clients, {} streams of {}",
        load.clients, load.streams, load.page.0
    );
    let mut said = Vec::new();
    for visit in visits {
        let mut command = Command::new("h2load");
        command.args(["--requests", &requests.to_string()]);
        command.args(["--clients", &load.clients.to_string()]);
        command.args(["--max-concurrent-streams", &load.streams.to_string()]);
        if load.uploads {
            command.args(["--data", "large"]);
        }
        let at = visit.at();
        command.arg(format!("--connect-to={}:{}", bracketed(at.ip()), at.port()));
        command.arg(format!("https://{}/{}", visit.name(), load.page.0));
        let text = visit.run(command, None).await?;
        let all = format!(
            "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, \
             0 failed, 0 errored, 0 timeout"
        );
        let statuses = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
        let bytes = format!("({}) data", requests * load.page.1);
        tells(
            &what,
            &text,
            &["Application protocol: h2", &all, &statuses, &bytes],
        )?;
        said.push(lasting(&text));
    }
    same_lines(&what, &said[0], &said[1])?;
    Ok(requests)
}

/// What the load generator says apart from times; headers are compressed together with a date.
fn lasting(said: &str) -> String {
    const LASTING: [&str; 6] = [
        "TLS",
        "Cipher",
        "Server",
        "Application",
        "requests:",
        "status",
    ];
    let lasts = |line: &&str| LASTING.iter().any(|start| line.starts_with(start));
    said.lines().filter(lasts).collect::<Vec<_>>().join("\n")
}

/// curl fetches a page over many streams of one connection, and has another returned.
async fn downloaded(visits: [Visit<'_>; 2]) -> Result<usize> {
    let stage = visits[0].stage;
    let page = fs::read(stage.file("large"))?;
    let mut said = Vec::new();
    for visit in visits {
        let got = visit.own("got");
        let several = format!("large?[1-{DOWNLOADS}]");
        let mut fetch = curl(visit, &several);
        fetch.args(["--parallel", "--output", &format!("{got}#1")]);
        let mut post = curl(visit, "any");
        post.args(["--data-binary", "@large", "--output", &format!("{got}0")]);
        let mut text = visit.run(fetch, None).await?;
        let lines = text.matches(&format!("2 200 {LARGE}\n")).count();
        ensure!(
            lines == DOWNLOADS,
            "not {DOWNLOADS} downloads by HTTP/2: {text}"
        );
        text += &visit.run(post, None).await?;
        for file in 0..=DOWNLOADS {
            let file = stage.file(&format!("{got}{file}"));
            let bytes = fs::read(&file).with_context(|| text.clone())?;
            ensure!(bytes == page, "a file changed on its way: {text}");
            fs::remove_file(file)?;
        }
        said.push(text);
    }
    same_lines("curl", &said[0], &said[1])?;
    Ok(DOWNLOADS + 1)
}

fn curl(visit: Visit<'_>, page: &str) -> Command {
    let (at, name) = (visit.at(), visit.name());
    let mut command = Command::new("curl");
    command.args(["--no-progress-meter", "--fail", "--http2"]);
    command.args(["--cacert", "authority.pem"]);
    let to = format!("{name}:443:{}:{}", bracketed(at.ip()), at.port());
    command.args(["--connect-to", &to]);
    command.args([
        "--write-out",
        "%{http_version} %{http_code} %{size_download}\\n",
    ]);
    command.arg(format!("https://{name}/{page}"));
    command
}
