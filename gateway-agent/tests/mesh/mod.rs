//! Running the cases of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_agent::mesh::derive::{Derived, Fidelity, binds};
use gateway_agent::mesh::route::MeshRoute;
use gateway_agent::mesh::sni;
use serde_json::{Map, Value};

mod entries;
mod expect;
mod fields;
mod instance;
mod state;

use fields::{Fields, address, list, text};
use state::State;

/// How a file's cases came out.
pub(crate) struct Outcome {
    pub(crate) cases: usize,
    /// What is wrong, one text per failing case.
    pub(crate) wrong: Vec<String>,
}

/// Runs all cases.
pub(crate) fn run(file: &Value) -> Result<Outcome, String> {
    let all = file.get("cases").and_then(Value::as_array);
    let all = all
        .filter(|all| !all.is_empty())
        .ok_or("there is no case")?;
    let mut names: BTreeMap<&str, &Value> = BTreeMap::new();
    for case in all {
        let name = name_of(case);
        if name.is_empty() || names.insert(name, case).is_some() {
            return Err(format!("a case has no name of its own: `{name}`"));
        }
    }
    let top = |key: &str| file.get(key).and_then(Value::as_str);
    let trust_domain = top("trust_domain").ok_or("there is no trust_domain")?;
    let domain = top("server_domain")
        .or_else(|| top("domain"))
        .unwrap_or("consul");
    let wrong = all.iter().filter_map(|case| {
        let wrong = inherit(case, &names, &mut Vec::new())
            .and_then(|whole| run_case(case, &whole, trust_domain, domain))
            .unwrap_or_else(|why| vec![why]);
        let notes = case
            .get("notes")
            .and_then(Value::as_str)
            .unwrap_or_default();
        (!wrong.is_empty())
            .then(|| format!("{} ({notes})\n  {}", name_of(case), wrong.join("\n  ")))
    });
    Ok(Outcome {
        wrong: wrong.collect(),
        cases: all.len(),
    })
}

fn name_of(case: &Value) -> &str {
    case.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// State and expectations of a case, those of the case that it extends included.
struct Whole {
    state: Map<String, Value>,
    expect: Map<String, Value>,
}

fn inherit<'a>(
    case: &'a Value,
    names: &BTreeMap<&str, &'a Value>,
    seen: &mut Vec<&'a str>,
) -> Result<Whole, String> {
    if seen.contains(&name_of(case)) {
        return Err(format!("it extends itself by way of {}", seen.join(", ")));
    }
    seen.push(name_of(case));
    let mut whole = match case.get("extends").and_then(Value::as_str) {
        None => Whole {
            state: Map::new(),
            expect: Map::new(),
        },
        Some(base) => {
            let base = names
                .get(base)
                .ok_or_else(|| format!("there is no case {base} to extend"))?;
            inherit(base, names, seen)?
        }
    };
    overlay(&mut whole.state, case.get("state"), str::to_owned);
    overlay(
        &mut whole.expect,
        case.get("expect"),
        str::to_ascii_lowercase,
    );
    // Of the case itself, and read by `extras`.
    for key in ["binds", "limits", "keepalive"] {
        whole.expect.remove(key);
    }
    Ok(whole)
}

/// Replaces key by key; null removes.
fn overlay(onto: &mut Map<String, Value>, over: Option<&Value>, key: impl Fn(&str) -> String) {
    for (name, value) in over.and_then(Value::as_object).into_iter().flatten() {
        if value.is_null() {
            onto.remove(&key(name));
        } else {
            onto.insert(key(name), value.clone());
        }
    }
}

fn run_case(
    case: &Value,
    whole: &Whole,
    trust_domain: &str,
    domain: &str,
) -> Result<Vec<String>, String> {
    let fidelity = match case.get("fidelity").and_then(Value::as_str) {
        None | Some("consul") => Fidelity::consul(),
        Some("culvert") => Fidelity::default(),
        Some(other) => return Err(format!("the fidelity {other} is unknown")),
    };
    let state = state::read(&whole.state, trust_domain, domain)?;
    let derived = Derived::new(&state.view, &fidelity);
    let routes: BTreeMap<String, Arc<MeshRoute>> = derived
        .routes()
        .map(|route| (route.name.to_string(), Arc::clone(route)))
        .collect();
    let mut wrong = Vec::new();
    if routes.len() != derived.routes().len() || !derived.routes().is_sorted_by_key(|one| &one.name)
    {
        wrong.push("names are not sorted or not unique".to_owned());
    }
    for (name, expected) in &whole.expect {
        match routes.get(name) {
            None => wrong.push(format!("{name}: expected, missing")),
            Some(route) => {
                let found = expect::route(name, expected, route)?;
                wrong.extend(found.into_iter().map(|one| format!("{name}: {one}")));
            }
        }
    }
    let extra = routes
        .iter()
        .filter(|(name, _)| !whole.expect.contains_key(*name));
    wrong
        .extend(extra.map(|(name, route)| format!("{name}: not expected ({})", route.reason.rule)));
    wrong.extend(chains(&state, &routes));
    wrong.extend(probes(case, &routes));
    wrong.extend(extras(case, &state, &derived, &fidelity)?);
    Ok(wrong)
}

