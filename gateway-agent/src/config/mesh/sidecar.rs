//! `sidecar_service { ... }` -> the connect proxy that Consul makes of it.

use std::sync::Arc;

use super::gathered::{Alias, CheckDef, Home, ServiceDef};
use super::scope::Scope;
use super::service::Draft;
use super::{proxy::ProxyDef, rules};
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::mesh::catalog::{Kind, Proxy, Service, Status};
use crate::mesh::name::Name;

/// Makes the sidecar of an application.
pub(super) fn make(
    mut draft: Draft,
    scope: &Scope<'_>,
    home: Home,
    parent: &Service,
    errors: &mut Vec<Diagnostic>,
) -> ServiceDef {
    check(&draft, parent, errors);
    let name = match &draft.name {
        Some((name, _)) => name.clone(),
        None => Name::new(&format!("{}-sidecar-proxy", parent.name)),
    };
    let mut service = draft.service(name, &id(&parent.id));
    service.kind = Kind::ConnectProxy;
    service.namespace = parent.namespace.clone();
    if service.tags.is_empty() {
        service.tags.clone_from(&parent.tags);
    }
    if service.meta.is_empty() {
        service.meta.clone_from(&parent.meta);
    }
    service.proxy = Some(Arc::new(proxy(draft.proxy.as_ref(), parent)));

    if draft.checks.is_empty() {
        draft.checks = checks(&draft, scope, parent, &service);
    }
    let wants_port = draft.port == 0 && !draft.socket_path;
    ServiceDef {
        sidecar: true,
        wants_port,
        fallback_address: parent.address.clone(),
        ..draft.define(service, scope, home)
    }
}

/// What the sidecar of a service is called.
pub(super) fn id(parent: &str) -> String {
    format!("{parent}-sidecar-proxy")
}

/// What a sidecar may not say of itself.
fn check(draft: &Draft, parent: &Service, errors: &mut Vec<Diagnostic>) {
    rules::everywhere(draft, errors);
    let wrong = |at: Span, message: &str, expected: String| {
        Diagnostic::new(at, message.to_owned(), expected)
    };
    if let Some(at) = draft.kind_at
        && !matches!(draft.kind, None | Some(Kind::ConnectProxy))
    {
        let expected = "expected `kind = \"connect-proxy\"`, or none".to_owned();
        errors.push(wrong(at, "a sidecar is a connect-proxy", expected));
    }
    let own_id = id(&parent.id);
    if let Some((id, at)) = draft.id.as_ref().filter(|(id, _)| *id != own_id) {
        let message = format!("a sidecar cannot be called `{id}`");
        let expected = format!("expected no `id`: it is \"{own_id}\"");
        errors.push(wrong(*at, &message, expected));
    }
    if let Some(inner) = &draft.sidecar {
        let expected = "expected no `sidecar_service` within another".to_owned();
        errors.push(wrong(inner.at, "a sidecar has no sidecar", expected));
    }
    if let Some(at) = draft.native {
        let expected = "expected `native` with an application only".to_owned();
        errors.push(wrong(at, "a sidecar is not native", expected));
    }
    for (_, at) in draft
        .namespace
        .iter()
        .filter(|(name, _)| *name != parent.namespace)
    {
        let expected = format!("expected none, or \"{}\"", parent.namespace);
        errors.push(wrong(
            *at,
            "a sidecar is in the namespace of its application",
            expected,
        ));
    }
    if let Some((_, at)) = &draft.partition {
        let expected = "expected no `partition` here".to_owned();
        errors.push(wrong(
            *at,
            "a sidecar is in the partition of its application",
            expected,
        ));
    }
}

/// What it says as a proxy; what it leaves out is its application's.
fn proxy(written: Option<&ProxyDef>, parent: &Service) -> Proxy {
    let mut proxy = written.map_or_else(Proxy::default, |written| written.proxy.clone());
    if proxy.destination_service.as_str().is_empty() {
        proxy.destination_service = parent.name.clone();
    }
    if proxy.destination_id.is_empty() {
        proxy.destination_id.clone_from(&parent.id);
    }
    if proxy.local_service_socket_path.is_empty() {
        if proxy.local_service_address.is_empty() {
            "127.0.0.1".clone_into(&mut proxy.local_service_address);
        }
        if proxy.local_service_port == 0 {
            proxy.local_service_port = parent.port;
        }
    }
    proxy
}

/// The checks of a sidecar that has none of its own: whether it listens, which nobody tries here,
/// and what those of its application say.
fn checks(draft: &Draft, scope: &Scope<'_>, parent: &Service, service: &Service) -> Vec<CheckDef> {
    let id = |number: u8| format!("service:{}:{number}", service.id);
    let listening = (&*id(1), "Connect Sidecar Listening");
    let listening = draft.made(scope, service, listening, Status::Passing);
    let name = format!("Connect Sidecar Aliasing {}", parent.id);
    let mut aliasing = draft.made(scope, service, (&id(2), &name), Status::Passing);
    aliasing.alias = Some(Alias {
        node: None,
        service_id: parent.id.clone(),
    });
    vec![listening, aliasing]
}
