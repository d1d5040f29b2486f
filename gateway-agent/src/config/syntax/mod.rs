//! Syntax: text -> tree of values, each with its place.
//!
//! One parser reads both languages. It takes the HCL that configuration is written in: blocks,
//! attributes, literals, lists and objects. As in Consul's HCL, separators between items are
//! optional, so several may stand on one line, and a block is the same as an object. JSON is
//! nearly a part of that grammar; what JSON does not allow is refused in it.
//!
//! Not here on purpose: expressions. A configuration that computes cannot be read by a person
//! under pressure; variables, functions and templates are errors that say so. That, places for
//! JSON, recovery after an error (all are told at once) and a hundred thousand routes in a
//! moment are why no general HCL library does it.

use std::borrow::Cow;

use super::source::Span;

mod json;
mod parser;
mod scan;

#[cfg(test)]
mod tests;

pub(super) use parser::{parse, parse_value};

/// Something and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) at: Span,
}

/// A value as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'s> {
    Null,
    Bool(bool),
    /// Its text, which is a number of JSON.
    Number(&'s str),
    String(Cow<'s, str>),
    List(Vec<Spanned<Self>>),
    Table(Table<'s>),
    /// Something that could not be read; its error is told.
    Broken,
}

impl Value<'_> {
    /// What it is, for "expected a string, found a list".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a block",
            Self::Broken => "unreadable",
        }
    }
}

/// A block's body or an object: items in order, keys not yet checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table<'s> {
    pub(super) items: Vec<Item<'s>>,
}

/// `key = value`, or `key "label" { ... }` with a table as its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item<'s> {
    pub(super) key: Spanned<Cow<'s, str>>,
    pub(super) labels: Vec<Spanned<Cow<'s, str>>>,
    pub(super) value: Spanned<Value<'s>>,
}
