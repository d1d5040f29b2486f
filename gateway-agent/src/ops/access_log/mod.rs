//! The access log: one line on stdout for each connection, when it ends.
//!
//! Formatting happens on the thread that closes the connection, writing on a thread of its own
//! (`writer`), so that a slow reader of the log never slows a connection. A connection that left
//! without a byte (health checks of load balancers do) is no line, only a metric and a debug
//! message.

mod fields;
mod json;
mod text;
mod writer;

use core::time::Duration;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::control::snapshot::AccessLog as Form;
use crate::proxy::close::CloseReason;
use crate::proxy::record::{ConnectionRecord, Observer};

pub use writer::Dropped;
use writer::Writer;

/// Writes the lines; one of the data path's observers.
#[derive(Debug)]
pub struct AccessLog {
    form: AtomicU8,
    writer: Writer,
}

impl AccessLog {
    /// An access log in `form` on stdout.
    ///
    /// # Errors
    /// The writer's thread cannot be started.
    pub fn to_stdout(form: Form) -> std::io::Result<Self> {
        Self::new(form, Box::new(std::io::stdout()))
    }

    fn new(form: Form, output: Box<dyn std::io::Write + Send>) -> std::io::Result<Self> {
        Ok(Self {
            form: AtomicU8::new(code(form)),
            writer: Writer::start(output)?,
        })
    }

    /// Changes the form; connections that end from now on use it.
    pub fn set_form(&self, form: Form) {
        self.form.store(code(form), Ordering::Relaxed);
    }

    /// Counts the lines that were lost, for the metrics.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.writer.dropped()
    }

    /// Writes what is queued, for at most `patience`: a reader that has stopped must not keep the
    /// agent from ending. Blocks; call it last.
    pub fn finish(&self, patience: Duration) {
        self.writer.finish(patience);
    }
}

impl Observer for AccessLog {
    fn closed(&self, record: &ConnectionRecord) {
        if record.reason == CloseReason::BareConnect {
            tracing::debug!(
                conn = record.id,
                listener = %record.listener,
                src = %record.source,
                "connected and left without a byte"
            );
            return;
        }
        match self.form.load(Ordering::Relaxed) {
            TEXT => self.writer.write(text::line(record)),
            JSON => self.writer.write(json::line(record)),
            _ => {}
        }
    }
}

const TEXT: u8 = 0;
const JSON: u8 = 1;
const OFF: u8 = 2;

/// [`Form`] as the atomic holds it.
fn code(form: Form) -> u8 {
    match form {
        Form::Text => TEXT,
        Form::Json => JSON,
        Form::Off => OFF,
    }
}

#[cfg(test)]
mod tests;
