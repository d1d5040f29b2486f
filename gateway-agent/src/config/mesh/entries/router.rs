//! `Kind = "service-router"`

use super::fields::{
    Make, block, check_regex, flag, inside, name, refuse_repeated, text, texts, timeout,
};
use super::{Head, Scope, headers};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::ServiceRouter;
use crate::mesh::entries::router::{
    FieldMatch, PathMatch, RequestMatch, Retry, RouteDestination, ServiceRoute, ValueMatch,
};

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ServiceRouter {
    let mut routes = Vec::new();
    for table in reader.tables("routes") {
        routes.push(inside(reader, table, "a route", |reader| {
            let matches = block(reader, "match", |reader| block(reader, "http", requests));
            let route = ServiceRoute {
                matches: matches.flatten().unwrap_or_default(),
                destination: destination(reader, scope),
                at: scope.place(table.1),
            };
            check_rewrite(&route, reader);
            route
        }));
    }
    ServiceRouter {
        service: head.service(),
        routes,
        meta: head.meta,
        at: head.at,
    }
}

fn requests(reader: &mut Reader<'_, '_>) -> RequestMatch {
    RequestMatch {
        path: path(reader),
        case_insensitive: flag(reader, "case_insensitive"),
        headers: fields(reader, "header", "a header match"),
        query: fields(reader, "query_param", "a query match"),
        methods: methods(reader),
    }
}

/// The one of `path_exact`, `path_prefix` and `path_regex` that is given.
pub(super) fn path(reader: &mut Reader<'_, '_>) -> PathMatch {
    let kinds: [Make<String, PathMatch>; 3] = [
        ("path_exact", PathMatch::Exact),
        ("path_prefix", PathMatch::Prefix),
        ("path_regex", PathMatch::Regex),
    ];
    let mut given: Vec<(PathMatch, Span)> = Vec::new();
    for (key, make) in kinds {
        let Some((text, at)) = reader.text(key).filter(|(text, _)| !text.is_empty()) else {
            continue;
        };
        if key == "path_regex" {
            check_regex(reader, &text, at);
        } else if !text.starts_with('/') {
            let message = format!("`{key}` does not start with `/`: {text}");
            reader.error(Diagnostic::new(at, message, "expected such as \"/admin\""));
        }
        given.push((make(text), at));
    }
    if let [first, again, ..] = &given[..] {
        let message = "a path is matched in two ways";
        let expected = "expected one of: path_exact, path_prefix, path_regex";
        reader.error(Diagnostic::new(again.1, message, expected).also(first.1, "the first one"));
    }
    given
        .into_iter()
        .next()
        .map(|(path, _)| path)
        .unwrap_or_default()
}

/// Matches of headers or query parameters.
fn fields(reader: &mut Reader<'_, '_>, key: &'static str, what: &'static str) -> Vec<FieldMatch> {
    let mut fields = Vec::new();
    for table in reader.tables(key) {
        fields.extend(inside(reader, table, what, |reader| {
            let name = text(reader, "name");
            if name.is_empty() {
                reader.missing("name", "expected such as `name = \"x-version\"`");
            }
            let header = key == "header";
            let value = value(reader, header);
            Some(FieldMatch {
                name,
                invert: header && flag(reader, "invert"),
                value: value?,
            })
        }));
    }
    fields
}

/// The one way in which a value is matched; query parameters have fewer than headers.
fn value(reader: &mut Reader<'_, '_>, header: bool) -> Option<ValueMatch> {
    let kinds: [Make<String, ValueMatch>; 4] = [
        ("exact", ValueMatch::Exact),
        ("regex", ValueMatch::Regex),
        ("prefix", ValueMatch::Prefix),
        ("suffix", ValueMatch::Suffix),
    ];
    let mut given = Vec::new();
    if flag(reader, "present") {
        given.push(ValueMatch::Present);
    }
    for (key, make) in kinds.into_iter().take(if header { 4 } else { 2 }) {
        if let Some((text, at)) = reader.text(key).filter(|(text, _)| !text.is_empty()) {
            if key == "regex" {
                check_regex(reader, &text, at);
            }
            given.push(make(text));
        }
    }
    if given.len() != 1 {
        let expected = match header {
            true => "expected exactly one of: present, exact, prefix, suffix, regex",
            false => "expected exactly one of: present, exact, regex",
        };
        let message = match given.len() {
            0 => "a match does not say what the value is like",
            _ => "a value is matched in two ways",
        };
        reader.complain(message.to_owned(), expected);
    }
    given.into_iter().next()
}

fn methods(reader: &mut Reader<'_, '_>) -> Vec<String> {
    let methods: Vec<_> = reader
        .texts("methods")
        .into_iter()
        .map(|(method, at)| (method.to_ascii_uppercase(), at))
        .collect();
    refuse_repeated(reader, "methods", methods.iter().cloned());
    methods.into_iter().map(|(method, _)| method).collect()
}

fn destination(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<RouteDestination> {
    let table = reader.single("destination")?;
    let destination = inside(reader, table, "destination", |reader| RouteDestination {
        service: name(reader, "service"),
        subset: text(reader, "service_subset"),
        namespace: name(reader, "namespace"),
        partition: name(reader, "partition"),
        prefix_rewrite: text(reader, "prefix_rewrite"),
        request_timeout: timeout(reader, "request_timeout"),
        idle_timeout: timeout(reader, "idle_timeout"),
        retry: Retry {
            // Consul: 0 is the usual number.
            count: reader
                .weak_number("num_retries", 0..=u32::MAX)
                .filter(|&count| count > 0),
            on_connect_failure: flag(reader, "retry_on_connect_failure"),
            on: texts(reader, "retry_on"),
            on_status: statuses(reader),
        },
        request_headers: headers::changes(reader, "request_headers"),
        response_headers: headers::changes(reader, "response_headers"),
        at: scope.place(table.1),
    });
    Some(destination)
}

fn statuses(reader: &mut Reader<'_, '_>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (text, at) in reader.texts("retry_on_status_codes") {
        match text.parse() {
            Ok(status) if (100..600).contains(&status) => statuses.push(status),
            _ => {
                let message = format!("{text} is no status of an answer");
                reader.error(Diagnostic::new(
                    at,
                    message,
                    "expected a number such as 503",
                ));
            }
        }
    }
    statuses
}

/// Consul: a rewrite needs a part of the path that it replaces.
fn check_rewrite(route: &ServiceRoute, reader: &mut Reader<'_, '_>) {
    let rewrites = route
        .destination
        .as_ref()
        .is_some_and(|destination| !destination.prefix_rewrite.is_empty());
    let has_prefix = matches!(
        route.matches.path,
        PathMatch::Exact(_) | PathMatch::Prefix(_)
    );
    if rewrites && !has_prefix {
        let message = "`prefix_rewrite` has nothing to replace".to_owned();
        reader.complain(
            message,
            "expected `path_prefix` or `path_exact` in its match",
        );
    }
}
