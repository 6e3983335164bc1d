//! Many operations at once: the scheduled driver.
//!
//! An operation that would wait is parked here. The loop completes it: when a descriptor
//! becomes ready it steps the operation until that is done, has failed or is past its
//! deadline, and only then tells its owner. A descriptor is registered with the kernel
//! once, edge-triggered, for both directions; after that, waiting costs no system call.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest as Interests, Poll, Token};

use crate::closings::Heard;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::operation::{Direction, Interest};
use crate::sys::{self, Birth, Fd};
use crate::timers::{Timers, Waiter};

/// An operation with all that belongs to it, in a form in which it can be kept.
pub trait Parked {
    /// Goes as far as it can without waiting; whether it is done.
    fn step(&mut self) -> bool;

    /// What the last step waits for.
    fn interest(&mut self) -> (Interest<'_>, Known);

    /// A loop is told from now on of the edges of the descriptor it waits for.
    fn watched(&mut self) {}

    /// There was an edge in the direction it waits for; with `hangup`, one that is the last.
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
    /// Names this wait: no two waits of a loop share it.
    ticket: u64,
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
    /// A forked child shares the kernel's side of `poll` with its parent, and must not touch it.
    birth: Birth,
    events: Events,
    slots: Vec<Slot>,
    timers: Timers,
    parked: Vec<Option<Entry<J>>>,
    tickets: u64,
    /// Those whose step may lead on.
    woken: VecDeque<Woken>,
    heard: Heard,
}

/// A wait that may be over.
struct Woken {
    owner: Waiter,
    ticket: u64,
    why: Wake,
}

/// Why a step may lead on.
#[derive(Clone, Copy, PartialEq)]
enum Wake {
    /// There was an edge of the descriptor; with `hangup`, there will be no other.
    Edge {
        fd: Fd,
        direction: Direction,
        hangup: bool,
    },
    /// It is to be looked at in any case: its deadline has come, or the descriptor cannot be
    /// waited for.
    Look,
    /// It was not stepped yet.
    Begin,
}

/// What is known of a descriptor number.
#[derive(Default)]
struct Slot {
    /// The descriptor in time that is registered; 0 if none is known to be.
    serial: u64,
    watchers: Vec<Watcher>,
    /// Whether there was an edge to read since somebody read.
    pending: bool,
    /// Whether the end of the stream was told.
    hangup: bool,
}

/// Who waits for a descriptor. The wait may have ended otherwise since.
struct Watcher {
    owner: Waiter,
    ticket: u64,
    direction: Direction,
}

/// After which time a descriptor that cannot be waited for is looked at again.
const BLIND: Duration = Duration::from_millis(10);

impl<J: Parked> EventLoop<J> {
    /// A loop without operations.
    pub fn new() -> Result<EventLoop<J>> {
        Ok(EventLoop {
            poll: Poll::new().map_err(io)?,
            birth: Birth::new(),
            events: Events::with_capacity(512),
            slots: Vec::new(),
            timers: Timers::default(),
            parked: Vec::new(),
            tickets: 0,
            woken: VecDeque::new(),
            heard: Heard::default(),
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
        self.keep(owner, job, limit, until);
        self.await_job(owner);
    }

    /// As [`EventLoop::park`], for a job that was not stepped yet.
    pub fn queue(&mut self, owner: Waiter, job: J, limit: Limit, until: Option<Instant>) {
        self.keep(owner, job, limit, until);
        self.woken.push_back(Woken {
            owner,
            ticket: self.tickets,
            why: Wake::Begin,
        });
    }

    fn keep(&mut self, owner: Waiter, job: J, limit: Limit, until: Option<Instant>) {
        if owner as usize >= self.parked.len() {
            self.parked.resize_with(owner as usize + 1, || None);
        }
        self.tickets += 1;
        self.parked[owner as usize] = Some(Entry {
            job,
            ticket: self.tickets,
            limit,
            due: None,
            until,
            over: false,
        });
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

    /// How many deadlines are running.
    pub fn deadlines(&self) -> usize {
        self.timers.len()
    }

    /// The nearest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How many operations may be able to go on.
    pub fn woken(&self) -> usize {
        self.woken.len()
    }

    /// Waits at most `wait` (`None`: as long as it takes) until an operation can go on. Then
    /// [`EventLoop::next_over`] tells which are over.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<()> {
        self.renew_if_forked()?;
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
        while let Some(woken) = self.woken.pop_front() {
            if let Some(over) = self.step(&woken) {
                return Some((woken.owner, over));
            }
        }
        None
    }

    fn step(&mut self, woken: &Woken) -> Option<Over> {
        let owner = woken.owner;
        let entry = self.parked.get_mut(owner as usize)?.as_mut()?;
        if entry.over || entry.ticket != woken.ticket {
            return None;
        }
        match woken.why {
            Wake::Begin => {}
            Wake::Look => entry.job.edge(false),
            Wake::Edge {
                fd,
                direction,
                hangup,
            } => {
                entry.job.edge(hangup);
                if direction == Direction::Read {
                    self.slots[fd as usize].pending = false;
                }
            }
        }
        let look = woken.why == Wake::Look;
        let now = look.then(Instant::now);
        let come = |at: Option<Instant>| at.is_some_and(|at| now.is_some_and(|now| at <= now));
        let over = if come(entry.until) {
            Over::Until
        } else if entry.job.step() {
            Over::Done
        } else if come(entry.due) {
            entry.job.give_up(Error::Timeout);
            Over::Done
        } else {
            if !look {
                // A new wait; a pause between tries does not end the old one.
                entry.due = None;
            }
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
            let fd = event.token().0;
            let Some(slot) = self.slots.get_mut(fd) else {
                continue;
            };
            let failed = event.is_error();
            let read = failed || event.is_readable() || event.is_read_closed();
            let write = failed || event.is_writable() || event.is_write_closed();
            slot.hangup |= failed || event.is_read_closed();
            slot.pending |= read;
            let hangup = slot.hangup;
            slot.watchers.retain(|watcher| {
                let direction = watcher.direction;
                let ready = match direction {
                    Direction::Read => read,
                    Direction::Write => write,
                };
                if ready {
                    let fd = fd as Fd;
                    self.woken.push_back(watcher.woken(Wake::Edge {
                        fd,
                        direction,
                        hangup,
                    }));
                }
                !ready
            });
        }
        Ok(())
    }

    /// Wakes those who wait for descriptors that were closed.
    fn hear_closing(&mut self) {
        let mut heard = std::mem::take(&mut self.heard);
        let know_all = heard.listen(|fd| self.close(fd));
        self.heard = heard;
        if !know_all {
            self.look_at_all();
        }
    }

    fn close(&mut self, fd: Fd) {
        let Some(slot) = self.slots.get_mut(fd as usize) else {
            return;
        };
        slot.serial = 0;
        for watcher in std::mem::take(&mut slot.watchers) {
            if let Some(Some(entry)) = self.parked.get_mut(watcher.owner as usize)
                && entry.ticket == watcher.ticket
            {
                entry.job.closing(fd);
                self.woken.push_back(watcher.woken(Wake::Look));
            }
        }
    }

    /// Begins with nothing registered, and looks at every operation.
    fn look_at_all(&mut self) {
        self.slots.clear();
        for (owner, entry) in self.parked.iter().enumerate() {
            if let Some(entry) = entry {
                self.woken.push_back(Woken {
                    owner: owner as Waiter,
                    ticket: entry.ticket,
                    why: Wake::Look,
                });
            }
        }
    }

    fn renew_if_forked(&mut self) -> Result<()> {
        if !self.birth.is_ours() {
            self.poll = Poll::new().map_err(io)?;
            self.birth = Birth::new();
            self.look_at_all();
        }
        Ok(())
    }

    /// Wakes those whose deadline has come.
    fn expire(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(owner) = self.timers.due(now) {
            if let Some(Some(entry)) = self.parked.get(owner as usize) {
                self.woken.push_back(Woken {
                    owner,
                    ticket: entry.ticket,
                    why: Wake::Look,
                });
            }
        }
    }

    /// Registers what the job of `owner` waits for.
    fn await_job(&mut self, owner: Waiter) {
        // Where that fails, so does registering, and the next turn tells.
        let _ = self.renew_if_forked();
        let Some(Some(entry)) = self.parked.get_mut(owner as usize) else {
            return;
        };
        if entry.due.is_none() {
            entry.due = match entry.limit.of_one_wait() {
                Limit::Until(until) => Some(until),
                Limit::Now => Some(Instant::now()),
                _ => None,
            };
        }
        let (due, until) = (entry.due, entry.until);
        let (interest, known) = entry.job.interest();
        let mut registry = Registry {
            poll: &self.poll,
            slots: &mut self.slots,
            owner,
            ticket: entry.ticket,
        };
        let (mut ready, mut wake) = (None, None);
        let mut watched = true;
        match interest {
            Interest::One(fd, direction) => match registry.watch(fd, known, direction) {
                Watched::Yes => {}
                Watched::Ready(why) => ready = Some(why),
                Watched::Not => watched = false,
            },
            Interest::Many(fds, instant) => {
                wake = instant;
                for polled in fds.iter().filter(|polled| polled.fd() != sys::INVALID) {
                    watched &= registry.watch_all(polled.fd(), polled.events());
                }
            }
        }
        if let Some(why) = ready {
            let ticket = entry.ticket;
            self.woken.push_back(Woken { owner, ticket, why });
        } else if watched && known.serial != 0 {
            entry.job.watched();
        }
        let blind = (!watched).then(|| Instant::now() + BLIND);
        self.timers
            .set(owner, [due, until, wake, blind].into_iter().flatten().min());
    }
}

impl Watcher {
    fn woken(&self, why: Wake) -> Woken {
        Woken {
            owner: self.owner,
            ticket: self.ticket,
            why,
        }
    }
}

/// Registers descriptors for one wait.
struct Registry<'a> {
    poll: &'a Poll,
    slots: &'a mut Vec<Slot>,
    owner: Waiter,
    ticket: u64,
}

/// What came of waiting for a descriptor.
enum Watched {
    /// It is waited for.
    Yes,
    /// It need not be: there was an edge already.
    Ready(Wake),
    /// It cannot be, because it is closed, or the system lacks memory, or it is of a kind
    /// that has no events.
    Not,
}

impl Registry<'_> {
    /// Notes that the wait is for `fd`.
    fn watch(&mut self, fd: Fd, known: Known, direction: Direction) -> Watched {
        let Ok(number) = usize::try_from(fd) else {
            return Watched::Not;
        };
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, Slot::default);
        }
        let slot = &mut self.slots[number];
        if known.serial == 0 || slot.serial != known.serial {
            if !register(self.poll, fd) {
                slot.serial = 0;
                return Watched::Not;
            }
            *slot = Slot {
                serial: known.serial,
                watchers: std::mem::take(&mut slot.watchers),
                ..Slot::default()
            };
        } else if direction == Direction::Read {
            let hangup = slot.hangup;
            if known.unasked && (slot.pending || hangup) {
                return Watched::Ready(Wake::Edge {
                    fd,
                    direction,
                    hangup,
                });
            }
            slot.pending = false;
        }
        let (owner, ticket) = (self.owner, self.ticket);
        let same =
            |watcher: &&mut Watcher| watcher.owner == owner && watcher.direction == direction;
        match slot.watchers.iter_mut().find(same) {
            Some(watcher) => watcher.ticket = ticket,
            None => slot.watchers.push(Watcher {
                owner,
                ticket,
                direction,
            }),
        }
        Watched::Yes
    }

    /// Notes that the wait is for `events` of `fd`, of which nothing is known; whether that
    /// is possible.
    fn watch_all(&mut self, fd: Fd, events: i16) -> bool {
        let mut watched = true;
        for direction in [Direction::Read, Direction::Write] {
            if events & direction.events() != 0 {
                let known = Known::default();
                watched &= matches!(self.watch(fd, known, direction), Watched::Yes);
            }
        }
        watched
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;

    /// Reads until it has `want` bytes, as a stream does: by edges where it may.
    struct Read {
        socket: Socket,
        want: usize,
        has: usize,
        steps: u32,
        outcome: Option<Error>,
    }

    impl Read {
        fn new(fd: Fd, want: usize) -> Read {
            let mut socket = Socket::new(sys::SOCK_STREAM);
            socket.set_fd(fd);
            Read {
                socket,
                want,
                has: 0,
                steps: 0,
                outcome: None,
            }
        }
    }

    impl Parked for Read {
        fn step(&mut self) -> bool {
            self.steps += 1;
            loop {
                let mut block = Vec::with_capacity(4);
                match sys::recv(self.socket.fd(), &mut block) {
                    Ok(0) => self.outcome = Some(Error::Closed),
                    Ok(n) => self.has += n,
                    Err(sys::EAGAIN) => return false,
                    Err(errno) => self.outcome = Some(Error::Os(errno)),
                }
                if self.has >= self.want || self.outcome.is_some() {
                    return true;
                }
            }
        }

        fn interest(&mut self) -> (Interest<'_>, Known) {
            let known = Known {
                serial: self.socket.serial(),
                unasked: false,
            };
            (Interest::One(self.socket.fd(), Direction::Read), known)
        }

        fn give_up(&mut self, why: Error) {
            self.outcome = Some(why);
        }

        fn closing(&mut self, _: Fd) {
            self.outcome = Some(Error::Closed);
        }
    }

    /// Waits for nothing, but looks again after each pause.
    struct Pauses(u32);

    impl Parked for Pauses {
        fn step(&mut self) -> bool {
            self.0 += 1;
            false
        }

        fn interest(&mut self) -> (Interest<'_>, Known) {
            let wake = Instant::now() + Duration::from_millis(5);
            (Interest::Many(&mut [], Some(wake)), Known::default())
        }

        fn give_up(&mut self, _: Error) {}
    }

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(10);

    fn pair() -> (Fd, Fd) {
        sys::socketpair().unwrap()
    }

    /// Turns until somebody's wait is over, or for a while.
    fn next<J: Parked>(events: &mut EventLoop<J>, wait: Duration) -> Option<(Waiter, Over)> {
        let end = Instant::now() + wait;
        loop {
            if let Some(over) = events.next_over() {
                return Some(over);
            }
            let now = Instant::now();
            if now >= end {
                return None;
            }
            events.turn(Some(end - now)).unwrap();
        }
    }

    #[test]
    fn a_job_is_handed_back_when_it_is_done_and_not_before() {
        let (ours, theirs) = pair();
        let mut events = EventLoop::new().unwrap();
        events.park(3, Read::new(ours, 10), Limit::None, None);
        sys::send(theirs, b"123456789").unwrap();
        assert_eq!(next(&mut events, SOON), None);
        sys::send(theirs, b"0").unwrap();
        assert_eq!(next(&mut events, LATE), Some((3, Over::Done)));
        assert_eq!(events.job(3).unwrap().has, 10);
        assert_eq!(events.take(3).unwrap().steps, 2);
        assert!(events.take(3).is_none());
        sys::close(theirs);
    }

    #[test]
    fn a_descriptor_is_registered_once_and_no_edge_is_lost() {
        let (ours, theirs) = pair();
        let mut events = EventLoop::new().unwrap();
        let mut job = Read::new(ours, 1);
        for n in 0..100 {
            sys::send(theirs, b"x").unwrap();
            if n % 2 == 0 {
                // The edge comes while nobody waits.
                events.turn(Some(SOON)).unwrap();
            }
            job.has = 0;
            if !job.step() {
                events.park(0, job, Limit::None, None);
                assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
                job = events.take(0).unwrap();
            }
        }
        sys::close(theirs);
    }

    #[test]
    fn several_wait_for_a_descriptor_at_once() {
        let (ours, theirs) = pair();
        let mut events = EventLoop::new().unwrap();
        for owner in 0..5 {
            events.park(owner, Read::new(ours, 1), Limit::None, None);
        }
        let mut served = Vec::new();
        for _ in 0..5 {
            sys::send(theirs, b"x").unwrap();
            let (owner, over) = next(&mut events, LATE).unwrap();
            assert_eq!(over, Over::Done);
            std::mem::forget(events.take(owner));
            served.push(owner);
        }
        served.sort_unstable();
        assert_eq!(served, [0, 1, 2, 3, 4]);
        for fd in [ours, theirs] {
            sys::close(fd);
        }
    }

    #[test]
    fn a_limit_is_kept_and_a_deadline_of_the_owner_leaves_the_job_undone() {
        let (ours, theirs) = pair();
        let mut events = EventLoop::new().unwrap();
        events.park(0, Read::new(ours, 1), Limit::after(0.02), None);
        assert_eq!(events.deadlines(), 1);
        assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
        let job = events.take(0).unwrap();
        assert_eq!(job.outcome, Some(Error::Timeout));

        let until = Instant::now() + SOON;
        events.park(0, job, Limit::after(5.0), Some(until));
        assert_eq!(next(&mut events, LATE), Some((0, Over::Until)));
        assert!(Instant::now() >= until);
        assert_eq!(events.deadlines(), 0);
        sys::close(theirs);
    }

    #[test]
    fn what_is_past_is_over_at_once() {
        let (ours, theirs) = pair();
        let mut events = EventLoop::new().unwrap();
        events.queue(0, Read::new(ours, 1), Limit::Now, None);
        assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
        let job = events.take(0).unwrap();
        assert_eq!((job.outcome, job.steps), (Some(Error::Timeout), 2));
        let past = Instant::now() - SOON;
        events.park(0, job, Limit::None, Some(past));
        assert_eq!(next(&mut events, LATE), Some((0, Over::Until)));
        sys::close(theirs);
    }

    #[test]
    fn a_pause_does_not_prolong_a_wait() {
        let mut events = EventLoop::new().unwrap();
        let limit = Limit::Each {
            each: Duration::from_millis(30),
            until: Instant::now() + LATE,
        };
        events.park(0, Pauses(0), limit, None);
        let start = Instant::now();
        assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
        assert!(start.elapsed() < LATE / 2);
        assert!(events.take(0).unwrap().0 >= 3);
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let (ours, theirs) = pair();
        let (mut one, mut other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
        // Both must have looked once to hear of it.
        for events in [&mut one, &mut other] {
            events.turn(Some(Duration::ZERO)).unwrap();
            events.park(7, Read::new(ours, 1), Limit::None, None);
        }
        let mut closer = Socket::new(sys::SOCK_STREAM);
        closer.set_fd(ours);
        closer.close();
        for events in [&mut one, &mut other] {
            assert_eq!(next(events, LATE), Some((7, Over::Done)));
            let mut job = events.take(7).unwrap();
            assert!(job.outcome.is_some());
            job.socket.set_fd(sys::INVALID);
        }
        sys::close(theirs);
    }

    #[test]
    fn a_wait_that_ended_otherwise_takes_nobodys_edge() {
        let (ours, theirs) = pair();
        let (idle, other) = pair();
        let mut events = EventLoop::new().unwrap();
        events.park(0, Read::new(ours, 1), Limit::None, None);
        let mut job = events.take(0).unwrap();
        events.park(0, Read::new(idle, 1), Limit::None, None);
        sys::send(theirs, b"x").unwrap();
        assert_eq!(next(&mut events, SOON), None);
        assert_eq!(events.job(0).unwrap().steps, 0);
        // The edge has come. Who does not ask the kernel is told of it.
        job.steps = 0;
        let known = Known {
            serial: job.socket.serial(),
            unasked: true,
        };
        let mut registry = Registry {
            poll: &events.poll,
            slots: &mut events.slots,
            owner: 1,
            ticket: 99,
        };
        let watched = registry.watch(ours, known, Direction::Read);
        assert!(matches!(watched, Watched::Ready(Wake::Edge { .. })));
        for fd in [theirs, other] {
            sys::close(fd);
        }
    }

    #[test]
    fn a_number_that_was_closed_and_taken_anew_is_registered_anew() {
        let mut events = EventLoop::new().unwrap();
        for _ in 0..10 {
            let (ours, theirs) = pair();
            events.park(0, Read::new(ours, 1), Limit::None, None);
            sys::send(theirs, b"x").unwrap();
            assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
            drop(events.take(0));
            sys::close(theirs);
        }
    }

    #[test]
    fn what_cannot_be_waited_for_is_looked_at_again_and_again() {
        let mut events = EventLoop::new().unwrap();
        let (ours, theirs) = pair();
        sys::close(ours);
        struct Closed(Fd, u32);
        impl Parked for Closed {
            fn step(&mut self) -> bool {
                self.1 += 1;
                self.1 == 3
            }
            fn interest(&mut self) -> (Interest<'_>, Known) {
                (Interest::One(self.0, Direction::Read), Known::default())
            }
            fn give_up(&mut self, _: Error) {}
        }
        for fd in [ours, sys::INVALID] {
            events.park(0, Closed(fd, 0), Limit::None, None);
            assert_eq!(next(&mut events, LATE), Some((0, Over::Done)));
            events.take(0);
        }
        sys::close(theirs);
    }

    #[test]
    fn many_waits_come_and_go_and_nothing_is_left() {
        let mut events = EventLoop::new().unwrap();
        let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        let mut seed = 1u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 33) % n
        };
        let mut sent = [0; 50];
        let mut found = [0; 50];
        for _ in 0..5000 {
            let owner = random(50) as usize;
            let (ours, theirs) = pairs[owner];
            match random(4) {
                0 => {
                    sys::send(theirs, b"x").unwrap();
                    sent[owner] += 1;
                }
                1 if events.job(owner as Waiter).is_none() => {
                    let mut job = Read::new(ours, 1);
                    match job.step() {
                        true => {
                            found[owner] += job.has;
                            std::mem::forget(job);
                        }
                        false => events.park(owner as Waiter, job, Limit::after(1e-3), None),
                    }
                }
                2 => {
                    if let Some(job) = events.take(owner as Waiter) {
                        found[owner] += job.has;
                        std::mem::forget(job);
                    }
                }
                _ => {
                    events.turn(Some(Duration::ZERO)).unwrap();
                    while let Some((owner, Over::Done)) = events.next_over() {
                        let job = events.take(owner).unwrap();
                        found[owner as usize] += job.has;
                        std::mem::forget(job);
                    }
                }
            }
        }
        for (owner, (ours, theirs)) in pairs.into_iter().enumerate() {
            std::mem::forget(events.take(owner as Waiter));
            let mut rest = Read::new(ours, usize::MAX);
            rest.step();
            assert_eq!(found[owner] + rest.has, sent[owner]);
            sys::close(theirs);
        }
        assert_eq!(events.deadlines(), 0);
    }
}
