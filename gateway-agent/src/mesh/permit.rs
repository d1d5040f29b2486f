//! May one service speak to another: the question that people ask of intentions.
//!
//! `intentions` ranks and decides; here a mesh is asked, and the answer is made for reading: each
//! intention for the destination in the order of precedence, with the mark at the one that
//! decided and where it stands.

use std::fmt;

use super::Mesh;
use super::entries::Entries;
use super::intentions::{Action, Applies, Destination, Identity, Matched, Request};
use super::name::{Name, ServiceName};

/// Who asks for whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub from: &'a ServiceName,
    /// The peer that it lives in; `None`: this federation.
    pub peer: Option<&'a Name>,
    /// Who is asked for.
    pub to: &'a ServiceName,
    /// What is known of the request.
    pub request: Request,
}

/// The answer.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Permit {
    /// Who asks.
    pub from: String,
    /// Who is asked for.
    pub to: String,
    /// The protocol of the destination.
    pub protocol: String,
    /// Whether it may.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// Every intention for the destination, highest precedence first.
    pub intentions: Vec<Intention>,
    /// What holds where no intention does: `allow` or `deny`.
    pub default: String,
    /// What should be known beside.
    pub notes: Vec<String>,
}

/// One intention for the destination.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Intention {
    /// From 9, the most specific, to 1.
    pub precedence: u8,
    /// Its source.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// `allow`, `deny`, or `permissions`, which depend on the request.
    pub action: String,
    /// Whether its source is who asks; `null`: that cannot be told.
    pub applies: Option<bool>,
    /// Whether it decided.
    pub decides: bool,
    /// The permission that decided, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<usize>,
    /// Where it stands.
    pub at: String,
}

/// Answers a question from the intentions of a mesh.
#[must_use]
pub fn permit(mesh: &Mesh, question: &Question<'_>) -> Permit {
    let Question { from, peer, to, .. } = question;
    let protocol = mesh.entries.protocol(to);
    let identity = Identity {
        service: from.name.as_str(),
        namespace: from.namespace.as_str(),
        partition: from.partition.as_str(),
        peer: peer.map(Name::as_str),
    };
    let destination = Destination {
        service: to.name.as_str(),
        namespace: to.namespace.as_str(),
        partition: to.partition.as_str(),
    };
    let decision = mesh.intentions().decide(
        &identity,
        &destination,
        Entries::is_http(protocol),
        &question.request,
    );
    let decided = decision.rule.as_ref();
    let intentions = decision.considered.iter().map(|one| {
        let decides = decided.is_some_and(|rule| rule.at == one.at);
        intention(one, decided.filter(|_| decides))
    });
    Permit {
        from: match peer {
            Some(peer) => format!("{from} of peer {peer}"),
            None => from.to_string(),
        },
        to: to.to_string(),
        protocol: protocol.to_owned(),
        allowed: decision.allowed,
        reason: decision.reason.clone(),
        intentions: intentions.collect(),
        default: mesh.default_intention.to_string(),
        notes: notes(mesh, question),
    }
}

fn intention(one: &Matched, decided: Option<&Matched>) -> Intention {
    Intention {
        precedence: one.precedence,
        source: one.source.clone(),
        destination: one.destination.clone(),
        action: one.action.map_or_else(
            || "permissions".to_owned(),
            |action: Action| action.to_string(),
        ),
        applies: match one.applies {
            Applies::Yes => Some(true),
            Applies::No => Some(false),
            Applies::Unknown => None,
        },
        decides: decided.is_some(),
        permission: decided.and_then(|rule| rule.permission).map(|at| at + 1),
        at: one.at.to_string(),
    }
}

/// A slip of the pen in a name changes the answer without an error; so unknown names are told.
fn notes(mesh: &Mesh, question: &Question<'_>) -> Vec<String> {
    let here = [question.to].into_iter();
    let ours = here.chain(question.peer.is_none().then_some(question.from));
    ours.filter(|service| !mesh.knows(service))
        .map(|service| format!("no service {service} is registered anywhere"))
        .collect()
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} -> {}, which speaks {}",
            self.from, self.to, self.protocol
        )?;
        let name = |one: &Intention| format!("{} -> {}", one.source, one.destination);
        let width = self.intentions.iter().map(|one| name(one).len()).max();
        let width = width.unwrap_or(0).max("default policy".len());
        for one in &self.intentions {
            let mark = if one.decides { "->" } else { "" };
            let beside = match (one.decides, one.permission, one.applies) {
                (true, Some(permission), _) => format!("by permission {permission}"),
                (false, _, Some(false)) => "another source".to_owned(),
                (false, _, None) => "a sameness group".to_owned(),
                _ => String::new(),
            };
            let line = format!(
                "{mark:2} {}  {:width$}  {:11}  {}  {beside}",
                one.precedence,
                name(one),
                one.action,
                one.at,
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let mark = if self.intentions.iter().any(|one| one.decides) {
            ""
        } else {
            "->"
        };
        writeln!(
            f,
            "{mark:2} -  {:width$}  {}",
            "default policy", self.default
        )?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let answer = if self.allowed { "allowed" } else { "DENIED" };
        write!(f, "{answer}: {}", self.reason)
    }
}
