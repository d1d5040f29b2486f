//! A shared value that knows at a glance that it has not changed.

use std::ops::Deref;
use std::sync::Arc;

/// An `Arc` that compares by pointer first and only then by value: a source that hands out the
/// same allocation again costs no deep comparison.
#[derive(Debug)]
pub(super) struct Held<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Held<T> {
    pub(super) fn of(value: &Arc<T>) -> Self {
        Self(Arc::clone(value))
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T: ?Sized> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl<T: ?Sized> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
