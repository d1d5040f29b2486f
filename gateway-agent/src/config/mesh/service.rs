//! `service { ... }`: Consul's service definition -> a service, and its sidecar if it has one.
//!
//! A [`Draft`] is what one block says, the same for a service and for a sidecar inside of it;
//! `rules` and `sidecar` make the rest of it. Which node it belongs to is followed later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{self, Owner};
use super::fields::{self, KINDS, label, what};
use super::gathered::{CheckDef, Gathered, Home, ServiceDef};
use super::proxy::{self, ProxyDef};
use super::scope::Scope;
use super::{rules, sidecar};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::mesh::catalog::{Check, Kind, Service, Status, TaggedAddress, Weights};
use crate::mesh::name::Name;

/// What a block says.
pub(super) struct Draft {
    /// `None`: it could not be read.
    pub(super) kind: Option<Kind>,
    pub(super) kind_at: Option<Span>,
    pub(super) id: Option<(String, Span)>,
    pub(super) name: Option<(Name, Span)>,
    pub(super) namespace: Option<(Name, Span)>,
    pub(super) partition: Option<(Name, Span)>,
    pub(super) tags: Vec<String>,
    pub(super) address: String,
    pub(super) address_at: Option<Span>,
    pub(super) port: u16,
    /// Whether something stands there that is no port, which is told.
    pub(super) port_unreadable: bool,
    pub(super) socket_path: bool,
    pub(super) ports_at: Option<Span>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) tagged: BTreeMap<String, TaggedAddress>,
    pub(super) weights: Option<Weights>,
    pub(super) modify_index: u64,
    pub(super) status: Option<Status>,
    pub(super) maintenance: bool,
    pub(super) checks: Vec<CheckDef>,
    pub(super) proxy: Option<ProxyDef>,
    pub(super) native: Option<Span>,
    pub(super) sidecar: Option<Box<Self>>,
    pub(super) at: Span,
}

/// Reads one definition. `home`: the node whose block is around it, else nowhere.
pub(super) fn read(
    table: &Table<'_>,
    at: Span,
    scope: &Scope<'_>,
    home: Home,
    gathered: &mut Gathered,
    errors: &mut Vec<Diagnostic>,
) {
    let name = label(table, &["name", "id"]);
    let mut reader = Reader::folded(table, at, what("service", name), errors);
    let (home, mut scope) = whereabouts(&mut reader, home, scope);
    let mut draft = Draft::read(&mut reader, &scope, None);
    if draft.name.is_none() && (!reader.has("name") || name == Some("")) {
        reader.missing("name", "expected `name = \"web\"`");
    }
    reader.finish();
    rules::service(&draft, &scope, &home, errors);
    if let Some((partition, _)) = &draft.partition {
        scope.partition = partition.clone();
    }
    let Some((name, _)) = &draft.name else {
        return;
    };
    let mut service = draft.service(name.clone(), &draft.own_id());
    let written = draft.sidecar.take();
    let sidecar =
        written.map(|sidecar| sidecar::make(*sidecar, &scope, home.clone(), &service, errors));
    // The application's own settings stay in its sidecar's block.
    let proxy = draft.proxy.take();
    service.proxy = proxy.map(|written| Arc::new(written.proxy));
    gathered.services.push(draft.define(service, &scope, home));
    gathered.services.extend(sidecar);
}

/// The node and datacenter that a definition outside of a node's block may name.
fn whereabouts<'a>(
    reader: &mut Reader<'_, '_>,
    home: Home,
    scope: &Scope<'a>,
) -> (Home, Scope<'a>) {
    let mut scope = scope.clone();
    if matches!(home, Home::Node(_)) {
        return (home, scope);
    }
    if let Some((datacenter, at)) = reader.name("datacenter") {
        let fits = scope
            .fixed_datacenter
            .as_ref()
            .is_none_or(|fixed| *fixed == datacenter);
        if !fits {
            let message = format!(
                "the service names datacenter {datacenter}, but stands in the block of {}",
                scope.datacenter
            );
            let expected = "expected no `datacenter` within a datacenter";
            reader.error(Diagnostic::new(at, message, expected));
        }
        scope.datacenter = datacenter;
    }
    let home = reader
        .name("node")
        .map_or(Home::Nowhere, |(node, at)| Home::Named(node, at));
    (home, scope)
}

