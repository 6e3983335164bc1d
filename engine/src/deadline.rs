//! From LuaSocket's two timeouts to one limit for a call.
//!
//! An object has a *block* and a *total* timeout (`except-and-timeouts.md`
//! part B). At the entry of a call they become a [`Limit`], which is then handed
//! down; nothing below measures durations again.

use std::time::{Duration, Instant};

use crate::clock;

/// The two timeouts of an object, in seconds; negative means none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// Bound of a wait; alone it bounds the whole call, as users expect.
    pub block: f64,
    /// Bound of a whole call.
    pub total: f64,
}

impl Timeouts {
    /// No bound, the state of a new object.
    pub const NONE: Timeouts = Timeouts {
        block: -1.0,
        total: -1.0,
    };

    /// The limit of a call that starts now. Reads the clock only if it must.
    pub fn begin(&self) -> Limit {
        if self.block < 0.0 && self.total < 0.0 {
            return Limit::None;
        }
        match (bound(self.block), bound(self.total)) {
            (None, None) => Limit::None,
            (Some(Duration::ZERO), _) => Limit::Now,
            // As in LuaSocket this one forbids no look at what is ready by now: a connection
            // to this very machine is made at once.
            (_, Some(Duration::ZERO)) => Limit::Until(clock::now()),
            (Some(only), None) | (None, Some(only)) => Limit::Until(clock::now() + only),
            (Some(each), Some(total)) => Limit::Each {
                each,
                until: clock::now() + total,
            },
        }
    }
}

/// `seconds` as a bound. Negative values, NaN and what exceeds [`FOREVER`]
/// (infinity included) are none.
pub fn bound(seconds: f64) -> Option<Duration> {
    if (0.0..FOREVER).contains(&seconds) {
        Some(Duration::from_secs_f64(seconds))
    } else {
        None
    }
}

/// From here on, in seconds, a timeout is none; some 24 days, where LuaSocket's
/// millisecond count overflows.
pub const FOREVER: f64 = 2_147_483.0;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// For ever.
    None,
    /// Not at all: one try.
    Now,
    /// Until this instant.
    Until(Instant),
    /// At most `each` in one wait, and until `until` in all.
    Each {
        /// Bound of a single wait.
        each: Duration,
        /// Bound of all waits.
        until: Instant,
    },
}

impl Limit {
    /// The limit of a call that may take `seconds` (see [`bound`]) from now.
    pub fn after(seconds: f64) -> Limit {
        Timeouts {
            block: seconds,
            total: -1.0,
        }
        .begin()
    }

    /// The instant at which a wait that begins at `now` must end, if any.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        match *self {
            Limit::None => None,
            Limit::Now => Some(now),
            Limit::Until(until) => Some(until),
            Limit::Each { each, until } => Some(until.min(now + each)),
        }
    }

    /// The limit of a wait that begins now.
    pub fn of_one_wait(&self) -> Limit {
        match *self {
            Limit::Each { each, until } => Limit::Until(until.min(clock::now() + each)),
            limit => limit,
        }
    }

    /// Whether the time is over; a bound of single waits does not count.
    pub fn is_over(&self) -> bool {
        match *self {
            Limit::None => false,
            Limit::Now => true,
            Limit::Until(until) | Limit::Each { until, .. } => until <= clock::now(),
        }
    }

    /// Whether the call may not wait at all.
    pub fn is_now(&self) -> bool {
        matches!(self, Limit::Now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(block: f64, total: f64) -> Limit {
        Timeouts { block, total }.begin()
    }

    #[test]
    fn no_timeout_is_no_limit() {
        for none in [-1.0, -0.001, f64::NAN, f64::INFINITY, 1e300, FOREVER] {
            assert_eq!(begin(none, -1.0), Limit::None, "{none}");
            assert_eq!(begin(-1.0, none), Limit::None, "{none}");
        }
    }

    #[test]
    fn zero_per_wait_is_one_try_and_zero_in_all_is_one_look() {
        assert_eq!(begin(0.0, -1.0), Limit::Now);
        assert_eq!(begin(0.0, 5.0), Limit::Now);
        assert_eq!(begin(0.0, 0.0), Limit::Now);
        for total in [begin(-1.0, 0.0), begin(5.0, 0.0)] {
            assert!(matches!(total, Limit::Until(_)) && total.is_over());
        }
    }

    #[test]
    fn one_timeout_is_a_deadline_two_bound_each_wait() {
        let now = Instant::now();
        let Limit::Until(until) = begin(5.0, -1.0) else {
            panic!("a deadline")
        };
        assert!(until >= now + Duration::from_secs(5));
        let each = begin(1.0, 5.0);
        let later = Instant::now();
        assert_eq!(each.wake(later), Some(later + Duration::from_secs(1)));
        let late = later + Duration::from_millis(4500);
        assert!(each.wake(late).unwrap() < late + Duration::from_secs(1));
    }
}
