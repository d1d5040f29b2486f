//! Files of `tests/config/entries`: good ones are taken in every spelling, and each bad one is
//! refused with the text beside it (`BLESS=1` writes these anew, to be read before they are
//! committed).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use regex::Regex;

use super::{Scope, check, read};
use crate::config::diagnostic::{ConfigErrors, Diagnostic};
use crate::config::source::{Sources, Span};
use crate::config::syntax::{self, Item, Table, Value};
use crate::mesh::entries::{Entries, EntryKind};
use crate::mesh::name::Name;

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config/entries")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "hcl"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The entries of a file, if they are right by themselves and together.
fn entries(path: &str, text: &str) -> Result<Entries, ConfigErrors> {
    let sources = Arc::new(Sources::new(path, text.to_owned()));
    let mut errors = Vec::new();
    let table = syntax::parse(sources.main(), &mut errors).unwrap();
    let mut entries = Entries::default();
    let scope = Scope {
        sources: &sources,
        partition: "default",
    };
    for (table, at) in bootstrap(&table) {
        if let Some(entry) = read(table, at, &scope, &mut errors) {
            let what = entry.to_string();
            if let Err(first) = entries.insert(entry) {
                let first = sources.span(&first).unwrap();
                let message = format!("{what} stands twice");
                errors.push(Diagnostic::new(at, message, "again").also(first, "the first one"));
            }
        }
    }
    check(
        &entries,
        &BTreeSet::from([Name::new("north")]),
        &sources,
        &mut errors,
    );
    if errors.is_empty() {
        Ok(entries)
    } else {
        Err(ConfigErrors::new(sources, errors))
    }
}

/// The entries of `config_entries { bootstrap { ... } }`.
fn bootstrap<'r, 's>(table: &'r Table<'s>) -> Vec<(&'r Table<'s>, Span)> {
    let mut found = Vec::new();
    for item in &table.items {
        let Value::Table(inner) = &item.value.value else {
            panic!("config_entries");
        };
        for item in &inner.items {
            match &item.value.value {
                Value::Table(table) => found.push((table, item.key.at)),
                Value::List(list) => found.extend(list.iter().map(|value| match &value.value {
                    Value::Table(table) => (table, value.at),
                    _ => panic!("bootstrap"),
                })),
                _ => panic!("bootstrap"),
            }
        }
    }
    found
}

