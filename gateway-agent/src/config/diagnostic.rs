//! Diagnostic: what is wrong with a configuration, where, and what to write instead.
//!
//! Errors are gathered, never thrown at the first: a person mends a file in one go.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::source::{Sources, Span};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    /// What is wrong, naming the object.
    message: String,
    /// The marked text; `None` when the trouble is not in the text.
    at: Option<Span>,
    /// What was expected, beside the mark.
    expected: String,
    /// Other places that have to do with it, and what they are.
    also: Vec<(Span, String)>,
    /// What to do next.
    help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(at: Span, message: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: Some(at),
            expected: expected.into(),
            also: Vec::new(),
            help: None,
        }
    }

    /// Trouble that no text causes, such as a file that cannot be read.
    pub(crate) fn elsewhere(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            message,
            at: None,
            expected: String::new(),
            also: Vec::new(),
            help: None,
        }
    }

    pub(crate) fn also(mut self, at: Span, what: impl Into<String>) -> Self {
        self.also.push((at, what.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest of the known names, if one is near enough to be meant.
    pub(crate) fn nearest<'n>(self, given: &str, known: impl Iterator<Item = &'n str>) -> Self {
        let given = given.to_lowercase();
        let nearest = known
            .map(|name| (strsim::damerau_levenshtein(&given, name), name))
            .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
            .min_by_key(|(distance, _)| *distance);
        match nearest {
            Some((_, name)) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Where it stands; trouble outside of the text comes first.
    fn offset(&self) -> usize {
        self.at.map_or(0, |at| at.range().start)
    }

    fn render(&self, sources: &Sources) -> String {
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = Group::with_title(title);
        if let Some(at) = self.at {
            group = mark(group, sources, at, AnnotationKind::Primary, &self.expected);
        }
        for (at, what) in self.also.iter().take(ALSO) {
            group = mark(group, sources, *at, AnnotationKind::Context, what);
        }
        let more = self.also.len().saturating_sub(ALSO);
        if more > 0 {
            group = group.element(Level::NOTE.message(format!("and {more} more places")));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().render(&[group])
    }
}

/// So many other places are shown to a person; machines get all.
const ALSO: usize = 10;

/// One line of the source with one mark. Each line is cut out first, and a very long one to what
/// is around the mark: rendering cost must not grow with the file, which may be one line.
fn mark<'a>(
    group: Group<'a>,
    sources: &'a Sources,
    at: Span,
    kind: AnnotationKind,
    label: &'a str,
) -> Group<'a> {
    let source = sources.of(at);
    let place = source.place(at);
    let (line, within) = source.line(at);
    let (number, column) = (place.line as usize, place.column as usize);
    if line.len() <= LONG {
        let snippet = Snippet::source(line).path(&*source.path).line_start(number);
        return group.element(snippet.annotation(kind.span(within).label(label)));
    }
    let window = around(line, &within);
    let shown = |offset: usize| offset.clamp(window.start, window.end) - window.start;
    let span = shown(within.start)..shown(within.end);
    let origin = Origin::path(&*source.path).line(number).char_column(column);
    let snippet = Snippet::source(line.get(window).unwrap_or_default()).line_start(number);
    group
        .element(origin)
        .element(snippet.annotation(kind.span(span).label(label)))
}

/// Nobody writes longer lines, and nobody reads them.
const LONG: usize = 1000;

/// A part of a line around a mark, on character boundaries.
fn around(line: &str, mark: &Range<usize>) -> Range<usize> {
    const BESIDE: usize = 100;
    let down = |mut offset: usize| {
        while !line.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let end = mark.end.min(mark.start + BESIDE).saturating_add(BESIDE);
    down(mark.start.saturating_sub(BESIDE))..down(end.min(line.len()))
}

/// Everything that is wrong with one configuration; displays as text for people, with the
/// source lines.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    sources: Arc<Sources>,
    list: Vec<Diagnostic>,
}

impl ConfigErrors {
    /// Takes errors in any order and tells them in that of the text.
    pub(crate) fn new(sources: Arc<Sources>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(Diagnostic::offset);
        Self { sources, list }
    }

    /// Trouble with the file as a whole.
    pub(crate) fn of_file(path: &str, message: String) -> Self {
        let sources = Arc::new(Sources::new(path, String::new()));
        Self {
            sources,
            list: vec![Diagnostic::elsewhere(message)],
        }
    }

    /// The errors one by one, for machines.
    pub fn items(&self) -> impl ExactSizeIterator<Item = ErrorItem> {
        self.list
            .iter()
            .map(|diagnostic| ErrorItem::new(diagnostic, &self.sources))
    }

    /// How many errors there are; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

/// Errors that are shown to a person: more scroll away, and a generated file can have them by the
/// ten thousand. Machines get all.
const SHOWN: usize = 100;

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.list.iter().take(SHOWN) {
            writeln!(f, "{}\n", diagnostic.render(&self.sources))?;
        }
        let more = self.list.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(
                f,
                "and {more} more: mend these first, or see all by `culvert check --json`\n"
            )?;
        }
        let errors = if self.list.len() == 1 {
            "error"
        } else {
            "errors"
        };
        let main = self.sources.main();
        let files: BTreeSet<&str> = self
            .list
            .iter()
            .map(|diagnostic| diagnostic.at.map_or(main, |at| self.sources.of(at)))
            .map(|source| &*source.path)
            .collect();
        match files.first() {
            Some(file) if files.len() == 1 => write!(f, "{file}: {} {errors}", self.list.len()),
            _ => write!(f, "{} {errors} in {} files", self.list.len(), files.len()),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// One error for machines.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ErrorItem {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the error is not in the text.
    pub line: u32,
    /// Column in characters, from 1; 0 when the error is not in the text.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What was expected; may be empty.
    pub expected: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Other places that have to do with it: `file:line:column: what`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl ErrorItem {
    fn new(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let place = diagnostic.at.map(|at| sources.place(at));
        Self {
            file: match &place {
                Some(place) => place.file.to_string(),
                None => sources.main().path.to_string(),
            },
            line: place.as_ref().map_or(0, |place| place.line),
            column: place.as_ref().map_or(0, |place| place.column),
            message: diagnostic.message.clone(),
            expected: diagnostic.expected.clone(),
            help: diagnostic.help.clone(),
            also: diagnostic
                .also
                .iter()
                .map(|(at, what)| format!("{}: {what}", sources.place(*at)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_to_what_is_around_the_mark() {
        let text = format!("{}x = ü{}", "ü ".repeat(1000), " ü".repeat(1000));
        let start = 3 * 1000;
        let sources = Arc::new(Sources::new("a.json", text));
        let wrong = Diagnostic::new(Span::new(start..start + 1), "no", "expected y");
        let told = ConfigErrors::new(sources, vec![wrong]).to_string();
        assert!(told.contains("a.json:1:2001"), "{told}");
        assert!(
            told.contains("x = ü") && told.contains("^ expected y"),
            "{told}"
        );
        assert!(told.len() < 1500, "{told}");
    }
}
