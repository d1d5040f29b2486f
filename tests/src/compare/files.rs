//! The configuration files of each gateway, from the templates in `peers/`.
//!
//! A template is the file as the gateway's own documentation has it for routing TLS by name, with
//! marks such as `@PORT@` for what differs from run to run.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::target::{Peer, Target};

/// What is put in place of the marks.
pub(crate) struct Values<'a> {
    pub(crate) home: &'a Path,
    pub(crate) port: u16,
    pub(crate) server: SocketAddr,
    /// The server names to be routed, all to the one server.
    pub(crate) names: &'a [String],
}

/// Where Debian puts the module; elsewhere it is mostly built in.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// The main file's name for each gateway.
pub(crate) const fn main(target: &Target) -> &'static str {
    match target {
        Target::Routing => "",
        Target::Culvert { .. } => "culvert.hcl",
        Target::Peer(Peer::HaProxy) => "haproxy.cfg",
        Target::Peer(Peer::Nginx) => "nginx.conf",
        Target::Peer(Peer::SniProxy) => "sniproxy.conf",
        Target::Peer(Peer::Envoy) => "envoy.yaml",
    }
}

/// Writes all files of a gateway, each in one step: the gateway may be watching.
pub(crate) fn write(target: &Target, values: &Values<'_>) -> Result<()> {
    for (name, text) in files(target, values) {
        let (aside, path) = (values.home.join(".new"), values.home.join(name));
        fs::write(&aside, text)?;
        fs::rename(aside, &path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    Ok(())
}

fn files(target: &Target, values: &Values<'_>) -> Vec<(&'static str, String)> {
    let server = values.server;
    let main = main(target);
    match target {
        Target::Routing => Vec::new(),
        Target::Culvert { engine } => {
            let names = lines(values, |name| {
                format!("route \"{name}\" {{ endpoints = [\"{server}\"] }}")
            });
            let instance = format!("compare-{}-{engine}", std::process::id());
            let text = fill(include_str!("peers/culvert.hcl"), values, &names)
                .replace("@ENGINE@", engine)
                .replace("@INSTANCE@", &instance);
            vec![(main, text)]
        }
        Target::Peer(Peer::HaProxy) => vec![
            ("names.map", lines(values, |name| format!("{name} bench"))),
            (main, fill(include_str!("peers/haproxy.cfg"), values, "")),
        ],
        Target::Peer(Peer::Nginx) => vec![
            ("names.map", lines(values, |name| format!("{name} bench;"))),
            (main, nginx(values)),
        ],
        Target::Peer(Peer::SniProxy) => {
            let names = lines(values, |name| format!("    ^{name}$ {server}"));
            vec![(
                main,
                fill(include_str!("peers/sniproxy.conf"), values, &names),
            )]
        }
        Target::Peer(Peer::Envoy) => {
            let names: Vec<String> = values
                .names
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect();
            let listeners = include_str!("peers/envoy-listeners.yaml");
            vec![
                ("listeners.yaml", fill(listeners, values, &names.join(", "))),
                (main, fill(include_str!("peers/envoy.yaml"), values, "")),
            ]
        }
    }
}

fn nginx(values: &Values<'_>) -> String {
    let load = if Path::new(NGINX_MODULE).exists() {
        format!("load_module {NGINX_MODULE};")
    } else {
        String::new()
    };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let descriptors = limit.map_or_else(|| "1048576".to_owned(), |limit| limit.to_string());
    fill(include_str!("peers/nginx.conf"), values, "")
        .replace("@LOAD@", &load)
        .replace("@DESCRIPTORS@", &descriptors)
}

fn lines(values: &Values<'_>, line: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for name in values.names {
        text.push_str(&line(name));
        text.push('\n');
    }
    text
}

fn fill(template: &str, values: &Values<'_>, names: &str) -> String {
    template
        .replace("@HOME@", &values.home.display().to_string())
        .replace("@PORT@", &values.port.to_string())
        .replace("@SERVER@", &values.server.to_string())
        .replace("@SERVER_IP@", &values.server.ip().to_string())
        .replace("@SERVER_PORT@", &values.server.port().to_string())
        .replace("@NAMES@", names)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Values, files};
    use crate::target::Target;

    #[test]
    fn no_mark_is_left_in_any_file_and_every_name_is_in_one() {
        let names = ["a.example.com".to_owned(), "b.example.com".to_owned()];
        let values = Values {
            home: Path::new("/nowhere"),
            port: 8443,
            server: "[fd00::2]:443".parse().unwrap(),
            names: &names,
        };
        for target in Target::contenders() {
            let files = files(&target, &values);
            assert!(
                files
                    .iter()
                    .all(|(_, text)| !text.contains('@') || text.contains("\"@type\""))
            );
            assert!(
                files
                    .iter()
                    .all(|(_, text)| !text.contains("@P") && !text.contains("@N"))
            );
            for name in &names {
                assert!(
                    files.iter().any(|(_, text)| text.contains(name)),
                    "{target} {name}"
                );
            }
        }
    }
}
