//! Parser: recursive descent over the characters, with recovery.

use std::borrow::Cow;

use super::json;
use super::scan::Scanner;
use super::{Item, Spanned, Table, Value};
use crate::config::diagnostic::Diagnostic;
use crate::config::source::{Source, Span};

/// Reads a whole source. The tree holds what could be read beside the errors; there is none when
/// the text as a whole is no configuration.
pub(in crate::config) fn parse<'s>(
    source: &'s Source,
    errors: &mut Vec<Diagnostic>,
) -> Option<Table<'s>> {
    let Spanned { value, at } = parse_value(source, errors)?;
    match value {
        Value::Table(table) => Some(table),
        value => {
            let message = format!("the configuration is {}", value.kind());
            errors.push(Diagnostic::new(
                at,
                message,
                "expected an object: `{ ... }`",
            ));
            None
        }
    }
}

/// Reads a whole source that may be any value, if it is JSON. HCL is always a table.
pub(in crate::config) fn parse_value<'s>(
    source: &'s Source,
    errors: &mut Vec<Diagnostic>,
) -> Option<Spanned<Value<'s>>> {
    if source.is_json()
        && let Err(diagnostic) = json::check(source)
    {
        errors.push(diagnostic);
        return None;
    }
    let mut parser = Parser {
        scan: Scanner::new(source),
        errors,
        depth: 0,
    };
    if source.is_json() {
        parser.skip_space();
        return parser.value().ok();
    }
    let at = parser.scan.here();
    Some(Spanned {
        value: Value::Table(parser.items(None)),
        at,
    })
}

/// Deeper than any configuration; bounds the recursion.
const MOST_DEPTH: u32 = 32;

/// The depth after that error: it stays, and nothing further is read.
const GAVE_UP: u32 = u32::MAX;

struct Parser<'s, 'e> {
    scan: Scanner<'s>,
    errors: &'e mut Vec<Diagnostic>,
    depth: u32,
}

/// The rest of what is being read makes no sense; its error is noted.
struct Lost;

