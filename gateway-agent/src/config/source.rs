//! Source: the text of a configuration file, and where in it things stand.

use std::ops::Range;
use std::sync::Arc;

use crate::control::snapshot::Place;

/// The text of one configuration file.
#[derive(Debug)]
pub struct Source {
    /// The path, as it was given.
    pub path: Arc<str>,
    text: String,
    /// Where each line starts.
    lines: Vec<u32>,
}

/// A range of bytes in a [`Source`], on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From one byte offset to another. Offsets fit, since a source is at most
    /// [`Source::MOST_BYTES`] long.
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

    /// Takes a text. Its path decides the language: JSON when it ends in `.json`.
    pub(crate) fn new(path: &str, text: String) -> Self {
        let starts = text
            .match_indices('\n')
            .map(|(at, _)| Span::new(at..at + 1).end);
        let lines = std::iter::once(0).chain(starts).collect();
        Self {
            path: path.into(),
            lines,
            text,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Tells one text from another.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(self.text.as_bytes())
    }

    pub(crate) fn is_json(&self) -> bool {
        self.path.ends_with(".json")
    }

    /// Line and column of a span's start.
    pub(crate) fn place(&self, span: Span) -> Place {
        let line = self.line_of(span);
        let start = self.line_range(line).start;
        let before = self.text.get(start..span.range().start).unwrap_or("");
        let column = u32::try_from(before.chars().count()).unwrap_or(u32::MAX);
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
        let within = |offset: usize| offset.saturating_sub(line.start).min(text.len());
        (text, within(span.range().start)..within(span.range().end))
    }

    fn line_of(&self, span: Span) -> usize {
        self.lines
            .partition_point(|&start| start <= span.start)
            .saturating_sub(1)
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
