//! `Kind = "service-intentions"`

use std::sync::Arc;

use super::fields::{Make, block, flag, given, inside, text, texts, word};
use super::{Head, Scope};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::intentions::{
    Action, HeaderMatch, HeaderTest, HttpMatch, JwtProvider, JwtRequirement, PathMatch, Permission,
    Rule, ServiceIntentions, Source, SourceKind, VerifyClaim, check,
};

pub(super) fn read(
    head: Head,
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
) -> ServiceIntentions {
    let service = head.service();
    let mut sources = Vec::new();
    for table in reader.tables("sources") {
        sources.push(inside(reader, table, "a source", |reader| {
            source(reader, &head, table.1, scope)
        }));
    }
    let entry = ServiceIntentions {
        name: service.name.as_str().into(),
        namespace: service.namespace.as_str().into(),
        partition: service.partition.as_str().into(),
        sources,
        jwt: jwt(reader),
        meta: head.meta,
        at: head.at,
    };
    for (place, message) in check::entry(&entry) {
        let at = scope.sources.span(&place).unwrap_or(head.name_at);
        reader.error(Diagnostic::new(at, message, ""));
    }
    entry
}

fn source(reader: &mut Reader<'_, '_>, head: &Head, at: Span, scope: &Scope<'_>) -> Source {
    let name = text(reader, "name");
    let peer = optional(reader, "peer");
    let sameness_group = optional(reader, "sameness_group");
    // Those of a peer or group are not in our partitions.
    let ours = peer.is_none() && sameness_group.is_none();
    let partition = match text(reader, "partition") {
        none if none.is_empty() && ours => head.partition.clone(),
        given => given,
    };
    let namespace = match text(reader, "namespace") {
        none if none.is_empty() && head.namespace != "*" => head.namespace.clone(),
        given => given,
    };
    let kinds = [("consul", SourceKind::Consul)];
    let source = Source {
        name: name.into(),
        namespace: or_default(&namespace),
        partition: or_default(&partition),
        peer,
        sameness_group,
        rule: rule(reader),
        description: text(reader, "description"),
        kind: word(reader, "type", &kinds).unwrap_or_default(),
        at: scope.place(at),
    };
    // Consul writes them when it tells of an entry.
    for key in [
        "precedence",
        "legacy_id",
        "legacy_meta",
        "legacy_create_time",
        "legacy_update_time",
    ] {
        let _known = reader.all(key);
    }
    source
}

fn optional(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<Arc<str>> {
    let (text, _) = reader.text(key).filter(|(text, _)| !text.is_empty())?;
    Some(text.into())
}

fn or_default(text: &str) -> Arc<str> {
    match text {
        "" => "default".into(),
        given => given.into(),
    }
}

const ACTIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("deny", Action::Deny)];

fn rule(reader: &mut Reader<'_, '_>) -> Rule {
    // An empty action is none, as Consul writes it beside permissions.
    let action_text = reader.text("action").filter(|(text, _)| !text.is_empty());
    let has_action = action_text.is_some();
    let action = action_text.and_then(|(text, at)| reader.as_word(&text, at, "action", ACTIONS));
    let has_permissions = given(reader, "permissions");
    if let Some(message) = check::action_or_permissions(has_action, has_permissions) {
        let expected = "expected `action = \"allow\"`, `action = \"deny\"` or `permissions`";
        reader.complain(message, expected);
    }
    let mut permissions = Vec::new();
    for table in reader.tables("permissions") {
        permissions.push(inside(reader, table, "a permission", permission));
    }
    match action {
        None if has_permissions => Rule::Permissions(permissions),
        // What cannot be read is told, and allows nothing meanwhile.
        action => Rule::Action(action.unwrap_or(Action::Deny)),
    }
}

fn permission(reader: &mut Reader<'_, '_>) -> Permission {
    let action = word(reader, "action", ACTIONS);
    if !given(reader, "action") {
        reader.missing(
            "action",
            "expected `action = \"allow\"` or `action = \"deny\"`",
        );
    }
    Permission {
        action: action.unwrap_or(Action::Deny),
        http: block(reader, "http", http),
        jwt: jwt(reader),
    }
}

fn http(reader: &mut Reader<'_, '_>) -> HttpMatch {
    let kinds: [Make<String, PathMatch>; 3] = [
        ("path_exact", PathMatch::Exact),
        ("path_prefix", PathMatch::Prefix),
        ("path_regex", PathMatch::Regex),
    ];
    let mut path = None;
    let mut keys = Vec::new();
    for (key, make) in kinds {
        let text = text(reader, key);
        if !text.is_empty() {
            keys.push(key);
            path = path.or_else(|| Some(make(text)));
        }
    }
    if let Some(message) = check::path_kinds(&keys) {
        reader.complain(message, "expected one of them");
    }
    let mut headers = Vec::new();
    for table in reader.tables("header") {
        headers.extend(inside(reader, table, "a header match", header));
    }
    HttpMatch {
        path,
        headers,
        methods: texts(reader, "methods"),
    }
}

fn header(reader: &mut Reader<'_, '_>) -> Option<HeaderMatch> {
    let name = text(reader, "name");
    let kinds: [Make<String, HeaderTest>; 5] = [
        ("exact", HeaderTest::Exact),
        ("prefix", HeaderTest::Prefix),
        ("suffix", HeaderTest::Suffix),
        ("contains", HeaderTest::Contains),
        ("regex", HeaderTest::Regex),
    ];
    let mut test = None;
    let mut keys = Vec::new();
    if flag(reader, "present") {
        keys.push("present");
        test = Some(HeaderTest::Present);
    }
    for (key, make) in kinds {
        let text = text(reader, key);
        if !text.is_empty() {
            keys.push(key);
            test = test.or_else(|| Some(make(text)));
        }
    }
    if let Some(message) = check::header_kinds(&name, &keys) {
        reader.complain(message, "expected exactly one of them");
    }
    let (invert, ignore_case) = (flag(reader, "invert"), flag(reader, "ignore_case"));
    Some(HeaderMatch {
        name,
        test: test?,
        invert,
        ignore_case,
    })
}

fn jwt(reader: &mut Reader<'_, '_>) -> Option<JwtRequirement> {
    block(reader, "jwt", |reader| {
        let mut providers = Vec::new();
        for table in reader.tables("providers") {
            providers.push(inside(reader, table, "a provider", provider));
        }
        JwtRequirement { providers }
    })
}

fn provider(reader: &mut Reader<'_, '_>) -> JwtProvider {
    let name = text(reader, "name");
    let mut verify_claims = Vec::new();
    for table in reader.tables("verify_claims") {
        verify_claims.push(inside(reader, table, "a claim", |reader| VerifyClaim {
            path: texts(reader, "path"),
            value: text(reader, "value"),
        }));
    }
    JwtProvider {
        name,
        verify_claims,
    }
}
