//! Health: which checks are about whom, and what aliases repeat.

use std::collections::{HashMap, VecDeque};

use super::assemble::Stand;
use super::gathered::{CheckDef, Home};
use super::nodes::Nodes;
use super::scope::Realm;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::mesh::catalog::{Check, Status};
use crate::mesh::name::Locality;

/// All checks, by whom they are about.
pub(super) struct Found {
    slots: Vec<Slot>,
    /// Of each service, by its number.
    of_service: Vec<Vec<usize>>,
    /// Of each node as such, by its number.
    of_node: Vec<Vec<usize>>,
}

/// One check.
struct Slot {
    check: Check,
    node: usize,
    service: Option<usize>,
}

impl Found {
    /// The checks of a service: its node's and its own.
    pub(super) fn of(&self, service: usize, node: usize) -> Vec<Check> {
        let of_node = self.of_node.get(node).into_iter().flatten();
        let of_service = self.of_service.get(service).into_iter().flatten();
        let slots = of_node.chain(of_service);
        slots
            .filter_map(|slot| self.slots.get(*slot))
            .map(|slot| slot.check.clone())
            .collect()
    }
}

/// Attaches all checks. `free` are those that stand outside of services, which give theirs away.
pub(super) fn attach(
    free: Vec<CheckDef>,
    services: &mut [Stand],
    nodes: &mut Nodes<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Found {
    let own: Vec<_> = services
        .iter_mut()
        .enumerate()
        .flat_map(|(number, stand)| {
            let checks = std::mem::take(&mut stand.definition.checks);
            let node = stand.node;
            checks
                .into_iter()
                .map(move |check| (check, node, Some(number)))
        })
        .collect();
    let index = Index::new(services);
    let mut about: Vec<(CheckDef, usize, Option<usize>)> = own;
    for check in free {
        if let Some((node, service)) = index.whom(&check, nodes, errors) {
            about.push((check, node, service));
        }
    }
    refuse_repeated(&about, nodes, errors);

    let mut aliases = Aliases::default();
    let mut found = Found {
        slots: Vec::with_capacity(about.len()),
        of_service: vec![Vec::new(); services.len()],
        of_node: vec![Vec::new(); nodes.list.len()],
    };
    for (definition, node, service) in about {
        let slot = found.slots.len();
        if let Some((node, service)) = index.repeated(&definition, node, nodes, errors) {
            aliases.insert(slot, node, service);
        }
        let list = match service {
            Some(service) => found.of_service.get_mut(service),
            None => found.of_node.get_mut(node),
        };
        list.into_iter().for_each(|list| list.push(slot));
        let check = definition.check;
        found.slots.push(Slot {
            check,
            node,
            service,
        });
    }
    aliases.repeat(&mut found.slots);
    found
}

/// Services by ID.
struct Index {
    on_node: HashMap<(Realm, usize, String), usize>,
    /// For checks that name no node.
    anywhere: HashMap<(Realm, Locality, String), Vec<(usize, Span)>>,
    nodes: Vec<usize>,
}

impl Index {
    fn new(services: &[Stand]) -> Self {
        let mut index = Self {
            on_node: HashMap::with_capacity(services.len()),
            anywhere: HashMap::with_capacity(services.len()),
            nodes: services.iter().map(|stand| stand.node).collect(),
        };
        for (number, Stand { node, definition }) in services.iter().enumerate() {
            let id = definition.service.id.to_ascii_lowercase();
            let realm = definition.realm;
            index.on_node.insert((realm, *node, id.clone()), number);
            let key = (realm, definition.locality.clone(), id);
            let found = index.anywhere.entry(key).or_default();
            found.push((number, definition.at));
        }
        index
    }

    /// Node, and service if it is about one.
    fn whom(
        &self,
        definition: &CheckDef,
        nodes: &mut Nodes<'_>,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<(usize, Option<usize>)> {
        let CheckDef {
            check,
            realm,
            locality,
            home,
            at,
            ..
        } = definition;
        let id = &check.service_id;
        if matches!(home, Home::Nowhere) && !id.is_empty() {
            let service = self.anywhere(definition, errors)?;
            return Some((*self.nodes.get(service)?, Some(service)));
        }
        let node = nodes.find(home, (*realm, locality), *at, errors)?;
        if id.is_empty() {
            return Some((node, None));
        }
        let service = self.on_node(*realm, node, id);
        if service.is_none() {
            let message = format!("{} has no service with the ID \"{id}\"", nodes.called(node));
            errors.push(Diagnostic::new(
                *at,
                message,
                "expected the ID of a service there",
            ));
        }
        Some((node, Some(service?)))
    }

    /// The one service of this ID in the datacenter.
    fn anywhere(&self, definition: &CheckDef, errors: &mut Vec<Diagnostic>) -> Option<usize> {
        let CheckDef {
            check,
            realm,
            locality,
            at,
            ..
        } = definition;
        let id = &check.service_id;
        let key = (*realm, locality.clone(), id.to_ascii_lowercase());
        match self.anywhere.get(&key).map(Vec::as_slice) {
            Some([(service, _)]) => Some(*service),
            Some([(_, first), .., (_, last)]) => {
                let message = format!("several services of {locality} have the ID \"{id}\"");
                let wrong = Diagnostic::new(*at, message, "expected `node = \"name\"` beside it");
                errors.push(
                    wrong
                        .also(*first, "the first one")
                        .also(*last, "the last one"),
                );
                None
            }
            _ => {
                let message = format!("no service of {locality} has the ID \"{id}\"");
                let expected = "expected the ID of a service";
                errors.push(Diagnostic::new(*at, message, expected));
                None
            }
        }
    }

    fn on_node(&self, realm: Realm, node: usize, id: &str) -> Option<usize> {
        let key = (realm, node, id.to_ascii_lowercase());
        self.on_node.get(&key).copied()
    }

    /// Whom an alias repeats: a node, and a service if it names one.
    fn repeated(
        &self,
        definition: &CheckDef,
        own: usize,
        nodes: &Nodes<'_>,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<(usize, Option<usize>)> {
        let alias = definition.alias.as_ref()?;
        let (realm, at) = (definition.realm, definition.at);
        let node = match &alias.node {
            None => Some(own),
            Some(name) => nodes.named(realm, &definition.locality, name),
        };
        let Some(node) = node else {
            let name = alias.node.as_ref().map_or("", |name| name.as_str());
            let message = format!("the check repeats those of node \"{name}\", which is unknown");
            errors.push(Diagnostic::new(
                at,
                message,
                "expected the name of a `node` block",
            ));
            return None;
        };
        if alias.service_id.is_empty() {
            return Some((node, None));
        }
        let service = self.on_node(realm, node, &alias.service_id);
        if service.is_none() {
            let id = &alias.service_id;
            let on = nodes.called(node);
            let message = format!("the check repeats service \"{id}\", which {on} has not");
            errors.push(Diagnostic::new(
                at,
                message,
                "expected the ID of a service there",
            ));
        }
        Some((node, Some(service?)))
    }
}

/// Each ID once on a node.
fn refuse_repeated(
    about: &[(CheckDef, usize, Option<usize>)],
    nodes: &Nodes<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    let mut ids: HashMap<(Realm, usize, &str), Span> = HashMap::with_capacity(about.len());
    let told = about
        .iter()
        .filter(|(definition, ..)| !definition.check.id.is_empty());
    for (definition, node, _) in told {
        let id = &*definition.check.id;
        if let Some(before) = ids.insert((definition.realm, *node, id), definition.at) {
            let message = format!("two checks of {} have the ID \"{id}\"", nodes.called(*node));
            let again = Diagnostic::new(definition.at, message, "expected another `id`");
            errors.push(again.also(before, "the first one"));
        }
    }
}

/// Aliases by what they repeat.
#[derive(Default)]
struct Aliases {
    /// Of a service; its node's checks count for it as well.
    of_service: HashMap<usize, Vec<usize>>,
    /// Of a node, or of a service on it.
    of_node: HashMap<usize, Vec<usize>>,
}

impl Aliases {
    fn insert(&mut self, slot: usize, node: usize, service: Option<usize>) {
        self.of_node.entry(node).or_default().push(slot);
        if let Some(service) = service {
            self.of_service.entry(service).or_default().push(slot);
        }
    }

    /// Lets each alias find the worst of what it repeats; aliases of aliases, too.
    fn repeat(&self, slots: &mut [Slot]) {
        for status in [Status::Critical, Status::Warning] {
            let bad = slots.iter().enumerate();
            let bad = bad.filter(|(_, slot)| slot.check.status == status);
            let mut queue: VecDeque<usize> = bad.map(|(number, _)| number).collect();
            while let Some(cause) = queue.pop_front() {
                let Some(cause) = slots.get(cause) else {
                    continue;
                };
                let repeating = match cause.service {
                    Some(service) => self.of_service.get(&service),
                    None => self.of_node.get(&cause.node),
                };
                let output = format!("repeats the check {}", cause.check.id);
                for &alias in repeating.into_iter().flatten() {
                    let Some(slot) = slots.get_mut(alias) else {
                        continue;
                    };
                    if slot.check.status < status {
                        slot.check.status = status;
                        slot.check.output.clone_from(&output);
                        queue.push_back(alias);
                    }
                }
            }
        }
    }
}
