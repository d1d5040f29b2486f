//! Regular expressions in the syntax of RE2, as Go and Envoy read them.
//!
//! The `regex` crate keeps RE2's promise of linear time but differs in details, so a pattern is
//! rewritten first: `\d`, `\w`, `\s` and `\b` know ASCII alone; a backslash before punctuation, a
//! brace that repeats nothing and a bracket inside of a class are plain characters; `\Q...\E`
//! quotes. Patterns match bytes, as Go's do.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern: that of the longest filter.
const MAX_LENGTH: usize = super::MAX_LENGTH;

/// Bytes that one compiled pattern, and its cache, may take: a hundred times the usual.
const MAX_COMPILED: usize = 1 << 20;

/// Groups and classes in each other; patterns of people stay below ten.
const MAX_NESTING: u32 = 64;

/// What a pattern must cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Any part of the text: filters.
    Anywhere,
    /// The whole text. Envoy: its regular expressions are matched so, and with them intentions.
    Whole,
}

/// Compiles a pattern.
///
/// # Errors
///
/// Why it does not compile, in a few words.
pub(crate) fn compile(pattern: &str, anchor: Anchor) -> Result<Regex, String> {
    if pattern.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let rewritten = rewrite(pattern);
    // Compiled by itself too when wrapped: `a)(b` would fit in the group and become something else.
    let compiled = build(&rewritten)?;
    match anchor {
        Anchor::Anywhere => Ok(compiled),
        Anchor::Whole => build(&format!(r"\A(?:{rewritten})\z")),
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it takes too much memory".to_owned(),
            // The last line has the reason; those before show the rewritten pattern.
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.trim_start_matches("error: ").to_owned()
            }
        })
}

fn rewrite(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, &mut out, Within::Pattern),
            '[' => class(&mut rest, &mut out),
            '{' if !repeats(rest.clone()) => out.push_str(r"\{"),
            other => out.push(other),
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Pattern,
    Class,
}

/// Rewrites a class whose `[` has been read.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // Not an end when it is the first.
    if rest.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    while let Some(c) = rest.next() {
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '\\' => escape(rest, out, Within::Class),
            '[' if rest.peek() == Some(&':') => named_class(rest, out),
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if rest.next_if_eq(&'-').is_some() => out.push_str(r"-\-"),
            other => out.push(other),
        }
    }
}

/// Copies `[:name:]`, or writes its `[` as a plain character when it is none.
fn named_class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let name: String = rest
        .clone()
        .skip(1)
        .take_while(|c| c.is_ascii_lowercase() || *c == '^')
        .collect();
    let whole = format!(":{name}:]");
    if rest.clone().take(whole.len()).eq(whole.chars()) {
        out.push('[');
        out.extend(rest.take(whole.len()));
    } else {
        out.push_str(r"\[");
    }
}

/// Rewrites an escape whose backslash has been read.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String, within: Within) {
    let Some(kind) = rest.next() else {
        // Left for the compiler to refuse.
        out.push('\\');
        return;
    };
    match (kind, within) {
        ('d', _) => out.push_str("[0-9]"),
        ('D', _) => out.push_str("[^0-9]"),
        ('w', _) => out.push_str("[0-9A-Za-z_]"),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('s', _) => out.push_str(r"[\t\n\f\r ]"),
        ('S', _) => out.push_str(r"[^\t\n\f\r ]"),
        ('b', Within::Pattern) => out.push_str(r"(?-u:\b)"),
        ('B', Within::Pattern) => out.push_str(r"(?-u:\B)"),
        ('Q', Within::Pattern) => quoted(rest, out),
        ('p' | 'P' | 'x', _) => {
            out.extend(['\\', kind]);
            if rest.next_if_eq(&'{').is_some() {
                out.push('{');
                out.extend(std::iter::from_fn(|| rest.next_if(|c| *c != '}')));
            }
        }
        ('0'..='7', _) => octal(kind, rest, out),
        (other, _) if other.is_ascii_punctuation() => {
            out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
        }
        (other, _) => out.extend(['\\', other]),
    }
}

fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// `\0` or two and three octal digits are a character; one other digit is left as a reference back,
/// which the compiler refuses as Go does.
fn octal(first: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut code = first.to_digit(8).unwrap_or_default();
    let mut length = 1;
    while let Some(digit) = rest
        .peek()
        .and_then(|c| c.to_digit(8))
        .filter(|_| length < 3)
    {
        code = code * 8 + digit;
        length += 1;
        rest.next();
    }
    if length == 1 && first != '0' {
        out.extend(['\\', first]);
    } else {
        out.push_str(&format!(r"\x{{{code:x}}}"));
    }
}

/// Whether what follows a `{` makes it a repetition: `n}`, `n,}` or `n,m}`.
fn repeats(mut rest: Peekable<Chars<'_>>) -> bool {
    let digits = |rest: &mut Peekable<Chars<'_>>| {
        let mut any = false;
        while rest.next_if(char::is_ascii_digit).is_some() {
            any = true;
        }
        any
    };
    if !digits(&mut rest) {
        return false;
    }
    if rest.next_if_eq(&',').is_some() {
        digits(&mut rest);
    }
    rest.next_if_eq(&'}').is_some()
}

#[cfg(test)]
mod tests {
    use super::{Anchor, compile};
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    #[test]
    fn what_does_not_compile_is_told() {
        for (pattern, reason) in [
            ("(", "unclosed group"),
            ("a)(b", "unopened group"),
            ("[a", "unclosed character class"),
            ("*a", "repetition operator missing expression"),
            (r"(a)\1", "backreferences are not supported"),
            ("a(?=b)", "look-around"),
            (r"\", "incomplete escape"),
            (r"(?i:\pL{1000}){1000}", "too much memory"),
        ] {
            for anchor in [Anchor::Anywhere, Anchor::Whole] {
                let told = compile(pattern, anchor).unwrap_err();
                assert!(told.contains(reason), "{pattern}: {told}");
            }
        }
    }

    #[test]
    fn the_syntax_is_that_of_re2() {
        for (pattern, text, expected) in [
            (r"^\d+$", "123", true),
            (r"^\d$", "\u{0663}", false),
            (r"^\w+$", "a_1", true),
            (r"^\w$", "é", false),
            (r"^[\w.-]+$", "v1.2-rc", true),
            (r"^[^\s\d]$", "x", true),
            (r"^[\D]$", "7", false),
            ("^.$", "é", true),
            (r"\bapi\b", "the api!", true),
            (r"^\<a\>$", "<a>", true),
            (r"^[a[b]$", "[", true),
            (r"^[]a]$", "]", true),
            (r"^[^]a]$", "]", false),
            (r"^[a&&b]$", "&", true),
            (r"^[[:alpha:]~~]+$", "a~", true),
            (r"^[[:x]+$", "[:x", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{2}$", "aa", true),
            ("^{$", "{", true),
            (r"^\Qa.b*\E.$", "a.b*x", true),
            (r"^\Qa.b*\E.$", "axbbx", false),
            (r"^\p{Greek}\x{3b2}\x41\101$", "αβAA", true),
            ("(?i)^ÄB$", "äb", true),
            ("b", "abc", true),
        ] {
            let compiled = compile(pattern, Anchor::Anywhere).unwrap();
            assert_eq!(
                compiled.is_match(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn the_whole_text_is_covered_where_that_is_asked() {
        let whole = compile("a|b", Anchor::Whole).unwrap();
        assert!(whole.is_match(b"b"));
        assert!(!whole.is_match(b"ab") && !whole.is_match(b"b\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn quoting_makes_any_text_match_itself_alone(text in "[^\\\\]{0,20}") {
            let whole = compile(&format!(r"\Q{text}\E"), Anchor::Whole).unwrap();
            prop_assert_eq!(whole.is_match(text.as_bytes()), true);
            prop_assert_eq!(whole.is_match(format!("{text}x").as_bytes()), false);
        }

        #[test]
        fn no_pattern_makes_it_panic(pattern in r"([\[\]\\^&~{}()?*+|.,:a-z0-9QEpPxdbB-]|\PC){0,24}") {
            let _compiled = compile(&pattern, Anchor::Whole).is_ok();
        }
    }
}
