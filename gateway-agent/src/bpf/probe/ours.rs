//! What of culvert's own is there: the object, the pins, the local routes.

use super::{
    super::{Settings, decode, local_routes as routes, object::embedded, pins as tree},
    Finding,
};

pub(super) fn object() -> Finding {
    let name = "kernel object";
    match embedded() {
        Some(bytes) => Finding::ok(name, format!("embedded, {} bytes", bytes.len())),
        None => Finding::fail(
            name,
            "not in this binary",
            "build it with `cargo xtask ebpf`, then build culvert again",
        ),
    }
}

pub(super) fn bpffs(settings: &Settings) -> Finding {
    let path = settings.bpffs.display();
    if tree::is_bpffs(&settings.bpffs) {
        return Finding::ok("bpffs", format!("mounted at {path}"));
    }
    Finding::fail(
        "bpffs",
        format!("not mounted at {path}"),
        format!("`mount -t bpf bpf {path}`"),
    )
}

/// Pins of the instance: of which ABI, and whether they can be adopted. Not those of the sockmap
/// engine's maps, which are only to be looked at: nobody adopts them.
pub(super) fn pins(settings: &Settings) -> Finding {
    let name = "pins";
    let found = match decode::find(&settings.bpffs) {
        Ok(found) => found,
        Err(error) => return Finding::warn(name, error.to_string(), error.remedy()),
    };
    let ours: Vec<_> = found
        .iter()
        .filter(|one| one.instance == settings.instance && one.half == decode::Half::Steer)
        .collect();
    for one in &ours {
        if let Err(error) = one.check() {
            return Finding::fail(name, error.to_string(), error.remedy());
        }
    }
    match ours.first() {
        Some(one) => Finding::ok(name, format!("{}, will be adopted", one.path.display())),
        None => Finding::ok(name, format!("none of {}", settings.instance)),
    }
}

/// Local routes of culvert in this network namespace.
pub(super) fn local_routes(settings: &Settings) -> Finding {
    let name = "local routes";
    let routes = match routes::list() {
        Ok(routes) => routes,
        Err(error) => return Finding::warn(name, error.to_string(), error.remedy()),
    };
    let metric = routes::metric(&settings.instance);
    let (ours, others): (Vec<_>, Vec<_>) =
        routes.into_iter().partition(|route| route.metric == metric);
    let ours: Vec<_> = ours
        .into_iter()
        .map(|route| route.prefix.to_string())
        .collect();
    let ours = if ours.is_empty() {
        "none".to_owned()
    } else {
        ours.join(", ")
    };
    Finding::ok(name, format!("{ours}; {} of other gateways", others.len()))
}
