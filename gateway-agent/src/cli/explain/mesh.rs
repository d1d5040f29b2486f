//! Questions about the mesh: how a proxy reaches an upstream, and who may connect to whom.

use super::{Explain, Intention, Upstream};
use crate::cli::output::{json, print};
use crate::cli::{Agent, Failure};
use crate::control::Snapshot;
use crate::control::questions::{self, Answer, IntentionQuestion, UpstreamQuestion};

pub(super) fn run(arguments: &Explain) -> Result<(), Failure> {
    let answer = if arguments.upstream.upstream.is_some() {
        about_upstream(arguments)?
    } else {
        about_intention(arguments)?
    };
    print(&if arguments.json {
        json(&answer.answer)
    } else {
        format!("{}\n", answer.text.trim_end())
    })?;
    // The output has said why.
    if answer.allowed {
        Ok(())
    } else {
        Err(Failure::No(String::new()))
    }
}

fn about_upstream(arguments: &Explain) -> Result<Answer, Failure> {
    let Upstream {
        service,
        proxy,
        upstream,
        datacenter,
        peer,
    } = &arguments.upstream;
    let question = UpstreamQuestion {
        service: service.clone(),
        proxy: proxy.clone(),
        upstream: upstream.clone().unwrap_or_default(),
        datacenter: datacenter.clone(),
        peer: peer.clone(),
    };
    let query = [
        ("service", question.service.as_ref()),
        ("proxy", question.proxy.as_ref()),
        ("upstream", Some(&question.upstream)),
        ("datacenter", question.datacenter.as_ref()),
        ("peer", question.peer.as_ref()),
    ];
    ask(arguments, "/explain/upstream", query, |snapshot| {
        questions::upstream(snapshot, &question)
    })
}

fn about_intention(arguments: &Explain) -> Result<Answer, Failure> {
    let Intention {
        from_service,
        from_peer,
        to_service,
        method,
        path,
        header,
    } = &arguments.intention;
    // One header given means that all are known.
    let headers = (!header.is_empty()).then(|| header.join("\n"));
    let question = IntentionQuestion {
        from: from_service.clone().unwrap_or_default(),
        peer: from_peer.clone(),
        to: to_service.clone().unwrap_or_default(),
        method: method.clone(),
        path: path.clone(),
        headers,
    };
    let query = [
        ("from", Some(&question.from)),
        ("peer", question.peer.as_ref()),
        ("to", Some(&question.to)),
        ("method", question.method.as_ref()),
        ("path", question.path.as_ref()),
        ("headers", question.headers.as_ref()),
    ];
    ask(arguments, "/explain/intention", query, |snapshot| {
        questions::intention(snapshot, &question)
    })
}

fn ask<'q>(
    arguments: &Explain,
    path: &str,
    query: impl IntoIterator<Item = (&'static str, Option<&'q String>)>,
    of_file: impl FnOnce(&Snapshot) -> Result<Answer, String>,
) -> Result<Answer, Failure> {
    match arguments.target.snapshot()? {
        Some(snapshot) => of_file(&snapshot).map_err(Failure::Usage),
        None => of_agent(&arguments.target.agent, path, query),
    }
}

fn of_agent<'q>(
    agent: &Agent,
    path: &str,
    query: impl IntoIterator<Item = (&'static str, Option<&'q String>)>,
) -> Result<Answer, Failure> {
    let query: Vec<(&str, &str)> = query
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?.as_str())))
        .collect();
    agent.client().get(path, &query)?.success()?.read()
}
