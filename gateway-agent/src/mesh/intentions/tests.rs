//! Decisions, refusals first, and what an entry may not say.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::{
    ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest,
};

use super::{
    Action, Applies, Decision, Destination, HeaderMatch, HeaderTest, HttpMatch, Identity,
    Intentions, JwtProvider, JwtRequirement, PathMatch, Permission, Request, Rule,
    ServiceIntentions, Source, SourceKind, VerifyClaim, check,
};
use crate::control::snapshot::Place;

const ALLOW: Rule = Rule::Action(Action::Allow);
const DENY: Rule = Rule::Action(Action::Deny);

fn place(line: u32) -> Place {
    Place {
        file: "mesh.d/a.hcl".into(),
        line,
        column: 1,
    }
}

/// A name such as `web`, `team/web` or `blue/team/web`, as partition, namespace and name.
fn split(name: &str) -> (Arc<str>, Arc<str>, Arc<str>) {
    let mut parts = name.rsplit('/');
    let mut next = |default: &'static str| parts.next().unwrap_or(default).into();
    let (name, namespace, partition) = (next("*"), next("default"), next("default"));
    (partition, namespace, name)
}

fn source(name: &str, rule: Rule, line: u32) -> Source {
    let (partition, namespace, name) = split(name);
    Source {
        name,
        namespace,
        partition,
        peer: None,
        sameness_group: None,
        rule,
        description: String::new(),
        kind: SourceKind::Consul,
        at: place(line),
    }
}

fn entry(name: &str, sources: Vec<Source>) -> ServiceIntentions {
    let (partition, namespace, name) = split(name);
    ServiceIntentions {
        name,
        namespace,
        partition,
        sources,
        jwt: None,
        meta: BTreeMap::new(),
        at: place(1),
    }
}

fn intentions(entries: Vec<ServiceIntentions>, default: Action) -> Intentions {
    let entries: Vec<_> = entries.into_iter().map(Arc::new).collect();
    Intentions::new(&entries, default)
}

fn ask(intentions: &Intentions, from: &str, to: &str, http: bool, request: &Request) -> Decision {
    let (from_partition, from_namespace, from) = split(from);
    let (partition, namespace, service) = split(to);
    let from = Identity {
        service: &from,
        namespace: &from_namespace,
        partition: &from_partition,
        peer: None,
    };
    let to = Destination {
        service: &service,
        namespace: &namespace,
        partition: &partition,
    };
    intentions.decide(&from, &to, http, request)
}

fn ask_tcp(intentions: &Intentions, from: &str, to: &str) -> Decision {
    ask(intentions, from, to, false, &Request::default())
}

fn permission(action: Action, http: HttpMatch) -> Permission {
    Permission {
        action,
        http: Some(http),
        jwt: None,
    }
}

fn path(path: PathMatch) -> HttpMatch {
    HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    }
}

fn prefix(prefix: &str) -> HttpMatch {
    path(PathMatch::Prefix(prefix.to_owned()))
}

fn header(name: &str, test: HeaderTest) -> HeaderMatch {
    HeaderMatch {
        name: name.to_owned(),
        test,
        invert: false,
        ignore_case: false,
    }
}

fn seen(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Request {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        headers: Some(headers.collect()),
    }
}

fn token() -> JwtRequirement {
    JwtRequirement {
        providers: vec![JwtProvider {
            name: "issuer".to_owned(),
            verify_claims: Vec::new(),
        }],
    }
}

#[test]
fn the_default_policy_holds_where_no_intention_does() {
    let entries = || vec![entry("api", vec![source("web", ALLOW, 2)])];
    for (default, allowed) in [(Action::Deny, false), (Action::Allow, true)] {
        let intentions = intentions(entries(), default);
        for (from, to) in [
            ("web", "db"),
            ("job", "api"),
            ("team/web", "api"),
            ("blue/default/web", "api"),
            ("web", "team/api"),
        ] {
            let decision = ask_tcp(&intentions, from, to);
            assert_eq!(decision.allowed, allowed, "{from} {to}");
            assert_eq!(decision.rule, None);
            assert!(
                decision.reason.contains("default policy"),
                "{}",
                decision.reason
            );
        }
    }
}

