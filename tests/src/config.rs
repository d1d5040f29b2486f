//! Pieces of configuration text that most tests share.
//!
//! Tests write the rest by hand: what a test configures should be readable in the test.

use std::net::SocketAddr;

use crate::topology::{Family, gateway};

/// Port of the usual listener.
pub const PORT: u16 = 8443;

/// A listener named `tls` on the gateway's addresses of both families, with `more` attributes.
#[must_use]
pub fn listener(more: &str) -> String {
    let [v4, v6] = Family::BOTH.map(|family| gateway(family, PORT));
    format!("listener \"tls\" {{\n  address = [\"{v4}\", \"{v6}\"]\n  {more}\n}}\n")
}

/// A route for `name` to `endpoints`, with `more` attributes.
#[must_use]
pub fn route(name: &str, endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|it| format!("\"{it}\"")).collect();
    let endpoints = endpoints.join(", ");
    format!("route \"{name}\" {{\n  endpoints = [{endpoints}]\n  {more}\n}}\n")
}
