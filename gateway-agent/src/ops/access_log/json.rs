//! The JSON form: one object a line, the same fields, `null` for what is not known.
//!
//! All but ASCII is written as `\u` escapes, and DEL too: readers get the same strings, and a
//! terminal shows nothing that a client chose beyond printable ASCII.

use std::io;

use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::fields::{Value, fields};
use crate::proxy::record::ConnectionRecord;

/// The line, without its line break.
pub(super) fn line(record: &ConnectionRecord) -> String {
    let mut line = Vec::with_capacity(768);
    let mut serializer = Serializer::with_formatter(&mut line, Ascii);
    let fields = fields(record);
    let written = serializer
        .serialize_map(Some(fields.len()))
        .and_then(|mut map| {
            for (key, value) in &fields {
                map.serialize_entry(key, value)?;
            }
            map.end()
        });
    written.expect("texts and numbers serialize into memory");
    String::from_utf8(line).expect("the formatter writes ASCII")
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

/// Compact, and ASCII only.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !(' '..='~').contains(&c)) {
            let (plain, odd) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut odd = odd.chars();
            if let Some(c) = odd.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = odd.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}
