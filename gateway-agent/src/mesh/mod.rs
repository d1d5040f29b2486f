//! The mesh: from what is known about it to what a gateway and its proxies must do.
//!
//! catalog and config entries (a source's `Mesh`) -> view (what this gateway reads of it) ->
//! routes; and, for a proxy and its upstream, -> mode, endpoints and names. The rules are those
//! of Consul's mesh; where culvert decides otherwise, its own setting says so.
//!
//! Pure: no tokio, no sockets, no clock, no files. What comes out depends on what goes in and on
//! nothing else, in a stable order. Reading files is `config`'s, putting routes in force
//! `control`'s.

// Services, nodes and their checks, as a source tells them.
pub mod catalog;
// From a mesh to the routes of one of its gateways.
pub mod derive;
// How a proxy reaches an upstream.
pub mod dial;
/// Where an instance is reached, and whether it should be.
mod endpoint;
// Config entries.
pub mod entries;
// The filter language of subsets.
pub mod filter;
// Who may connect to whom.
pub mod intentions;
// Names of things in a mesh, which ignore case.
pub mod name;
// May one service connect to another.
pub mod permit;
// What a mesh gateway must do, route by route.
pub mod route;
// Server names.
pub mod sni;
// Identities.
pub mod spiffe;
// A mesh as a whole.
pub mod state;

pub use name::{Locality, Name, ServiceName};
pub use state::Mesh;