impl Draft {
    /// Reads a block. `own_id` is what a sidecar is called.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        scope: &Scope<'_>,
        own_id: Option<&str>,
    ) -> Self {
        let (kind, kind_at) = match reader.text("kind") {
            Some((text, _)) if text.is_empty() || text == "typical" => (Some(Kind::Typical), None),
            Some((text, at)) => (reader.as_word(&text, at, "kind", KINDS), Some(at)),
            None => (Some(Kind::Typical), None),
        };
        let id = reader.text("id").filter(|(id, _)| !id.is_empty());
        let name = reader.name("name");
        let port = reader.weak_number("port", 0..=65_535);
        let address_at = reader.all("address").next().map(|item| item.value.at);
        let mut draft = Self {
            kind,
            kind_at,
            id,
            name,
            namespace: reader.name("namespace"),
            partition: reader.name("partition"),
            tags: reader
                .texts("tags")
                .into_iter()
                .map(|(tag, _)| tag)
                .collect(),
            address: reader.host("address"),
            address_at,
            port: port.unwrap_or_default(),
            port_unreadable: port.is_none() && reader.has("port"),
            socket_path: reader
                .text("socket_path")
                .is_some_and(|(path, _)| !path.is_empty()),
            ports_at: None,
            meta: fields::meta(reader, |key| {
                kind == Some(Kind::MeshGateway) && key == "consul-wan-federation"
            }),
            tagged: reader.tagged_addresses(),
            weights: reader.weights(),
            modify_index: reader
                .weak_number("modify_index", 0..=u64::MAX)
                .unwrap_or_default(),
            status: reader.status(),
            maintenance: reader.maintenance(),
            checks: Vec::new(),
            proxy: proxy::read(reader, scope),
            native: None,
            sidecar: None,
            at: reader.at(),
        };
        let own_id = own_id.map_or_else(|| draft.own_id(), str::to_owned);
        draft.checks(reader, scope, &own_id);
        draft.connect(reader, scope, &own_id);
        draft.ports(reader);
        reader.ignored(&["enable_tag_override", "token", "locality", "create_index"]);
        draft
    }

    /// Its ID, which is its name where none is told.
    fn own_id(&self) -> String {
        match (&self.id, &self.name) {
            (Some((id, _)), _) => id.clone(),
            (None, Some((name, _))) => name.to_string(),
            (None, None) => String::new(),
        }
    }

    fn checks(&mut self, reader: &mut Reader<'_, '_>, scope: &Scope<'_>, own_id: &str) {
        let owner = Owner::Service(own_id);
        for key in ["check", "checks"] {
            for (table, at) in reader.tables(key) {
                let check = check::read(table, at, scope, &owner, reader.errors());
                self.checks.push(check);
            }
        }
    }

    fn connect(&mut self, outer: &mut Reader<'_, '_>, scope: &Scope<'_>, own_id: &str) {
        let Some((table, at)) = outer.single("connect") else {
            return;
        };
        let mut reader = Reader::folded(table, at, what("connect", None), outer.errors());
        self.native = reader
            .weak_bool("native")
            .filter(|native| *native)
            .map(|_| at);
        if let Some((table, at)) = reader.single("sidecar_service") {
            let what = what("the sidecar of", Some(own_id));
            let mut inner = Reader::folded(table, at, what, reader.errors());
            let draft = Self::read(&mut inner, scope, Some(&sidecar::id(own_id)));
            inner.finish();
            self.sidecar = Some(Box::new(draft));
        }
        reader.finish();
    }

    /// Several ports (Consul 1.22): the default one, else the first, is the service's.
    fn ports(&mut self, outer: &mut Reader<'_, '_>) {
        let mut default: Option<u16> = None;
        let mut first: Option<u16> = None;
        for (table, at) in outer.tables("ports") {
            self.ports_at.get_or_insert(at);
            let mut reader = Reader::folded(table, at, what("named port", None), outer.errors());
            if reader.name("name").is_none() && !reader.has("name") {
                reader.missing("name", "expected `name = \"http\"`");
            }
            let port = reader.weak_number("port", 1..=65_535);
            if port.is_none() && !reader.has("port") {
                reader.missing("port", "expected a port from 1 to 65535");
            }
            if reader.weak_bool("default") == Some(true) && default.is_some() {
                let message = "two ports are the default one".to_owned();
                reader.complain(message, "expected one");
            } else if reader.weak_bool("default") == Some(true) {
                default = port;
            }
            first = first.or(port);
            reader.finish();
        }
        if let Some(at) = self.ports_at
            && self.port != 0
        {
            let message = "a service has a port or several, not both";
            outer.error(Diagnostic::new(at, message, "expected `port` or `ports`"));
        }
        if let Some(port) = default.or(first) {
            self.port = port;
        }
    }

    /// The service as such, without what it says as a proxy.
    pub(super) fn service(&self, name: Name, id: &str) -> Service {
        Service {
            kind: self.kind.unwrap_or_default(),
            id: id.to_owned(),
            name,
            namespace: self
                .namespace
                .as_ref()
                .map_or_else(Name::default_name, |(name, _)| name.clone()),
            address: self.address.clone(),
            port: self.port,
            tagged: self.tagged.clone(),
            tags: self.tags.clone(),
            meta: self.meta.clone(),
            weights: self.weights,
            native: self.native.is_some(),
            proxy: None,
            peer_meta: None,
            modify_index: self.modify_index,
        }
    }

    /// The service with its checks.
    pub(super) fn define(mut self, service: Service, scope: &Scope<'_>, home: Home) -> ServiceDef {
        let mut checks = std::mem::take(&mut self.checks);
        number(&mut checks, &service);
        if let Some(status) = self.status {
            let id = format!("service:{}:status", service.id);
            checks.push(self.made(scope, &service, (&id, "Service status"), status));
        }
        if self.maintenance {
            let id = format!("_service_maintenance:{}", service.id);
            let names = (&*id, "Service Maintenance Mode");
            checks.push(self.made(scope, &service, names, Status::Critical));
        }
        ServiceDef {
            service,
            realm: scope.realm,
            locality: scope.locality(),
            home,
            checks,
            sidecar: false,
            wants_port: false,
            fallback_address: String::new(),
            at: self.at,
        }
    }

    /// A check that another setting stands for.
    pub(super) fn made(
        &self,
        scope: &Scope<'_>,
        service: &Service,
        (id, name): (&str, &str),
        status: Status,
    ) -> CheckDef {
        CheckDef {
            check: Check {
                id: id.to_owned(),
                name: name.to_owned(),
                service_id: service.id.clone(),
                status,
                output: String::new(),
                at: scope.place(self.at),
            },
            alias: None,
            realm: scope.realm,
            locality: scope.locality(),
            home: Home::Nowhere,
            at: self.at,
        }
    }
}

/// Names checks that have none as Consul does: `service:<id>`, and a number if there are several.
fn number(checks: &mut [CheckDef], service: &Service) {
    let several = checks.len() > 1;
    for (index, CheckDef { check, .. }) in checks.iter_mut().enumerate() {
        if check.id.is_empty() {
            check.id = if several {
                format!("service:{}:{}", service.id, index + 1)
            } else {
                format!("service:{}", service.id)
            };
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", service.name);
        }
    }
}
