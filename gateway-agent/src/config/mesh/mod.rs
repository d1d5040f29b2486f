//! The mesh in files: Consul's service definitions and config entries, and blocks of our own for
//! what Consul would know by itself -> the types of `crate::mesh`.
//!
//! file (one after the other) -> gathered definitions -> assemble (references, checks, ports) ->
//! catalog; with the host's own file -> `Mesh`. Everything that is wrong in any file is told at
//! once. Only `folder` touches the disk.

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::source::Sources;
use crate::mesh::Mesh;
use crate::mesh::name::{Locality, Name};

mod assemble;
mod check;
mod entries;
mod entry;
mod fields;
mod file;
pub(super) mod folder;
pub(super) mod gateway;
mod gathered;
mod health;
mod node;
mod nodes;
mod peering;
mod peers;
mod proxy;
mod reach;
mod registration;
mod rules;
mod scope;
mod service;
pub(super) mod settings;
mod sidecar;
mod weak;

#[cfg(test)]
mod tests;

pub use gateway::GatewayConfig;
pub use settings::FilesSource;

use assemble::Host;
use gathered::Gathered;
use scope::{Realm, Scope};
use settings::Top;

/// The mesh as configured.
#[derive(Debug)]
pub struct MeshConfig {
    /// What is known of it, and who we are in it.
    pub mesh: Arc<Mesh>,
    /// The datacenter whose servers hold the config entries and the certificate authority.
    pub primary_datacenter: Name,
    /// The directories that it is read from.
    pub files: Vec<FilesSource>,
}

/// Reads all files but the host's own, and joins them with what that one says. The result means
/// something only without errors.
pub(super) fn read(
    sources: &Sources,
    datacenter: &str,
    top: Top,
    block: Option<gateway::Block>,
    files: Vec<FilesSource>,
    errors: &mut Vec<Diagnostic>,
) -> (MeshConfig, Option<GatewayConfig>) {
    let here = Locality {
        datacenter: Name::new(datacenter),
        partition: top.partition,
    };
    let scope = Scope {
        sources,
        realm: Realm::Catalog,
        datacenter: here.datacenter.clone(),
        partition: here.partition.clone(),
        fixed_datacenter: None,
    };
    let mut gathered = Gathered::default();
    for source in sources.others() {
        file::read(source, &scope, &mut gathered, errors);
    }
    let primary = settings::primary(
        top.primary,
        gathered.primary.take(),
        &here.datacenter,
        errors,
    );
    let address = registration::host_address(block.as_ref(), &gathered, &here);
    if let Some(block) = &block {
        block.register(&mut gathered, &here);
    }
    let entries = std::mem::take(&mut gathered.entries);
    let host = Host {
        sources,
        here: &here,
        address: &address,
    };
    let catalog = assemble::catalog(gathered, &entries, &host, errors);
    let peers = catalog.peerings.keys().cloned().collect();
    entries::check(&entries, &peers, sources, errors);
    let (gateway, listener) = match block {
        Some(block) => {
            let (gateway, listener) = block.merge(&catalog, &here, sources, errors);
            (gateway, Some(listener))
        }
        None => (registration::without_block(&catalog, &here), None),
    };
    let mesh = Mesh {
        here,
        trust_domain: top.trust_domain.unwrap_or_else(|| "".into()),
        domain: top.domain,
        gateway,
        catalog,
        entries,
        default_intention: top.policy,
        mode_rules: top.rules,
    };
    let config = MeshConfig {
        mesh: Arc::new(mesh),
        primary_datacenter: primary,
        files,
    };
    (config, listener)
}
