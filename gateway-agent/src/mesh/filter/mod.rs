//! The filter language of service subsets: from text to a question about one instance.
//!
//! text -> `parser` (a tree of clauses with places) -> `check` (each clause against the `schema`:
//! known selector, fitting operator, value of the right type) -> `Filter`. What comes out cannot
//! fail when it is asked. Consul: the language is go-bexpr 0.1.2 in every version, and a filter
//! that does not parse is refused when the entry is written, not later.
//!
//! Not here: where an instance keeps its fields; a [`Subject`] knows that.

use std::fmt;
use std::ops::Range;

mod check;
mod evaluate;
mod literal;
mod parser;
pub(crate) mod re2;
mod scan;
mod schema;
#[cfg(test)]
mod tests;

use check::Test;

/// Longest text of a filter: far above any written by hand, and it bounds every later step.
pub const MAX_LENGTH: usize = 8 * 1024;

/// A checked filter.
#[derive(Clone)]
pub struct Filter {
    text: String,
    tree: Tree<Test>,
}

impl Filter {
    /// Parses and checks a filter over service instances.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, with its place.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(
                FilterError::new(text, 0..text.len(), "the filter is too long")
                    .expected(format!("at most {MAX_LENGTH} bytes")),
            );
        }
        let tree = parser::parse(text)?.try_map(&mut |clause| check::check(text, clause))?;
        Ok(Self {
            text: text.to_owned(),
            tree,
        })
    }

    /// Whether the filter holds for `subject`.
    #[must_use]
    pub fn matches(&self, subject: &dyn Subject) -> bool {
        self.tree
            .holds(&|test: &Test| evaluate::holds(test, subject))
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a filter looks at: a tree of fields, named as in Consul's HTTP answers.
pub trait Subject {
    /// The field at `path`, such as `["Service", "Meta", "version"]`.
    ///
    /// Asked only for paths that the schema knows, and below a list of structs its items are
    /// asked for the rest of the path. `None` stands for a field that the subject does not keep:
    /// it then has its type's empty value, as an unset field has in Go.
    fn field(&self, path: &[&str]) -> Option<Field<'_>>;
}

/// The value of one field.
pub enum Field<'a> {
    /// A text, or a map's value that is one.
    Text(&'a str),
    /// A whole number.
    Number(i64),
    /// True or false.
    Bool(bool),
    /// A list of texts, such as tags.
    List(Vec<&'a str>),
    /// The keys of a map.
    Map(Vec<&'a str>),
    /// The path leads through a map's key that is not there.
    Absent,
    /// A list of structs, such as checks.
    Items(Vec<&'a dyn Subject>),
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Range of bytes in the text.
    pub at: Range<usize>,
    /// Column of its start, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right there; empty when there is nothing to say.
    pub expected: String,
}

impl FilterError {
    fn new(text: &str, at: Range<usize>, message: impl Into<String>) -> Self {
        let before = text.get(..at.start).unwrap_or(text);
        Self {
            column: before.chars().count() + 1,
            at,
            message: message.into(),
            expected: String::new(),
        }
    }

    fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.message, self.column)?;
        if self.expected.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.expected)
    }
}

impl std::error::Error for FilterError {}

/// `and`, `or` and `not` over leaves: clauses as they were written, or tests.
///
/// Chains are flat, so that only parentheses and `not` nest, and the parser bounds those.
#[derive(Clone, Debug)]
enum Tree<L> {
    Leaf(L),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl<L> Tree<L> {
    /// Replaces each leaf, in the order of the text.
    fn try_map<M, E>(self, with: &mut impl FnMut(L) -> Result<M, E>) -> Result<Tree<M>, E> {
        Ok(match self {
            Self::Leaf(leaf) => Tree::Leaf(with(leaf)?),
            Self::Not(inner) => Tree::Not(Box::new(inner.try_map(with)?)),
            Self::All(parts) => Tree::All(try_map_each(parts, with)?),
            Self::Any(parts) => Tree::Any(try_map_each(parts, with)?),
        })
    }

    fn holds(&self, leaf_holds: &impl Fn(&L) -> bool) -> bool {
        match self {
            Self::Leaf(leaf) => leaf_holds(leaf),
            Self::Not(inner) => !inner.holds(leaf_holds),
            Self::All(parts) => parts.iter().all(|part| part.holds(leaf_holds)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(leaf_holds)),
        }
    }
}

fn try_map_each<L, M, E>(
    parts: Vec<Tree<L>>,
    with: &mut impl FnMut(L) -> Result<M, E>,
) -> Result<Vec<Tree<M>>, E> {
    parts.into_iter().map(|part| part.try_map(with)).collect()
}
