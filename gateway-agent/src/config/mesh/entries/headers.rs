//! `request_headers { ... }`, `response_headers { ... }`

use super::fields::{block, texts};
use crate::config::reader::Reader;
use crate::mesh::entries::headers::HeaderChanges;

/// Changes to the headers of a request or an answer.
pub(super) fn changes(reader: &mut Reader<'_, '_>, key: &'static str) -> HeaderChanges {
    let changes = block(reader, key, |reader| HeaderChanges {
        add: reader.text_map("add"),
        set: reader.text_map("set"),
        remove: texts(reader, "remove"),
    });
    changes.unwrap_or_default()
}
