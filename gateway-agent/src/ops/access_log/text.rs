//! The text form: `key=value` pairs in one fixed order, `-` for what is not known.
//!
//! Values come from clients, and lines go to terminals and to programs that split at spaces. So a
//! value stands bare only if each of its bytes is plainly harmless; else it is quoted, and within
//! quotes everything but printable ASCII is escaped. No hello can break a line, forge a field, or
//! reach a terminal's controls.

use core::fmt::Write as _;

use super::fields::{Value, fields};
use crate::proxy::record::ConnectionRecord;

/// The line, without its line break.
pub(super) fn line(record: &ConnectionRecord) -> String {
    // Longer lines are rare: a typical one is near 400 bytes.
    let mut line = String::with_capacity(512);
    for (key, value) in fields(record) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        push(&mut line, &value);
    }
    line
}

fn push(line: &mut String, value: &Value) {
    match value {
        Value::Absent => line.push('-'),
        Value::Number(number) => line.push_str(&number.to_string()),
        Value::Flag(flag) => line.push_str(if *flag { "yes" } else { "no" }),
        Value::Text(text) => push_text(line, text),
        Value::List(list) if list.is_empty() => line.push('-'),
        // A comma within an entry must not look like two entries.
        Value::List(list) if list.iter().any(|entry| entry.contains(',')) => {
            push_text(
                line,
                &list
                    .iter()
                    .map(|entry| entry.replace(',', "\\,"))
                    .collect::<Vec<_>>()
                    .join(","),
            );
        }
        Value::List(list) => push_text(line, &list.join(",")),
    }
}

fn push_text(line: &mut String, text: &str) {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:/@+,*[]%-".contains(c);
    // A lone dash means "not known".
    if !text.is_empty() && text != "-" && text.chars().all(harmless) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                line.push('\\');
                line.push(c);
            }
            ' '..='~' => line.push(c),
            // Writing to a String cannot fail.
            _ => drop(write!(line, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    line.push('"');
}
