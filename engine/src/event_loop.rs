//! Many operations at once: the scheduled driver.
//!
//! An operation that would wait is parked here. The loop completes it: when a descriptor
//! becomes ready it steps the operation until that is done, has failed or is past its
//! deadline, and only then tells its owner. A descriptor is registered with the kernel
//! once, edge-triggered, for both directions; after that, waiting costs no system call.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest as Interests, Poll, Token};

use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::operation::{Direction, Interest};
use crate::sys::{self, Fd};
use crate::timers::{Timers, Waiter};

/// An operation with all that belongs to it, in a form in which it can be kept.
pub trait Parked {
    /// Goes as far as it can without waiting; whether it is done.
    fn step(&mut self) -> bool;

    /// What the last step waits for.
    fn interest(&mut self) -> (Interest<'_>, Known);

    /// A loop is told from now on of the edges of the descriptor it waits for.
    fn watched(&mut self) {}

    /// There was an edge; with `hangup`, one that is the last.
    fn edge(&mut self, _hangup: bool) {}

    /// Ends it for the reason `why`.
    fn give_up(&mut self, why: Error);

    /// A descriptor that it may watch is being closed.
    fn closing(&mut self, _: Fd) {}
}

/// What is known of a descriptor that an operation waits for.
#[derive(Clone, Copy, Default)]
pub struct Known {
    /// Its serial number if it is one of our sockets'; 0 if not.
    pub serial: u64,
    /// Whether the last step has not asked the kernel, because the descriptor was known to
    /// be empty: an edge since then counts.
    pub unasked: bool,
}

/// Why a parked operation was handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is done, or its own time was over.
    Done,
    /// The instant `until` has come.
    Until,
}

struct Entry<J> {
    job: J,
    limit: Limit,
    /// When the limit is over, for the present wait.
    due: Option<Instant>,
    /// When the owner wants it back in any case.
    until: Option<Instant>,
    /// Whether it is over, and only waits to be taken.
    over: bool,
}

/// Operations that wait, each under the number of its owner.
pub struct EventLoop<J> {
    poll: Poll,
    events: Events,
    slots: Vec<Slot>,
    timers: Timers,
    parked: Vec<Option<Entry<J>>>,
    /// Those whose step may lead on.
    woken: VecDeque<(Waiter, Wake)>,
}

/// Why a step may lead on.
#[derive(Clone, Copy, PartialEq)]
enum Wake {
    /// There was an edge.
    Edge,
    /// There was one, and there will be no other.
    Hangup,
    /// Its deadline has come: the last look before giving up is a real one.
    Time,
    /// Something else.
    Other,
}

/// What is known of a descriptor number.
#[derive(Default)]
struct Slot {
    /// The descriptor in time that is registered; 0 if none is known to be.
    serial: u64,
    waiters: Vec<(Direction, Waiter)>,
    /// Whether there was an edge to read that woke nobody.
    pending: bool,
    /// Whether the end of the stream was told.
    hangup: bool,
}

thread_local! {
    /// Descriptors closed since the loop last looked, while there is one in this thread.
    static CLOSING: RefCell<Vec<Fd>> = const { RefCell::new(Vec::new()) };
    static LOOPS: Cell<u32> = const { Cell::new(0) };
}

/// Tells the loop of this thread, if any, that the open file of `fd` is being closed.
#[inline]
pub(crate) fn closing(fd: Fd) {
    if LOOPS.get() > 0 {
        let _ = CLOSING.try_with(|closing| closing.borrow_mut().push(fd));
    }
}

impl<J: Parked> EventLoop<J> {
    /// A loop without operations.
    pub fn new() -> Result<EventLoop<J>> {
        let poll = Poll::new().map_err(io)?;
        LOOPS.set(LOOPS.get() + 1);
        Ok(EventLoop {
            poll,
            events: Events::with_capacity(512),
            slots: Vec::new(),
            timers: Timers::default(),
            parked: Vec::new(),
            woken: VecDeque::new(),
        })
    }

    /// A descriptor that is readable when the next turn finds something ready. Deadlines
    /// do not make it so.
    pub fn fd(&self) -> Fd {
        std::os::fd::AsRawFd::as_raw_fd(&self.poll)
    }

