//! `select`: which of many descriptors are ready.
//!
//! A call collects what to watch ([`Selector::watch`]), waits
//! ([`Selector::wait`]) and reads the answer ([`Selector::ready`]).
//!
//! Short lists go to `poll`. A long one, where a program keeps asking about such, goes to a
//! set in the kernel, see `kept`.

use std::time::Instant;

use crate::connect::Progress;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::kept;
pub use crate::kept::Entry;
use crate::operation::{self, Direction};
use crate::stream::Stream;
use crate::sys::{self, Fd, PollFd};

/// A `select` call, and what is kept between calls.
#[derive(Default)]
pub struct Selector {
    entries: Vec<Entry>,
    polled: Vec<PollFd>,
    foreign: bool,
    /// Whether others run meanwhile, who may close what is watched.
    parked: bool,
    /// Whether they have.
    closed: bool,
}

/// A stream among what is watched that is still connecting.
pub struct Connecting<'a> {
    /// The stream.
    pub stream: &'a mut Stream,
    /// Where it is watched: what [`Selector::watch_connecting`] returned.
    pub places: [Option<usize>; 2],
}

/// From this length on a list is worth a set in the kernel.
const LONG: usize = 48;

impl Selector {
    /// Nothing to watch, nothing kept.
    pub fn new() -> Selector {
        Selector::default()
    }

    /// Begins a call.
    #[inline]
    pub fn begin(&mut self) {
        self.entries.clear();
        self.foreign = false;
        self.parked = false;
        self.closed = false;
    }

    /// From now on others run while the call waits. What they close is ready, as using it
    /// will not wait.
    pub fn park(&mut self) {
        self.parked = true;
    }

    /// Watches `fd` in `direction`; `index` is for the caller. `serial` is 0 for a
    /// descriptor that is not one of our sockets'.
    #[inline]
    pub fn watch(&mut self, fd: Fd, serial: u64, direction: Direction, index: u32) {
        self.foreign |= serial == 0;
        self.entries.push(Entry {
            fd,
            index,
            direction,
            ready: false,
            serial,
        });
    }

