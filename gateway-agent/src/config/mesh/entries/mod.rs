//! Config entries: one table -> one entry of `crate::mesh::entries`.
//!
//! Each kind has its own file. Unknown fields are errors, as they are when Consul is asked to
//! write the entry; so is everything that Consul would refuse by looking at the entry alone.
//! What needs a look at other entries is `mesh::entries::check`'s, whose problems `problem`
//! turns into errors of the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, What};
use crate::config::source::{Sources, Span};
use crate::config::syntax::Table;
use crate::control::snapshot::Place;
use crate::mesh::entries::{Entry, EntryKind};
use crate::mesh::name::{Name, ServiceName};

mod exported;
mod failover;
mod fields;
mod filter;
mod headers;
mod ingress;
mod intentions;
mod load_balancer;
mod mesh;
mod problem;
mod proxy;
mod proxy_defaults;
mod resolver;
mod router;
mod service_defaults;
mod splitter;
mod terminating;
mod tls;

#[cfg(test)]
mod tests;

pub(in crate::config) use problem::check;

/// What an entry is read with.
#[derive(Clone, Copy)]
pub(in crate::config) struct Scope<'a> {
    /// The texts, for places.
    pub(in crate::config) sources: &'a Sources,
    /// The partition of entries that name none.
    pub(in crate::config) partition: &'a str,
}

impl Scope<'_> {
    fn place(&self, at: Span) -> Place {
        self.sources.place(at)
    }
}

/// What all kinds have.
struct Head {
    name: String,
    /// Where the name stands.
    name_at: Span,
    namespace: String,
    partition: String,
    meta: BTreeMap<String, String>,
    at: Place,
}

impl Head {
    fn service(&self) -> ServiceName {
        ServiceName::new(&self.name, &self.namespace, &self.partition)
    }

    fn partition(&self) -> Name {
        self.service().partition
    }
}

/// Reads one entry; `None` when it is not known what it is about. `at` is where it starts.
pub(in crate::config) fn read(
    table: &Table<'_>,
    at: Span,
    scope: &Scope<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Entry> {
    let kind = kind(table, at, errors)?;
    let mut names = Reader::folded(table, at, what(kind, None), errors);
    let (name, name_at) = name(&mut names, kind, at)?;

    let mut reader = Reader::folded(table, at, what(kind, Some(&name)), errors);
    // Read above.
    for key in ["kind", "name"] {
        let _known = reader.all(key);
    }
    let text = |given: Option<(String, Span)>| given.map(|(text, _)| text).unwrap_or_default();
    let mut head = Head {
        namespace: text(reader.text("namespace")),
        partition: text(reader.text("partition")),
        meta: reader.text_map("meta"),
        at: scope.place(at),
        name: name.clone(),
        name_at,
    };
    if head.partition.is_empty() {
        scope.partition.clone_into(&mut head.partition);
    }
    let entry = body(kind, head, &mut reader, scope);
    // What Consul adds when it tells of an entry.
    for key in ["create_index", "modify_index", "hash"] {
        let _known = reader.all(key);
    }
    reader.finish();
    Some(entry)
}

fn what(kind: EntryKind, label: Option<&str>) -> What<'_> {
    What {
        kind: kind.label(),
        label,
    }
}

fn body(kind: EntryKind, head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Entry {
    match kind {
        EntryKind::ProxyDefaults => {
            Entry::ProxyDefaults(Arc::new(proxy_defaults::read(head, reader, scope)))
        }
        EntryKind::ServiceDefaults => {
            Entry::ServiceDefaults(Arc::new(service_defaults::read(head, reader, scope)))
        }
        EntryKind::ServiceResolver => {
            Entry::ServiceResolver(Arc::new(resolver::read(head, reader, scope)))
        }
        EntryKind::ServiceRouter => {
            Entry::ServiceRouter(Arc::new(router::read(head, reader, scope)))
        }
        EntryKind::ServiceSplitter => {
            Entry::ServiceSplitter(Arc::new(splitter::read(head, reader, scope)))
        }
        EntryKind::ServiceIntentions => {
            Entry::ServiceIntentions(Arc::new(intentions::read(head, reader, scope)))
        }
        EntryKind::IngressGateway => {
            Entry::IngressGateway(Arc::new(ingress::read(head, reader, scope)))
        }
        EntryKind::TerminatingGateway => {
            Entry::TerminatingGateway(Arc::new(terminating::read(head, reader, scope)))
        }
        EntryKind::MeshSettings => Entry::MeshSettings(Arc::new(mesh::read(head, reader))),
        EntryKind::ExportedServices => {
            Entry::ExportedServices(Arc::new(exported::read(head, reader, scope)))
        }
    }
}

/// Kinds that Consul knows and that mean nothing to culvert.
const NOT_OURS: &[&str] = &[
    "api-gateway",
    "bound-api-gateway",
    "control-plane-request-limit",
    "file-system-certificate",
    "http-route",
    "inline-certificate",
    "jwt-provider",
    "sameness-group",
    "tcp-route",
];

fn kind(table: &Table<'_>, at: Span, errors: &mut Vec<Diagnostic>) -> Option<EntryKind> {
    let entry = What {
        kind: "a config entry",
        label: None,
    };
    let mut reader = Reader::folded(table, at, entry, errors);
    let Some((text, text_at)) = reader.text("kind") else {
        if !reader.has("kind") {
            reader.missing("kind", "expected such as `Kind = \"service-resolver\"`");
        }
        return None;
    };
    let known = EntryKind::ALL.map(EntryKind::label);
    let found = EntryKind::ALL.into_iter().find(|kind| kind.label() == text);
    if found.is_none() {
        let expected = format!("expected one of: {}", known.join(", "));
        reader.error(if NOT_OURS.contains(&text.as_str()) {
            let message = format!("culvert does not read entries of kind `{text}`");
            Diagnostic::new(text_at, message, expected)
                .help("leave it to Consul, and keep it out of culvert's files")
        } else {
            let message = format!("`{text}` is no kind of config entry");
            Diagnostic::new(text_at, message, expected).nearest(&text, known.into_iter())
        });
    }
    found
}

/// The name, which some kinds have only one of.
fn name(reader: &mut Reader<'_, '_>, kind: EntryKind, at: Span) -> Option<(String, Span)> {
    let given = reader.text("name").filter(|(name, _)| !name.is_empty());
    let fixed = match kind {
        EntryKind::ProxyDefaults => Some("global"),
        EntryKind::MeshSettings => Some("mesh"),
        _ => None,
    };
    match (given, fixed) {
        (Some((name, name_at)), Some(fixed)) if name != fixed => {
            let message = format!("a {kind} entry is named `{fixed}`, not `{name}`");
            let expected = format!("expected `Name = \"{fixed}\"`");
            reader.error(Diagnostic::new(name_at, message, expected));
            Some((name, name_at))
        }
        (Some(given), _) => Some(given),
        // Consul's own examples of the mesh entry have no name.
        (None, Some("mesh")) => Some(("mesh".to_owned(), at)),
        (None, fixed) => {
            let example = fixed.unwrap_or("web");
            reader.missing("name", &format!("expected such as `Name = \"{example}\"`"));
            None
        }
    }
}