#[test]
fn the_nine_precedences_are_those_of_consul() {
    // Each row allows one pair, all others below it deny: the row must decide.
    let pairs = [
        ("ns/api", "ns/web", 9),
        ("ns/api", "ns/*", 8),
        ("ns/api", "*/*", 7),
        ("ns/*", "ns/web", 6),
        ("ns/*", "ns/*", 5),
        ("ns/*", "*/*", 4),
        ("*/*", "ns/web", 3),
        ("*/*", "ns/*", 2),
        ("*/*", "*/*", 1),
    ];
    for (index, (_, _, precedence)) in pairs.iter().enumerate() {
        let entries = pairs[index..]
            .iter()
            .enumerate()
            .map(|(below, (to, from, _))| {
                entry(
                    to,
                    vec![source(from, if below == 0 { ALLOW } else { DENY }, 2)],
                )
            })
            .rev();
        let intentions = intentions(entries.collect(), Action::Deny);
        let decision = ask_tcp(&intentions, "ns/web", "ns/api");
        assert!(decision.allowed, "{precedence}");
        assert_eq!(decision.rule.unwrap().precedence, *precedence);
        let considered: Vec<u8> = decision
            .considered
            .iter()
            .map(|one| one.precedence)
            .collect();
        let expected: Vec<u8> = (1..=*precedence).rev().collect();
        assert_eq!(considered, expected);
    }
}

#[test]
fn the_first_matching_source_decides_and_nothing_is_combined() {
    let intentions = intentions(
        vec![
            entry("*", vec![source("web", DENY, 9)]),
            entry("api", vec![source("*", ALLOW, 3), source("job", DENY, 4)]),
        ],
        Action::Deny,
    );
    let decision = ask_tcp(&intentions, "web", "api");
    assert!(decision.allowed);
    let rule = decision.rule.unwrap();
    assert_eq!(
        (rule.precedence, rule.at.line, rule.action),
        (8, 3, Some(Action::Allow))
    );
    assert_eq!(
        decision.reason,
        "the intention of `*` for `api` is to allow"
    );
    let applies: Vec<_> = decision
        .considered
        .iter()
        .map(|one| (one.precedence, one.applies))
        .collect();
    assert_eq!(
        applies,
        [(9, Applies::No), (8, Applies::Yes), (6, Applies::Yes)]
    );
    assert!(!ask_tcp(&intentions, "job", "api").allowed);
    assert!(!ask_tcp(&intentions, "web", "db").allowed);
}

#[test]
fn a_destination_is_found_without_regard_to_case() {
    let intentions = intentions(
        vec![
            entry("Blue/Team/Api", vec![source("blue/team/web", DENY, 2)]),
            entry("blue/team/*", vec![source("blue/team/web", ALLOW, 3)]),
        ],
        Action::Allow,
    );
    for to in ["blue/team/api", "BLUE/TEAM/API"] {
        let decision = ask_tcp(&intentions, "blue/team/web", to);
        assert!(!decision.allowed, "{to}: {}", decision.reason);
    }
}

#[test]
fn a_peer_matches_only_the_source_that_names_it() {
    let of_peer = |peer: &str, rule, line| Source {
        peer: Some(peer.into()),
        ..source("web", rule, line)
    };
    let intentions = intentions(
        vec![entry(
            "api",
            vec![
                source("web", DENY, 2),
                of_peer("north", ALLOW, 3),
                source("*", DENY, 4),
            ],
        )],
        Action::Deny,
    );
    let to = Destination {
        service: "api",
        namespace: "default",
        partition: "default",
    };
    for (peer, allowed, line) in [
        (None, false, Some(2)),
        (Some("north"), true, Some(3)),
        (Some("south"), false, None),
    ] {
        let id = "spiffe://td/ap/theirs/ns/default/dc/far/svc/web"
            .parse()
            .unwrap();
        let mut from = Identity::of(&id, peer).unwrap();
        if peer.is_none() {
            from.partition = "default";
        }
        let decision = intentions.decide(&from, &to, false, &Request::default());
        assert_eq!(decision.allowed, allowed, "{peer:?}");
        assert_eq!(decision.rule.map(|rule| rule.at.line), line, "{peer:?}");
    }
    let gateway = "spiffe://td/gateway/mesh/dc/d".parse().unwrap();
    assert_eq!(Identity::of(&gateway, None), None);
}

#[test]
fn a_sameness_group_cannot_be_decided() {
    let grouped = Source {
        sameness_group: Some("all".into()),
        ..source("web", ALLOW, 2)
    };
    let lower = entry("*", vec![source("*", ALLOW, 3)]);
    let intentions = intentions(vec![entry("api", vec![grouped]), lower], Action::Allow);
    let decision = ask_tcp(&intentions, "web", "api");
    assert!(!decision.allowed);
    assert!(
        decision
            .reason
            .contains("sameness group `all` is not known"),
        "{}",
        decision.reason
    );
    assert!(ask_tcp(&intentions, "job", "api").allowed);
}

