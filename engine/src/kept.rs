//! A set of descriptors that the kernel keeps for `select` from call to call.
//!
//! A long list costs the kernel some 30 ns a descriptor each time, so where a program
//! keeps asking about long lists, a set is kept in the kernel (`epoll`) from call to call,
//! and only changes are told. It is kept right as follows:
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

use crate::deadline::Limit;
use crate::error::Result;
use crate::operation::Direction;
use crate::sys::Fd;

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
    pub(crate) serial: u64,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{forget, wait};

/// Where the kernel keeps no such set.
#[cfg(not(target_os = "linux"))]
pub(crate) fn wait(_: &mut [Entry], _: Limit) -> Option<Result<()>> {
    None
}

/// There is nothing to forget.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forget(_: Fd) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::{Cell, RefCell};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::error::Error;
    use crate::interrupt;
    use crate::sys;
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
