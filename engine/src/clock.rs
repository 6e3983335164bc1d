//! The time as waits read it. Tests can set it.

#[cfg(test)]
use std::cell::Cell;
use std::time::Instant;

/// What the clock shows.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
thread_local! {
    static SET: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What the clock shows: what it was set to in this thread, or the time.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    SET.get().unwrap_or_else(Instant::now)
}

/// Stops the clock at an instant.
#[cfg(test)]
pub(crate) fn set(at: Instant) {
    SET.set(Some(at));
}