    /// Parks `job` for `owner`, who has no other. Its last step waits. It is handed back
    /// by [`EventLoop::next_over`] when it is done or has exceeded `limit`, or, undone, at
    /// `until`.
    pub fn park(&mut self, owner: Waiter, job: J, limit: Limit, until: Option<Instant>) {
        if owner as usize >= self.parked.len() {
            self.parked.resize_with(owner as usize + 1, || None);
        }
        self.parked[owner as usize] = Some(Entry {
            job,
            limit,
            due: None,
            until,
            over: false,
        });
        self.await_job(owner);
    }

    /// The job of `owner`, taken away.
    pub fn take(&mut self, owner: Waiter) -> Option<J> {
        self.timers.set(owner, None);
        self.parked
            .get_mut(owner as usize)?
            .take()
            .map(|entry| entry.job)
    }

    /// The job of `owner`, if it has one.
    pub fn job(&mut self, owner: Waiter) -> Option<&mut J> {
        self.parked
            .get_mut(owner as usize)?
            .as_mut()
            .map(|entry| &mut entry.job)
    }

    /// Has the job of `owner` stepped in the next turn.
    pub fn wake(&mut self, owner: Waiter) {
        self.woken.push_back((owner, Wake::Other));
    }

    /// How many deadlines are running.
    pub fn deadlines(&self) -> usize {
        self.timers.len()
    }

    /// Waits at most `wait` (`None`: as long as it takes) until an operation can go on. Then
    /// [`EventLoop::next_over`] tells which are over.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<()> {
        self.hear_closing();
        let wait = if self.woken.is_empty() {
            wait
        } else {
            Some(Duration::ZERO)
        };
        let waited = self.poll(wait);
        self.hear_closing();
        self.expire();
        waited
    }

    /// Steps operations that can go on, until one is over. One by one, so that what an
    /// operation has found is still at hand when its owner goes on.
    pub fn next_over(&mut self) -> Option<(Waiter, Over)> {
        while let Some((owner, why)) = self.woken.pop_front() {
            if let Some(over) = self.step(owner, why) {
                return Some((owner, over));
            }
        }
        None
    }

    fn step(&mut self, owner: Waiter, why: Wake) -> Option<Over> {
        let entry = self.parked.get_mut(owner as usize)?.as_mut()?;
        if entry.over {
            return None;
        }
        if why != Wake::Other {
            entry.job.edge(why == Wake::Hangup);
        }
        let come = |at: Option<Instant>, now| at.is_some_and(|at| at <= now);
        let now = (why == Wake::Time).then(Instant::now);
        let over = if now.is_some_and(|now| come(entry.until, now)) {
            Over::Until
        } else if entry.job.step() {
            Over::Done
        } else if now.is_some_and(|now| come(entry.due, now)) {
            entry.job.give_up(Error::Timeout);
            Over::Done
        } else {
            self.await_job(owner);
            return None;
        };
        entry.over = true;
        Some(over)
    }

    fn poll(&mut self, wait: Option<Duration>) -> Result<()> {
        let next = self.timers.next();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()));
        let timeout = match (wait, left) {
            (Some(wait), Some(left)) => Some(wait.min(left)),
            (wait, left) => wait.or(left),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return if interrupt::requested() {
                    Err(Error::Interrupted)
                } else {
                    Ok(())
                };
            }
            Err(error) => return Err(io(error)),
        }
        for event in &self.events {
            let Some(slot) = self.slots.get_mut(event.token().0) else {
                continue;
            };
            let failed = event.is_error();
            let read = failed || event.is_readable() || event.is_read_closed();
            let write = failed || event.is_writable() || event.is_write_closed();
            slot.hangup |= failed || event.is_read_closed();
            slot.pending |= read;
            let why = if slot.hangup {
                Wake::Hangup
            } else {
                Wake::Edge
            };
            slot.waiters.retain(|(direction, waiter)| {
                let ready = if *direction == Direction::Read {
                    slot.pending &= !read;
                    read
                } else {
                    write
                };
                if ready {
                    self.woken.push_back((*waiter, why));
                }
                !ready
            });
        }
        Ok(())
    }

    /// Wakes those who wait for descriptors that were closed.
    fn hear_closing(&mut self) {
        let closed = CLOSING.try_with(|closing| std::mem::take(&mut *closing.borrow_mut()));
        for fd in closed.unwrap_or_default() {
            let Some(slot) = self.slots.get_mut(fd as usize) else {
                continue;
            };
            slot.serial = 0;
            for (_, waiter) in std::mem::take(&mut slot.waiters) {
                if let Some(Some(entry)) = self.parked.get_mut(waiter as usize) {
                    entry.job.closing(fd);
                    self.woken.push_back((waiter, Wake::Hangup));
                }
            }
        }
    }

    /// Wakes those whose deadline has come.
    fn expire(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(owner) = self.timers.due(now) {
            self.woken.push_back((owner, Wake::Time));
        }
    }

    /// Registers what the job of `owner` waits for.
    fn await_job(&mut self, owner: Waiter) {
        let Some(Some(entry)) = self.parked.get_mut(owner as usize) else {
            return;
        };
        if entry.limit != Limit::None {
            entry.due = entry.limit.wake(Instant::now());
        }
        let (due, until) = (entry.due, entry.until);
        let (interest, known) = entry.job.interest();
        let mut registry = Registry {
            poll: &self.poll,
            slots: &mut self.slots,
        };
        let (mut ready, mut wake) = (None, None);
        match interest {
            Interest::One(fd, direction) => ready = registry.watch(fd, known, direction, owner),
            Interest::Many(fds, instant) => {
                wake = instant;
                for polled in fds.iter().filter(|polled| polled.fd() != sys::INVALID) {
                    for direction in [Direction::Read, Direction::Write] {
                        if polled.events() & direction.events() != 0 {
                            ready = ready.or(registry.watch(
                                polled.fd(),
                                Known::default(),
                                direction,
                                owner,
                            ));
                        }
                    }
                }
            }
        }
        match ready {
            Some(why) => self.woken.push_back((owner, why)),
            None if known.serial != 0 => entry.job.watched(),
            None => {}
        }
        self.timers
            .set(owner, [due, until, wake].into_iter().flatten().min());
    }
}

