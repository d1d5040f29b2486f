//! Source: the texts of the configuration files, and where in them things stand.
//!
//! A place is one number over all files: each text starts where the one before it ends. So a
//! [`Span`] stays small and needs no word about its file; [`Sources`] finds that.

use std::collections::HashMap;
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
    /// How many characters start before each [`Source::BLOCK`]; empty where each is one byte.
    /// Machines write files of one line, with thousands of places in it: no column may take a
    /// walk over the line.
    blocks: Vec<u32>,
}

/// All files of one configuration; the host's own first. Never empty.
#[derive(Debug)]
pub struct Sources {
    list: Vec<Source>,
    by_path: HashMap<Arc<str>, usize>,
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

    /// Bytes that are looked at when a place is asked for or looked up, at most.
    const BLOCK: usize = 256;

    /// Takes a text whose first byte is numbered `base`. Its path decides the language: JSON when
    /// it ends in `.json`.
    fn new(path: &str, text: String, base: u32) -> Self {
        let starts = text
            .match_indices('\n')
            .map(|(at, _)| Span::new(at..at + 1).end);
        let lines = std::iter::once(0).chain(starts).collect();
        let blocks = match text.is_ascii() {
            true => Vec::new(),
            false => blocks(&text),
        };
        Self {
            path: path.into(),
            base,
            lines,
            blocks,
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
        let before = self.character(self.offset(span.start)) - self.character(start);
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
        let start = self.byte(self.character(range.start) + column);
        let rest = self.text.get(start..range.end)?;
        let word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let word = rest.chars().take(Self::BLOCK).take_while(word);
        let length = match word.map(char::len_utf8).sum() {
            // Past the end of the line there is nothing.
            0 => rest.chars().next().map(char::len_utf8)?,
            length => length,
        };
        let start = self.base() + start;
        Some(Span::new(start..start + length))
    }

    fn line_of(&self, span: Span) -> usize {
        let offset = self.offset(span.start);
        self.lines
            .partition_point(|&start| start as usize <= offset)
            .saturating_sub(1)
    }

    /// How many characters start before an offset.
    fn character(&self, offset: usize) -> usize {
        let block = offset / Self::BLOCK;
        match self.blocks.get(block) {
            Some(&before) => {
                let rest = self.text.as_bytes().get(block * Self::BLOCK..offset);
                before as usize + rest.map_or(0, characters)
            }
            None => offset,
        }
    }

    /// The offset of a character: what [`Source::character`] is asked for to answer it.
    fn byte(&self, character: usize) -> usize {
        let Some(block) = self
            .blocks
            .partition_point(|&before| before as usize <= character)
            .checked_sub(1)
        else {
            return character;
        };
        let start = block * Self::BLOCK;
        let before = self.blocks.get(block).map_or(0, |&before| before as usize);
        let bytes = self.text.as_bytes().iter().enumerate().skip(start);
        let mut starts = bytes.filter(|&(_, &byte)| starts_character(byte));
        let found = starts.nth(character.saturating_sub(before));
        found.map_or(self.text.len(), |(offset, _)| offset)
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

/// How many characters start before each block of a text.
fn blocks(text: &str) -> Vec<u32> {
    let mut before = 0;
    let blocks = text.as_bytes().chunks(Source::BLOCK);
    let counts = blocks.map(|block| {
        let own = before;
        // As with spans, what is counted here fits.
        before += u32::try_from(characters(block)).unwrap_or_default();
        own
    });
    let mut blocks: Vec<_> = counts.collect();
    // For the end of a text that ends with a block.
    blocks.push(before);
    blocks
}

fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| starts_character(byte)).count()
}

fn starts_character(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

impl Sources {
    /// All files together; keeps every number within 32 bits.
    pub(crate) const MOST_BYTES: usize = 1 << 30;

    /// Starts with the host's own file.
    pub(crate) fn new(path: &str, text: String) -> Self {
        let main = Source::new(path, text, 0);
        Self {
            by_path: HashMap::from([(Arc::clone(&main.path), 0)]),
            list: vec![main],
        }
    }

    /// Adds a file; answers whether there is room for it.
    pub(crate) fn add(&mut self, path: &str, text: String) -> bool {
        let last = self.list.last();
        // One number lies between two texts, so that no end of a span is another's start.
        let base = last.map_or(0, |last| last.base() + last.text.len() + 1);
        match u32::try_from(base) {
            Ok(number) if base + text.len() < Self::MOST_BYTES => {
                let source = Source::new(path, text, number);
                let path = Arc::clone(&source.path);
                self.by_path.entry(path).or_insert(self.list.len());
                self.list.push(source);
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
        let number = *self.by_path.get(&place.file)?;
        self.list.get(number)?.span(place)
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
    fn columns_count_characters_over_long_lines() {
        for text in ["ü", "a", "aü€", "aüb€\nc"].map(|part| part.repeat(700)) {
            let sources = Sources::new("a.json", text.clone());
            let (mut line, mut column) = (1, 1);
            for (offset, c) in text.char_indices() {
                let place = sources.place(Span::new(offset..offset + c.len_utf8()));
                assert_eq!((place.line, place.column), (line, column), "at {offset}");
                let found = sources.span(&place).map(|span| span.range().start);
                assert_eq!(found, Some(offset));
                (line, column) = match c {
                    '\n' => (line + 1, 1),
                    _ => (line, column + 1),
                };
            }
            let end = sources.place(Span::new(text.len()..text.len()));
            assert_eq!((end.line, end.column), (line, column));
            assert_eq!(sources.span(&end), None);
        }
    }

    #[test]
    fn a_place_takes_no_walk_over_its_line() {
        // Walks would take hours.
        let text = "ü".repeat(1 << 20);
        let sources = Sources::new("a.json", text.clone());
        for offset in (0..text.len()).step_by(20) {
            let place = sources.place(Span::new(offset..offset + 2));
            assert_eq!(sources.span(&place).unwrap().range().start, offset);
        }
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
