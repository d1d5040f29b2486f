//! Nodes, by the names that others call them by.

use std::collections::{BTreeMap, HashMap};

use super::assemble::Host;
use super::gathered::{Home, NodeDef};
use super::scope::Realm;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::mesh::catalog::Node;
use crate::mesh::name::{Locality, Name};

/// Nodes by name.
pub(super) struct Nodes<'h> {
    host: &'h Host<'h>,
    pub(super) list: Vec<NodeDef>,
    by_name: HashMap<(Realm, Locality, Name), usize>,
    /// Suggestions that may still be looked for: each takes a walk over all names.
    suggestions: u32,
}

/// The node of what belongs to none.
const LOCAL: &str = "local";

impl<'h> Nodes<'h> {
    pub(super) fn new(
        list: Vec<NodeDef>,
        host: &'h Host<'h>,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut by_name = HashMap::with_capacity(list.len());
        for (number, node) in list.iter().enumerate() {
            let key = (node.realm, node.locality(), node.node.name.clone());
            let first = *by_name.entry(key).or_insert(number);
            if first != number
                && let Some(before) = list.get(first)
            {
                let (name, locality) = (&node.node.name, node.locality());
                let message = format!("two nodes of {locality} are named \"{name}\"");
                let again = Diagnostic::new(node.at, message, "expected another name");
                errors.push(again.also(before.at, "the first one"));
            }
        }
        Self {
            host,
            list,
            by_name,
            suggestions: 20,
        }
    }

    /// The node that something belongs to; `None` after complaining.
    pub(super) fn find(
        &mut self,
        home: &Home,
        (realm, locality): (Realm, &Locality),
        at: Span,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<usize> {
        match home {
            Home::Node(number) => Some(*number),
            Home::Nowhere => Some(self.local(realm, locality, at)),
            Home::Named(name, at) => {
                let found = self.named(realm, locality, name);
                if found.is_none() {
                    let wrong = self.unknown(locality, name, *at);
                    errors.push(wrong);
                }
                found
            }
        }
    }

    /// A federation state may lean on the nodes of its datacenter.
    pub(super) fn named(&self, realm: Realm, at: &Locality, name: &Name) -> Option<usize> {
        let of = |realm| {
            let key = (realm, at.clone(), name.clone());
            self.by_name.get(&key).copied()
        };
        of(realm).or_else(|| of(Realm::Catalog))
    }

    fn unknown(&mut self, locality: &Locality, name: &Name, at: Span) -> Diagnostic {
        let message = format!("no node of {locality} is named \"{name}\"");
        let wrong = Diagnostic::new(at, message, "expected the name of a `node` block");
        if self.suggestions == 0 {
            return wrong;
        }
        self.suggestions -= 1;
        let names = self.list.iter().filter(|node| node.locality() == *locality);
        let names: Vec<_> = names.map(|node| node.node.name.to_string()).collect();
        wrong.nearest(name.as_str(), names.iter().map(String::as_str))
    }

    /// The node of what belongs to none. Here it is the host itself.
    fn local(&mut self, realm: Realm, locality: &Locality, at: Span) -> usize {
        let name = Name::new(LOCAL);
        let key = (realm, locality.clone(), name.clone());
        if let Some(number) = self.by_name.get(&key) {
            return *number;
        }
        let here = realm == Realm::Catalog && locality == self.host.here;
        let address = if here { self.host.address } else { "" };
        let node = Node {
            name,
            id: String::new(),
            address: address.to_owned(),
            datacenter: locality.datacenter.clone(),
            partition: locality.partition.clone(),
            tagged: BTreeMap::new(),
            meta: BTreeMap::new(),
            at: self.host.sources.place(at),
        };
        let number = self.list.len();
        self.list.push(NodeDef {
            node,
            realm,
            at,
            written: false,
        });
        self.by_name.insert(key, number);
        number
    }

    pub(super) fn get(&self, number: usize) -> Option<&NodeDef> {
        self.list.get(number)
    }

    /// `node n1`, or what stands for it where none is written.
    pub(super) fn called(&self, number: usize) -> String {
        match self.get(number) {
            Some(node) if node.written => format!("node {}", node.node.name),
            Some(node) => format!("{} without a node", node.locality()),
            None => String::new(),
        }
    }
}

impl NodeDef {
    fn locality(&self) -> Locality {
        Locality {
            datacenter: self.node.datacenter.clone(),
            partition: self.node.partition.clone(),
        }
    }
}
