//! `Kind = "service-splitter"`

use super::fields::{inside, name, text};
use super::{Head, Scope, headers};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::ServiceSplitter;
use crate::mesh::entries::splitter::Split;

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ServiceSplitter {
    let mut splits = Vec::new();
    // A weight that cannot be read leaves a sum that means nothing.
    let mut readable = true;
    for table in reader.tables("splits") {
        splits.push(inside(reader, table, "a split", |reader| {
            let weight = weight(reader);
            readable &= weight.is_some();
            split(reader, weight.unwrap_or_default(), table.1, scope)
        }));
    }
    check(&splits, readable, reader);
    ServiceSplitter {
        service: head.service(),
        splits,
        meta: head.meta,
        at: head.at,
    }
}

fn split(reader: &mut Reader<'_, '_>, weight: u32, at: Span, scope: &Scope<'_>) -> Split {
    Split {
        weight,
        service: name(reader, "service"),
        subset: text(reader, "service_subset"),
        namespace: name(reader, "namespace"),
        partition: name(reader, "partition"),
        request_headers: headers::changes(reader, "request_headers"),
        response_headers: headers::changes(reader, "response_headers"),
        at: scope.place(at),
    }
}

fn check(splits: &[Split], readable: bool, reader: &mut Reader<'_, '_>) {
    if splits.is_empty() {
        if !reader.has("splits") {
            reader.missing("splits", "expected at least one: `splits { weight = 100 }`");
        }
        return;
    }
    let sum = sum(splits.iter().map(|split| split.weight));
    if readable && sum != u64::from(Split::WHOLE) {
        let message = format!("the weights of the splits are {} together", percent(sum));
        reader.complain(message, "expected 100");
    }
}

/// A file has room for more splits than 32 bits can sum.
fn sum(weights: impl Iterator<Item = u32>) -> u64 {
    weights.map(u64::from).sum()
}

/// The weight in hundredths; 0 where it is not given, as Consul has it.
fn weight(reader: &mut Reader<'_, '_>) -> Option<u32> {
    let Some((text, at)) = reader.text("weight") else {
        // What is there and no number is told already.
        return (!reader.has("weight")).then_some(0);
    };
    let weight = hundredths(&text);
    if weight.is_none() {
        let message = format!("{text} is no weight of a split");
        let expected = "expected a number from 0 to 100, in steps of .01";
        reader.error(Diagnostic::new(at, message, expected));
    }
    weight
}

/// Consul: 0, or .01 to 100; finer differences are rounded.
fn hundredths(text: &str) -> Option<u32> {
    let number: f64 = text.parse().ok()?;
    if !(0.0..=100.0).contains(&number) || (number > 0.0 && number < 0.01) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 10 000"
    )]
    Some((number * 100.0).round() as u32)
}

fn percent(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => (hundredths / 100).to_string(),
        rest => format!("{}.{rest:02}", hundredths / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_from_0_to_100_in_hundredths() {
        for wrong in ["", "x", "-1", "100.01", "0.001", "NaN", "inf"] {
            assert_eq!(hundredths(wrong), None, "{wrong:?}");
        }
        for (text, weight) in [("0", 0), ("0.01", 1), ("33.33", 3_333), ("1e2", 10_000)] {
            assert_eq!(hundredths(text), Some(weight), "{text}");
        }
        assert_eq!(percent(9_905), "99.05");
    }

    #[test]
    fn many_weights_do_not_come_round_to_100() {
        let weights = std::iter::repeat_n(10_000, 429_497);
        assert_eq!(sum(weights), 4_294_970_000);
    }
}
