//! Files that the agent makes or reads.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Finding;
use crate::control::Snapshot;

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = vec![admin_socket(&snapshot.settings.admin.socket)];
    if snapshot.settings.dns.servers.is_empty() && has_host_names(snapshot) {
        findings.push(resolver(Path::new("/etc/resolv.conf")));
    }
    findings
}

pub(super) fn admin_socket(socket: &Path) -> Finding {
    let name = "admin socket";
    let directory = nearest_existing(socket);
    let writable = access(&directory, Access::WRITE_OK | Access::EXEC_OK);
    let shown = socket.display();
    match writable {
        Ok(()) => Finding::ok(name, format!("{shown} can be made")),
        Err(error) => Finding::fail(
            name,
            format!("{shown} cannot be made: {}: {error}", directory.display()),
            "run as a user who may write there (RuntimeDirectory= in the unit), or set admin.socket",
        ),
    }
}

/// The directory of `path`, or the first thing above it that exists: the agent makes what is
/// missing.
fn nearest_existing(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find(|above| above.exists());
    // A relative path ends at the empty one, which means here.
    above
        .filter(|above| *above != Path::new(""))
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn has_host_names(snapshot: &Snapshot) -> bool {
    snapshot
        .routes
        .iter()
        .any(|route| !route.cluster.hosts().is_empty())
}

pub(super) fn resolver(configuration: &Path) -> Finding {
    let name = "name resolution";
    let shown = configuration.display();
    let servers = std::fs::read_to_string(configuration).map(|text| {
        text.lines()
            .filter(|line| line.trim_start().starts_with("nameserver"))
            .count()
    });
    match servers {
        Ok(0) => Finding::warn(
            name,
            format!("{shown} names no server: endpoints come from /etc/hosts only"),
            "add a nameserver line there, or set dns.servers",
        ),
        Ok(servers) => Finding::ok(name, format!("{shown} names {servers} servers")),
        Err(error) => Finding::fail(
            name,
            format!("endpoints have host names, and {shown} cannot be read: {error}"),
            "set dns.servers",
        ),
    }
}
