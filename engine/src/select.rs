//! `select`: which of many descriptors are ready.
//!
//! A call collects what to watch ([`Selector::watch`]), waits
//! ([`Selector::wait`]) and reads the answer ([`Selector::ready`]).
//!
//! Short lists go to `poll`. A long one costs the kernel some 30 ns a descriptor
//! each time, so where a program keeps asking about long lists, a set is kept in
//! the kernel (`epoll`) from call to call, and only changes are told. It is kept
//! right without any help from the sockets:
//!
//! * Each descriptor has a serial number that is never used again, so a descriptor
//!   number that was closed and taken anew is seen as such and added again (the
//!   kernel has dropped the old one by itself).
//! * A descriptor that one of our sockets closes is forgotten at once ([`forget`]), in
//!   case another object has the same one.
//! * What is in the set but not in the list is taken out when it first shows up as
//!   ready, and the wait goes on. What cannot be taken out (the open file lives on
//!   in another process under a number we no longer have) makes us begin a new set.
//! * A forked child begins a set of its own.
//! * Descriptors of foreign objects have no serial number: with such a list, and
//!   with two entries of one descriptor in one direction, `poll` is used.

use std::time::{Duration, Instant};

use crate::connect::Progress;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::operation::{self, Direction};
use crate::stream::Stream;
use crate::sys::{self, Fd, PollFd};

/// One thing to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its descriptor.
    pub fd: Fd,
    /// What it is to the caller.
    pub index: u32,
    /// In which direction it is watched.
    pub direction: Direction,
    /// Whether it was found ready.
    pub ready: bool,
    /// See [`crate::socket::Socket::serial`]; 0 for foreign descriptors.
    serial: u64,
}

/// A `select` call, and what is kept between calls.
#[derive(Default)]
pub struct Selector {
    entries: Vec<Entry>,
    polled: Vec<PollFd>,
    foreign: bool,
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

