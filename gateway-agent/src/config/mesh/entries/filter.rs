//! Filters of subsets: checked where they are read, with the place within their text.

use std::ops::Range;

use super::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::filter::Filter;

/// A filter that parses; empty where none is given or it is wrong. Consul: one that does not
/// parse is refused when the entry is written.
pub(super) fn read(reader: &mut Reader<'_, '_>, key: &'static str, scope: &Scope<'_>) -> String {
    let Some((text, at)) = reader.text(key).filter(|(text, _)| !text.is_empty()) else {
        return String::new();
    };
    match Filter::parse(&text) {
        Ok(_) => text,
        Err(error) => {
            let at = part_of(at, error.at, scope);
            reader.error(Diagnostic::new(at, error.message, error.expected));
            String::new()
        }
    }
}

/// The place of a part of a string's value in the text it was written in.
fn part_of(at: Span, part: Range<usize>, scope: &Scope<'_>) -> Span {
    let source = scope.sources.of(at);
    let range = at.range();
    let in_text = range.start - source.base()..range.end - source.base();
    let literal = source.text().get(in_text).unwrap_or_default();
    let start = written(literal, part.start);
    let end = written(literal, part.end).max(start + 1).min(literal.len());
    Span::new(range.start + start..range.start + end)
}

/// How many bytes of a literal stand before the byte `value_at` of its value: quotes and escapes
/// are longer than what they mean.
fn written(literal: &str, value_at: usize) -> usize {
    // What is no string in quotes stands for itself.
    let Some(mut rest) = literal.strip_prefix('"') else {
        return value_at.min(literal.len());
    };
    let mut meant = 0;
    while meant < value_at && !rest.is_empty() {
        let (length, bytes) = unit(rest);
        rest = rest.get(length..).unwrap_or_default();
        meant += bytes;
    }
    literal.len() - rest.len()
}

/// How many bytes the next character of a literal takes, and how many those of its meaning are.
fn unit(rest: &str) -> (usize, usize) {
    let mut chars = rest.chars();
    let hex = |at: Range<usize>| {
        let digits = rest.get(at).unwrap_or_default();
        u32::from_str_radix(digits, 16).unwrap_or_default()
    };
    let length_of = |code| char::from_u32(code).map_or(4, char::len_utf8);
    match (chars.next(), chars.next()) {
        // The first half of a pair, with the second.
        (Some('\\'), Some('u')) if (0xd800..0xdc00).contains(&hex(2..6)) => (12, 4),
        (Some('\\'), Some('u')) => (6, length_of(hex(2..6))),
        (Some('\\'), Some('U')) => (10, length_of(hex(2..10))),
        (Some('\\'), _) => (2, 1),
        (Some(sign @ ('$' | '%')), Some(second)) if sign == second && chars.next() == Some('{') => {
            (2, 1)
        }
        (Some(other), _) => (other.len_utf8(), other.len_utf8()),
        (None, _) => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_value_is_found_behind_escapes() {
        let literal = r#""ü \"a\" \u00fc \ud83d\ude00 $${x} end""#;
        let value = "ü \"a\" ü 😀 ${x} end";
        for part in ["ü \"", "a\"", "😀", "${x", "end"] {
            let written_part = &literal[written(literal, value.find(part).unwrap())..];
            let first = match part {
                "ü \"" => "ü ",
                "a\"" => "a\\\"",
                "😀" => "\\ud83d",
                "${x" => "$${x",
                other => other,
            };
            assert!(written_part.starts_with(first), "{part}: {written_part}");
        }
        assert_eq!(written(literal, 1000), literal.len());
    }
}
