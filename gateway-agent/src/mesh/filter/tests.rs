//! Wrong filters first, then what right ones answer, then properties over generated ones.

use std::collections::BTreeMap;

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{Field, Filter, MAX_LENGTH, Subject};

/// A subject made of dotted paths.
#[derive(Default)]
struct Fake(BTreeMap<String, Kept>);

enum Kept {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<String>),
    Map(Vec<String>),
    Items(Vec<Fake>),
}

impl Fake {
    fn with(mut self, path: &str, kept: Kept) -> Self {
        self.0.insert(path.to_owned(), kept);
        self
    }

    fn text(self, path: &str, text: &str) -> Self {
        self.with(path, Kept::Text(text.to_owned()))
    }
}

impl Subject for Fake {
    fn field(&self, path: &[&str]) -> Option<Field<'_>> {
        Some(match self.0.get(&path.join(".")) {
            Some(Kept::Text(text)) => Field::Text(text),
            Some(Kept::Number(number)) => Field::Number(*number),
            Some(Kept::Bool(value)) => Field::Bool(*value),
            Some(Kept::List(list)) => Field::List(list.iter().map(String::as_str).collect()),
            Some(Kept::Map(keys)) => Field::Map(keys.iter().map(String::as_str).collect()),
            Some(Kept::Items(items)) => {
                Field::Items(items.iter().map(|item| item as &dyn Subject).collect())
            }
            None if path.contains(&"Meta") || path.contains(&"TaggedAddresses") => Field::Absent,
            None => return None,
        })
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn instance() -> Fake {
    let check = |status: &str, tags: &[&str]| {
        Fake::default()
            .text("Status", status)
            .with("ServiceTags", Kept::List(texts(tags)))
    };
    Fake::default()
        .text("Service.ID", "api-1")
        .text("Service.Service", "api")
        .with("Service.Port", Kept::Number(8080))
        .with("Service.Tags", Kept::List(texts(&["blue", "not"])))
        .with("Service.Meta", Kept::Map(texts(&["version", "some-key"])))
        .text("Service.Meta.version", "v1")
        .text("Service.Meta.some-key", "x \"y\"")
        .with("Service.Connect.Native", Kept::Bool(true))
        .with("Service.TaggedAddresses", Kept::Map(texts(&["wan"])))
        .text("Service.TaggedAddresses.wan.Address", "2001:db8::7")
        .with("Service.TaggedAddresses.wan.Port", Kept::Number(443))
        .with(
            "Checks",
            Kept::Items(vec![check("passing", &["a"]), check("critical", &[])]),
        )
        .with("Service.Proxy.Upstreams", Kept::Items(Vec::new()))
}

fn holds(text: &str) -> bool {
    Filter::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .matches(&instance())
}

#[test]
fn a_wrong_filter_is_refused_where_it_is_wrong() {
    for (text, marked, message) in [
        ("", "", "must stand here"),
        ("   ", "", "must stand here"),
        ("Service.ID", "Service.ID", "`Service.ID` has no operator"),
        ("Service.ID =", "Service.ID", "has no operator"),
        ("Service.ID ==", "", "a value must stand here"),
        ("Service.ID == \"a", "\"a", "not closed"),
        ("Service.ID == `a", "`a", "not closed"),
        (r#"Service.ID == "a\qb""#, r"\q", "is not an escape"),
        (r#"Service.ID == "a\"b""#, "\\", "is not an escape"),
        (
            r#"Service.ID == "\xff""#,
            r#""\xff""#,
            "do not make up UTF-8",
        ),
        ("Service.ID == \"a\nb\"", "\"a\nb\"", "ends on its line"),
        ("Service.ID == api-1", "api-1", "is not a value"),
        ("Service.ID == 1.2.3", "1.2.3", "is not a value"),
        ("Service.Port == 3x", "3x", "is not a value"),
        ("Service.Port == 012", "012", "is not a value"),
        ("Service.ID == a b", "b", "cannot follow"),
        ("Service.ID == a and ", "", "must stand here"),
        ("Service.ID == a or", "or", "cannot follow"),
        (
            "Service.ID == a AND Service.ID == b",
            "AND",
            "cannot follow",
        ),
        ("(Service.ID == a", "(", "not closed"),
        ("Service.ID == a)", ")", "cannot follow"),
        ("((Service.ID == a)", "(", "not closed"),
        ("not(Service.ID == a)", "not", "has no operator"),
        ("Service.ID in", "Service.ID", "has no operator"),
        ("a in 32", "32", "a selector must stand here"),
        ("32 == 32", " ==", "must be followed by `in`"),
        ("Service.Meta[3] == a", "3]", "an index is a quoted text"),
        ("Service.Meta[\"a\" == a", "[\"a\" ", "not closed"),
        ("Service. == a", ".", "a name must follow"),
        ("Servize.ID == a", "Servize", "no field `Servize`"),
        ("Service.Id == a", "Id", "no field `Id`"),
        ("Service.ID.x == a", "x", "has no fields"),
        ("Service.Meta.a.b == a", "b", "has no fields"),
        ("Service == a", "==", "which is a struct"),
        ("Service.ID is empty", "is empty", "which is a text"),
        ("Service.Port matches `8.*`", "matches", "which is a number"),
        (
            "Service.Port is  not empty",
            "is  not empty",
            "`is not empty` does not fit",
        ),
        ("8 in Service.Port", "in", "which is a number"),
        ("Service.Tags == blue", "==", "which is a list"),
        ("Service.Meta == a", "==", "which is a map"),
        ("Checks == a", "==", "a list of structs"),
        ("Checks contains a", "contains", "a list of structs"),
        ("Service.Port == a", "a", "not a whole number"),
        ("Service.Port == 0.5", "0.5", "not a whole number"),
        (
            "Service.Port == 9223372036854775808",
            "9223372036854775808",
            "not a whole number",
        ),
        (
            "Service.Connect.Native == yes",
            "yes",
            "not `true` or `false`",
        ),
        (
            "Service.ID matches `(`",
            "`(`",
            "does not compile: unclosed group",
        ),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(&text[error.at.clone()], marked, "{text}: {error}");
        assert_eq!(
            error.column,
            text[..error.at.start].chars().count() + 1,
            "{text}"
        );
    }
}

#[test]
fn the_nearest_known_name_is_told() {
    for (text, nearest) in [
        ("service.Meta.version == v1", "`Service`"),
        ("Service.Metta.version == v1", "`Meta`"),
        ("Service.tags contains a", "`Tags`"),
        ("Checks.CheckId == a", "`CheckID`"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert!(error.expected.contains(nearest), "{error}");
    }
}

#[test]
fn an_error_reads_as_one_line() {
    let error = Filter::parse("é == 1").unwrap_err();
    assert!(error.to_string().contains(" at column 1: "), "{error}");
    let error = Filter::parse("`é` in Service.Tugs").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`Service` has no field `Tugs` at column 16: did you mean `Tags`?"
    );
}

#[test]
fn each_operator_answers() {
    for (text, expected) in [
        ("Service.ID == \"api-1\"", true),
        ("Service.ID==`api-1`", true),
        ("Service.ID != \"api-1\"", false),
        ("Service.Service == api", true),
        ("Service.Service contains p", true),
        ("x in Service.Service", false),
        ("x not in Service.Service", true),
        ("Service.ID matches `^api-\\d+$`", true),
        ("Service.ID matches pi", true),
        ("Service.ID not matches pi", false),
        ("Service.Port == 8080", true),
        ("Service.Port == \"0x1f90\"", true),
        ("Service.Port != -1", true),
        ("Service.Connect.Native == true", true),
        ("Service.Connect.Native != 1", false),
        ("blue in Service.Tags", true),
        ("Service.Tags contains blu", false),
        ("Service.Tags not contains red", true),
        ("Service.Tags is empty", false),
        ("Service.Tags is not empty", true),
        ("version in Service.Meta", true),
        ("Service.Meta not contains v1", true),
        ("Service.Meta is not empty", true),
        ("Service.Meta[\"version\"] == v1", true),
        ("Service.Meta[ `some-key`\t] == \"x \\x22y\\u0022\"", true),
        ("Service[\"Meta\"].version contains 1", true),
        ("Service.Meta.version is not empty", true),
        (
            "Service.TaggedAddresses.wan.Address == \"2001:db8::7\"",
            true,
        ),
        ("Service.TaggedAddresses.wan.Port == 443", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn an_absent_key_fails_four_operators_and_passes_the_others() {
    for key in [
        "Service.Meta.gone",
        "Node.Meta[\"gone\"]",
        "Service.TaggedAddresses.lan.Address",
    ] {
        for (operator, expected) in [
            ("== v1", false),
            ("== \"\"", false),
            ("contains v1", false),
            ("is not empty", false),
            ("!= v1", true),
            ("not contains v1", true),
            ("is empty", true),
            ("matches `v1`", true),
            ("not matches `v1`", true),
        ] {
            assert_eq!(
                holds(&format!("{key} {operator}")),
                expected,
                "{key} {operator}"
            );
        }
        assert!(!holds(&format!("v1 in {key}")));
        assert!(holds(&format!("v1 not in {key}")));
    }
}

#[test]
fn a_list_of_structs_holds_when_any_item_does() {
    for (text, expected) in [
        ("Checks.Status == critical", true),
        ("Checks.Status != critical", true),
        ("not Checks.Status == critical", false),
        ("Checks.Status == warning", false),
        ("Checks.ServiceTags is empty", true),
        ("a not in Checks.ServiceTags", true),
        ("Checks is not empty", true),
        ("Service.Proxy.Upstreams is empty", true),
        ("Service.Proxy.Upstreams.DestinationName != x", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn a_field_that_the_subject_lacks_is_empty() {
    for (text, expected) in [
        ("Service.Kind == \"\"", true),
        ("Service.Kind matches `^$`", true),
        ("Service.Kind != mesh", true),
        ("Service.Weights.Passing == 0", true),
        ("Service.EnableTagOverride == false", true),
        ("Service.Proxy.Expose.Paths is empty", true),
        ("Service.Proxy.Expose.Paths.Path != a", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn not_binds_closest_and_or_loosest() {
    const T: &str = "Service.Port == 8080";
    const F: &str = "Service.Port == 1";
    for (text, expected) in [
        (format!("{T} or {F} and {F}"), true),
        (format!("({T} or {F}) and {F}"), false),
        (format!("not {T} or {T}"), true),
        (format!("not ({T} or {T})"), false),
        (format!("not {F} and not {F}"), true),
        (format!("not not {T}"), true),
        (format!("{F} or {F} or {T}"), true),
        (format!("\t\r\n( \n {T} \n )\t"), true),
    ] {
        assert_eq!(holds(&text), expected, "{text}");
    }
}

#[test]
fn no_word_is_reserved() {
    for (text, expected) in [
        ("not in Service.Tags", true),
        ("not not in Service.Tags", false),
        ("not in in Service.Tags", true),
        ("or in Service.Tags or and in Service.Tags", false),
        ("Service.ID == and or Service.ID == not", false),
        ("Service.Meta.not is empty", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn length_and_nesting_are_bounded() {
    let nested = |levels| {
        format!(
            "{}Service.ID == a{}",
            "(".repeat(levels),
            ")".repeat(levels)
        )
    };
    assert!(Filter::parse(&nested(64)).is_ok());
    for text in [
        nested(65),
        "(".repeat(MAX_LENGTH),
        "not ".repeat(MAX_LENGTH / 4),
        format!("{} Service.ID == a", "not (".repeat(1000)),
    ] {
        let error = Filter::parse(&text).unwrap_err();
        assert!(error.message.contains("nests too deep"), "{error}");
    }
    let long = vec!["Service.ID == a"; MAX_LENGTH / 20].join(" or ");
    assert!(Filter::parse(&long).is_ok());
    let too_long = format!(
        "{nested}{spaces}",
        nested = nested(1),
        spaces = " ".repeat(MAX_LENGTH)
    );
    let error = Filter::parse(&too_long).unwrap_err();
    assert!(error.message.contains("too long"), "{error}");
}

/// An expression as text, with what it must answer for [`instance`].
fn expression() -> impl Strategy<Value = (String, bool)> {
    let clause = prop_oneof![
        Just(("Service.Port == 8080", true)),
        Just(("Service.Meta.version!=v1", false)),
        Just(("Service.Meta.gone matches `v1`", true)),
        Just(("Service.Meta.gone not matches `v1`", true)),
        Just(("red in Service.Tags", false)),
        Just(("Checks.Status == \"critical\"", true)),
        Just(("Service.Proxy.Upstreams is not empty", false)),
    ]
    .prop_map(|(text, holds): (&str, bool)| (text.to_owned(), holds));
    clause.prop_recursive(5, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|(text, holds)| (format!("not ({text})"), !holds)),
            several.clone().prop_map(|parts| {
                let holds = parts.iter().all(|(_, holds)| *holds);
                (joined(&parts, " and "), holds)
            }),
            several.prop_map(|parts| {
                let holds = parts.iter().any(|(_, holds)| *holds);
                (joined(&parts, "\tor\n"), holds)
            }),
        ]
    })
}

fn joined(parts: &[(String, bool)], by: &str) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(text, _)| format!("( {text} )"))
        .collect();
    parts.join(by)
}

/// Words and marks of the language in any order, so that more than the first byte is read.
fn soup() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "Service", "Meta", "Tags", "Checks", "Port", "in", "not", "is", "empty", "and", "or",
            "contains", "matches", "==", "!=", "(", ")", "[", "]", ".", "\"", "`", " ", " ", "\n",
            "-", "0", "8.1", "\\", "\\x4", "\\u12", "a", "é",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
    ];
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![soup(), any::<String>()]) {
        match Filter::parse(&text) {
            Ok(filter) => {
                let _holds = filter.matches(&instance());
                prop_assert_eq!(filter.text(), &text);
            }
            Err(error) => {
                prop_assert!(text.get(error.at.clone()).is_some(), "{:?}", error);
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_put_together_answers_by_its_parts((text, expected) in expression()) {
        let filter = Filter::parse(&text).unwrap();
        prop_assert_eq!(filter.matches(&instance()), expected);
        prop_assert_eq!(&Filter::parse(filter.text()).unwrap(), &filter);
        let negated = Filter::parse(&format!("not ({text})")).unwrap();
        prop_assert_eq!(negated.matches(&instance()), !expected);
    }

    #[test]
    fn any_text_can_be_asked_for(value in "[^`\\r]{0,24}") {
        let subject = Fake::default().text("Service.ID", &value);
        let raw = Filter::parse(&format!("Service.ID == `{value}`")).unwrap();
        prop_assert!(raw.matches(&subject));
        let escaped: String = value
            .chars()
            .map(|c| format!("\\U{:08x}", u32::from(c)))
            .collect();
        let escaped = Filter::parse(&format!("Service.ID == \"{escaped}\"")).unwrap();
        prop_assert!(escaped.matches(&subject));
    }
}
