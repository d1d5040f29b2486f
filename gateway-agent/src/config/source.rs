//! Source: the texts of the configuration files, and where in them things stand.
//!
//! A place is one number over all files: each text starts where the one before it ends. So a
//! [`Span`] stays small and needs no word about its file; [`Sources`] finds that.

use std::ops::Range;
use std::sync::Arc;

use crate::control::snapshot::Place;

/// The text of one configuration file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path, as it was given.
    pub(crate) path: Arc<str>,
    text: String,
    /// What its first byte is numbered.
    base: u32,
    /// Where each line starts, counted in this text.
    lines: Vec<u32>,
    /// Whether a character is a byte, so that columns need no counting: machines write files of
    /// one line, with thousands of places in it.
    ascii: bool,
}

/// All files of one configuration; the host's own first. Never empty.
#[derive(Debug)]
pub struct Sources {
    list: Vec<Source>,
}

/// A range of bytes in one file of [`Sources`], on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From one byte offset to another. Offsets fit, since a source is at most
    /// [`Source::MOST_BYTES`] long and all of them are [`Sources::MOST_BYTES`].
    pub(crate) fn new(range: Range<usize>) -> Self {
        let narrow = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            start: narrow(range.start),
            end: narrow(range.end),
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Source {
    /// A quarter of a gibibyte holds two million routes; a bigger file is another file by mistake.
    pub(crate) const MOST_BYTES: usize = 256 << 20;

    /// Takes a text whose first byte is numbered `base`. Its path decides the language: JSON when
    /// it ends in `.json`.
    fn new(path: &str, text: String, base: u32) -> Self {
        let starts = text
            .match_indices('\n')
            .map(|(at, _)| Span::new(at..at + 1).end);
        let lines = std::iter::once(0).chain(starts).collect();
        Self {
            path: path.into(),
            base,
            lines,
            ascii: text.is_ascii(),
            text,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What its first byte is numbered.
    pub(crate) fn base(&self) -> usize {
        self.base as usize
    }

    pub(crate) fn is_json(&self) -> bool {
        self.path.ends_with(".json")
    }

    /// Line and column of a span's start.
    pub(crate) fn place(&self, span: Span) -> Place {
        let line = self.line_of(span);
        let start = self.line_range(line).start;
        let end = self.offset(span.start);
        let before = if self.ascii {
            end.saturating_sub(start)
        } else {
            let before = self.text.get(start..end).unwrap_or("");
            before.chars().count()
        };
        let column = u32::try_from(before).unwrap_or(u32::MAX);
        Place {
            file: Arc::clone(&self.path),
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: column.saturating_add(1),
        }
    }

    /// The line that a span starts in, without its end, and the span within it. A span over
    /// several lines ends with the first.
    pub(crate) fn line(&self, span: Span) -> (&str, Range<usize>) {
        let line = self.line_range(self.line_of(span));
        let text = self
            .text
            .get(line.clone())
            .unwrap_or("")
            .trim_end_matches(['\r', '\n']);
        let within = |number| {
            self.offset(number)
                .saturating_sub(line.start)
                .min(text.len())
        };
        (text, within(span.start)..within(span.end))
    }

    fn span(&self, place: &Place) -> Option<Span> {
        let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
        let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
        let range = self.line_range(line);
        let text = self.text.get(range.clone())?;
        let (within, _) = text.char_indices().nth(column)?;
        let rest = text.get(within..)?;
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let length = match rest.find(|c| !word(c)).unwrap_or(rest.len()) {
            0 => rest.chars().next().map_or(0, char::len_utf8),
            length => length,
        };
        let start = self.base() + range.start + within;
        Some(Span::new(start..start + length))
    }

    fn line_of(&self, span: Span) -> usize {
        let offset = self.offset(span.start);
        self.lines
            .partition_point(|&start| start as usize <= offset)
            .saturating_sub(1)
    }

    /// The offset in this text of a byte's number.
    fn offset(&self, number: u32) -> usize {
        number.saturating_sub(self.base) as usize
    }

    fn line_range(&self, line: usize) -> Range<usize> {
        let offset = |line: usize| {
            self.lines
                .get(line)
                .map_or(self.text.len(), |&at| at as usize)
        };
        offset(line)..offset(line + 1)
    }
}

impl Sources {
    /// All files together; keeps every number within 32 bits.
    pub(crate) const MOST_BYTES: usize = 1 << 30;

    /// Starts with the host's own file.
    pub(crate) fn new(path: &str, text: String) -> Self {
        Self {
            list: vec![Source::new(path, text, 0)],
        }
    }

    /// Adds a file; answers whether there is room for it.
    pub(crate) fn add(&mut self, path: &str, text: String) -> bool {
        let last = self.list.last();
        // One number lies between two texts, so that no end of a span is another's start.
        let base = last.map_or(0, |last| last.base() + last.text.len() + 1);
        match u32::try_from(base) {
            Ok(number) if base + text.len() < Self::MOST_BYTES => {
                self.list.push(Source::new(path, text, number));
                true
            }
            _ => false,
        }
    }

    /// The host's own file.
    pub(crate) fn main(&self) -> &Source {
        &self.list[0]
    }

    /// The other files, in their order.
    pub(crate) fn others(&self) -> &[Source] {
        &self.list[1..]
    }

    /// The file that a span lies in.
    pub(crate) fn of(&self, span: Span) -> &Source {
        let at = self
            .list
            .partition_point(|source| source.base <= span.start)
            .saturating_sub(1);
        &self.list[at]
    }

    /// File, line and column of a span's start.
    pub(crate) fn place(&self, span: Span) -> Place {
        self.of(span).place(span)
    }

    /// The character or word that stands at a place; `None` when no file has it.
    pub(crate) fn span(&self, place: &Place) -> Option<Span> {
        let source = self.list.iter().find(|source| source.path == place.file)?;
        source.span(place)
    }

    /// Tells one state of all files from another.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for source in &self.list {
            // Lengths keep texts apart whatever they hold.
            for part in [&*source.path, &*source.text] {
                hasher.update(&part.len().to_ne_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_by_its_own_file() {
        let mut sources = Sources::new("a.hcl", "x = 1\ny = 2\n".to_owned());
        assert!(sources.add("empty.hcl", String::new()));
        assert!(sources.add("b.hcl", "ü = 3\n".to_owned()));
        let base = sources.others()[1].base();
        let told = |range| sources.place(Span::new(range)).to_string();
        assert_eq!(told(6..7), "a.hcl:2:1");
        assert_eq!(told(base + 5..base + 6), "b.hcl:1:5");
        for range in [0..1, 6..7, base..base + 2] {
            let place = sources.place(Span::new(range.clone()));
            assert_eq!(sources.span(&place), Some(Span::new(range)));
        }
        let (line, within) = sources
            .of(Span::new(base..base + 2))
            .line(Span::new(base..base + 2));
        assert_eq!((line, within), ("ü = 3", 0..2));
    }

    #[test]
    fn moving_a_byte_to_the_next_file_is_a_change() {
        let of = |a: &str, b: &str| {
            let mut sources = Sources::new("a.hcl", a.to_owned());
            assert!(sources.add("b.hcl", b.to_owned()));
            sources.fingerprint()
        };
        assert_ne!(of("xy", "z"), of("x", "yz"));
        assert_eq!(of("x", "y"), of("x", "y"));
    }
}
