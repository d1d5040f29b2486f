//! Counting results over the outputs of several test runners.
//!
//! Both runners end each run with one line for people. It is read here because their formats for
//! machines are not stable yet, and because everybody can check the count by eye.

use std::fmt;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    /// Adds what one line of output says; other lines change nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(counts) = summary(line) else { return };
        for count in counts.split([',', ';']) {
            let mut words = count.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u32>().ok());
            let (Some(number), Some(kind)) = (number, words.next()) else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" | "timed" | "exec" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Moves tests that returned early from the passed ones to the skipped ones.
    pub(crate) fn skip(&mut self, number: u32) {
        let moved = number.min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The counts in the last line of `cargo test` or `cargo nextest`, if this is such a line.
fn summary(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(result) = line.strip_prefix("test result: ") {
        return result.split_once(". ").map(|(_verdict, counts)| counts);
    }
    let after = line.strip_prefix("Summary [")?;
    [" tests run:", " test run:"]
        .iter()
        .find_map(|word| Some(after.split_once(word)?.1))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn lines_of_both_runners_add_up() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out");
        tally.read("     Summary [   1.130s] 8 tests run: 6 passed (1 slow), 2 failed, 1 skipped");
        tally.read("     Summary [   1.130s] 1 test run: 1 passed, 0 skipped");
        assert_eq!(
            tally,
            Tally {
                passed: 12,
                failed: 2,
                skipped: 3
            }
        );
    }

    #[test]
    fn a_test_that_hung_or_did_not_start_has_failed() {
        let mut tally = Tally::default();
        tally.read("Summary [ 9s] 4 tests run: 1 passed, 1 failed, 1 exec failed, 1 timed out");
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: 3,
                skipped: 0
            }
        );
    }

    #[test]
    fn other_lines_change_nothing() {
        let mut tally = Tally::default();
        tally.read("test it_passed ... ok");
        tally.read("3 passed");
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn a_skip_is_not_a_pass() {
        let mut tally = Tally {
            passed: 3,
            failed: 0,
            skipped: 1,
        };
        tally.skip(2);
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 3 skipped");
    }
}
