//! Report: every setting in force, given or default, as `check` prints it.

use std::fmt::Display;
use std::time::Duration;

use super::Config;
use super::mesh::{GatewayConfig, MeshConfig};
use super::settings;
use crate::control::snapshot::{
    AccessLog, Dns, EngineKind, EnginePreference, Health, Limits, LogLevel, Refuse, SteerMode,
};
use crate::mesh::Name;
use crate::mesh::dial::ModeRules;
use crate::mesh::intentions::Action;
use crate::mesh::route::DnsDiscovery;

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Its name, such as `limits.hello_timeout`.
    pub name: String,
    /// Its value, as configuration writes it.
    pub value: String,
    /// Whether that is the default.
    pub default: bool,
}

impl Config {
    /// Every setting in force beside listeners and routes, in the order of the documentation.
    #[must_use]
    pub fn report(&self) -> Vec<Setting> {
        let mut report = Report(Vec::new());
        report.add(
            "instance",
            &self.instance,
            |value| quoted(value),
            &"default".into(),
        );
        report.add(
            "datacenter",
            &self.datacenter,
            |value| quoted(value),
            &"".into(),
        );
        report.limits(&self.limits);
        report.health(&self.settings.health);
        report.dns(&self.settings.dns);
        report.rest(self);
        if let Some(mesh) = &self.mesh {
            report.mesh(mesh);
        }
        if let Some(gateway) = &self.gateway {
            report.gateway(gateway, self.settings.health.panic_percent);
        }
        report.0
    }
}

struct Report(Vec<Setting>);