impl<J> Drop for EventLoop<J> {
    fn drop(&mut self) {
        let _ = LOOPS.try_with(|loops| loops.set(loops.get() - 1));
    }
}

struct Registry<'a> {
    poll: &'a Poll,
    slots: &'a mut Vec<Slot>,
}

impl Registry<'_> {
    /// Notes that `waiter` waits for `fd`. `Some` if it need not: there was an edge
    /// already, or the descriptor cannot be waited for, and the next step will tell why.
    fn watch(
        &mut self,
        fd: Fd,
        known: Known,
        direction: Direction,
        waiter: Waiter,
    ) -> Option<Wake> {
        let number = fd as usize;
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, Slot::default);
        }
        let slot = &mut self.slots[number];
        if known.serial == 0 || slot.serial != known.serial {
            if !register(self.poll, fd) {
                return Some(Wake::Other);
            }
            *slot = Slot {
                serial: known.serial,
                waiters: std::mem::take(&mut slot.waiters),
                ..Slot::default()
            };
        } else if direction == Direction::Read {
            let pending = std::mem::replace(&mut slot.pending, false);
            if known.unasked && (pending || slot.hangup) {
                return Some(if slot.hangup {
                    Wake::Hangup
                } else {
                    Wake::Edge
                });
            }
        }
        if !slot.waiters.contains(&(direction, waiter)) {
            slot.waiters.push((direction, waiter));
        }
        None
    }
}

/// Registers `fd`, or again, which tells anew what is ready now.
fn register(poll: &Poll, fd: Fd) -> bool {
    let (registry, both) = (poll.registry(), Interests::READABLE | Interests::WRITABLE);
    let token = Token(fd as usize);
    match registry.register(&mut SourceFd(&fd), token, both) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            registry.reregister(&mut SourceFd(&fd), token, both).is_ok()
        }
        registered => registered.is_ok(),
    }
}

fn io(error: std::io::Error) -> Error {
    Error::Os(error.raw_os_error().unwrap_or(sys::EINVAL))
}