#[test]
fn permissions_deny_where_there_are_no_requests() {
    let allow_all = Rule::Permissions(vec![permission(Action::Allow, prefix("/"))]);
    let intentions = intentions(
        vec![entry("api", vec![source("web", allow_all, 2)])],
        Action::Allow,
    );
    let decision = ask_tcp(&intentions, "web", "api");
    assert!(!decision.allowed);
    assert!(
        decision.reason.contains("has permissions for requests"),
        "{}",
        decision.reason
    );
}

#[test]
fn what_cannot_be_seen_refuses_and_is_named() {
    let admin = HttpMatch {
        headers: vec![header("X-Admin", HeaderTest::Present)],
        ..prefix("/admin")
    };
    let rule = Rule::Permissions(vec![
        permission(
            Action::Deny,
            HttpMatch {
                methods: vec!["delete".to_owned()],
                ..HttpMatch::default()
            },
        ),
        permission(Action::Allow, admin),
    ]);
    let intentions = intentions(
        vec![entry("api", vec![source("web", rule, 2)])],
        Action::Allow,
    );
    let blind = ask(&intentions, "web", "api", true, &Request::default());
    assert!(!blind.allowed);
    assert_eq!(blind.rule.unwrap().permission, Some(0));
    assert_eq!(
        blind.reason,
        "permission 1 of the intention of `web` for `api` is to deny by the method, which the \
         gateway cannot see"
    );
    // The method is known to be another one, so the second permission is the one in doubt.
    let half = Request {
        method: Some("GET".to_owned()),
        ..Request::default()
    };
    let decision = ask(&intentions, "web", "api", true, &half);
    assert!(!decision.allowed);
    assert!(
        decision
            .reason
            .contains("by the path and the header `X-Admin`"),
        "{}",
        decision.reason
    );
    // A part that is known not to match settles it, whatever the others are.
    let half = Request {
        path: Some("/open".to_owned()),
        ..half
    };
    assert!(ask(&intentions, "web", "api", true, &half).allowed);
}

#[test]
fn a_token_is_never_seen() {
    let of_entry = ServiceIntentions {
        jwt: Some(token()),
        ..entry("api", vec![source("web", ALLOW, 2), source("job", DENY, 3)])
    };
    let rule = Rule::Permissions(vec![
        Permission {
            jwt: Some(token()),
            ..permission(Action::Allow, prefix("/a"))
        },
        permission(Action::Allow, prefix("/b")),
    ]);
    let intentions = intentions(
        vec![of_entry, entry("db", vec![source("web", rule, 2)])],
        Action::Deny,
    );
    for (from, to, path, allowed, reason) in [
        (
            "web",
            "api",
            "/",
            false,
            "those with a JWT, which the gateway cannot see",
        ),
        ("job", "api", "/", false, "is to deny"),
        (
            "web",
            "db",
            "/a",
            false,
            "by a JWT, which the gateway cannot see",
        ),
        ("web", "db", "/b", true, "permission 2"),
        ("web", "db", "/c", false, "no permission"),
    ] {
        let decision = ask(&intentions, from, to, true, &seen("GET", path, &[]));
        assert_eq!(decision.allowed, allowed, "{from} {to} {path}");
        assert!(decision.reason.contains(reason), "{}", decision.reason);
    }
}

#[test]
fn permissions_act_in_their_order_and_then_the_default_does() {
    let rule = Rule::Permissions(vec![
        permission(Action::Deny, prefix("/admin")),
        permission(Action::Allow, prefix("/")),
        permission(Action::Deny, path(PathMatch::Exact("*".to_owned()))),
    ]);
    // A lower intention that would answer otherwise is not asked.
    let lower = entry("api", vec![source("*", DENY, 9)]);
    let intentions = intentions(
        vec![entry("api", vec![source("web", rule, 2)]), lower],
        Action::Allow,
    );
    for (path, allowed, permission) in [
        ("/admin/x", false, Some(0)),
        ("/x", true, Some(1)),
        ("*", false, Some(2)),
        ("x", true, None),
    ] {
        let decision = ask(&intentions, "web", "api", true, &seen("GET", path, &[]));
        assert_eq!(decision.allowed, allowed, "{path}: {}", decision.reason);
        assert_eq!(decision.rule.unwrap().permission, permission, "{path}");
    }
}

