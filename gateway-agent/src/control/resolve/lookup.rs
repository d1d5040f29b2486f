//! Lookup: asks for the addresses of one name: `/etc/hosts` first, then DNS, both families.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use crate::control::snapshot::Dns;

/// The addresses of one name.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) v4: Family,
    pub(super) v6: Family,
    /// How long the answer is good.
    pub(super) ttl: Duration,
}

impl Answer {
    /// No server answered.
    pub(super) fn failed() -> Self {
        Self {
            v4: Family::Failed,
            v6: Family::Failed,
            ttl: Duration::ZERO,
        }
    }
}

/// What is known of one family.
#[derive(Debug)]
pub(super) enum Family {
    /// These addresses; none means that there is none.
    Known(Vec<IpAddr>),
    /// No server answered.
    Failed,
}

impl Family {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Known(addresses) => addresses.is_empty(),
            Self::Failed => true,
        }
    }

    pub(super) fn known(self) -> Option<Vec<IpAddr>> {
        match self {
            Self::Known(addresses) => Some(addresses),
            Self::Failed => None,
        }
    }
}

/// Asks by the settings given and the files of the system as they are now.
pub(super) struct Asker {
    dns: Dns,
    files: Option<(Instant, Arc<Files>)>,
}

/// What was read from the system's files.
struct Files {
    hosts: Hosts,
    /// `None` when there is no usable server.
    resolver: Option<TokioResolver>,
}

/// Files are read again after so long: often enough to follow an edit, seldom enough for a
/// thousand names at once.
const FILES_TTL: Duration = Duration::from_secs(1);

/// An answer of `/etc/hosts` has no time of its own; reading it again costs next to nothing.
const HOSTS_TTL: Duration = Duration::from_secs(5);

impl Asker {
    pub(super) fn new(dns: &Dns) -> Self {
        Self {
            dns: dns.clone(),
            files: None,
        }
    }

    /// Starts a question. The future owns all it needs; dropping it gives the question up.
    pub(super) fn ask(&mut self, name: Arc<str>) -> impl Future<Output = Answer> + Send + use<> {
        let files = self.files();
        async move {
            match files.in_hosts(&name) {
                Some(answer) => answer,
                None => files.in_dns(&name).await,
            }
        }
    }

    fn files(&mut self) -> Arc<Files> {
        let now = Instant::now();
        match &self.files {
            Some((read, files)) if now.duration_since(*read) < FILES_TTL => Arc::clone(files),
            _ => {
                let files = Arc::new(Files::read(&self.dns));
                self.files = Some((now, Arc::clone(&files)));
                files
            }
        }
    }
}

impl Files {
    fn read(dns: &Dns) -> Self {
        let resolver = resolver(dns)
            .inspect_err(|error| tracing::warn!(%error, "no DNS server is usable"))
            .ok();
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            resolver,
        }
    }

    fn in_hosts(&self, name: &str) -> Option<Answer> {
        let absolute = Name::from_ascii(name).ok()?;
        let family = |kind| {
            let lookup = self
                .hosts
                .lookup_static_host(&Query::query(absolute.clone(), kind));
            addresses(lookup.iter().flat_map(|lookup| lookup.answers()))
        };
        let (v4, v6) = (family(RecordType::A), family(RecordType::AAAA));
        if v4.is_empty() && v6.is_empty() {
            return None;
        }
        Some(Answer {
            v4: Family::Known(v4),
            v6: Family::Known(v6),
            ttl: HOSTS_TTL,
        })
    }

    async fn in_dns(&self, name: &str) -> Answer {
        let Some(resolver) = &self.resolver else {
            return Answer::failed();
        };
        let family = async |kind| match resolver.lookup(name, kind).await {
            Ok(lookup) => {
                let ttl = lookup
                    .valid_until()
                    .saturating_duration_since(Instant::now());
                (Family::Known(addresses(lookup.answers().iter())), Some(ttl))
            }
            Err(error) if error.is_no_records_found() => (Family::Known(Vec::new()), None),
            Err(error) => {
                tracing::debug!(host = name, %error, "a DNS question failed");
                (Family::Failed, None)
            }
        };
        let ((v4, v4_ttl), (v6, v6_ttl)) =
            tokio::join!(family(RecordType::A), family(RecordType::AAAA));
        let ttl = v4_ttl.into_iter().chain(v6_ttl).min().unwrap_or_default();
        Answer { v4, v6, ttl }
    }
}

fn addresses<'r>(
    records: impl Iterator<Item = &'r hickory_resolver::proto::rr::Record>,
) -> Vec<IpAddr> {
    records.filter_map(|record| record.data.ip_addr()).collect()
}

fn resolver(dns: &Dns) -> Result<TokioResolver, NetError> {
    let mut builder = if dns.servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        // Servers of our own know absolute names: the system's search list does not apply.
        let servers = dns.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            NameServerConfig::new(server.ip(), true, connections.map(on_port).into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    // Both are ours: the file is read before, and answers live in the clusters.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
    builder.build()
}
