//! From a clause as written to a test that cannot fail: selector, operator and value against the
//! schema.
//!
//! Consul: a text can be compared, searched and matched; a number and a truth value compared; a list
//! of texts and the keys of a map searched, and both, like a list of structs, asked whether they
//! are empty. A struct can only be descended into.

use std::ops::Range;

use regex::bytes::Regex;

use super::parser::{Clause, Operator};
use super::scan::{Part, Value};
use super::schema::{self, Found, Shape, Unknown};
use super::{FilterError, re2};

/// One checked clause.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// The parts to the field, or to the list of structs on the way to it.
    pub(super) path: Vec<String>,
    /// The parts below the list of structs: the test holds if it holds for any item.
    pub(super) in_items: Option<Vec<String>>,
    pub(super) question: Question,
    pub(super) negated: bool,
}

/// What is asked of the field.
#[derive(Clone, Debug)]
pub(super) enum Question {
    IsText(String),
    IsNumber(i64),
    IsBool(bool),
    /// A part of a text.
    Contains(String),
    /// An item of a list or a key of a map.
    Has(String),
    IsEmpty,
    Matches(Regex),
}

pub(super) fn check(text: &str, clause: Clause) -> Result<Test, FilterError> {
    let found = schema::find(&clause.selector)
        .map_err(|unknown| unknown_selector(text, &clause.selector, &unknown))?;
    let question = question(text, &clause, &found)?;
    let mut path: Vec<String> = clause.selector.into_iter().map(|part| part.name).collect();
    let in_items = found.items_after.map(|after| path.split_off(after));
    Ok(Test {
        path,
        in_items,
        question,
        negated: clause.negated,
    })
}

fn question(text: &str, clause: &Clause, found: &Found) -> Result<Question, FilterError> {
    let misfit = || misfit(text, clause, found);
    let Some(value) = &clause.value else {
        return match found.shape {
            Shape::Texts | Shape::Map(_) | Shape::Items(_) => Ok(Question::IsEmpty),
            // Refused by Consul on any text, though its evaluation knows the answer for the value of
            // a map's key; there the question is of use, as an absent key counts as empty.
            Shape::Text if found.in_map => Ok(Question::IsEmpty),
            Shape::Text | Shape::Number | Shape::Bool | Shape::Group(_) => Err(misfit()),
        };
    };
    match (clause.operator, found.shape) {
        (Operator::Equals, Shape::Text) => Ok(Question::IsText(value.text.clone())),
        (Operator::Equals, Shape::Number) => go_integer(&value.text)
            .map(Question::IsNumber)
            .ok_or_else(|| wrong_value(text, value, "a whole number")),
        (Operator::Equals, Shape::Bool) => go_bool(&value.text)
            .map(Question::IsBool)
            .ok_or_else(|| wrong_value(text, value, "`true` or `false`")),
        (Operator::Has, Shape::Text) => Ok(Question::Contains(value.text.clone())),
        (Operator::Has, Shape::Texts | Shape::Map(_)) => Ok(Question::Has(value.text.clone())),
        (Operator::Matches, Shape::Text) => re2::compile(&value.text, re2::Anchor::Anywhere)
            .map(Question::Matches)
            .map_err(|reason| {
                let message = format!("this regular expression does not compile: {reason}");
                FilterError::new(text, value.at.clone(), message).expected("the syntax of RE2")
            }),
        _ => Err(misfit()),
    }
}

fn misfit(text: &str, clause: &Clause, found: &Found) -> FilterError {
    let selector = shown(&clause.selector);
    let operator = text.get(clause.operator_at.clone()).unwrap_or_default();
    let operator = operator.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, expected) = match found.shape {
        Shape::Text if found.in_map => ("a text", "`==`, `contains`, `matches`, `is empty`"),
        Shape::Text => ("a text", "`==`, `contains`, `matches`"),
        Shape::Number => ("a number", "`==` or `!=`"),
        Shape::Bool => ("true or false", "`==` or `!=`"),
        Shape::Texts => ("a list", "`contains`, `in`, `is empty`"),
        Shape::Map(_) => ("a map", "`contains`, `in`, `is empty`, or a key after it"),
        Shape::Items(_) => ("a list of structs", "`is empty`, or a field after it"),
        Shape::Group(_) => ("a struct", "a field after it"),
    };
    let message = format!("`{operator}` does not fit `{selector}`, which is {what}");
    FilterError::new(text, clause.operator_at.clone(), message).expected(format!("use {expected}"))
}

fn wrong_value(text: &str, value: &Value, expected: &str) -> FilterError {
    let message = format!("`{}` is not {expected}", value.text);
    FilterError::new(text, value.at.clone(), message).expected(expected)
}

fn unknown_selector(text: &str, selector: &[Part], unknown: &Unknown) -> FilterError {
    let (before, from) = selector.split_at(unknown.part.min(selector.len()));
    let given = from.first().map_or("", |part| part.name.as_str());
    let at: Range<usize> = from.first().map_or(0..0, |part| part.at.clone());
    let holder = shown(before);
    let message = match (unknown.known.is_empty(), holder.is_empty()) {
        (true, _) => format!("`{holder}` has no fields, so `{given}` cannot follow it"),
        (false, true) => format!("an instance has no field `{given}`"),
        (false, false) => format!("`{holder}` has no field `{given}`"),
    };
    let expected = nearest(given, &unknown.known).map_or_else(
        || match unknown.known.as_slice() {
            [] => String::new(),
            known => format!("one of {}", known.join(", ")),
        },
        |name| format!("did you mean `{name}`?"),
    );
    FilterError::new(text, at, message).expected(expected)
}

/// The known name that was probably meant: one that differs in case or in a few letters.
fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    let given = given.to_lowercase();
    known
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&given, &name.to_lowercase()),
                *name,
            )
        })
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A selector with dots, for messages.
fn shown(selector: &[Part]) -> String {
    let names: Vec<&str> = selector.iter().map(|part| part.name.as_str()).collect();
    names.join(".")
}

/// Consul: Go's `ParseInt` with base 0: decimal, or `0x`, `0o`, `0b` and a leading 0 for octal.
fn go_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_str() {
        "0" => (10, "0"),
        other => [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
            .into_iter()
            .find_map(|(prefix, radix)| Some((radix, other.strip_prefix(prefix)?)))
            .unwrap_or((10, other)),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Consul: Go's `ParseBool`.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
