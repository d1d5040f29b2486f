//! Word to one task that there is something for it to look at.
//!
//! It is what `tokio::sync::Notify` is to a single listener, but waiting for it takes no memory of the
//! task's: that counts where every connection waits, for most of its life.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// Word for one listener; given again before it is taken, it is the same word.
#[derive(Debug, Default)]
pub struct Word {
    given: AtomicBool,
    listener: AtomicWaker,
}

impl Word {
    /// Has the listener look.
    pub fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.listener.wake();
    }

    /// Takes the word, or has the task woken by the next. The last task that asked is the listener.
    pub fn poll_take(&self, context: &Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.listener.register(context.waker());
        // It may have been given before there was anyone to be woken.
        if self.take() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn take(&self) -> bool {
        self.given.load(Ordering::Acquire) && self.given.swap(false, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::task::Waker;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_word_is_taken_once() {
        let word = Word::default();
        let context = Context::from_waker(Waker::noop());
        assert!(word.poll_take(&context).is_pending());
        word.give();
        word.give();
        assert!(word.poll_take(&context).is_ready());
        assert!(word.poll_take(&context).is_pending());
    }

    #[tokio::test]
    async fn a_word_wakes_who_waits_for_it() {
        let word = Arc::new(Word::default());
        let other = Arc::clone(&word);
        let waiting = tokio::spawn(async move {
            poll_fn(|context| other.poll_take(context)).await;
        });
        tokio::task::yield_now().await;
        word.give();
        waiting.await.unwrap();
    }
}
