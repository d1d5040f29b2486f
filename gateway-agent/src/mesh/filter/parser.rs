//! From text to a tree of clauses; names and types are not looked at here.
//!
//! The grammar, loosest first: `or`, `and`, `not`, then a clause or parentheses. White space must
//! stand around words, and may around `==` and `!=`. No word is reserved: a clause may ask for the
//! value `and`, and `not in Service.Tags` asks for the tag `not`. Consul: keywords are lower-case.

use std::ops::Range;

use super::scan::{Part, Scanner, Space, Value};
use super::{FilterError, Tree};

/// Deepest nesting of parentheses and `not`: no person writes it, and the stack holds it.
const MAX_NESTING: usize = 64;

/// `selector operator value`, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) selector: Vec<Part>,
    pub(super) operator: Operator,
    /// The other way round of the operator.
    pub(super) negated: bool,
    /// The operator's words.
    pub(super) operator_at: Range<usize>,
    /// Absent with `is empty`.
    pub(super) value: Option<Value>,
}

/// The four questions; each has a negated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equals,
    /// `value in selector`, `selector contains value`.
    Has,
    IsEmpty,
    Matches,
}

/// The operators in words that may follow a selector.
const FORMS: [(&[&str], Operator, bool, Space); 6] = [
    (&["is", "empty"], Operator::IsEmpty, false, Space::Before),
    (
        &["is", "not", "empty"],
        Operator::IsEmpty,
        true,
        Space::Before,
    ),
    (&["contains"], Operator::Has, false, Space::Both),
    (&["not", "contains"], Operator::Has, true, Space::Both),
    (&["matches"], Operator::Matches, false, Space::Both),
    (&["not", "matches"], Operator::Matches, true, Space::Both),
];

const OPERATORS: &str = "`==`, `!=`, `contains`, `matches`, `is empty`, or their `not` forms";

pub(super) fn parse(text: &str) -> Result<Tree<Clause>, FilterError> {
    let mut parser = Parser {
        scan: Scanner { text, at: 0 },
        depth: 0,
    };
    parser.scan.skip_space();
    let tree = parser.any()?;
    parser.scan.skip_space();
    if parser.scan.at < text.len() {
        return Err(parser.scan.junk());
    }
    Ok(tree)
}

struct Parser<'t> {
    scan: Scanner<'t>,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Tree<Clause>, FilterError> {
        let mut parts = vec![self.all()?];
        while self.scan.words(&["or"], Space::Both).is_some() {
            parts.push(self.all()?);
        }
        Ok(chain(parts, Tree::Any))
    }

    fn all(&mut self) -> Result<Tree<Clause>, FilterError> {
        let mut parts = vec![self.negation()?];
        while self.scan.words(&["and"], Space::Both).is_some() {
            parts.push(self.negation()?);
        }
        Ok(chain(parts, Tree::All))
    }

    fn negation(&mut self) -> Result<Tree<Clause>, FilterError> {
        let start = self.scan.at;
        if self.scan.words(&["not"], Space::After).is_none() {
            return self.primary();
        }
        self.enter(start)?;
        let inner = self.negation();
        self.depth -= 1;
        let error = match inner {
            Ok(inner) => return Ok(Tree::Not(Box::new(inner))),
            Err(error) => error,
        };
        // `not` may also have been the value of an `in`.
        self.scan.at = start;
        self.value_in_selector().map(Tree::Leaf).or(Err(error))
    }

    fn primary(&mut self) -> Result<Tree<Clause>, FilterError> {
        let start = self.scan.at;
        if !self.scan.symbol("(") {
            return self.clause().map(Tree::Leaf);
        }
        self.enter(start)?;
        self.scan.skip_space();
        let inner = self.any()?;
        self.scan.skip_space();
        if !self.scan.symbol(")") {
            return Err(if self.scan.at == self.scan.text.len() {
                self.scan.error(
                    start..start + 1,
                    "this parenthesis is not closed",
                    "a matching `)`",
                )
            } else {
                self.scan.junk()
            });
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn enter(&mut self, start: usize) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(self.scan.error(
                start..start + 1,
                "the filter nests too deep",
                format!("at most {MAX_NESTING} levels of parentheses and `not`"),
            ));
        }
        Ok(())
    }

    fn clause(&mut self) -> Result<Clause, FilterError> {
        let start = self.scan.at;
        if !self
            .scan
            .rest()
            .starts_with(|c: char| c.is_ascii_alphabetic())
        {
            return self.value_in_selector();
        }
        let selector = self.scan.selector()?;
        let after_selector = self.scan.at;
        if let Some((operator, negated, operator_at)) = self.operator() {
            let value = match operator {
                Operator::IsEmpty => None,
                _ => Some(self.scan.value()?),
            };
            return Ok(Clause {
                selector,
                operator,
                negated,
                operator_at,
                value,
            });
        }
        self.scan.at = start;
        self.value_in_selector().map_err(|error| {
            if error.at.start > after_selector {
                return error;
            }
            self.scan.error(
                start..after_selector,
                format!(
                    "`{}` has no operator",
                    &self.scan.text[start..after_selector]
                ),
                format!("a selector and then {OPERATORS}"),
            )
        })
    }

    /// Reads an operator that follows a selector. Leaves the place as it was when there is none.
    fn operator(&mut self) -> Option<(Operator, bool, Range<usize>)> {
        let before = self.scan.at;
        self.scan.skip_space();
        let start = self.scan.at;
        for (symbol, negated) in [("==", false), ("!=", true)] {
            if self.scan.symbol(symbol) {
                let at = start..self.scan.at;
                self.scan.skip_space();
                return Some((Operator::Equals, negated, at));
            }
        }
        self.scan.at = before;
        FORMS.iter().find_map(|(words, operator, negated, space)| {
            let at = self.scan.words(words, *space)?;
            Some((*operator, *negated, at))
        })
    }

    fn value_in_selector(&mut self) -> Result<Clause, FilterError> {
        let value = self.scan.value()?;
        let (negated, operator_at) = if let Some(at) = self.scan.words(&["in"], Space::Both) {
            (false, at)
        } else if let Some(at) = self.scan.words(&["not", "in"], Space::Both) {
            (true, at)
        } else {
            let at = self.scan.at..self.scan.end_of_word(self.scan.at);
            let message = "a value must be followed by `in` or `not in`";
            return Err(self.scan.error(at, message, "` in ` and a selector"));
        };
        let selector = self.scan.selector()?;
        Ok(Clause {
            selector,
            operator: Operator::Has,
            negated,
            operator_at,
            value: Some(value),
        })
    }
}

fn chain(mut parts: Vec<Tree<Clause>>, of: fn(Vec<Tree<Clause>>) -> Tree<Clause>) -> Tree<Clause> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            of(parts)
        }
    }
}
