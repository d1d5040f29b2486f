//! `load_balancer { ... }` of a resolver.

use super::Scope;
use super::fields::{block, flag, given, inside, one_of, text, word};
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::resolver::{HashPolicy, HashSource, LoadBalancer, LoadPolicy};

pub(super) fn read(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<LoadBalancer> {
    let (table, at) = reader.single("load_balancer")?;
    Some(inside(reader, (table, at), "load_balancer", |reader| {
        let policy = word(reader, "policy", POLICIES).unwrap_or_default();
        let hashes = [LoadPolicy::RingHash, LoadPolicy::Maglev];
        fits(
            reader,
            "least_request_config",
            &[LoadPolicy::LeastRequest],
            policy,
        );
        fits(reader, "ring_hash_config", &[LoadPolicy::RingHash], policy);
        fits(reader, "hash_policies", &hashes, policy);
        let count = block(reader, "least_request_config", |reader| {
            reader.weak_number("choice_count", 0..=u32::MAX)
        });
        let ring = block(reader, "ring_hash_config", |reader| {
            let mut size = |key| {
                reader
                    .weak_number(key, 0..=u64::MAX)
                    .filter(|&size| size > 0)
            };
            (size("minimum_ring_size"), size("maximum_ring_size"))
        });
        LoadBalancer {
            policy,
            // Consul: 0 is the usual count.
            choice_count: count.flatten().filter(|&count| count > 0),
            ring_size: ring.unwrap_or_default(),
            hash_policies: hash_policies(reader, scope),
            at: scope.place(at),
        }
    }))
}

const POLICIES: &[(&str, LoadPolicy)] = &[
    ("random", LoadPolicy::Random),
    ("round_robin", LoadPolicy::RoundRobin),
    ("least_request", LoadPolicy::LeastRequest),
    ("ring_hash", LoadPolicy::RingHash),
    ("maglev", LoadPolicy::Maglev),
];

/// Consul: settings of one policy are refused with another.
fn fits(reader: &mut Reader<'_, '_>, key: &'static str, with: &[LoadPolicy], policy: LoadPolicy) {
    if !given(reader, key) || with.contains(&policy) {
        return;
    }
    let words: Vec<_> = POLICIES
        .iter()
        .filter(|(_, policy)| with.contains(policy))
        .map(|(word, _)| format!("`{word}`"))
        .collect();
    let message = format!("`{key}` goes only with the policy {}", words.join(" or "));
    reader.complain(message, "expected that policy, or no such setting");
}

fn hash_policies(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<HashPolicy> {
    let mut policies = Vec::new();
    for table in reader.tables("hash_policies") {
        policies.extend(inside(reader, table, "a hash policy", |reader| {
            hash_policy(reader, table.1, scope)
        }));
    }
    policies
}

fn hash_policy(reader: &mut Reader<'_, '_>, at: Span, scope: &Scope<'_>) -> Option<HashPolicy> {
    let field = one_of(reader, "field", &["header", "cookie", "query_parameter"]);
    let value = text(reader, "field_value");
    let terminal = flag(reader, "terminal");
    let source_ip = flag(reader, "source_ip");
    let cookie = block(reader, "cookie_config", |reader| {
        let session = flag(reader, "session");
        let ttl = reader.weak_duration("ttl", false).map(|(time, _)| time);
        let ttl = ttl.filter(|time| !time.is_zero());
        if session && ttl.is_some() {
            let message = "a cookie of the session has a `ttl`".to_owned();
            reader.complain(message, "expected `session` or `ttl`");
        }
        (session, ttl, text(reader, "path"))
    });
    if cookie.is_some() && field != "cookie" {
        let message = "`cookie_config` goes only with `field = \"cookie\"`".to_owned();
        reader.complain(message, "expected that field, or no such setting");
    }
    match (field.is_empty(), source_ip) {
        (false, true) => {
            let message = "a hash policy hashes both the client's address and a field".to_owned();
            reader.complain(message, "expected `source_ip` or `field`");
        }
        (true, false) => {
            let message = "a hash policy hashes nothing".to_owned();
            reader.complain(message, "expected `source_ip` or `field`");
        }
        (false, false) if value.is_empty() => {
            reader.missing("field_value", "expected the name of that field");
        }
        _ => {}
    }
    let source = match field.as_str() {
        "header" => HashSource::Header(value),
        "query_parameter" => HashSource::QueryParameter(value),
        "cookie" => {
            let (session, ttl, path) = cookie.unwrap_or_default();
            HashSource::Cookie {
                name: value,
                session,
                ttl,
                path,
            }
        }
        "" if source_ip => HashSource::SourceIp,
        _ => return None,
    };
    Some(HashPolicy {
        source,
        terminal,
        at: scope.place(at),
    })
}
