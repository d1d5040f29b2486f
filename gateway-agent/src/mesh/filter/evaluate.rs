//! One checked test against one subject.
//!
//! Consul: over a list of structs a test, a negated one too, holds if it holds for any item; so
//! over an empty list it never holds. With an absent map key, `==`, `contains`, `in` and `is not
//! empty` do not hold and every other operator does, `matches` included.

use super::check::{Question, Test};
use super::{Field, Subject};

pub(super) fn holds(test: &Test, subject: &dyn Subject) -> bool {
    let Some(below) = &test.in_items else {
        return answer(test, field(subject, &test.path));
    };
    match field(subject, &test.path) {
        Some(Field::Items(items)) => items
            .into_iter()
            .any(|item| answer(test, field(item, below))),
        _ => false,
    }
}

fn field<'s>(subject: &'s dyn Subject, path: &[String]) -> Option<Field<'s>> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    subject.field(&path)
}

fn answer(test: &Test, field: Option<Field<'_>>) -> bool {
    if matches!(field, Some(Field::Absent)) {
        return match test.question {
            Question::IsText(_)
            | Question::IsNumber(_)
            | Question::IsBool(_)
            | Question::Contains(_)
            | Question::Has(_) => test.negated,
            Question::IsEmpty => !test.negated,
            Question::Matches(_) => true,
        };
    }
    asked(&test.question, field) != test.negated
}

fn asked(question: &Question, field: Option<Field<'_>>) -> bool {
    match (question, field) {
        (Question::IsText(wanted), Some(Field::Text(text))) => text == wanted,
        (Question::IsNumber(wanted), Some(Field::Number(number))) => number == *wanted,
        (Question::IsBool(wanted), Some(Field::Bool(value))) => value == *wanted,
        (Question::Contains(wanted), Some(Field::Text(text))) => text.contains(wanted.as_str()),
        (Question::Has(wanted), Some(Field::List(items) | Field::Map(items))) => {
            items.contains(&wanted.as_str())
        }
        (Question::IsEmpty, Some(Field::Text(text))) => text.is_empty(),
        (Question::IsEmpty, Some(Field::List(items) | Field::Map(items))) => items.is_empty(),
        (Question::IsEmpty, Some(Field::Items(items))) => items.is_empty(),
        (Question::Matches(pattern), Some(Field::Text(text))) => pattern.is_match(text.as_bytes()),
        // Not kept by the subject: the empty value of its type.
        (Question::IsText(wanted) | Question::Contains(wanted), None) => wanted.is_empty(),
        (Question::IsNumber(wanted), None) => *wanted == 0,
        (Question::IsBool(wanted), None) => !wanted,
        (Question::Has(_), None) => false,
        (Question::IsEmpty, None) => true,
        (Question::Matches(pattern), None) => pattern.is_match(b""),
        // A field of another type than the schema's: nothing can be said of it.
        (_, Some(_)) => false,
    }
}
