//! Pages in records as large as they get, both ways.

use std::fs::{self, File};
use std::process::Stdio;

use anyhow::{Result, ensure};
use gateway_tests::process::Process;

use super::Visit;
use super::converse::Conversation;
use super::openssl::{PAGE, UPLOAD, listener};
use super::options::client;

/// Bytes in the largest record.
const RECORD: usize = 16_384;

/// The page in the largest records there are, each counted.
pub(super) async fn download(visits: [Visit<'_>; 2], version: &str) -> Result<()> {
    let stage = visits[0].stage;
    let page = fs::read(stage.file("page"))?;
    let mut counts = Vec::new();
    for visit in visits {
        let mut command = client(visit, &[version, "-quiet", "-msg"]);
        let records = visit.own("records");
        command
            .args(["-msgfile", &records])
            .current_dir(stage.home.path());
        command.stdin(File::open(stage.file("page-request"))?);
        let got = visit.own("page");
        command
            .stdout(File::create(stage.file(&got))?)
            .stderr(Stdio::null());
        let status = Process::start(visit.space(), &mut command)?.wait().await?;
        let got = fs::read(stage.file(&got))?;
        ensure!(
            status.success() && got.ends_with(&page),
            "{version}: another page: {status}"
        );
        // 23 is application data; its length is that of a whole record and its seal.
        let records = super::read(&stage.file(&records))?;
        counts.push(
            records
                .lines()
                .filter(|line| line.trim().starts_with("17 03 03 40 1"))
                .count(),
        );
    }
    ensure!(
        counts[0] == counts[1] && counts[0] >= PAGE / RECORD,
        "{version}: {} largest records, directly {}",
        counts[1],
        counts[0]
    );
    Ok(())
}

/// The page to the server, which gets it whole.
pub(super) async fn upload(visits: [Visit<'_>; 2], version: &str) -> Result<()> {
    let page = fs::read(visits[0].stage.file("page"))?;
    for visit in visits {
        let server = listener(UPLOAD, &["-quiet", "-naccept", "2"]);
        let server = Conversation::serve(visit.stage, UPLOAD, (server, "upload")).await?;
        let command = client(visit, &[version, "-nocommands"]);
        let said = visit.run(command, Some("page")).await?;
        // The first connection it accepted was to see whether it is there, the second was this one.
        let (_, status) = server.ends().await?;
        let got = fs::read(visit.stage.file("upload"))?;
        ensure!(
            got.ends_with(&page),
            "{version}: another page at the server ({} bytes, {status}); the client said:\n{said}",
            got.len()
        );
    }
    Ok(())
}
