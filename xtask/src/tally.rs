//! Counting tests, and reading the counts that a test file or cargo prints.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Tally {
    /// Reads `N passed, N failed, N skipped` from the last line of a test file's output.
    pub fn of_spec(output: &str) -> Option<Tally> {
        let line = output.lines().rev().find(|line| !line.trim().is_empty())?;
        let mut counts = line.trim().split(", ").map(|part| part.split_once(' '));
        let mut count = |word| match counts.next()?? {
            (number, name) if name == word => number.parse().ok(),
            _ => None,
        };
        let tally = Tally {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("skipped")?,
        };
        counts.next().is_none().then_some(tally)
    }

    /// Adds up the `test result:` lines of `cargo test`.
    pub fn of_cargo(output: &str) -> Tally {
        let mut sum = Tally::default();
        for line in output
            .lines()
            .filter(|line| line.starts_with("test result: "))
        {
            let words: Vec<&str> = line.split([' ', ';']).collect();
            let before = |word| {
                let at = words.iter().position(|w| *w == word);
                at.and_then(|at| words[at - 1].parse().ok()).unwrap_or(0)
            };
            sum += Tally {
                passed: before("passed"),
                failed: before("failed"),
                skipped: before("ignored"),
            };
        }
        sum
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    const TALLY: Tally = Tally {
        passed: 12,
        failed: 0,
        skipped: 3,
    };

    #[test]
    fn reads_the_closing_line_of_a_test_file() {
        assert_eq!(
            Tally::of_spec("ok 1\n12 passed, 0 failed, 3 skipped\n\n"),
            Some(TALLY)
        );
        assert_eq!(
            Tally::of_spec("12 passed, 0 failed, 3 skipped\nleft over\n"),
            None
        );
        assert_eq!(
            Tally::of_spec("12 passed, 0 failed, 3 skipped, 4 lost"),
            None
        );
        assert_eq!(Tally::of_spec("12 passed"), None);
        assert_eq!(Tally::of_spec(""), None);
    }

    #[test]
    fn adds_up_what_cargo_prints() {
        let line = "test result: ok. 6 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out";
        let other = "running 6 tests\ntest result: ok. 6 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(Tally::of_cargo(&format!("{line}\n{other}\n")), TALLY);
    }
}
