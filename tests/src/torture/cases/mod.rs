//! The cases, from the first byte of a connection to what is left after the last.

mod agents;
mod conformance;
mod crowds;
mod ends;
mod hellos;
mod limits;
mod paths;
mod readers;
mod soak;

use std::pin::Pin;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::Trial;

/// What a case did, in words, or why it failed.
pub(crate) type Done<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// One kind of torture.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// It takes too long for the short form.
    pub(crate) long: bool,
    pub(crate) run: for<'a> fn(&'a mut Trial) -> Done<'a>,
}

/// All of them, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "hello-cut",
        about: "hellos cut at every byte, with gaps, in records of all sizes, with data behind",
        long: false,
        run: |trial| Box::pin(hellos::cut(trial)),
    },
    Case {
        name: "odd-hellos",
        about: "post-quantum, ECH, GREASE, odd names, and first bytes that are no hello",
        long: false,
        run: |trial| Box::pin(hellos::odd(trial)),
    },
    Case {
        name: "insertion",
        about: "both sides speak in small pieces while the engine takes over",
        long: false,
        run: |trial| Box::pin(crowds::insertion(trial)),
    },
    Case {
        name: "stopped-readers",
        about: "readers stop: senders must, too, and memory stays within its bounds",
        long: false,
        run: |trial| Box::pin(readers::stopped(trial)),
    },
    Case {
        name: "tiny-buffers",
        about: "socket buffers of a few kilobytes and readers that sip",
        long: false,
        run: |trial| Box::pin(readers::tiny(trial)),
    },
    Case {
        name: "ends",
        about: "half-close each way with bytes pending, simultaneous close, FIN with data",
        long: false,
        run: |trial| Box::pin(ends::in_order(trial)),
    },
    Case {
        name: "resets",
        about: "RST at every phase, from either side and from both",
        long: false,
        run: |trial| Box::pin(ends::resets(trial)),
    },
    Case {
        name: "weather",
        about: "loss, reordering, duplicates, congestion marks and delay, on either side",
        long: false,
        run: |trial| Box::pin(paths::weather(trial)),
    },
    Case {
        name: "small-path",
        about: "a path, on either side, that drops large packets without a word",
        long: false,
        run: |trial| Box::pin(paths::small(trial)),
    },
    Case {
        name: "vanished",
        about: "clients and servers that are gone from one moment to the next, resting or in full flow",
        long: false,
        run: |trial| Box::pin(paths::vanished(trial)),
    },
    Case {
        name: "churn",
        about: "connections that come and go as fast as they can, on both families",
        long: false,
        run: |trial| Box::pin(crowds::churn(trial)),
    },
    Case {
        name: "limits",
        about: "more connections than the limit, than descriptors, and than ports to dial from",
        long: false,
        run: |trial| Box::pin(limits::limits(trial)),
    },
    Case {
        name: "full-maps",
        about: "more services than the maps of the kernel half have rows",
        long: false,
        run: |trial| Box::pin(limits::full_maps(trial)),
    },
    Case {
        name: "config-flood",
        about: "reloads one after the other, good and bad, thousands of names, under load",
        long: false,
        run: |trial| Box::pin(agents::flood(trial)),
    },
    Case {
        name: "kill",
        about: "kill -9 under load and a restart: no hang, nobody refused, nothing left",
        long: false,
        run: |trial| Box::pin(agents::kill(trial)),
    },
    Case {
        name: "flapping",
        about: "endpoints that come and go, one that resets whoever comes, one that never answers",
        long: false,
        run: |trial| Box::pin(agents::flapping(trial)),
    },
    Case {
        name: "conformance",
        about: "openssl and curl, with many options: they must say what they say without a gateway",
        long: false,
        run: |trial| Box::pin(conformance::conformance(trial)),
    },
    Case {
        name: "tls-openssl",
        about: "openssl: sessions, early data, certificates of clients, renegotiation, records of 16 KiB",
        long: false,
        run: |trial| Box::pin(conformance::openssl(trial)),
    },
    Case {
        name: "tls-gnutls",
        about: "GnuTLS: versions, ciphers, groups, ALPN, sessions, certificates of clients",
        long: false,
        run: |trial| Box::pin(conformance::gnutls(trial)),
    },
    Case {
        name: "http2",
        about: "h2load and curl with many streams: all succeed, and the bytes are right",
        long: false,
        run: |trial| Box::pin(conformance::http2(trial)),
    },
    Case {
        name: "websocket",
        about: "long-lived connections: frames of all lengths, fragments, pings, the close",
        long: false,
        run: |trial| Box::pin(conformance::websocket(trial)),
    },
    Case {
        name: "grpc",
        about: "streams of messages both ways at once under flow control, and their status",
        long: false,
        run: |trial| Box::pin(conformance::grpc(trial)),
    },
    Case {
        name: "testssl",
        about: "testssl.sh finds what it finds without a gateway",
        long: true,
        run: |trial| Box::pin(conformance::testssl(trial)),
    },
    Case {
        name: "soak",
        about: "all of it mixed, then memory, descriptors, map entries and slab as before",
        long: false,
        run: |trial| Box::pin(soak::soak(trial)),
    },
];

/// Waits for the tasks until at most `most` are left; the first failure is the whole's.
pub(crate) async fn settle(tasks: &mut JoinSet<Result<()>>, most: usize) -> Result<()> {
    while tasks.len() > most {
        if let Some(ended) = tasks.join_next().await {
            ended??;
        }
    }
    Ok(())
}