/// Each chain that the case tells must be the one that is derived.
fn chains(state: &State, routes: &BTreeMap<String, Arc<MeshRoute>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let view = &state.view;
    let exports = view
        .entries
        .exported
        .values()
        .flat_map(|entry| &entry.services);
    for export in exports {
        let told = state
            .chains
            .iter()
            .find(|(service, _)| *service == export.service);
        let Some((service, told)) = told else {
            continue;
        };
        let told = list(told);
        let target = told.first().map(text).unwrap_or_default();
        let subset = told.get(1).filter(|subset| !subset.is_null()).map(text);
        for consumer in &export.consumers {
            let gateway_agent::mesh::entries::exported::Consumer::Peer(peer) = consumer else {
                continue;
            };
            let name = sni::exported(service, peer, &view.trust_domain);
            let found = routes.get(&name).and_then(|route| {
                let found = route.service.as_ref()?;
                Some((
                    found.name.to_string(),
                    route.subset.as_deref().map(str::to_owned),
                ))
            });
            let expected = Some((
                target.clone(),
                subset.clone().filter(|text| !text.is_empty()),
            ));
            if found != expected {
                wrong.push(format!(
                    "{name}: expected the target {expected:?}, got {found:?}"
                ));
            }
        }
    }
    wrong
}

fn probes(case: &Value, routes: &BTreeMap<String, Arc<MeshRoute>>) -> Vec<String> {
    let probes = case.get("probes").map(list).unwrap_or_default();
    let mut wrong = Vec::new();
    for probe in &probes {
        let name = probe.get(0).map(text).unwrap_or_default();
        let expected = probe
            .get(1)
            .and_then(Value::as_str)
            .map(str::to_ascii_lowercase);
        let got = expect::lookup(routes, &name);
        if got != expected.as_deref() {
            wrong.push(format!(
                "probe `{name}`: expected {expected:?}, got {got:?}"
            ));
        }
    }
    wrong
}

/// What only some cases tell: binds, limits, keepalive, and notes by a part of their text.
fn extras(
    case: &Value,
    state: &State,
    derived: &Derived,
    fidelity: &Fidelity,
) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    let mut case = Fields::of("the case", case)?;
    // No name of a route is a single label, so these may stand among the routes too.
    let inner = case
        .take(&["expect"])
        .unwrap_or_else(|| Value::Object(Map::new()));
    let mut inner = Fields::of("what is expected", &inner)?;
    let binds_told = case.take(&["binds"]).or_else(|| inner.take(&["binds"]));
    if let Some(value) = binds_told {
        let expected = match &value {
            Value::Object(named) => named.values().cloned().collect(),
            other => list(other),
        };
        let expected = expected
            .iter()
            .map(|one| Ok(expect::canonical(&address(one)?)));
        let mut expected = expected.collect::<Result<Vec<_>, String>>()?;
        expected.sort();
        let mut got = match binds(&state.view.gateway, fidelity) {
            Ok(binds) => binds
                .iter()
                .map(|(_, address)| address.to_string())
                .collect(),
            Err(notes) => notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        };
        got.sort();
        if expected != got {
            wrong.push(format!("binds: expected {expected:?}, got {got:?}"));
        }
    }
    let mut both = |key: &str| case.take(&[key]).or_else(|| inner.take(&[key]));
    let (limits, keepalive) = (both("limits"), both("keepalive"));
    for route in derived.routes() {
        let limits = limits
            .as_ref()
            .map(|told| expect::limited(told, route))
            .transpose()?;
        let keepalive = keepalive
            .as_ref()
            .map(|told| expect::kept_alive(told, route))
            .transpose()?;
        let found = [limits.flatten(), keepalive.flatten()];
        wrong.extend(
            found
                .into_iter()
                .flatten()
                .map(|one| format!("{}: {one}", route.name)),
        );
    }
    for part in case
        .take(&["told"])
        .map(|told| list(&told))
        .unwrap_or_default()
    {
        let part = text(&part);
        if !derived.notes().iter().any(|note| note.text.contains(&part)) {
            wrong.push(format!("no note says `{part}`: {:?}", derived.notes()));
        }
    }
    Ok(wrong)
}