#[test]
fn bad_entries_are_refused_with_the_expected_text() {
    let mut wrong = Vec::new();
    for path in fixtures("bad") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let got = entries(name, &text).expect_err(name).to_string() + "\n";
        let expected = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &got).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&got) {
            wrong.push(format!("{}:\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "unexpected texts:\n{}", wrong.join("\n"));
}

/// The file with every field, and what it means without places.
fn everything() -> (String, String) {
    let path = fixtures("good").remove(0);
    let text = fs::read_to_string(path).unwrap();
    let entries = entries("x.hcl", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let meaning = without_places(&entries);
    (text, meaning)
}

fn without_places(entries: &Entries) -> String {
    let place = Regex::new(r#"Place \{ file: "[^"]*", line: \d+, column: \d+ \}"#).unwrap();
    place.replace_all(&format!("{entries:?}"), "_").into_owned()
}

#[test]
fn every_kind_is_in_the_file_with_every_field() {
    let (text, _) = everything();
    for kind in EntryKind::ALL {
        assert!(text.contains(&format!("\"{kind}\"")), "{kind}");
    }
}

#[test]
fn every_field_of_the_file_means_something() {
    let (text, meaning) = everything();
    let sources = Sources::new("x.hcl", text);
    let mut errors = Vec::new();
    let table = syntax::parse(sources.main(), &mut errors).unwrap();
    for leaf in 0..leaves(&table) {
        let mut left = isize::try_from(leaf).unwrap();
        let (mut without, mut key) = (String::new(), String::new());
        render_without(&table, &mut left, &mut key, &mut without);
        // Read and of no meaning here; or the default said aloud.
        let told = [
            "CreateIndex",
            "ModifyIndex",
            "Hash",
            "Precedence",
            "Type",
            "ServiceSubset",
            "Partition",
        ];
        match entries("x.hcl", &without) {
            Ok(other) if !told.contains(&key.as_str()) => {
                assert!(
                    without_places(&other) != meaning,
                    "nothing changes without {key} ({leaf})"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn objects_by_name_have_the_three_forms_of_hcl() {
    let of = |subsets: &str| {
        let text = format!(
            "config_entries {{ bootstrap {{ kind = \"service-resolver\" name = \"web\" {subsets} }} }}"
        );
        let entries = entries("x.hcl", &text).unwrap_or_else(|errors| panic!("{errors}"));
        without_places(&entries)
    };
    let usual = of("subsets = { v1 = { only_passing = true } v2 = {} }");
    for other in [
        "subsets { v1 { only_passing = true } v2 {} }",
        "subsets \"v1\" { only_passing = \"1\" } subsets \"v2\" {}",
        "subsets = [{ v1 = [{ only_passing = true }], v2 = {} }]",
        "subsets = { v1 = { only_passing = true } } subsets = { v2 = {} } redirect = null",
    ] {
        assert_eq!(of(other), usual, "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn spelling_language_and_order_of_fields_do_not_count(
        seed in any::<u64>(),
        snake in any::<bool>(),
        json in any::<bool>(),
    ) {
        let (text, meaning) = everything();
        let sources = Sources::new("x.hcl", text);
        let mut errors = Vec::new();
        let mut table = syntax::parse(sources.main(), &mut errors).unwrap();
        gather_bootstrap(&mut table);
        let mut style = Style { json, snake, random: fastrand::Rng::with_seed(seed) };
        let mut out = String::new();
        style.table(&table, &mut out);
        let path = if json { "x.json" } else { "x.hcl" };
        if !json {
            out = out[1..out.len() - 1].to_owned();
        }
        let again = entries(path, &out).unwrap_or_else(|errors| panic!("{errors}"));
        prop_assert_eq!(without_places(&again), meaning);
    }
}

/// Blocks of one name -> a list, which JSON needs and which keeps their order.
fn gather_bootstrap(table: &mut Table<'_>) {
    let Value::Table(inner) = &mut table.items[0].value.value else {
        panic!("config_entries");
    };
    let mut items = std::mem::take(&mut inner.items).into_iter();
    let mut first: Item<'_> = items.next().unwrap();
    let rest = items.map(|item| item.value);
    let head = std::mem::replace(
        &mut first.value,
        syntax::Spanned {
            value: Value::Null,
            at: Span::default(),
        },
    );
    first.value.value = Value::List(std::iter::once(head).chain(rest).collect());
    inner.items = vec![first];
}

struct Style {
    json: bool,
    snake: bool,
    random: fastrand::Rng,
}

impl Style {
    fn table(&mut self, table: &Table<'_>, out: &mut String) {
        let mut items: Vec<_> = table.items.iter().collect();
        self.random.shuffle(&mut items);
        out.push('{');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let key = self.key(&item.key.value);
            write!(out, "\n\"{key}\"{}", if self.json { ":" } else { "=" }).unwrap();
            self.value(&item.value.value, out);
        }
        out.push('}');
    }

    fn value(&mut self, value: &Value<'_>, out: &mut String) {
        match value {
            Value::Table(table) => self.table(table, out),
            Value::List(list) => {
                out.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.value(&value.value, out);
                }
                out.push(']');
            }
            scalar => out.push_str(&literal(scalar)),
        }
    }

    /// Only names of fields begin with a capital in the file.
    fn key(&self, key: &str) -> String {
        if !self.snake || !key.starts_with(|c: char| c.is_ascii_uppercase()) {
            return key.to_owned();
        }
        let mut snake = String::new();
        let mut before = '_';
        for c in key.chars() {
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            before = c;
        }
        snake
    }
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Number(text) => (*text).to_owned(),
        Value::String(text) => serde_json::to_string(text).unwrap(),
        _ => "null".to_owned(),
    }
}

/// How many values there are that are no tables or lists.
fn leaves(table: &Table<'_>) -> usize {
    table
        .items
        .iter()
        .map(|item| leaves_of(&item.value.value))
        .sum()
}

fn leaves_of(value: &Value<'_>) -> usize {
    match value {
        Value::Table(table) => leaves(table),
        Value::List(list) => list.iter().map(|value| leaves_of(&value.value)).sum(),
        _ => 1,
    }
}

/// Writes the file again, but for the item with the leaf that `left` counts down to.
fn render_without(table: &Table<'_>, left: &mut isize, key: &mut String, out: &mut String) {
    for item in &table.items {
        let value = &item.value.value;
        let simple = !matches!(value, Value::Table(_) | Value::List(_));
        if simple {
            *left -= 1;
            if *left == -1 {
                *key = item.key.value.to_string();
                continue;
            }
        }
        write!(out, "\"{}\" = ", item.key.value).unwrap();
        render_value(value, left, key, out);
        out.push('\n');
    }
}

fn render_value(value: &Value<'_>, left: &mut isize, key: &mut String, out: &mut String) {
    match value {
        Value::Table(table) => {
            out.push_str("{\n");
            render_without(table, left, key, out);
            out.push('}');
        }
        Value::List(list) => {
            out.push('[');
            for value in list {
                let simple = !matches!(value.value, Value::Table(_) | Value::List(_));
                *left -= isize::from(simple);
                if simple && *left == -1 {
                    continue;
                }
                render_value(&value.value, left, key, out);
                out.push_str(",\n");
            }
            out.push(']');
        }
        scalar => out.push_str(&literal(scalar)),
    }
}
