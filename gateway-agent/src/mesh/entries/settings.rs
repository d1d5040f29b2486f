//! `mesh`: settings of the mesh as a whole. Its name is `mesh`.

use std::collections::BTreeMap;

use crate::control::snapshot::Place;
use crate::mesh::name::Name;

/// Settings of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// The partition that it holds for.
    pub partition: Name,
    /// Whether the control plane of peerings travels through mesh gateways.
    pub peer_through_mesh_gateways: bool,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}