    /// Watches `fd` no more: it is being closed.
    pub fn drop_fd(&mut self, fd: Fd) {
        self.entries.retain(|entry| entry.fd != fd);
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
            if polled.revents() & sys::POLLNVAL != 0 {
                return Err(Error::Os(sys::EBADF));
            }
            entry.ready = is_ready(entry.direction, polled.revents());
        }
        Ok(())
    }

    /// As [`Selector::poll`], stepping the connects among what is watched.
    fn poll_connecting(&mut self, list: &mut [Connecting<'_>], limit: Limit) -> Result<()> {
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
            let failed = connecting.stream.progress != Progress::Established;
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

    #[cfg(not(target_os = "linux"))]
    fn wait_kept(&mut self, _: Limit) -> Option<Result<()>> {
        None
    }

    /// Waits with the set in the kernel, if that is the way to go.
    #[cfg(target_os = "linux")]
    fn wait_kept(&mut self, limit: Limit) -> Option<Result<()>> {
        if self.entries.len() < LONG || self.foreign {
            return None;
        }
        kept::wait(&mut self.entries, limit)
    }
}

/// Tells that the open file of `fd` is being closed or replaced.
#[inline]
pub(crate) fn forget(fd: Fd) {
    #[cfg(target_os = "linux")]
    kept::forget(fd);
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}

fn is_ready(direction: Direction, revents: i16) -> bool {
    revents & (direction.events() | sys::POLLERR | sys::POLLHUP) != 0
}

/// The set in the kernel.
#[cfg(target_os = "linux")]
mod kept {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::interrupt;
    use crate::sys::epoll::{self, Epoll, Event};

    /// What is known of a descriptor number.
    #[derive(Clone, Copy, Default)]
    struct Slot {
        /// Which descriptor in time is in the set; 0 if none.
        serial: u64,
        /// The events it is in the set for.
        events: u32,
        /// The call that last listed it, and what for.
        call: u32,
        wanted: u32,
        /// Its entry in either direction in that call.
        entry: [u32; 2],
    }

    thread_local! {
        static KEPT: RefCell<Kept> = RefCell::new(Kept::default());
        /// Whether there is a set at all.
        static ACTIVE: Cell<bool> = const { Cell::new(false) };
    }

    /// See [`Kept::wait`].
    pub fn wait(entries: &mut [Entry], limit: Limit) -> Option<Result<()>> {
        KEPT.try_with(|kept| kept.borrow_mut().wait(entries, limit))
            .ok()
            .flatten()
    }

    /// See [`super::forget`].
    #[inline]
    pub fn forget(fd: Fd) {
        if ACTIVE.get() {
            let _ = KEPT.try_with(|kept| kept.borrow_mut().forget(fd));
        }
    }

    /// The set of this thread, for all its `select` calls.
    #[derive(Default)]
    struct Kept {
        set: Option<Epoll>,
        slots: Vec<Slot>,
        events: Vec<Event>,
        call: u32,
        /// Whether a long list was asked about before: only a second one shows that
        /// keeping a set may pay.
        asked: bool,
    }

    impl Kept {
        /// Waits for `entries`; `None` if this list is not for us.
        pub fn wait(&mut self, entries: &mut [Entry], limit: Limit) -> Option<Result<()>> {
            if !std::mem::replace(&mut self.asked, true) {
                return None;
            }
            if self.set.as_ref().is_none_or(|set| !set.is_ours()) {
                self.renew()?;
            }
            for _ in 0..2 {
                match self.list(entries) {
                    Listed::All => {}
                    Listed::Not => return None,
                    Listed::Failed(errno) => return Some(Err(Error::Os(errno))),
                }
                match self.poll(entries, limit) {
                    Some(found) => return Some(found),
                    None => self.renew()?,
                }
            }
            None
        }

        /// Begins a new, empty set.
        fn renew(&mut self) -> Option<()> {
            self.slots.clear();
            self.call = 0;
            // The old one goes first, so that its number is free for the new one.
            self.set = None;
            self.set = Epoll::new().ok();
            ACTIVE.set(self.set.is_some());
            self.set.as_ref().map(drop)
        }

        fn forget(&mut self, fd: Fd) {
            if let Some(slot) = self.slots.get_mut(fd as usize) {
                slot.serial = 0;
            }
        }

        /// Notes every entry, and tells the kernel what it does not know yet.
        fn list(&mut self, entries: &[Entry]) -> Listed {
            let Some(set) = &self.set else {
                return Listed::Not;
            };
            self.call = self.call.wrapping_add(1);
            for (index, entry) in entries.iter().enumerate() {
                let number = entry.fd as usize;
                if number >= self.slots.len() {
                    self.slots.resize(number + 1, Slot::default());
                }
                let slot = &mut self.slots[number];
                if slot.call != self.call {
                    slot.call = self.call;
                    slot.wanted = 0;
                }
                let event = event(entry.direction);
                let other = slot.wanted != 0 && slot.serial != entry.serial;
                if other || slot.wanted & event != 0 {
                    return Listed::Not;
                }
                slot.wanted |= event;
                slot.entry[entry.direction as usize] = index as u32;
                if (slot.serial != entry.serial || slot.events & event == 0)
                    && let Err(errno) = slot.tell(set, entry)
                {
                    // What cannot be in a set (a plain file) is always ready.
                    return if errno == epoll::EPERM {
                        Listed::Not
                    } else {
                        Listed::Failed(errno)
                    };
                }
            }
            Listed::All
        }

        /// Waits until an entry is ready. `None` if the set is spoilt.
        fn poll(&mut self, entries: &mut [Entry], limit: Limit) -> Option<Result<()>> {
            let timed = !matches!(limit, Limit::None | Limit::Now);
            let mut now = timed.then(Instant::now);
            let until = now.and_then(|now| limit.wake(now));
            self.events.clear();
            self.events.reserve(entries.len());
            loop {
                let left = match (until, now) {
                    (Some(until), Some(now)) => Some(until.saturating_duration_since(now)),
                    _ => limit.is_now().then_some(Duration::ZERO),
                };
                match self.set.as_ref()?.wait(&mut self.events, left) {
                    Ok(0) if left.is_some() => return Some(Err(Error::Timeout)),
                    Ok(_) => {
                        if self.read(entries)? {
                            return Some(Ok(()));
                        }
                    }
                    Err(sys::EINTR) if interrupt::requested() => {
                        return Some(Err(Error::Interrupted));
                    }
                    Err(sys::EINTR) => {}
                    Err(errno) => return Some(Err(Error::Os(errno))),
                }
                now = timed.then(Instant::now);
            }
        }

        /// Marks the entries that the events are for; whether there was one. Events
        /// for what is not listed are turned off. `None` if that cannot be done.
        fn read(&mut self, entries: &mut [Entry]) -> Option<bool> {
            let set = self.set.as_ref()?;
            let mut any = false;
            for event in &self.events {
                let (events, token) = (event.events, event.u64);
                let number = (token & u64::from(u32::MAX)) as usize;
                let slot = &mut self.slots[number];
                if slot.serial & u64::from(u32::MAX) != token >> 32 {
                    return None;
                }
                let wanted = if slot.call == self.call {
                    slot.wanted
                } else {
                    0
                };
                let mut hit = false;
                for direction in [Direction::Read, Direction::Write] {
                    let ready = self::event(direction) | ERROR;
                    if wanted & self::event(direction) != 0 && events & ready != 0 {
                        entries[slot.entry[direction as usize] as usize].ready = true;
                        hit = true;
                    }
                }
                any |= hit;
                if !hit {
                    slot.limit(set, number as Fd, wanted)?;
                }
            }
            Some(any)
        }
    }

    /// What came of telling the kernel about a list.
    enum Listed {
        All,
        /// It cannot be watched this way.
        Not,
        Failed(i32),
    }

    impl Slot {
        /// Puts `entry` into the set, beside what the same descriptor is in it for.
        fn tell(&mut self, set: &Epoll, entry: &Entry) -> sys::Result<()> {
            let token = entry.fd as u64 | entry.serial << 32;
            if self.serial == entry.serial {
                let events = self.events | event(entry.direction);
                match set.modify(entry.fd, events, token) {
                    Ok(()) => {
                        self.events = events;
                        return Ok(());
                    }
                    Err(sys::ENOENT) => {}
                    Err(errno) => return Err(errno),
                }
            }
            let events = event(entry.direction);
            match set.add(entry.fd, events, token) {
                Err(epoll::EEXIST) => set.modify(entry.fd, events, token)?,
                added => added?,
            }
            (self.serial, self.events) = (entry.serial, events);
            Ok(())
        }

        /// Leaves it in the set for `wanted` only. `None` if the kernel does not
        /// know it by this number any more.
        fn limit(&mut self, set: &Epoll, fd: Fd, wanted: u32) -> Option<()> {
            let token = fd as u64 | self.serial << 32;
            let told = match wanted {
                0 => set.delete(fd),
                wanted => set.modify(fd, wanted, token),
            };
            self.events = wanted;
            if wanted == 0 {
                self.serial = 0;
            }
            told.ok()
        }
    }

    fn event(direction: Direction) -> u32 {
        match direction {
            Direction::Read => epoll::EPOLLIN as u32,
            Direction::Write => epoll::EPOLLOUT as u32,
        }
    }

    const ERROR: u32 = (epoll::EPOLLERR | epoll::EPOLLHUP) as u32;
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
