//! A program that reads commands and answers: it is told the next thing when it has said the last.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use gateway_tests::process::Process;
use gateway_tests::wait;

use super::{Stage, Visit};

/// What a program says: its output and its complaints, each in a file of its own, or one would begin in
/// the middle of a line of the other.
pub(super) struct Said {
    output: PathBuf,
    complaints: PathBuf,
}

impl Said {
    /// Has a program write to these files.
    pub(super) fn by(command: &mut Command, output: PathBuf) -> Result<Self> {
        let complaints = output.with_extension("complaints");
        command.stdout(File::create(&output)?);
        command.stderr(File::create(&complaints)?);
        Ok(Self { output, complaints })
    }

    /// All that was said so far.
    pub(super) fn all(&self) -> Result<String> {
        Ok(super::read(&self.output)? + "\n" + &super::read(&self.complaints)?)
    }
}

/// A running program with its input in the case's hands.
pub(super) struct Conversation {
    process: Process,
    input: Option<ChildStdin>,
    said: Said,
}

impl Conversation {
    /// Starts a server whose output goes to the file of that name.
    pub(super) async fn serve(
        stage: &Stage,
        port: u16,
        (mut command, name): (Command, &str),
    ) -> Result<Self> {
        let said = Said::by(&mut command, stage.file(name))?;
        command.stdin(Stdio::piped());
        let mut process = stage.serve(port, &mut command).await?;
        let input = process.input();
        Ok(Self {
            process,
            input,
            said,
        })
    }

    /// Starts a client.
    pub(super) fn visit(visit: Visit<'_>, mut command: Command) -> Result<Self> {
        let said = Said::by(&mut command, visit.stage.file(&visit.own("said")))?;
        command.stdin(Stdio::piped());
        command.current_dir(visit.stage.home.path());
        let mut process = Process::start(visit.space(), &mut command)?;
        let input = process.input();
        Ok(Self {
            process,
            input,
            said,
        })
    }

    /// Tells the program something.
    pub(super) fn say(&mut self, words: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input has ended")?;
        Ok(input.write_all(words.as_bytes())?)
    }

    /// What the program has said so far.
    pub(super) fn said(&self) -> Result<String> {
        self.said.all()
    }

    /// Waits until the program has said these words so many times.
    pub(super) async fn hear(&self, words: &str, times: usize) -> Result<()> {
        let what = format!("`{words}` to be said {times} times");
        let heard = wait::until(&what, || async {
            let heard = self.said()?.matches(words).count() >= times;
            Ok(heard.then_some(()))
        });
        let heard = heard.await;
        heard.with_context(|| format!("it said:\n{}", self.said().unwrap_or_default()))
    }

    /// Says a line that the other must get, and the other one that this must get.
    pub(super) async fn exchange(&mut self, other: &mut Self, number: usize) -> Result<()> {
        self.tell(other, &format!("there {number}")).await?;
        other.tell(self, &format!("and back {number}")).await
    }

    async fn tell(&mut self, other: &Self, words: &str) -> Result<()> {
        let before = other.said()?.matches(words).count();
        self.say(&format!("{words}\n"))?;
        other.hear(words, before + 1).await
    }

    /// How much the program has written to its standard output.
    pub(super) fn length(&self) -> Result<usize> {
        Ok(usize::try_from(fs::metadata(&self.said.output)?.len())?)
    }

    /// What it has written to its standard output since that was so long.
    pub(super) fn since(&self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = fs::read(&self.said.output)?;
        Ok(bytes.split_off(length))
    }

    /// Says no more, and waits for the program to end.
    pub(super) async fn end(mut self) -> Result<(String, ExitStatus)> {
        drop(self.input.take());
        self.ends().await
    }

    /// Waits for the program to end with its input still open.
    pub(super) async fn ends(mut self) -> Result<(String, ExitStatus)> {
        let status = self.process.wait().await;
        let said = self.said()?;
        let status = status.with_context(|| format!("it said:\n{said}"))?;
        Ok((said, status))
    }

    /// The program alone.
    pub(super) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