impl<'s> Parser<'s, '_> {
    /// Items up to the closing brace of the block that `open` opened, or to the end of the file.
    fn items(&mut self, open: Option<Span>) -> Table<'s> {
        let mut table = Table::default();
        loop {
            self.skip_space();
            match (self.scan.peek(), open) {
                (Some('}'), Some(_)) => {
                    self.scan.bump();
                    return table;
                }
                (None, Some(open)) => {
                    self.endless("a block does not end", "expected `}`", open);
                    return table;
                }
                (None, None) => return table,
                (Some(','), _) if !table.items.is_empty() => self.scan.bump(),
                _ => match self.item() {
                    Ok(item) => table.items.push(item),
                    Err(Lost) => self.recover(),
                },
            }
        }
    }

    /// One item. Without a name there is none; a value that cannot be read is noted as such, so
    /// that nobody takes it for missing.
    fn item(&mut self) -> Result<Item<'s>, Lost> {
        let key = self.name("a name, such as `route` or `listener`")?;
        let mut labels = Vec::new();
        let value = self
            .labels_and_value(&key, &mut labels)
            .unwrap_or_else(|Lost| {
                self.recover();
                Spanned {
                    value: Value::Broken,
                    at: key.at,
                }
            });
        Ok(Item { key, labels, value })
    }

    fn labels_and_value(
        &mut self,
        key: &Spanned<Cow<'s, str>>,
        labels: &mut Vec<Spanned<Cow<'s, str>>>,
    ) -> Result<Spanned<Value<'s>>, Lost> {
        loop {
            self.skip_space();
            match self.scan.peek() {
                Some('=' | ':') if labels.is_empty() => {
                    self.scan.bump();
                    self.skip_space();
                    let value = self.value()?;
                    self.refuse_operator()?;
                    return Ok(value);
                }
                Some('{') => return self.value(),
                Some('"') if self.scan.same_line() => labels.push(self.string()?),
                Some(c) if is_name_start(c) && self.scan.same_line() => {
                    labels.push(self.name("a label")?);
                }
                _ if labels.is_empty() => {
                    let message = format!("`{}` has no value", key.value);
                    return self.lost(key.at, message, "expected `=` and a value, or `{`");
                }
                _ => {
                    let at = self.scan.here();
                    let message = format!("the block `{}` has no body", key.value);
                    return self.lost(
                        at,
                        message,
                        "expected `{`; labels with dots stand in quotes",
                    );
                }
            }
        }
    }

    /// A key or label: bare or quoted.
    fn name(&mut self, expected: &str) -> Result<Spanned<Cow<'s, str>>, Lost> {
        match self.scan.peek() {
            Some('"') => self.string(),
            Some(c) if is_name_start(c) => {
                let (text, at) = self.scan.take_while(is_name);
                Ok(Spanned {
                    value: Cow::Borrowed(text),
                    at,
                })
            }
            found => {
                let at = self.scan.here();
                self.scan.bump();
                let message = match found {
                    Some(c) => format!("unexpected `{}`", c.escape_debug()),
                    None => "unexpected end of the file".to_owned(),
                };
                self.lost(at, message, format!("expected {expected}"))
            }
        }
    }

    fn value(&mut self) -> Result<Spanned<Value<'s>>, Lost> {
        let start = self.scan.here();
        match self.scan.peek() {
            // A string is passed to its end even when it is wrong: what follows still makes sense.
            Some('"') => Ok(match self.string() {
                Ok(text) => Spanned {
                    at: text.at,
                    value: Value::String(text.value),
                },
                Err(Lost) => Spanned {
                    at: start,
                    value: Value::Broken,
                },
            }),
            Some('[') => self.nested(Self::list),
            Some('{') => self.nested(|parser| {
                parser.scan.bump();
                Ok(Value::Table(parser.items(Some(start))))
            }),
            Some(c) if c.is_ascii_digit() || c == '-' => {
                let (text, at) = self
                    .scan
                    .take_while(|c| is_name(c) || matches!(c, '.' | '+' | '-'));
                // The grammar of numbers is JSON's.
                if serde_json::from_str::<serde_json::Number>(text).is_ok() {
                    return Ok(Spanned {
                        value: Value::Number(text),
                        at,
                    });
                }
                let message = format!("`{text}` is not a number");
                self.lost(at, message, "expected a number, or a string in quotes")
            }
            Some('<') => {
                self.scan.skip_here_document();
                self.lost(
                    start,
                    "here-documents are not read",
                    "write a string in quotes",
                )
            }
            Some(c) if is_name_start(c) => self.keyword(),
            _ => self.lost(
                start,
                "a value is missing",
                "expected a string, a number, a boolean, a list or an object",
            ),
        }
    }

    fn keyword(&mut self) -> Result<Spanned<Value<'s>>, Lost> {
        let (text, at) = self.scan.take_while(is_name);
        let value = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ if matches!(self.scan.peek(), Some('(' | '.' | '[')) => {
                return self.lost(at, EXPRESSION, WRITE_IT);
            }
            _ => {
                let message = format!("`{text}` is not a value");
                return self.lost(
                    at,
                    message,
                    "strings stand in quotes; variables are not read",
                );
            }
        };
        Ok(Spanned { value, at })
    }

    fn list(&mut self) -> Result<Value<'s>, Lost> {
        let open = self.scan.here();
        self.scan.bump();
        let mut list = Vec::new();
        loop {
            self.skip_space();
            match self.scan.peek() {
                Some(']') => {
                    self.scan.bump();
                    return Ok(Value::List(list));
                }
                None | Some('}' | '=') => return self.endless_list(open),
                _ => {}
            }
            list.push(self.value().unwrap_or_else(|Lost| {
                self.skip_to(|c| matches!(c, ',' | ']' | '}' | '\n'));
                Spanned {
                    value: Value::Broken,
                    at: open,
                }
            }));
            self.skip_space();
            match self.scan.peek() {
                Some(',') => self.scan.bump(),
                Some(']') | None => {}
                Some(c) if is_name_start(c) || c == '}' => return self.endless_list(open),
                Some(_) => {
                    self.refuse_operator()?;
                    let at = self.scan.here();
                    let message = "two values of a list are not separated";
                    self.errors
                        .push(Diagnostic::new(at, message, "expected `,` or `]`"));
                    // Not a value either: no progress would be made.
                    if !matches!(self.scan.peek(), Some('"' | '[' | '{' | '-' | '0'..='9')) {
                        self.scan.bump();
                    }
                }
            }
        }
    }

    fn endless_list(&mut self, open: Span) -> Result<Value<'s>, Lost> {
        self.endless("a list does not end", "expected `,` or `]`", open);
        Err(Lost)
    }

    fn endless(&mut self, message: &str, expected: &str, open: Span) {
        // Where the rest was given up, nothing ends.
        if self.depth <= MOST_DEPTH {
            let end = self.scan.here();
            self.errors
                .push(Diagnostic::new(end, message, expected).also(open, "it starts here"));
        }
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Value<'s>, Lost>,
    ) -> Result<Spanned<Value<'s>>, Lost> {
        let start = self.scan.here();
        if self.depth >= MOST_DEPTH {
            // Nothing behind this makes sense any more: one error, not one per brace.
            self.scan.skip_all();
            self.depth = GAVE_UP;
            return self.lost(start, "nested too deeply", "expected at most 32 levels");
        }
        self.depth += 1;
        let value = inner(self);
        if self.depth != GAVE_UP {
            self.depth -= 1;
        }
        Ok(Spanned {
            value: value?,
            at: self.scan.since(start),
        })
    }

    fn string(&mut self) -> Result<Spanned<Cow<'s, str>>, Lost> {
        self.scan.string().map_err(|diagnostic| {
            self.errors.push(diagnostic);
            Lost
        })
    }

    /// After a value, an operator would make it an expression.
    fn refuse_operator(&mut self) -> Result<(), Lost> {
        self.scan.skip_blanks();
        match self.scan.peek() {
            Some('+' | '-' | '*' | '%' | '?' | '<' | '>' | '!' | '&' | '|' | '(') => {
                let at = self.scan.here();
                self.lost(at, EXPRESSION, WRITE_IT)
            }
            _ => Ok(()),
        }
    }

    fn skip_space(&mut self) {
        if let Err(diagnostic) = self.scan.skip_space() {
            self.errors.push(diagnostic);
        }
    }

    fn lost<T>(
        &mut self,
        at: Span,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Result<T, Lost> {
        self.errors.push(Diagnostic::new(at, message, expected));
        Err(Lost)
    }

    /// Goes on at the next line, or at the end of this block, if that comes first.
    fn recover(&mut self) {
        self.skip_to(|c| matches!(c, '\n' | '}'));
    }

    /// Skips to a character that `stop` accepts, outside of strings and inner braces.
    fn skip_to(&mut self, stop: impl Fn(char) -> bool) {
        let mut inner: u32 = 0;
        while let Some(c) = self.scan.peek() {
            match c {
                _ if inner == 0 && stop(c) => return,
                '{' | '[' => inner += 1,
                '}' | ']' => inner = inner.saturating_sub(1),
                // What is wrong within a skipped string does not matter.
                '"' => {
                    drop(self.scan.string());
                    continue;
                }
                _ => {}
            }
            self.scan.bump();
        }
    }
}

const EXPRESSION: &str = "expressions are not evaluated";
const WRITE_IT: &str = "write the value itself";

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}
