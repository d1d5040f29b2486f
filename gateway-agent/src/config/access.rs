//! `allow` and `deny`, as listeners and routes have them.

use std::collections::HashMap;

use ipnet::IpNet;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::source::Span;
use super::value;
use crate::control::policy::Access;

/// Reads both lists. One prefix may stand once in them: twice would contradict or mislead.
pub(super) fn read(reader: &mut Reader<'_, '_>) -> Access {
    let allow = reader.parsed_list("allow", value::prefix);
    let deny = reader.parsed_list("deny", value::prefix);
    refuse_repeated(reader, allow.iter().chain(&deny));
    let prefixes =
        |list: &[(IpNet, Span)]| list.iter().map(|(prefix, _)| *prefix).collect::<Vec<_>>();
    Access::new(&prefixes(&allow), &prefixes(&deny))
}

/// Complains about prefixes that stand twice.
pub(super) fn refuse_repeated<'p>(
    reader: &mut Reader<'_, '_>,
    prefixes: impl Iterator<Item = &'p (IpNet, Span)>,
) {
    let mut first: HashMap<IpNet, Span> = HashMap::new();
    for &(prefix, at) in prefixes {
        if let Some(before) = first.insert(prefix, at) {
            let message = format!("the prefix {prefix} stands twice");
            reader.error(
                Diagnostic::new(at, message, "expected each prefix once, allowed or denied")
                    .also(before, "the first one"),
            );
        }
    }
}
