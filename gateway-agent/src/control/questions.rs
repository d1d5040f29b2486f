//! Questions about the mesh behind a snapshot, as people put them: by names, over the command
//! line and the admin interface alike.
//!
//! Pure. What the answers are is `crate::mesh`'s.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::mesh::dial::{self, Downstream, Plan};
use crate::mesh::intentions::Request;
use crate::mesh::permit::{self, Permit};
use crate::mesh::{Mesh, Name, ServiceName};

/// How does a proxy reach an upstream?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamQuestion {
    /// Who dials: `[[partition/]namespace/]service`.
    pub service: Option<String>,
    /// The proxy that dials, by its ID, instead.
    pub proxy: Option<String>,
    /// Whom: `[[partition/]namespace/]service`.
    pub upstream: String,
    /// Where; without it, where the registration says.
    pub datacenter: Option<String>,
    /// The peer that it is imported from.
    pub peer: Option<String>,
}

/// May a service connect to another?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentionQuestion {
    /// Who asks: `[[partition/]namespace/]service`.
    pub from: String,
    /// The peer that it lives in.
    pub peer: Option<String>,
    /// Who is asked for: `[[partition/]namespace/]service`.
    pub to: String,
    /// The method of a request, where it can be seen.
    pub method: Option<String>,
    /// Its path.
    pub path: Option<String>,
    /// Its headers, `name: value` on a line each.
    pub headers: Option<String>,
}

/// An answer for people and for machines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is yes.
    pub allowed: bool,
    /// The answer for a terminal.
    pub text: String,
    /// The same for machines.
    pub answer: serde_json::Value,
}

impl Answer {
    fn of(answer: &(impl Serialize + Display), allowed: bool) -> Self {
        Self {
            allowed,
            text: answer.to_string(),
            // Both answers are plain structs with texts as keys, which always serialise.
            answer: serde_json::to_value(answer).unwrap_or_default(),
        }
    }
}

/// Tells how a proxy reaches an upstream. The answer is yes when a target has an endpoint.
///
/// # Errors
///
/// Why the question has no answer, and what to do.
pub fn upstream(snapshot: &Snapshot, question: &UpstreamQuestion) -> Result<Answer, String> {
    let mesh = mesh(snapshot)?;
    let downstream = question.service.as_deref().map(service).transpose()?;
    let upstream = service(&question.upstream)?;
    let datacenter = question.datacenter.as_deref().map(Name::new);
    let peer = question.peer.as_deref().map(Name::new);
    let plan = dial::dial(
        mesh,
        &dial::Question {
            downstream: match (&question.proxy, &downstream) {
                (Some(id), _) => Downstream::Proxy(id),
                (None, Some(service)) => Downstream::Service(service),
                (None, None) => return Err("expected a service or a proxy that dials".to_owned()),
            },
            upstream: &upstream,
            datacenter: datacenter.as_ref(),
            peer: peer.as_ref(),
            rules: mesh.mode_rules,
        },
    );
    let plan: Plan = plan.map_err(|refusal| refusal.to_string())?;
    let mut targets = plan.targets.iter().chain(&plan.failover);
    let reachable = targets.any(|target| target.refused.is_none() && !target.endpoints.is_empty());
    Ok(Answer::of(&plan, reachable))
}

/// Tells whether a service may connect to another.
///
/// # Errors
///
/// Why the question has no answer, and what to do.
pub fn intention(snapshot: &Snapshot, question: &IntentionQuestion) -> Result<Answer, String> {
    let mesh = mesh(snapshot)?;
    let (from, to) = (service(&question.from)?, service(&question.to)?);
    let peer = question.peer.as_deref().map(Name::new);
    let headers = question.headers.as_deref().map(headers).transpose()?;
    let permit: Permit = permit::permit(
        mesh,
        &permit::Question {
            from: &from,
            peer: peer.as_ref(),
            to: &to,
            request: Request {
                method: question.method.clone(),
                path: question.path.clone(),
                headers,
            },
        },
    );
    Ok(Answer::of(&permit, permit.allowed))
}

fn mesh(snapshot: &Snapshot) -> Result<&Mesh, String> {
    match &snapshot.mesh {
        Some(state) => Ok(&state.mesh),
        None => Err(
            "there is no mesh: the configuration has no `gateway \"mesh\"` with a source"
                .to_owned(),
        ),
    }
}

/// A service as people write it.
fn service(text: &str) -> Result<ServiceName, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (partition, namespace, name) = match parts[..] {
        [name] => ("", "", name),
        [namespace, name] => ("", namespace, name),
        [partition, namespace, name] => (partition, namespace, name),
        _ => ("", "", ""),
    };
    if name.is_empty() {
        return Err(format!(
            "`{text}` is no service: expected `web`, `namespace/web` or `partition/namespace/web`"
        ));
    }
    Ok(ServiceName::new(name, namespace, partition))
}

fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let header = |line: &str| match line.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{line}` is no header: expected `name: value`")),
    };
    text.lines().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_written_with_as_much_as_is_needed() {
        for wrong in ["", "/", "a/", "a/b/c/d", "//"] {
            assert!(service(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(service("web"), Ok(ServiceName::plain("web")));
        assert_eq!(service("team/web"), Ok(ServiceName::new("web", "team", "")));
        assert_eq!(
            service("blue/team/web"),
            Ok(ServiceName::new("web", "team", "blue"))
        );
    }

    #[test]
    fn headers_stand_on_a_line_each() {
        assert!(headers("x").is_err() && headers(": v").is_err());
        assert_eq!(
            headers("a: 1\nb:2"),
            Ok(vec![("a".into(), "1".into()), ("b".into(), "2".into())])
        );
    }
}
