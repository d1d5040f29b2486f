//! What Consul's decoder takes beyond what our own configuration does.
//!
//! Keys ignore case and underscores; one object may stand for a list of objects and a list of one
//! object for the object (HCL 1 makes no difference between them); numbers and truth values may
//! be texts; a duration is a text, or a number of nanoseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, Wrong};
use crate::config::source::Span;
use crate::config::syntax::{Spanned, Table, Value};
use crate::mesh::catalog::Opaque;

impl<'r, 's> Reader<'r, 's> {
    /// All tables of this name: repeated blocks, a list of objects, or one object. Labels are
    /// refused.
    pub(in crate::config) fn tables(&mut self, key: &'static str) -> Vec<(&'r Table<'s>, Span)> {
        let mut tables = Vec::new();
        for item in self.all(key) {
            if let Some(label) = item.labels.first() {
                let message = format!("`{key}` has no label");
                self.error(Diagnostic::new(label.at, message, "expected `=` or `{`"));
            }
            match &item.value.value {
                Value::Table(table) => tables.push((table, item.key.at)),
                Value::List(list) => {
                    for value in list {
                        match &value.value {
                            Value::Table(table) => tables.push((table, value.at)),
                            _ => {
                                self.unexpected::<()>(value, key, "an object: `{ ... }`");
                            }
                        }
                    }
                }
                Value::Null => {}
                _ => {
                    self.unexpected::<()>(&item.value, key, "a block: `{ ... }`");
                }
            }
        }
        tables
    }

    /// The one table of this name; a list of one counts as it.
    pub(in crate::config) fn single(&mut self, key: &'static str) -> Option<(&'r Table<'s>, Span)> {
        let tables = self.tables(key);
        if let [first, again, ..] = &tables[..] {
            let message = format!("`{key}` stands twice");
            self.error(
                Diagnostic::new(again.1, message, "expected once").also(first.1, "the first one"),
            );
        }
        tables.into_iter().next()
    }

    /// A text; a number or truth value is taken as its text, null as absent.
    pub(in crate::config) fn text(&mut self, key: &'static str) -> Option<(String, Span)> {
        let value = self.value(key)?;
        match scalar(&value.value) {
            Some(text) => Some((text, value.at)),
            None if value.value == Value::Null => None,
            None => self.unexpected(value, key, "a string in quotes"),
        }
    }

    /// A truth value, possibly as text.
    pub(in crate::config) fn weak_bool(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match &value.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") || &**text == "1" => {
                Some(true)
            }
            Value::String(text) if text.eq_ignore_ascii_case("false") || &**text == "0" => {
                Some(false)
            }
            Value::Null => None,
            _ => self.unexpected(value, key, "true or false"),
        }
    }

    /// A whole number within bounds, possibly as text.
    pub(in crate::config) fn weak_number<T>(
        &mut self,
        key: &'static str,
        within: RangeInclusive<T>,
    ) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let expected = format!("a whole number from {} to {}", within.start(), within.end());
        let value = self.value(key)?;
        let text = match &value.value {
            Value::Number(text) => *text,
            Value::String(text) => text,
            Value::Null => return None,
            _ => return self.unexpected(value, key, &expected),
        };
        let number = text.parse().ok().filter(|number| within.contains(number));
        let wrong = || {
            let message = format!("{text} is out of range for `{key}`");
            Wrong::new(message, format!("expected {expected}"))
        };
        self.keep(number.ok_or_else(wrong), value.at)
    }

    /// A duration: a text such as `"1.5s"` or `"1h5m"`, or a number of nanoseconds. Negative ones
    /// come out as an error unless `negative`, which makes them zero.
    pub(in crate::config) fn weak_duration(
        &mut self,
        key: &'static str,
        negative: bool,
    ) -> Option<(Duration, Span)> {
        let value = self.value(key)?;
        let parsed = match &value.value {
            Value::Number(text) => text.parse::<i64>().ok(),
            Value::String(text) => go_duration(text),
            Value::Null => return None,
            _ => return self.unexpected(value, key, EXPECTED_DURATION),
        };
        let wrong = |message: String| Wrong::new(message, format!("expected {EXPECTED_DURATION}"));
        let shown = scalar(&value.value).unwrap_or_default();
        let checked = match parsed {
            None => Err(wrong(format!("`{shown}` is no duration for `{key}`"))),
            Some(nanoseconds) => match u64::try_from(nanoseconds) {
                Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
                Err(_negative) if negative => Ok(Duration::ZERO),
                Err(_negative) => Err(wrong(format!("`{key}` is negative: {shown}"))),
            },
        };
        self.keep(checked, value.at)
            .map(|duration| (duration, value.at))
    }

    /// Texts by free keys, such as metadata.
    pub(in crate::config) fn text_map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        for (table, _) in self.tables(key) {
            for item in &table.items {
                match scalar(&item.value.value) {
                    Some(text) => {
                        map.insert(item.key.value.to_string(), text);
                    }
                    None => {
                        self.unexpected::<()>(&item.value, &item.key.value, "a string in quotes");
                    }
                }
            }
        }
        map
    }

    /// Texts of a list; one text is a list of one.
    pub(in crate::config) fn texts(&mut self, key: &'static str) -> Vec<(String, Span)> {
        let mut texts = Vec::new();
        for value in self.list(key) {
            match scalar(&value.value) {
                Some(text) => texts.push((text, value.at)),
                None if value.value == Value::Null => {}
                None => {
                    self.unexpected::<()>(value, key, "strings in quotes");
                }
            }
        }
        texts
    }

    /// A map whose keys nobody checks.
    pub(in crate::config) fn opaque(&mut self, key: &'static str) -> Opaque {
        let mut map = BTreeMap::new();
        for (table, _) in self.tables(key) {
            for item in &table.items {
                map.insert(item.key.value.to_string(), json(&item.value));
            }
        }
        Opaque(map)
    }
}

const EXPECTED_DURATION: &str = "a duration such as \"250ms\", \"5s\" or \"1h30m\"";

pub(super) fn scalar(value: &Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Number(text) => Some((*text).to_owned()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn json(value: &Spanned<Value<'_>>) -> serde_json::Value {
    match &value.value {
        Value::Null | Value::Broken => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
        Value::String(text) => text.to_string().into(),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Table(table) => {
            let object: serde_json::Map<_, _> = table
                .items
                .iter()
                .map(|item| (item.key.value.to_string(), json(&item.value)))
                .collect();
            object.into()
        }
    }
}

/// Nanoseconds of a duration as Go writes it: signed numbers with a fraction, each with its
/// unit, one after the other.
fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor: f64 = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    // More would not fit Go's own type either.
    if text.len() < 2 || total > 9.2e18 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded above; a fraction of a nanosecond is nothing"
    )]
    let nanoseconds = total.round() as i64;
    Some(if negative { -nanoseconds } else { nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for wrong in [
            "",
            "5",
            "s",
            "1x",
            "1h5",
            "-",
            "5 s",
            "1e3s",
            "..s",
            "99999999h",
        ] {
            assert_eq!(go_duration(wrong), None, "{wrong:?}");
        }
        let cases = [
            ("0", 0),
            ("33s", 33_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1h5m", 3_900_000_000_000),
            ("-2ms", -2_000_000),
            ("+1us", 1_000),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(go_duration(text), Some(nanoseconds), "{text}");
        }
    }
}
