//! The marks and words of a filter: selectors, values, keywords, white space.
//!
//! Each reader either takes what it reads or leaves the place as it was. The order in which things
//! may stand is the `parser`'s business.

use std::ops::Range;

use super::FilterError;
use super::literal::{self, LiteralError};

/// One part of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) at: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) at: Range<usize>,
}

/// A place in the text.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn selector(&mut self) -> Result<Vec<Part>, FilterError> {
        let Some(first) = self.identifier() else {
            let at = self.at..self.end_of_word(self.at);
            return Err(self.error(
                at,
                "a selector must stand here",
                "a name such as `Service.Meta`",
            ));
        };
        let mut parts = vec![first];
        loop {
            let before = self.at;
            if self.symbol(".") {
                let Some(part) = self.identifier() else {
                    let at = before..self.end_of_word(before);
                    return Err(self.error(
                        at,
                        "a name must follow the dot",
                        "letters, digits and `_`; write other names as [\"some-key\"]",
                    ));
                };
                parts.push(part);
            } else if self.symbol("[") {
                parts.push(self.index(before)?);
            } else {
                return Ok(parts);
            }
        }
    }

    fn index(&mut self, open: usize) -> Result<Part, FilterError> {
        self.skip_space();
        let start = self.at;
        let Some(name) = self.quoted()? else {
            let at = start..self.end_of_word(start);
            return Err(self.error(
                at,
                "an index is a quoted text",
                "a key such as [\"some-key\"]",
            ));
        };
        let at = start..self.at;
        self.skip_space();
        if !self.symbol("]") {
            return Err(self.error(
                open..self.at,
                "this index is not closed",
                "a `]` after the key",
            ));
        }
        Ok(Part { name, at })
    }

    fn identifier(&mut self) -> Option<Part> {
        let length = literal::identifier(self.rest())?;
        let at = self.at..self.at + length;
        self.at = at.end;
        Some(Part {
            name: self.text[at.clone()].to_owned(),
            at,
        })
    }

    pub(super) fn value(&mut self) -> Result<Value, FilterError> {
        let start = self.at;
        let text = if self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
            // Consul: a bare value may look like a selector and then means its parts with dots.
            let parts = self.selector()?;
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            names.join(".")
        } else if let Some(text) = self.quoted()? {
            text
        } else if let Some(length) = literal::number(self.rest()) {
            self.at += length;
            self.text[start..self.at].to_owned()
        } else {
            let at = start..self.end_of_word(start);
            let expected = "a text in quotes, a number, or a bare word";
            return Err(self.error(at, "a value must stand here", expected));
        };
        self.end_value(start)?;
        Ok(Value {
            text,
            at: start..self.at,
        })
    }

    /// A value ends at white space or a parenthesis; a bare one with anything else wants quotes.
    fn end_value(&self, start: usize) -> Result<(), FilterError> {
        match self.rest().chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | ')') => Ok(()),
            Some(_) => Err(self.error(
                start..self.end_of_word(start),
                format!(
                    "`{}` is not a value",
                    &self.text[start..self.end_of_word(start)]
                ),
                "quotes around a value that holds more than letters, digits and `_`",
            )),
        }
    }

    fn quoted(&mut self) -> Result<Option<String>, FilterError> {
        let start = self.at;
        let Some((length, read)) = literal::quoted(self.rest()) else {
            return Ok(None);
        };
        let range = start..start + length;
        match read {
            Ok(text) => {
                self.at = range.end;
                Ok(Some(text))
            }
            Err(LiteralError::NotClosed) => Err(self.error(
                range,
                "this text is not closed",
                "the same quote at its end",
            )),
            Err(LiteralError::Escape { from, to }) => Err(self.error(
                start + from..start + to,
                format!(
                    "`{}` is not an escape",
                    &self.text[start + from..start + to]
                ),
                "an escape of Go such as \\n, \\t, \\\\ or \\u00e9, or back quotes around the text",
            )),
            Err(LiteralError::NewLine) => Err(self.error(
                range,
                "a text in double quotes ends on its line",
                "\\n, or back quotes around the text",
            )),
            Err(LiteralError::NotText) => Err(self.error(
                range,
                "the escapes do not make up UTF-8",
                "whole characters",
            )),
        }
    }

    /// Reads `words` with white space between them, and around them as `space` says, and tells
    /// where they stand; else stays.
    pub(super) fn words(&mut self, words: &[&str], space: Space) -> Option<Range<usize>> {
        let before = self.at;
        let at = self.spaced_words(words, space);
        if at.is_none() {
            self.at = before;
        }
        at
    }

    fn spaced_words(&mut self, words: &[&str], space: Space) -> Option<Range<usize>> {
        let wanted = |found: bool| found.then_some(());
        if space != Space::After {
            wanted(self.skip_space())?;
        }
        let start = self.at;
        for (index, word) in words.iter().enumerate() {
            wanted(index == 0 || self.skip_space())?;
            wanted(self.symbol(word))?;
        }
        let end = self.at;
        if space != Space::Before {
            wanted(self.skip_space())?;
        }
        Some(start..end)
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Skips white space and says whether there was any.
    pub(super) fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start_matches(SPACE).len();
        self.at += skipped;
        skipped > 0
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Where the word that starts at `from` ends, for a mark of at least one character.
    pub(super) fn end_of_word(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        let space = rest.len() - rest.trim_start_matches(SPACE).len();
        rest[space..]
            .find(|c: char| SPACE.contains(&c) || c == ')')
            .map_or(self.text.len(), |end| from + space + end)
    }

    pub(super) fn junk(&self) -> FilterError {
        let at = self.at..self.end_of_word(self.at).max(self.at + 1);
        let word = self.text[self.at..].split(SPACE).next().unwrap_or_default();
        let message = format!("`{word}` cannot follow here");
        self.error(at, message, "` and `, ` or ` or the end of the filter")
    }

    pub(super) fn error(
        &self,
        at: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> FilterError {
        let at = at.start.min(self.text.len())..at.end.min(self.text.len());
        FilterError::new(self.text, at, message).expected(expected)
    }
}

/// Where a keyword wants white space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Before,
    After,
    Both,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
