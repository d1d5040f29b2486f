//! Scanner: characters, space, comments and strings, with their places.

use std::borrow::Cow;

use super::Spanned;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::{Source, Span};

pub(super) struct Scanner<'s> {
    text: &'s str,
    /// What the first byte of the text is numbered in spans.
    base: usize,
    at: usize,
    /// Whether the last [`Scanner::skip_space`] passed the end of a line.
    crossed_line: bool,
}

impl<'s> Scanner<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        let text = source.text();
        // A byte order mark is nothing that a person sees.
        let at = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        Self {
            text,
            base: source.base(),
            at,
            crossed_line: false,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    pub(super) fn skip_all(&mut self) {
        self.at = self.text.len();
    }

    /// The next character's span.
    pub(super) fn here(&self) -> Span {
        self.span(self.at..self.at + self.peek().map_or(0, char::len_utf8))
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.base + range.start..self.base + range.end)
    }

    /// From the start of `start` to here.
    pub(super) fn since(&self, start: Span) -> Span {
        Span::new(start.range().start..self.base + self.at)
    }

    pub(super) fn same_line(&self) -> bool {
        !self.crossed_line
    }

    pub(super) fn take_while(&mut self, accept: impl Fn(char) -> bool) -> (&'s str, Span) {
        let rest = self.rest();
        let length = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        (&rest[..length], self.span(start..self.at))
    }

    /// Skips blanks, not lines.
    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t'));
    }

    /// Skips space, ends of lines and comments (`#`, `//`, `/* */`).
    pub(super) fn skip_space(&mut self) -> Result<(), Diagnostic> {
        self.crossed_line = false;
        loop {
            let (space, _) = self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            self.crossed_line |= space.contains('\n');
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                let start = self.here();
                let Some(length) = rest.find("*/") else {
                    self.skip_all();
                    let message = "a comment does not end";
                    return Err(Diagnostic::new(start, message, "expected `*/`"));
                };
                self.at += length + 2;
            } else {
                return Ok(());
            }
        }
    }

    /// Reads a string in quotes, to its end even when something within is wrong.
    pub(super) fn string(&mut self) -> Result<Spanned<Cow<'s, str>>, Diagnostic> {
        let open = self.here();
        self.bump();
        let body = self.at;
        let mut unescaped: Option<String> = None;
        let mut wrong = None;
        loop {
            let (plain, _) = self.take_while(|c| !matches!(c, '"' | '\\' | '\n' | '$' | '%'));
            if let Some(text) = &mut unescaped {
                text.push_str(plain);
            }
            let special = self.at;
            let meaning = match self.peek() {
                Some('"') => {
                    let plain = &self.text[body..self.at];
                    self.bump();
                    let value = unescaped.map_or(Cow::Borrowed(plain), Cow::Owned);
                    let at = self.since(open);
                    return wrong.map_or(Ok(Spanned { value, at }), Err);
                }
                Some('\\') => self.escape().map(Some),
                Some('$' | '%') => self.template(),
                Some(_) | None => {
                    let message = "a string does not end on its line";
                    return Err(Diagnostic::new(self.since(open), message, "expected `\"`"));
                }
            };
            match (meaning, &mut unescaped) {
                (Ok(Some(c)), Some(text)) => text.push(c),
                (Ok(Some(c)), None) => {
                    unescaped =
                        Some(self.text[body..special].to_owned() + c.encode_utf8(&mut [0; 4]))
                }
                // A sign that stands for itself.
                (Ok(None), Some(text)) => text.push_str(&self.text[special..self.at]),
                (Ok(None), None) => {}
                (Err(diagnostic), _) => wrong = wrong.or(Some(diagnostic)),
            }
        }
    }

    /// Passes a `$` or `%`: `${` would be a template; of `$${`, which means the text `${`, it passes
    /// the first two and answers with the sign; all else is itself.
    fn template(&mut self) -> Result<Option<char>, Diagnostic> {
        let start = self.here();
        let sign = self.peek();
        self.bump();
        let mut next = self.rest().chars();
        match (next.next(), next.next()) {
            (Some('{'), _) => {
                // Quotes within do not end the string.
                self.take_while(|c| !matches!(c, '}' | '\n'));
                let at = self.since(start);
                Err(Diagnostic::new(
                    at,
                    "templates are not evaluated",
                    "write the value itself",
                ))
            }
            (second, Some('{')) if second == sign => {
                self.bump();
                Ok(sign)
            }
            _ => Ok(None),
        }
    }

    /// Skips from `<<WORD` to the line that holds `WORD` alone.
    pub(super) fn skip_here_document(&mut self) {
        let (first, _) = self.take_while(|c| c != '\n');
        let word = first.trim_start_matches(['<', '-']).trim();
        while self.peek().is_some() {
            self.bump();
            let (line, _) = self.take_while(|c| c != '\n');
            if line.trim() == word {
                return;
            }
        }
    }

    fn escape(&mut self) -> Result<char, Diagnostic> {
        let start = self.here();
        self.bump();
        let letter = self.peek();
        self.bump();
        let value = match letter {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some(c @ ('"' | '\\' | '/')) => Some(c),
            Some('u') => self.utf16(),
            Some('U') => self.hex(8).and_then(char::from_u32),
            _ => None,
        };
        value.ok_or_else(|| {
            let at = self.since(start);
            Diagnostic::new(
                at,
                "an unknown escape",
                r#"known: \n \r \t \" \\ \uXXXX \UXXXXXXXX"#,
            )
        })
    }

    /// `XXXX` of `\uXXXX`, and the second half of a pair as JSON writes it.
    fn utf16(&mut self) -> Option<char> {
        let first = u16::try_from(self.hex(4)?).ok()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            self.at += 2;
            units.push(u16::try_from(self.hex(4)?).ok()?);
        }
        char::decode_utf16(units).next()?.ok()
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = self
            .rest()
            .get(..digits)
            .filter(|text| !text.starts_with('+'))?;
        let value = u32::from_str_radix(text, 16).ok()?;
        self.at += digits;
        Some(value)
    }

    fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }
}
