//! JSON: whether a text is sound JSON, by serde_json. The tree with its places is the parser's.

use crate::config::diagnostic::Diagnostic;
use crate::config::source::{Source, Span};

pub(super) fn check(source: &Source) -> Result<(), Diagnostic> {
    // RFC 8259, 8.1: a byte order mark may be passed over, as it is in HCL.
    let text = source.text();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| not_json(source, text, &error))
}

fn not_json(source: &Source, text: &str, error: &serde_json::Error) -> Diagnostic {
    let start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    // serde_json counts columns in bytes, from 1; it may point behind the last byte.
    let mut at = (start + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let length = text[at..].chars().next().map_or(0, char::len_utf8);
    at += source.base() + source.text().len() - text.len();
    let message = error.to_string();
    let message = message
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned();
    Diagnostic::new(
        Span::new(at..at + length),
        format!("not JSON: {message}"),
        "here",
    )
}