impl Report {
    fn add<T: PartialEq + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
        show: impl Fn(&T) -> String,
        default: &T,
    ) {
        let setting = Setting {
            name: name.to_owned(),
            value: show(value),
            default: value == default,
        };
        self.0.push(setting);
    }

    fn limits(&mut self, limits: &Limits) {
        let usual = Limits::default();
        self.add(
            "limits.hello_timeout",
            &limits.hello_timeout,
            time,
            &usual.hello_timeout,
        );
        self.add(
            "limits.hello_size",
            &limits.hello_size,
            bytes,
            &usual.hello_size,
        );
        self.add(
            "limits.connect_timeout",
            &limits.connect_timeout,
            time,
            &usual.connect_timeout,
        );
        self.add(
            "limits.connect_attempts",
            &limits.connect_attempts,
            plain,
            &usual.connect_attempts,
        );
        self.add(
            "limits.attempt_delay",
            &limits.attempt_delay,
            time,
            &usual.attempt_delay,
        );
        self.add(
            "limits.idle_timeout",
            &limits.idle_timeout,
            time,
            &usual.idle_timeout,
        );
        let half_close = &limits.half_close_timeout;
        self.add(
            "limits.half_close_timeout",
            half_close,
            time,
            &usual.half_close_timeout,
        );
        let connections = |value: &Option<u64>| {
            value.map_or_else(
                || "computed from the descriptor limit".to_owned(),
                |most| plain(&most),
            )
        };
        self.add(
            "limits.connections",
            &limits.connections,
            connections,
            &usual.connections,
        );
        self.add(
            "limits.drain_timeout",
            &limits.drain_timeout,
            time,
            &usual.drain_timeout,
        );
        let keepalive =
            |value: &Option<Duration>| value.map_or_else(|| quoted("off"), |every| time(&every));
        self.add(
            "limits.keepalive",
            &limits.keepalive,
            keepalive,
            &usual.keepalive,
        );
        self.add("limits.backlog", &limits.backlog, plain, &usual.backlog);
    }

    fn health(&mut self, health: &Health) {
        let usual = Health::default();
        self.add("health.failures", &health.failures, plain, &usual.failures);
        self.add(
            "health.ejection_time",
            &health.ejection_time,
            time,
            &usual.ejection_time,
        );
        let longest = &health.max_ejection_time;
        self.add(
            "health.max_ejection_time",
            longest,
            time,
            &usual.max_ejection_time,
        );
        let most = &health.max_ejected_percent;
        self.add(
            "health.max_ejected_percent",
            most,
            plain,
            &usual.max_ejected_percent,
        );
        self.add(
            "health.panic_percent",
            &health.panic_percent,
            plain,
            &usual.panic_percent,
        );
    }

    fn dns(&mut self, dns: &Dns) {
        let usual = Dns::default();
        let servers = |servers: &Vec<std::net::SocketAddr>| match &servers[..] {
            [] => "those of /etc/resolv.conf".to_owned(),
            servers => list(servers.iter().map(|server| quoted(&server.to_string()))),
        };
        self.add("dns.servers", &dns.servers, servers, &usual.servers);
        self.add("dns.min_ttl", &dns.min_ttl, time, &usual.min_ttl);
        self.add("dns.max_ttl", &dns.max_ttl, time, &usual.max_ttl);
    }

    fn mesh(&mut self, config: &MeshConfig) {
        let mesh = &config.mesh;
        let name = |name: &Name| quoted(name.as_str());
        let text = |text: &std::sync::Arc<str>| quoted(text);
        self.add("trust_domain", &mesh.trust_domain, text, &"".into());
        self.add("domain", &mesh.domain, text, &"consul".into());
        let partition = &mesh.here.partition;
        self.add("partition", partition, name, &Name::default_name());
        let primary = &config.primary_datacenter;
        let here = &mesh.here.datacenter;
        self.add("primary_datacenter", primary, name, here);
        let policy = &config.mesh.default_intention;
        let usual = Action::Deny;
        self.add("default_intention_policy", policy, word, &usual);
        let rules = &config.mesh.mode_rules;
        self.add("mode_rules", rules, word, &ModeRules::default());
        for source in &config.files {
            let path = |path: &std::path::PathBuf| quoted(&path.to_string_lossy());
            self.add("source.files", &source.path, path, &"".into());
        }
    }

    fn gateway(&mut self, gateway: &GatewayConfig, panic_percent: u8) {
        let addresses = |addresses: &Vec<std::net::SocketAddr>| {
            list(addresses.iter().map(|address| quoted(&address.to_string())))
        };
        let bound = &gateway.addresses;
        self.add("gateway.address", bound, addresses, &Vec::new());
        let refuse = &gateway.refuse;
        self.add("gateway.refuse", refuse, word, &Refuse::Close);
        let hostnames = |hostnames: &DnsDiscovery| {
            quoted(match hostnames {
                DnsDiscovery::StrictDns => "all",
                DnsDiscovery::LogicalDns => "first",
            })
        };
        let names = &gateway.hostnames;
        self.add(
            "gateway.hostnames",
            names,
            hostnames,
            &DnsDiscovery::StrictDns,
        );
        let percent = gateway.panic_percent.unwrap_or(panic_percent);
        self.add("gateway.panic_percent", &percent, plain, &panic_percent);
    }

    fn rest(&mut self, config: &Config) {
        let engines =
            |prefer: &Vec<EngineKind>| list(prefer.iter().map(|engine| quoted(engine.label())));
        let usual = EnginePreference::default();
        self.add(
            "engine.prefer",
            &config.engine.prefer,
            engines,
            &usual.prefer,
        );
        let (sockmap, usual) = (&config.engine.sockmap, &usual.sockmap);
        let bytes = |bytes: &u64| format!("{bytes} bytes");
        self.add(
            "engine.sockmap_budget",
            &sockmap.budget.into(),
            bytes,
            &usual.budget.into(),
        );
        let buffer = |most: &Option<u32>| match most {
            Some(most) => format!("{most} bytes"),
            None => "the host's limits".to_owned(),
        };
        self.add(
            "engine.sockmap_buffer",
            &sockmap.buffer,
            buffer,
            &usual.buffer,
        );
        self.add("engine.sockmap_total", &sockmap.total, bytes, &usual.total);
        self.add(
            "engine.self_test",
            &sockmap.self_test,
            time,
            &usual.self_test,
        );
        let settings = &config.settings;
        self.add("steer.mode", &settings.steer.mode, word, &SteerMode::Auto);
        let path = |path: &std::path::PathBuf| quoted(&path.to_string_lossy());
        self.add(
            "steer.bpffs",
            &settings.steer.bpffs,
            path,
            &"/sys/fs/bpf".into(),
        );
        let socket = settings::admin_socket(&config.instance);
        self.add("admin.socket", &settings.admin.socket, path, &socket);
        let metrics = |value: &Option<std::net::SocketAddr>| {
            value.map_or_else(
                || "on the admin socket only".to_owned(),
                |at| quoted(&at.to_string()),
            )
        };
        self.add("admin.metrics", &settings.admin.metrics, metrics, &None);
        self.add("log.level", &settings.log.level, word, &LogLevel::default());
        self.add(
            "log.access",
            &settings.log.access,
            word,
            &AccessLog::default(),
        );
    }
}

fn plain(value: &impl Display) -> String {
    value.to_string()
}

fn quoted(value: &str) -> String {
    format!("{value:?}")
}

fn time(value: &Duration) -> String {
    quoted(&humantime::format_duration(*value).to_string())
}

fn bytes(value: &usize) -> String {
    if value.is_multiple_of(1024) {
        quoted(&format!("{}KiB", value / 1024))
    } else {
        plain(value)
    }
}

/// The word that configuration has for it, which is how it serialises.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
