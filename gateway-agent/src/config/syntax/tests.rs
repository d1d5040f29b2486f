//! The parser against hcl-edit: what that reads as literals, ours reads as the same.

use std::sync::Arc;

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};

use super::{Table, Value, parse};
use crate::config::diagnostic::ConfigErrors;
use crate::config::source::Sources;

/// A tree as text, without places.
fn ours(table: &Table<'_>) -> Vec<String> {
    let item = |item: &super::Item<'_>| {
        let labels: String = item
            .labels
            .iter()
            .map(|label| format!(" {:?}", label.value))
            .collect();
        format!(
            "{}{labels}={}",
            item.key.value,
            our_value(&item.value.value)
        )
    };
    table.items.iter().map(item).collect()
}

fn our_value(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.parse::<f64>().unwrap().to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::List(list) => {
            format!(
                "{:?}",
                list.iter()
                    .map(|value| our_value(&value.value))
                    .collect::<Vec<_>>()
            )
        }
        Value::Table(table) => format!("{:?}", ours(table)),
        Value::Broken => "broken".to_owned(),
    }
}

fn theirs(body: &Body) -> Vec<String> {
    let structure = |structure: &Structure| match structure {
        Structure::Attribute(attribute) => {
            format!(
                "{}={}",
                attribute.key.as_str(),
                their_value(&attribute.value)
            )
        }
        Structure::Block(block) => {
            let labels: String = block
                .labels
                .iter()
                .map(|label| format!(" {:?}", label.as_str()))
                .collect();
            format!("{}{labels}={:?}", block.ident.as_str(), theirs(&block.body))
        }
    };
    body.iter().map(structure).collect()
}

fn their_value(value: &Expression) -> String {
    match value {
        Expression::Null(_) => "null".to_owned(),
        Expression::Bool(value) => value.to_string(),
        Expression::Number(value) => value.as_f64().unwrap().to_string(),
        Expression::String(text) => format!("{:?}", text.as_str()),
        Expression::Array(list) => {
            format!("{:?}", list.iter().map(their_value).collect::<Vec<_>>())
        }
        Expression::Object(object) => {
            let item = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
                let key = match key {
                    ObjectKey::Ident(key) => key.as_str(),
                    ObjectKey::Expression(key) => key.as_str().unwrap(),
                };
                format!("{key}={}", their_value(value.expr()))
            };
            format!("{:?}", object.iter().map(item).collect::<Vec<_>>())
        }
        other => panic!("no literal: {other:?}"),
    }
}

#[test]
fn agrees_with_hcl_edit_on_literals() {
    let text = r#"
# comment
a = 1   // comment
b = -1.5e3
c = "x\n\t\"\\ \u00fc \U0001f600 $ $$ % $${x} %%{y} ü"
d = [1, "two", true, false, null, [], [[3]], ] /* comment */
e = { f = 1, "g h" = "i", j : { k = [] } }
l = {
  m = 1
  n = 2
}
route "o.test" { p = 1 }
route "q" r {
  s {}
  t "u" {
    v-w = "x"
  }
}
"#;
    let source = Sources::new("a.hcl", text.to_owned());
    let mut errors = Vec::new();
    let table = parse(source.main(), &mut errors).unwrap();
    assert_eq!(errors, []);
    assert_eq!(ours(&table), theirs(&text.parse::<Body>().unwrap()));
}

#[test]
fn a_pair_of_utf16_escapes_is_one_character_in_json() {
    let source = Sources::new("a.json", r#"{"a": "\ud83d\ude00"}"#.to_owned());
    let mut errors = Vec::new();
    let table = parse(source.main(), &mut errors).unwrap();
    assert_eq!(ours(&table), ["a=\"😀\""]);
}

#[test]
fn a_byte_order_mark_is_passed_over_and_places_stay_right() {
    let source = Sources::new("a.json", "\u{feff}{\"a\": 1}".to_owned());
    let mut errors = Vec::new();
    let table = parse(source.main(), &mut errors).unwrap();
    assert_eq!(ours(&table), ["a=1"]);

    let source = Sources::new("a.json", "\u{feff}{\"a\": x}".to_owned());
    assert!(parse(source.main(), &mut errors).is_none());
    let told = ConfigErrors::new(Arc::new(source), errors);
    // The mark is a character, too, though nobody sees it.
    assert_eq!(told.items().next().map(|item| item.column), Some(8));
}
