//! Reader: takes a table apart by name, and complains about what it does not know.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::diagnostic::Diagnostic;
use super::source::Span;
use super::syntax::{Item, Spanned, Table, Value};

/// Reads one block. Every `key` that is asked for becomes a known one; [`Reader::finish`]
/// refuses the others.
pub(super) struct Reader<'r, 's> {
    table: &'r Table<'s>,
    /// Where the block's name stands.
    at: Span,
    what: What<'r>,
    known: Vec<&'static str>,
    /// Whether `MeshGateway` and `mesh_gateway` are one key.
    folded: bool,
    errors: &'r mut Vec<Diagnostic>,
}

/// What a block is, for messages.
#[derive(Clone, Copy)]
pub(super) struct What<'r> {
    pub(super) kind: &'static str,
    pub(super) label: Option<&'r str>,
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label {
            Some(label) => write!(f, "{} \"{label}\"", self.kind),
            None => f.write_str(self.kind),
        }
    }
}

/// What is wrong with a value: the message's end, as in "`x` is not an address", and what was
/// expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) expected: String,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn at(self, at: Span) -> Diagnostic {
        Diagnostic::new(at, self.message, self.expected)
    }
}

impl<'r, 's> Reader<'r, 's> {
    pub(super) fn new(
        table: &'r Table<'s>,
        at: Span,
        what: What<'r>,
        errors: &'r mut Vec<Diagnostic>,
    ) -> Self {
        Self {
            table,
            at,
            what,
            known: Vec::with_capacity(16),
            folded: false,
            errors,
        }
    }

    /// A reader of Consul's own formats, whose keys ignore case and underscores. Keys are asked
    /// for in snake case.
    pub(super) fn folded(
        table: &'r Table<'s>,
        at: Span,
        what: What<'r>,
        errors: &'r mut Vec<Diagnostic>,
    ) -> Self {
        Self {
            folded: true,
            ..Self::new(table, at, what, errors)
        }
    }

    fn same(folded: bool, known: &str, key: &str) -> bool {
        if folded {
            fold(known).eq(fold(key))
        } else {
            known == key
        }
    }

    /// Refuses every key that was not asked for.
    pub(super) fn finish(self) {
        for item in &self.table.items {
            let key = &*item.key.value;
            if !self
                .known
                .iter()
                .any(|known| Self::same(self.folded, known, key))
            {
                let message = format!("{} has no setting `{key}`", self.what);
                let expected = format!("known: {}", self.known.join(", "));
                self.errors.push(
                    Diagnostic::new(item.key.at, message, expected)
                        .nearest(key, self.known.iter().copied()),
                );
            }
        }
    }

    /// Where the block's name stands.
    pub(super) fn at(&self) -> Span {
        self.at
    }

    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    pub(super) fn errors(&mut self) -> &mut Vec<Diagnostic> {
        self.errors
    }

    /// Complains that the block lacks something.
    pub(super) fn missing(&mut self, what: &str, expected: &str) {
        let message = format!("{} has no {what}", self.what);
        self.errors
            .push(Diagnostic::new(self.at, message, expected));
    }

    /// Complains about the block as a whole.
    pub(super) fn complain(&mut self, message: String, expected: &str) {
        self.errors
            .push(Diagnostic::new(self.at, message, expected));
    }

    /// Every item of this name.
    pub(super) fn all(
        &mut self,
        key: &'static str,
    ) -> impl Iterator<Item = &'r Item<'s>> + use<'r, 's> {
        let folded = self.folded;
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table
            .items
            .iter()
            .filter(move |item| Self::same(folded, key, &item.key.value))
    }

    /// The item of this name, which may stand once and has no label.
    pub(super) fn one(&mut self, key: &'static str) -> Option<&'r Item<'s>> {
        let mut items = self.all(key);
        let first = items.next()?;
        for again in items {
            let message = format!("`{key}` stands twice in {}", self.what);
            self.errors.push(
                Diagnostic::new(again.key.at, message, "expected once")
                    .also(first.key.at, "the first one"),
            );
        }
        if let Some(label) = first.labels.first() {
            let message = format!("`{key}` has no label");
            self.errors
                .push(Diagnostic::new(label.at, message, "expected `=` or `{`"));
        }
        Some(first)
    }

