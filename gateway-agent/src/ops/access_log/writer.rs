//! The thread that writes the lines: a bounded queue in, batches out.
//!
//! The queue never blocks who fills it: when the reader of the log is slower than the connections,
//! lines are dropped and counted. Losing lines is better than stalling connections, and the count
//! keeps it honest.

use core::time::Duration;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Lines that may wait: half a second of a hundred thousand connections a second would not fit,
/// two seconds of ten thousand do; at about 500 bytes a line, 10 MiB at most.
const QUEUE: usize = 20_000;

/// Counts lines that were lost.
#[derive(Debug, Clone, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// Lines lost so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The queue and its thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Message>,
    dropped: Dropped,
    /// Hangs up when the thread has written all; taken by the first to wait for it.
    done: Mutex<Option<Receiver<()>>>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Finish,
}

impl Writer {
    /// Starts the thread. It ends by [`Self::finish`], or when the writer drops.
    pub(super) fn start(output: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let (done_sender, done) = sync_channel(0);
        let dropped = Dropped::default();
        let lost = dropped.clone();
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                write_all(&lines, output, &lost);
                drop(done_sender);
            })?;
        Ok(Self {
            queue,
            dropped,
            done: Mutex::new(Some(done)),
        })
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Queues a line; never blocks.
    pub(super) fn write(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.add(1);
        }
    }

    /// Asks the thread to end, and waits for it at most `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        let done = self
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(done) = done else { return };
        // A full queue means that the output is stuck: there is nothing to wait for.
        let timed_out =
            |done: &Receiver<()>| done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        if self.queue.try_send(Message::Finish).is_err() || timed_out(&done) {
            tracing::warn!(
                "the reader of the access log does not take its last lines; they are lost"
            );
        }
    }
}

/// Writes until told to finish or until nobody can send. Flushes whenever the queue runs empty.
fn write_all(lines: &Receiver<Message>, output: impl Write, lost: &Dropped) {
    let mut batch = Batch {
        output: BufWriter::new(output),
        lines: 0,
        broken: false,
    };
    while let Ok(message) = lines.recv() {
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.push(&line, lost),
                Message::Finish => return batch.flush(lost),
            }
            next = lines.try_recv().ok();
        }
        batch.flush(lost);
    }
}

/// Lines that are not flushed yet.
struct Batch<W: Write> {
    output: BufWriter<W>,
    lines: u64,
    broken: bool,
}

impl<W: Write> Batch<W> {
    fn push(&mut self, line: &str, lost: &Dropped) {
        self.lines += 1;
        let written = self
            .output
            .write_all(line.as_bytes())
            .and_then(|()| self.output.write_all(b"\n"));
        self.note(written, lost);
    }

    fn flush(&mut self, lost: &Dropped) {
        let flushed = self.output.flush();
        self.note(flushed, lost);
        self.lines = 0;
    }

    /// Counts the batch as lost on an error, and says the first error of a row.
    fn note(&mut self, result: io::Result<()>, lost: &Dropped) {
        match result {
            Ok(()) => self.broken = false,
            Err(error) => {
                lost.add(std::mem::take(&mut self.lines));
                if !std::mem::replace(&mut self.broken, true) {
                    tracing::warn!(%error, "cannot write the access log; lines are lost");
                }
            }
        }
    }
}