#[test]
fn each_part_of_a_request_is_matched() {
    let headers = [("X-Env", "Prod"), ("accept", "a"), ("Accept", "b")];
    let request = seen("PUT", "/v1/items?all=1#x", &headers);
    let of = |test, invert, ignore_case| HttpMatch {
        headers: vec![HeaderMatch {
            invert,
            ignore_case,
            ..header("x-env", test)
        }],
        ..HttpMatch::default()
    };
    let text = |of: fn(String) -> HeaderTest, text: &str| of(text.to_owned());
    let method = |method: &str| HttpMatch {
        methods: vec!["GET".to_owned(), method.to_owned()],
        ..HttpMatch::default()
    };
    let accept = |test| HttpMatch {
        headers: vec![header("ACCEPT", test)],
        ..HttpMatch::default()
    };
    let gone = |test, invert| HttpMatch {
        headers: vec![HeaderMatch {
            invert,
            ..header("x-gone", test)
        }],
        ..HttpMatch::default()
    };
    let regex = |pattern: &str| path(PathMatch::Regex(pattern.to_owned()));
    for (index, (http, expected)) in [
        (method("put"), true),
        (method("POST"), false),
        (path(PathMatch::Exact("/v1/items".to_owned())), true),
        (prefix("/v1/"), true),
        (prefix("/v2/"), false),
        (regex("/v[0-9]/.*"), true),
        (regex("/v[0-9]"), false),
        (of(HeaderTest::Present, false, false), true),
        (of(HeaderTest::Present, true, false), false),
        (of(text(HeaderTest::Exact, "Prod"), false, false), true),
        (of(text(HeaderTest::Exact, "prod"), false, false), false),
        (of(text(HeaderTest::Exact, "prod"), false, true), true),
        (of(text(HeaderTest::Exact, "prod"), true, false), true),
        (of(text(HeaderTest::Prefix, "PR"), false, true), true),
        (of(text(HeaderTest::Suffix, "od"), false, false), true),
        (of(text(HeaderTest::Contains, "ro"), false, false), true),
        (of(text(HeaderTest::Contains, "ro"), true, false), false),
        (of(text(HeaderTest::Regex, "P.*"), false, false), true),
        (of(text(HeaderTest::Regex, "P"), false, false), false),
        (accept(text(HeaderTest::Exact, "a,b")), true),
        (gone(HeaderTest::Present, false), false),
        (gone(HeaderTest::Present, true), true),
        (gone(text(HeaderTest::Exact, "x"), true), false),
        (HttpMatch::default(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let rule = Rule::Permissions(vec![permission(Action::Allow, http)]);
        let intentions = intentions(
            vec![entry("api", vec![source("web", rule, 2)])],
            Action::Deny,
        );
        assert_eq!(
            ask(&intentions, "web", "api", true, &request).allowed,
            expected,
            "row {index}"
        );
    }
}

#[test]
fn a_pattern_that_does_not_compile_refuses() {
    for action in [Action::Allow, Action::Deny] {
        let rule = Rule::Permissions(vec![permission(
            action,
            path(PathMatch::Regex("(".to_owned())),
        )]);
        let intentions = intentions(
            vec![entry("api", vec![source("web", rule, 2)])],
            Action::Allow,
        );
        let decision = ask(&intentions, "web", "api", true, &seen("GET", "/", &[]));
        assert!(!decision.allowed);
        assert!(
            decision.reason.contains("does not compile"),
            "{}",
            decision.reason
        );
    }
}

#[test]
fn what_an_entry_may_not_say_is_told_whole() {
    let http = HttpMatch {
        path: Some(PathMatch::Regex("(".to_owned())),
        headers: vec![
            header("", HeaderTest::Regex("[".to_owned())),
            HeaderMatch {
                ignore_case: true,
                ..header("x", HeaderTest::Present)
            },
        ],
        methods: vec!["get".to_owned(), "GET".to_owned(), "FETCH".to_owned()],
    };
    let claim = VerifyClaim {
        path: Vec::new(),
        value: "x".to_owned(),
    };
    let provider = JwtProvider {
        name: String::new(),
        verify_claims: vec![claim],
    };
    let bad_token = Some(JwtRequirement {
        providers: vec![provider],
    });
    let permissions = Rule::Permissions(vec![
        Permission {
            jwt: bad_token,
            ..permission(Action::Allow, http)
        },
        permission(Action::Allow, HttpMatch::default()),
        permission(Action::Allow, prefix("a")),
    ]);
    let both = Source {
        peer: Some("*".into()),
        sameness_group: Some("all".into()),
        ..source("blue/*/web", Rule::Permissions(Vec::new()), 3)
    };
    let sources = vec![
        source("web", permissions, 2),
        both,
        source("web", DENY, 4),
        source("*/team/w*", ALLOW, 5),
    ];
    let jwt = Some(JwtRequirement::default());
    let found = check::entry(&ServiceIntentions {
        jwt,
        ..entry("*", sources)
    });
    let expected = [
        (1, "at least one provider"),
        (2, "permissions need a destination with a name"),
        (2, "permission 1: a JWT's provider must have a name"),
        (
            2,
            "permission 1: a claim of the JWT's provider `` needs a path",
        ),
        (
            2,
            "permission 1: the regular expression of the path does not compile: unclosed group",
        ),
        (2, "permission 1: a header must have a name"),
        (
            2,
            "permission 1: the regular expression of the header `` does not compile",
        ),
        (2, "permission 1: the header `x` cannot ignore case"),
        (2, "permission 1: the method GET is given twice"),
        (2, "permission 1: `FETCH` is not a method"),
        (2, "permission 2: `http` is empty"),
        (2, "permission 3: the path `a` must start with `/`"),
        (3, "`web` cannot be named in any namespace"),
        (3, "a peer or a sameness group, not both"),
        (3, "the peer of a source must be named"),
        (3, "a peer or a partition, not both"),
        (3, "a sameness group or a partition, not both"),
        (3, "permissions need a destination with a name"),
        (3, "the list of permissions is empty"),
        (5, "not for a part of `w*`"),
        (5, "a partition must be named"),
        (4, "the source `web` is already given at mesh.d/a.hcl:2:1"),
    ];
    for ((at, message), (line, part)) in found.iter().zip(expected) {
        assert!(
            at.line == line && message.contains(part),
            "{at}: {message}, not {part}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
    let none = check::entry(&entry("", Vec::new()));
    assert_eq!(none.len(), 2, "{none:?}");
}

#[test]
fn what_stands_side_by_side_is_judged() {
    assert!(check::action_or_permissions(true, true).is_some());
    assert!(check::action_or_permissions(false, false).is_some());
    assert_eq!(check::action_or_permissions(true, false), None);
    assert!(check::path_kinds(&["path_exact", "path_regex"]).is_some());
    assert_eq!(check::path_kinds(&[]), None);
    assert!(check::header_kinds("x", &[]).is_some());
    assert!(check::header_kinds("x", &["present", "exact"]).is_some());
    assert_eq!(check::header_kinds("x", &["present"]), None);
}

/// Entries over few names, so that many of them meet.
fn entries() -> impl Strategy<Value = Vec<ServiceIntentions>> {
    let name = || prop::sample::select(vec!["a", "b", "*", "n/a", "n/*", "*/*"]);
    let source = (name(), any::<bool>())
        .prop_map(|(name, allow)| source(name, if allow { ALLOW } else { DENY }, 2));
    let sources = prop::collection::vec(source, 1..4).prop_map(|mut sources| {
        sources.sort_by_key(|source| (Arc::clone(&source.namespace), Arc::clone(&source.name)));
        sources.dedup_by(|a, b| a.namespace == b.namespace && a.name == b.name);
        sources
    });
    prop::collection::btree_map(name(), sources, 0..6).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(name, sources)| entry(name, sources))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn order_does_not_matter_and_the_highest_that_applies_decides(
        entries in entries(),
        default_allows in any::<bool>(),
        from in prop::sample::select(vec!["a", "b", "n/a", "m/c"]),
        to in prop::sample::select(vec!["a", "b", "n/a", "m/c"]),
    ) {
        let default = if default_allows { Action::Allow } else { Action::Deny };
        let reversed: Vec<_> = entries.iter().rev().cloned().map(|mut entry| {
            entry.sources.reverse();
            entry
        }).collect();
        let decision = ask_tcp(&intentions(entries, default), from, to);
        prop_assert_eq!(&ask_tcp(&intentions(reversed, default), from, to), &decision);
        prop_assert!(decision.considered.is_sorted_by(|a, b| a.precedence >= b.precedence));
        let first = decision.considered.iter().find(|one| one.applies == Applies::Yes);
        prop_assert_eq!(first, decision.rule.as_ref());
        let action = first.and_then(|one| one.action).unwrap_or(default);
        prop_assert_eq!(decision.allowed, action == Action::Allow);
    }
}