    /// Watches a stream that is still connecting; to be told in [`Connecting`] by
    /// the place that this returns.
    pub fn watch_connecting(&mut self, fd: Fd, direction: Direction, index: u32) -> usize {
        self.watch(fd, 0, direction, index);
        self.entries.len() - 1
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Waits until something is ready (`Ok(true)`) or the limit is over
    /// (`Ok(false)`). A connecting stream is ready, in both directions, when
    /// connecting has come to an end, well or not.
    pub fn wait(&mut self, connecting: &mut [Connecting<'_>], limit: Limit) -> Result<bool> {
        if self.entries.is_empty() && limit.is_now() {
            return Ok(false);
        }
        if self.closed {
            for entry in &mut self.entries {
                entry.ready = entry.fd == sys::INVALID;
            }
            return Ok(true);
        }
        let found = match self.wait_kept(limit) {
            Some(found) => found,
            None if connecting.is_empty() => self.poll(limit),
            None => self.poll_connecting(connecting, limit),
        };
        match found {
            Ok(()) => Ok(true),
            Err(Error::Timeout) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What to wait for before [`Selector::wait`] can find more: descriptors, and when to
    /// look again in any case.
    pub fn interest(
        &mut self,
        connecting: &mut [Connecting<'_>],
    ) -> (&mut [PollFd], Option<Instant>) {
        let wake = self.fill_connecting(connecting);
        (&mut self.polled, wake)
    }

    /// Notes that `fd` is being closed. What is connecting has its own way to tell: it
    /// may go on under the same number.
    pub fn closing(&mut self, fd: Fd, is_connecting: impl Fn(usize) -> bool) {
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if entry.fd == fd && !is_connecting(place) {
                entry.fd = sys::INVALID;
                self.closed = true;
            }
        }
    }

    /// What was found ready, in the order of watching.
    pub fn ready(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.ready)
    }

    fn poll(&mut self, limit: Limit) -> Result<()> {
        self.fill_polled();
        let wait = operation::poll(&mut self.polled, None, limit);
        wait.and_then(|_| self.read_polled())
    }

    fn fill_polled(&mut self) {
        self.polled.clear();
        let entries = self.entries.iter();
        self.polled
            .extend(entries.map(|entry| PollFd::new(entry.fd, entry.direction.events())));
    }

    fn read_polled(&mut self) -> Result<()> {
        for (entry, polled) in self.entries.iter_mut().zip(&self.polled) {
            let invalid = polled.revents() & sys::POLLNVAL != 0;
            if invalid && !self.parked {
                return Err(Error::Os(sys::EBADF));
            }
            entry.ready = invalid || is_ready(entry.direction, polled.revents());
        }
        Ok(())
    }

    /// As [`Selector::poll`], stepping the connects among what is watched.
    fn poll_connecting(&mut self, list: &mut [Connecting<'_>], limit: Limit) -> Result<()> {
        let mut late = false;
        loop {
            let over = self.advance(list);
            let limit = if over { Limit::Now } else { limit };
            let wake = self.fill_connecting(list);
            match operation::poll(&mut self.polled, wake, limit) {
                Err(Error::Timeout) if over => return Ok(()),
                polled => polled?,
            };
            let found: Vec<bool> = self.entries.iter().map(|entry| entry.ready).collect();
            self.read_polled()?;
            for (entry, found) in self.entries.iter_mut().zip(found) {
                entry.ready |= found;
            }
            if self.entries.iter().any(|entry| entry.ready) {
                return Ok(());
            }
            // What is ready in vain again and again must not outlast the limit.
            if std::mem::replace(&mut late, limit.is_over()) {
                return Err(Error::Timeout);
            }
        }
    }

    /// Steps all connects and marks those that are over; whether there is one. A stream
    /// that has connected is from then on polled like any other.
    fn advance(&mut self, list: &mut [Connecting<'_>]) -> bool {
        let mut over = false;
        for connecting in list {
            if !connecting.stream.advance_connect() {
                continue;
            }
            let progress = connecting.stream.progress;
            let failed = !matches!(progress, Progress::Established | Progress::Connected);
            for at in connecting.places.into_iter().flatten() {
                let entry = &mut self.entries[at];
                entry.fd = connecting.stream.socket.fd();
                entry.ready |= failed || entry.direction == Direction::Write;
                over |= entry.ready;
            }
        }
        over
    }

    /// Fills the list to poll: entries that are connecting are left out there, and
    /// what they wait for follows. Returns when a connect must be stepped anyway.
    fn fill_connecting(&mut self, list: &mut [Connecting<'_>]) -> Option<Instant> {
        self.fill_polled();
        let mut wake = None;
        for connecting in list.iter_mut().filter(|each| each.stream.connect.is_some()) {
            for at in connecting.places.into_iter().flatten() {
                self.polled[at] = PollFd::new(sys::INVALID, 0);
            }
            let next = connecting.stream.connect_interest(&mut self.polled);
            wake = [wake, next].into_iter().flatten().min();
        }
        wake
    }

    /// Waits with the set in the kernel, if that is the way to go.
    fn wait_kept(&mut self, limit: Limit) -> Option<Result<()>> {
        if self.entries.len() < LONG || self.foreign {
            return None;
        }
        kept::wait(&mut self.entries, limit)
    }
}

fn is_ready(direction: Direction, revents: i16) -> bool {
    revents & (direction.events() | sys::POLLERR | sys::POLLHUP) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair(Fd, Fd, u64);

    fn pairs(n: u64) -> Vec<Pair> {
        let pair = |serial| {
            let (a, b) = sys::socketpair().unwrap();
            Pair(a, b, serial)
        };
        (1..=n).map(pair).collect()
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            sys::close(self.0);
            sys::close(self.1);
        }
    }

    /// The indices found readable.
    fn select(selector: &mut Selector, pairs: &[Pair]) -> Vec<u32> {
        selector.begin();
        for (index, pair) in pairs.iter().enumerate() {
            selector.watch(pair.0, pair.2, Direction::Read, index as u32);
        }
        selector.wait(&mut [], Limit::Now).unwrap();
        selector.ready().map(|entry| entry.index).collect()
    }

    #[test]
    fn long_and_short_lists_find_the_same() {
        for n in [1, 10, 200] {
            let pairs = pairs(n);
            let mut selector = Selector::new();
            for _ in 0..3 {
                assert!(select(&mut selector, &pairs).is_empty());
            }
            sys::send(pairs[n as usize / 2].1, b"x").unwrap();
            for _ in 0..3 {
                assert_eq!(
                    select(&mut selector, &pairs),
                    [n as u32 / 2],
                    "level-triggered"
                );
            }
        }
    }

    #[test]
    fn what_is_not_listed_does_not_wake() {
        let mut pairs = pairs(100);
        let mut selector = Selector::new();
        for _ in 0..2 {
            select(&mut selector, &pairs);
        }
        let left_out = pairs.remove(7);
        sys::send(left_out.1, b"x").unwrap();
        assert!(select(&mut selector, &pairs).is_empty());
        pairs.push(left_out);
        assert_eq!(select(&mut selector, &pairs), [99]);
    }

    #[test]
    fn a_number_taken_anew_is_seen_as_such() {
        let mut pairs = pairs(100);
        let mut selector = Selector::new();
        for _ in 0..2 {
            select(&mut selector, &pairs);
        }
        // In one step: between two, another test might be given the number.
        let (a, b) = sys::socketpair().unwrap();
        sys::move_fd(a, pairs[50].0).unwrap();
        sys::close(std::mem::replace(&mut pairs[50].1, b));
        pairs[50].2 = 1000;
        sys::send(b, b"x").unwrap();
        assert_eq!(select(&mut selector, &pairs), [50]);
    }

    #[test]
    fn a_file_that_lives_on_elsewhere_does_no_harm() {
        let mut pairs = pairs(100);
        let mut selector = Selector::new();
        for _ in 0..2 {
            select(&mut selector, &pairs);
        }
        // As if a forked child held it: closed here, but the open file is ready.
        let gone = pairs.remove(3);
        let elsewhere = sys::dup(gone.0).unwrap();
        sys::send(gone.1, b"x").unwrap();
        drop(gone);
        assert!(select(&mut selector, &pairs).is_empty());
        sys::close(elsewhere);
    }
}