    /// The value of this name, if it is given.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'r Spanned<Value<'s>>> {
        self.one(key).map(|item| &item.value)
    }

    /// Whether the name is given at all, readable or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table
            .items
            .iter()
            .any(|item| Self::same(self.folded, key, &item.key.value))
    }

    /// The table of this name, if it is given.
    pub(super) fn table(&mut self, key: &'static str) -> Option<(&'r Table<'s>, Span)> {
        let item = self.one(key)?;
        match &item.value.value {
            Value::Table(table) => Some((table, item.key.at)),
            _ => self.unexpected(&item.value, key, "a block: `{ ... }`"),
        }
    }

    /// The string of this name, if it is given.
    pub(super) fn string(&mut self, key: &'static str) -> Option<(&'r str, Span)> {
        let value = self.value(key)?;
        self.as_string(value, key)
    }

    /// The string of this name, parsed.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (text, at) = self.string(key)?;
        self.keep(parse(text), at)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let (text, at) = self.string(key)?;
        self.as_word(text, at, key, words)
    }

    pub(super) fn as_word<T: Copy>(
        &mut self,
        text: &str,
        at: Span,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let diagnostic = Diagnostic::new(
            at,
            format!("`{text}` is no value of `{key}`"),
            format!("expected one of: {}", known.join(", ")),
        );
        self.errors
            .push(diagnostic.nearest(text, known.into_iter()));
        None
    }

    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.value {
            Value::Bool(value) => Some(value),
            _ => self.unexpected(value, key, "true or false"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, key: &'static str, within: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let expected = format!("a whole number from {} to {}", within.start(), within.end());
        let value = self.value(key)?;
        let Value::Number(text) = value.value else {
            return self.unexpected(value, key, &expected);
        };
        let number = text.parse().ok().filter(|number| within.contains(number));
        let wrong = || {
            Wrong::new(
                format!("{text} is out of range for `{key}`"),
                format!("expected {expected}"),
            )
        };
        self.keep(number.ok_or_else(wrong), value.at)
    }

    /// The values of a list; one value without brackets is a list of one.
    pub(super) fn list(&mut self, key: &'static str) -> &'r [Spanned<Value<'s>>] {
        match self.value(key) {
            Some(Spanned {
                value: Value::List(list),
                ..
            }) => list,
            Some(value) => std::slice::from_ref(value),
            None => &[],
        }
    }

    /// The strings of a list, each parsed, with their places.
    pub(super) fn parsed_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<(T, Span)> {
        let mut parsed = Vec::new();
        for value in self.list(key) {
            if let Some((text, at)) = self.as_string(value, key)
                && let Some(one) = self.keep(parse(text), at)
            {
                parsed.push((one, at));
            }
        }
        parsed
    }

    pub(super) fn as_string(
        &mut self,
        value: &'r Spanned<Value<'s>>,
        key: &str,
    ) -> Option<(&'r str, Span)> {
        match &value.value {
            Value::String(text) => Some((text, value.at)),
            _ => self.unexpected(value, key, "a string in quotes"),
        }
    }

    /// Complains about a value of the wrong kind.
    pub(super) fn unexpected<T>(
        &mut self,
        value: &Spanned<Value<'_>>,
        key: &str,
        expected: &str,
    ) -> Option<T> {
        // Its error is told already.
        if value.value != Value::Broken {
            let message = format!("`{key}` is {}", value.value.kind());
            self.errors.push(Diagnostic::new(
                value.at,
                message,
                format!("expected {expected}"),
            ));
        }
        None
    }

    /// The value, or `None` after noting what is wrong with it.
    pub(super) fn keep<T>(&mut self, result: Result<T, Wrong>, at: Span) -> Option<T> {
        result.map_err(|wrong| self.errors.push(wrong.at(at))).ok()
    }
}

/// A key without what does not count in Consul's formats.
fn fold(key: &str) -> impl Iterator<Item = u8> {
    key.bytes()
        .filter(|&byte| byte != b'_')
        .map(|byte| byte.to_ascii_lowercase())
}
