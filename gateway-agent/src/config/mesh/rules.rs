//! Rules: what a service definition may say, by its kind (Consul: checks of the agent at
//! registration).

use super::gathered::Home;
use super::proxy::ProxyDef;
use super::scope::Scope;
use super::service::Draft;
use crate::config::diagnostic::Diagnostic;
use crate::mesh::catalog::Kind;

/// Checks a definition that is no sidecar.
pub(super) fn service(draft: &Draft, scope: &Scope<'_>, home: &Home, errors: &mut Vec<Diagnostic>) {
    everywhere(draft, errors);
    partition(draft, scope, home, errors);
    match draft.kind {
        None => {}
        Some(Kind::Typical) => application(draft, errors),
        Some(Kind::ConnectProxy) => {
            proxy(draft, errors);
            port(draft, Kind::ConnectProxy, errors);
        }
        Some(kind) => gateway(draft, kind, errors),
    }
}

/// What no service may be.
pub(super) fn everywhere(draft: &Draft, errors: &mut Vec<Diagnostic>) {
    if let Some(at) = draft.address_at
        && matches!(&*draft.address, "0.0.0.0" | "::")
    {
        let message = format!("a service cannot be reached at {}", draft.address);
        let expected = "expected the address that others dial, or none for the node's";
        errors.push(Diagnostic::new(at, message, expected));
    }
    let multiple = draft.ports_at.zip(draft.kind);
    if let Some((at, kind)) = multiple.filter(|(_, kind)| *kind != Kind::Typical) {
        let message = format!("a {} has one port", kind.label());
        errors.push(Diagnostic::new(at, message, "expected `port`"));
    }
}

/// A partition stands once, with the node or around it.
fn partition(draft: &Draft, scope: &Scope<'_>, home: &Home, errors: &mut Vec<Diagnostic>) {
    let Some((partition, at)) = &draft.partition else {
        return;
    };
    let around = matches!(home, Home::Node(_)) || !scope.partition.is_default();
    if around && *partition != scope.partition {
        let message = format!(
            "the service names partition {partition}, but stands in one of {}",
            scope.partition
        );
        let expected = "expected the partition of what is around it, or none";
        errors.push(Diagnostic::new(*at, message, expected));
    }
}

fn application(draft: &Draft, errors: &mut Vec<Diagnostic>) {
    let blank = |written: &ProxyDef| written.proxy == Default::default();
    if let Some(written) = draft.proxy.as_ref().filter(|written| !blank(written)) {
        let message = "only a proxy or gateway has `proxy`";
        let wrong = Diagnostic::new(written.at, message, "expected no `proxy` here");
        errors.push(wrong.help(
            "write it in `connect { sidecar_service { proxy { ... } } }`, \
             or say `kind = \"connect-proxy\"`",
        ));
    }
    if let (Some(native), Some(sidecar)) = (draft.native, &draft.sidecar) {
        let message = "a native service has no sidecar";
        let both = Diagnostic::new(sidecar.at, message, "expected either of the two");
        errors.push(both.also(native, "it is native by this"));
    }
}

/// A proxy of one application, written out.
fn proxy(draft: &Draft, errors: &mut Vec<Diagnostic>) {
    not_of_proxies(draft, Kind::ConnectProxy, errors);
    let named = draft
        .proxy
        .as_ref()
        .is_some_and(|written| written.destination.is_some() || destination_given(written));
    if !named {
        let at = draft.proxy.as_ref().map_or(draft.at, |written| written.at);
        errors.push(Diagnostic::new(
            at,
            "a connect-proxy has no destination_service_name",
            "expected `proxy { destination_service_name = \"web\" }`",
        ));
    }
}

/// Given, though perhaps not readable, which is told already.
fn destination_given(written: &ProxyDef) -> bool {
    let mut given = written.of_applications.iter();
    given.any(|(key, _)| *key == "destination_service_name")
}

/// A gateway stands between services, not beside one.
fn gateway(draft: &Draft, kind: Kind, errors: &mut Vec<Diagnostic>) {
    not_of_proxies(draft, kind, errors);
    for (key, at) in draft
        .proxy
        .iter()
        .flat_map(|written| &written.of_applications)
    {
        let message = format!("a {} has no `{key}`", kind.label());
        let expected = "expected it with the proxy of one application only";
        errors.push(Diagnostic::new(*at, message, expected));
    }
    // Consul: the ports of these stand in their config entries.
    if !matches!(kind, Kind::IngressGateway | Kind::ApiGateway) {
        port(draft, kind, errors);
    }
}

fn port(draft: &Draft, kind: Kind, errors: &mut Vec<Diagnostic>) {
    let path = draft.socket_path && kind == Kind::ConnectProxy;
    if draft.port == 0 && !path && !draft.port_unreadable {
        let message = format!("a {} has no port", kind.label());
        let expected = "expected `port = 8443` or whatever it listens at";
        errors.push(Diagnostic::new(draft.at, message, expected));
    }
}

fn not_of_proxies(draft: &Draft, kind: Kind, errors: &mut Vec<Diagnostic>) {
    if let Some(sidecar) = &draft.sidecar {
        let message = format!("a {} has no sidecar", kind.label());
        errors.push(Diagnostic::new(
            sidecar.at,
            message,
            "expected `sidecar_service` with an application only",
        ));
    }
    if let Some(at) = draft.native {
        let message = format!("a {} is not native", kind.label());
        errors.push(Diagnostic::new(
            at,
            message,
            "expected `native` with an application only",
        ));
    }
}
