//! One permission and one request, of which some parts may not be seen.

use regex::bytes::Regex;

use super::Request;
use super::entry::{Action, HeaderMatch, HeaderTest, PathMatch, Permission};
use crate::mesh::filter::re2::{self, Anchor};

/// A permission with its patterns compiled.
#[derive(Clone, Debug)]
pub(super) struct CompiledPermission {
    action: Action,
    methods: Vec<String>,
    path: Option<(PathMatch, Pattern)>,
    headers: Vec<(HeaderMatch, Pattern)>,
    wants_jwt: bool,
}

/// The compiled form of a regular expression; none for other matches, and for one that does not
/// compile, which the check of entries refuses. Such a one matches nothing that could be told.
type Pattern = Option<Regex>;

/// Whether a request matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// It would depend on these parts.
    Unseen(Vec<String>),
}

impl CompiledPermission {
    pub(super) fn new(permission: &Permission) -> Self {
        let http = permission.http.clone().unwrap_or_default();
        let compile = |pattern: &str| re2::compile(pattern, Anchor::Whole).ok();
        Self {
            action: permission.action,
            // RFC 9110, section 9.1: methods are case-sensitive. Consul: entries may write them in any
            // case and mean upper case.
            methods: http
                .methods
                .iter()
                .map(|method| method.to_ascii_uppercase())
                .collect(),
            path: http.path.map(|path| {
                let pattern = match &path {
                    PathMatch::Regex(pattern) => compile(pattern),
                    PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
                };
                (path, pattern)
            }),
            headers: http
                .headers
                .into_iter()
                .map(|header| {
                    let pattern = match &header.test {
                        HeaderTest::Regex(pattern) => compile(pattern),
                        _ => None,
                    };
                    (header, pattern)
                })
                .collect(),
            wants_jwt: permission.jwt.is_some(),
        }
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    /// Everything must hold. One part that does not outweighs those that cannot be seen.
    pub(super) fn matches(&self, request: &Request) -> Answer {
        let parts = [
            self.method_matches(request),
            self.path_matches(request),
            if self.wants_jwt {
                unseen("a JWT")
            } else {
                Answer::Yes
            },
        ];
        let headers = self
            .headers
            .iter()
            .map(|(header, pattern)| header_matches(header, pattern.as_ref(), request));
        parts.into_iter().chain(headers).fold(Answer::Yes, both)
    }

    fn method_matches(&self, request: &Request) -> Answer {
        if self.methods.is_empty() {
            return Answer::Yes;
        }
        request.method.as_ref().map_or_else(
            || unseen("the method"),
            |method| told(self.methods.contains(method)),
        )
    }

    /// Consul: paths are compared without query and fragment.
    fn path_matches(&self, request: &Request) -> Answer {
        let Some((wanted, pattern)) = &self.path else {
            return Answer::Yes;
        };
        let Some(path) = &request.path else {
            return unseen("the path");
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        match wanted {
            PathMatch::Exact(wanted) => told(path == wanted),
            PathMatch::Prefix(wanted) => told(path.starts_with(wanted.as_str())),
            PathMatch::Regex(_) => by_pattern(pattern.as_ref(), path, "the path"),
        }
    }
}

/// Envoy: several values of one header count as one with commas; a header that is missing answers
/// only the question for its presence, so that an inverted match of its value does not hold.
fn header_matches(wanted: &HeaderMatch, pattern: Option<&Regex>, request: &Request) -> Answer {
    let part = || format!("the header `{}`", wanted.name);
    let Some(headers) = &request.headers else {
        return unseen(part());
    };
    let values: Vec<&str> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(&wanted.name))
        .map(|(_, value)| value.as_str())
        .collect();
    if let HeaderTest::Present = wanted.test {
        return told(values.is_empty() == wanted.invert);
    }
    if values.is_empty() {
        return Answer::No;
    }
    let fold = |text: &str| {
        if wanted.ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let joined = values.join(",");
    let value = fold(&joined);
    let answer = match &wanted.test {
        HeaderTest::Present => Answer::Yes,
        HeaderTest::Exact(text) => told(value == fold(text)),
        HeaderTest::Prefix(text) => told(value.starts_with(&fold(text))),
        HeaderTest::Suffix(text) => told(value.ends_with(&fold(text))),
        HeaderTest::Contains(text) => told(value.contains(&fold(text))),
        HeaderTest::Regex(_) => by_pattern(pattern, &joined, &part()),
    };
    match answer {
        Answer::Unseen(parts) => Answer::Unseen(parts),
        seen => told((seen == Answer::Yes) != wanted.invert),
    }
}

fn by_pattern(pattern: Option<&Regex>, text: &str, part: &str) -> Answer {
    pattern.map_or_else(
        || {
            unseen(format!(
                "a regular expression for {part} that does not compile"
            ))
        },
        |pattern| told(pattern.is_match(text.as_bytes())),
    )
}

fn both(one: Answer, other: Answer) -> Answer {
    match (one, other) {
        (Answer::No, _) | (_, Answer::No) => Answer::No,
        (Answer::Unseen(mut parts), Answer::Unseen(more)) => {
            parts.extend(more);
            Answer::Unseen(parts)
        }
        (Answer::Unseen(parts), Answer::Yes) | (Answer::Yes, Answer::Unseen(parts)) => {
            Answer::Unseen(parts)
        }
        (Answer::Yes, Answer::Yes) => Answer::Yes,
    }
}

fn told(matches: bool) -> Answer {
    if matches { Answer::Yes } else { Answer::No }
}

fn unseen(part: impl Into<String>) -> Answer {
    Answer::Unseen(vec![part.into()])
}
