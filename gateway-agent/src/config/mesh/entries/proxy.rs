//! What `proxy-defaults` and `service-defaults` alike say about sidecar proxies.

use super::Scope;
use super::fields::{block, flag, inside, one_of, port, refuse_repeated, text, texts, word};
use crate::config::reader::Reader;
use crate::mesh::entries::proxy::{
    Expose, ExposedPath, Extension, FailoverPolicy, MutualTls, PrioritizeByLocality, ProxyMode,
    ProxySettings, TransparentProxy,
};

pub(super) fn settings(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ProxySettings {
    ProxySettings {
        mode: word(reader, "mode", MODES).unwrap_or_default(),
        transparent_proxy: block(reader, "transparent_proxy", |reader| TransparentProxy {
            // Consul: 0 is the usual port.
            outbound_listener_port: reader
                .weak_number("outbound_listener_port", 0..=u16::MAX)
                .filter(|&port| port > 0),
            dialed_directly: flag(reader, "dialed_directly"),
        })
        .unwrap_or_default(),
        mutual_tls: word(reader, "mutual_tls_mode", MUTUAL_TLS).unwrap_or_default(),
        expose: block(reader, "expose", |reader| expose(reader, scope)).unwrap_or_default(),
        extensions: extensions(reader, scope),
    }
}

const MODES: &[(&str, ProxyMode)] = &[
    ("direct", ProxyMode::Direct),
    ("transparent", ProxyMode::Transparent),
];

const MUTUAL_TLS: &[(&str, MutualTls)] = &[
    ("strict", MutualTls::Strict),
    ("permissive", MutualTls::Permissive),
];

fn expose(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Expose {
    let checks = flag(reader, "checks");
    let mut paths = Vec::new();
    for table in reader.tables("paths") {
        let path = inside(reader, table, "an exposed path", |reader| {
            // Consul writes it when a check made the path.
            let _known = reader.all("parsed_from_check");
            let listener_port = port(reader, "listener_port");
            let local_path_port = port(reader, "local_path_port");
            let path = ExposedPath {
                listener_port: listener_port.unwrap_or_default(),
                path: text(reader, "path"),
                local_path_port: local_path_port.unwrap_or_default(),
                protocol: one_of(reader, "protocol", &["http", "http2"]),
                at: scope.place(table.1),
            };
            for key in ["listener_port", "local_path_port"] {
                if !reader.has(key) {
                    reader.missing(key, &format!("expected such as `{key} = 8080`"));
                }
            }
            if !path.path.starts_with('/') {
                let message = "an exposed path starts with `/`".to_owned();
                reader.complain(message, "expected such as `path = \"/health\"`");
            }
            path
        });
        paths.push((path, table.1));
    }
    let ports = paths.iter().map(|(path, at)| (path.listener_port, *at));
    refuse_repeated(reader, "listener_port", ports);
    Expose {
        checks,
        paths: paths.into_iter().map(|(path, _)| path).collect(),
    }
}

fn extensions(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<Extension> {
    let mut extensions = Vec::new();
    for table in reader.tables("envoy_extensions") {
        extensions.push(inside(reader, table, "an extension", |reader| {
            let extension = Extension {
                name: text(reader, "name"),
                required: flag(reader, "required"),
                arguments: reader.opaque("arguments"),
                consul_version: text(reader, "consul_version"),
                envoy_version: text(reader, "envoy_version"),
                at: scope.place(table.1),
            };
            if extension.name.is_empty() {
                reader.missing("name", "expected such as `name = \"builtin/lua\"`");
            }
            extension
        }));
    }
    extensions
}

/// `policy { mode, regions }`, under any name.
pub(super) fn failover_policy(reader: &mut Reader<'_, '_>, key: &'static str) -> FailoverPolicy {
    let policy = block(reader, key, |reader| FailoverPolicy {
        mode: one_of(reader, "mode", &["sequential", "order-by-locality"]),
        regions: texts(reader, "regions"),
    });
    policy.unwrap_or_default()
}

/// `prioritize_by_locality { mode }`
pub(super) fn prioritize_by_locality(reader: &mut Reader<'_, '_>) -> PrioritizeByLocality {
    let mode = block(reader, "prioritize_by_locality", |reader| {
        let words = [
            ("none", PrioritizeByLocality::None),
            ("failover", PrioritizeByLocality::Failover),
        ];
        word(reader, "mode", &words)
    });
    mode.flatten().unwrap_or_default()
}
