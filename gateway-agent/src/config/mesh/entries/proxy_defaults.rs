//! `Kind = "proxy-defaults"`

use super::fields::{block, flag, mesh_gateway, text, word};
use super::{Head, Scope, proxy};
use crate::config::reader::Reader;
use crate::mesh::entries::ProxyDefaults;
use crate::mesh::entries::proxy_defaults::{AccessLogs, LogSink};

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ProxyDefaults {
    ProxyDefaults {
        partition: head.partition(),
        config: reader.opaque("config"),
        mesh_gateway: mesh_gateway(reader, scope),
        proxy: proxy::settings(reader, scope),
        access_logs: block(reader, "access_logs", access_logs).unwrap_or_default(),
        failover_policy: proxy::failover_policy(reader, "failover_policy"),
        prioritize_by_locality: proxy::prioritize_by_locality(reader),
        meta: head.meta,
        at: head.at,
    }
}

fn access_logs(reader: &mut Reader<'_, '_>) -> AccessLogs {
    let logs = AccessLogs {
        enabled: flag(reader, "enabled"),
        disable_listener_logs: flag(reader, "disable_listener_logs"),
        sink: word(reader, "type", SINKS).unwrap_or_default(),
        path: text(reader, "path"),
        json_format: text(reader, "json_format"),
        text_format: text(reader, "text_format"),
    };
    match (logs.sink == LogSink::File, logs.path.is_empty()) {
        (true, true) => reader.missing("path", "expected one, since `type` is `file`"),
        (false, false) => {
            let message = "access logs have a `path` only with `type = \"file\"`".to_owned();
            reader.complain(message, "expected no `path`, or that type");
        }
        _ => {}
    }
    if !logs.json_format.is_empty() && !logs.text_format.is_empty() {
        let message = "access logs have both `json_format` and `text_format`".to_owned();
        reader.complain(message, "expected one of them");
    }
    logs
}

const SINKS: &[(&str, LogSink)] = &[
    ("stdout", LogSink::Stdout),
    ("stderr", LogSink::Stderr),
    ("file", LogSink::File),
];
