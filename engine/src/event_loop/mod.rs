//! Many operations at once: the scheduled driver.
//!
//! An operation that would wait is parked here. The loop completes it: when a descriptor
//! becomes ready it steps the operation until that is done, has failed or is past its
//! deadline, and only then tells its owner. A descriptor is registered with the kernel
//! once, edge-triggered, for both directions; after that, waiting costs no system call.

mod queue;
mod readiness;

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::clock;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::operation::Interest;
use crate::sys::Fd;
use crate::sys::cache::prefetch;
use crate::timers::{Due, Timers, Waiter};

use queue::Queue;
use readiness::{Edge, Readiness, Wait, Watched};

/// An operation with all that belongs to it, in a form in which it can be kept.
pub trait Parked {
    /// Goes as far as it can without waiting; whether it is done. `edge` tells what has come of
    /// the descriptor it waits for since the last step.
    fn step(&mut self, edge: Since) -> bool;

    /// What the last step waits for.
    fn interest(&mut self) -> (Interest<'_>, Known);

    /// A loop is told from now on of the edges of the descriptor it waits for.
    fn watched(&mut self) {}

    /// Ends it for the reason `why`.
    fn give_up(&mut self, why: Error);

    /// A descriptor that it may watch is being closed.
    fn closing(&mut self, _: Fd) {}

    /// Has what it works on come from memory.
    fn prefetch(&self) {}
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

/// What an operation that waited for a descriptor is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing.
    Nothing,
    /// There was an edge in the direction it waits for, or there may have been.
    Edge,
    /// There was an edge that is the last.
    Hangup,
}

/// Why a parked operation was handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is done, or its own time was over.
    Done,
    /// The instant `until` has come.
    Until,
}

/// Two of them in one line of the processor's cache.
#[repr(align(32))]
struct Entry<J> {
    job: J,
    /// Names this wait: no two waits of a loop share it.
    ticket: NonZeroU64,
    /// Whether it has [`Times`].
    bounded: bool,
    /// Whether it may have a timer.
    timed: bool,
}

/// When a wait ends in any case. Most have no such times.
#[derive(Clone, Copy)]
struct Times {
    limit: Limit,
    /// When the limit is over, for the present wait.
    due: Option<Instant>,
    /// When the owner wants it back.
    until: Option<Instant>,
}

/// Operations that wait, each under the number of its owner.
pub struct EventLoop<J> {
    readiness: Readiness,
    timers: Timers,
    parked: Vec<Option<Entry<J>>>,
    /// Of those that are bounded.
    times: Vec<Times>,
    /// The next ticket.
    ticket: NonZeroU64,
    /// Those whose step may lead on.
    woken: Queue<Woken>,
}

/// A wait that may be over.
#[derive(Clone, Copy)]
struct Woken {
    wait: Wait,
    why: Wake,
}

/// Why a step may lead on.
#[derive(Clone, Copy, PartialEq)]
enum Wake {
    /// There was an edge of the descriptor.
    Edge(Edge),
    /// It is to be looked at in any case: its deadline has come, or the descriptor cannot be
    /// waited for.
    Look,
    /// It was not stepped yet.
    Begin,
}

/// After which time a descriptor that cannot be waited for is looked at again.
const BLIND: Duration = Duration::from_millis(10);

/// From how many owners on their operations do not all stay in the nearer caches.
const MANY: usize = 256;

impl<J: Parked> EventLoop<J> {
    /// A loop without operations.
    pub fn new() -> EventLoop<J> {
        EventLoop {
            readiness: Readiness::new(),
            timers: Timers::default(),
            parked: Vec::new(),
            times: Vec::new(),
            ticket: NonZeroU64::MIN,
            woken: Queue::default(),
        }
    }

    /// A descriptor that is readable when the next turn finds something ready. Deadlines
    /// do not make it so.
    pub fn fd(&mut self) -> Result<Fd> {
        self.readiness.fd()
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
        let wait = self.keep(owner, job, limit, until);
        let why = Wake::Begin;
        self.woken.push(Woken { wait, why });
    }

    fn keep(&mut self, owner: Waiter, job: J, limit: Limit, until: Option<Instant>) -> Wait {
        if owner as usize >= self.parked.len() {
            self.parked.resize_with(owner as usize + 1, || None);
        }
        let ticket = self.ticket;
        self.ticket = ticket.saturating_add(1); // no loop lasts that long
        let bounded = limit != Limit::None || until.is_some();
        if bounded {
            self.set_times(owner, limit, until);
        }
        self.parked[owner as usize] = Some(Entry {
            job,
            ticket,
            bounded,
            timed: bounded,
        });
        Wait { owner, ticket }
    }

    fn set_times(&mut self, owner: Waiter, limit: Limit, until: Option<Instant>) {
        let due = None;
        let times = Times { limit, due, until };
        if owner as usize >= self.times.len() {
            self.times.resize(owner as usize + 1, times);
        }
        self.times[owner as usize] = times;
    }

    /// The job of `owner`, taken away.
    pub fn take(&mut self, owner: Waiter) -> Option<J> {
        let entry = self.parked.get_mut(owner as usize)?.take()?;
        if entry.timed {
            self.timers.set(owner, None);
        }
        Some(entry.job)
    }

    /// The job of `owner`, if it has one.
    pub fn job(&mut self, owner: Waiter) -> Option<&mut J> {
        let entry = self.parked.get_mut(owner as usize)?.as_mut()?;
        Some(&mut entry.job)
    }

    /// How many deadlines are running.
    pub fn deadlines(&self) -> usize {
        self.timers.len()
    }

    /// The nearest deadline.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.nearest()
    }

    /// How many operations may be able to go on.
    pub fn woken(&self) -> usize {
        self.woken.len()
    }

    /// Waits at most `wait` (`None`: as long as it takes) until an operation can go on. Then
    /// [`EventLoop::next_over`] tells which are over.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<()> {
        self.readiness.open()?;
        self.hear_closing();
        let end = match wait {
            Some(wait) if !self.timers.is_empty() => clock::now().checked_add(wait),
            _ => None,
        };
        loop {
            let timeout = self.timeout(wait, end);
            let waited = self.readiness.wait(timeout, |wait, edge| {
                let why = Wake::Edge(edge);
                self.woken.push(Woken { wait, why });
            });
            self.hear_closing();
            let was_early = self.expire();
            waited?;
            if !was_early || !self.woken.is_empty() {
                return Ok(());
            }
        }
    }

    /// How long to wait for the kernel: `wait`, which is over at `end`, or until a deadline.
    fn timeout(&self, wait: Option<Duration>, end: Option<Instant>) -> Option<Duration> {
        if !self.woken.is_empty() || wait == Some(Duration::ZERO) {
            return Some(Duration::ZERO);
        }
        let Some(next) = self.timers.next() else {
            return wait;
        };
        let next = end.map_or(next, |end| end.min(next));
        Some(next.saturating_duration_since(clock::now()))
    }

    /// Steps operations that can go on, until one is over, and hands it back. One by one, so
    /// that what an operation has found is still at hand when its owner goes on.
    pub fn next_over(&mut self) -> Option<(Waiter, J, Over)> {
        while let Some(woken) = self.woken.pop() {
            self.look_ahead();
            let owner = woken.wait.owner;
            if let Some(over) = self.step(&woken)
                && let Some(job) = self.take(owner)
            {
                return Some((owner, job, over));
            }
        }
        None
    }

    /// The owners of the next waits that may be over, where it is worth it to prepare for them: a
    /// hint.
    #[inline]
    pub fn upcoming(&self) -> Option<[Waiter; 3]> {
        match self.woken.ahead() {
            [next, second, third, ..] if self.parked.len() >= MANY => {
                Some([next, second, third].map(|woken| woken.wait.owner))
            }
            _ => None,
        }
    }

    /// Has what the next waits need come from memory, while this one is gone on with: where
    /// it lies at first, what it works on a turn later.
    #[inline]
    fn look_ahead(&self) {
        let Some([_, second, third]) = self.upcoming() else {
            return;
        };
        if let Some(entry) = self.parked.get(third as usize) {
            prefetch(entry);
        }
        if let Some(Some(entry)) = self.parked.get(second as usize) {
            entry.job.prefetch();
        }
    }

    fn step(&mut self, woken: &Woken) -> Option<Over> {
        let owner = woken.wait.owner;
        let entry = self.parked.get_mut(owner as usize)?.as_mut()?;
        if entry.ticket != woken.wait.ticket {
            return None;
        }
        let since = match woken.why {
            Wake::Begin => Since::Nothing,
            Wake::Look => return self.look(owner),
            Wake::Edge(edge) => {
                self.readiness.seen(edge);
                if edge.hangup {
                    Since::Hangup
                } else {
                    Since::Edge
                }
            }
        };
        if entry.job.step(since) {
            return Some(Over::Done);
        }
        if entry.bounded {
            self.times[owner as usize].due = None; // a new wait
        }
        self.await_job(owner);
        None
    }

    /// Steps a job of which it is not known whether it can go on. A pause between tries does
    /// not end a wait.
    fn look(&mut self, owner: Waiter) -> Option<Over> {
        let entry = self.parked[owner as usize].as_mut()?;
        let now = clock::now();
        let come = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (due, until) = match entry.bounded {
            true => self.times[owner as usize].ends(),
            false => (None, None),
        };
        if come(until) {
            return Some(Over::Until);
        }
        if entry.job.step(Since::Edge) {
            return Some(Over::Done);
        }
        if come(due) {
            entry.job.give_up(Error::Timeout);
            return Some(Over::Done);
        }
        self.await_job(owner);
        None
    }

    /// Wakes those who wait for descriptors that were closed.
    fn hear_closing(&mut self) {
        self.readiness.hear(|fd, wait| {
            if let Some(Some(entry)) = self.parked.get_mut(wait.owner as usize)
                && entry.ticket == wait.ticket
            {
                entry.job.closing(fd);
                let why = Wake::Look;
                self.woken.push(Woken { wait, why });
            }
        });
        if self.readiness.is_lost() {
            self.look_at_all();
        }
    }

    fn look_at_all(&mut self) {
        for (owner, entry) in (0..).zip(&self.parked) {
            if let Some(Entry { ticket, .. }) = *entry {
                let (wait, why) = (Wait { owner, ticket }, Wake::Look);
                self.woken.push(Woken { wait, why });
            }
        }
    }

    /// Wakes those whose deadline has come; whether one would have that was put off.
    fn expire(&mut self) -> bool {
        if self.timers.is_empty() {
            return false;
        }
        let now = clock::now();
        let mut was_early = false;
        while let Some(due) = self.timers.due(now) {
            let Due::Come(owner) = due else {
                was_early = true;
                continue;
            };
            if let Some(Some(Entry { ticket, .. })) = self.parked.get(owner as usize) {
                let ticket = *ticket;
                let (wait, why) = (Wait { owner, ticket }, Wake::Look);
                self.woken.push(Woken { wait, why });
            }
        }
        was_early
    }

    /// Sees to it that `owner` is woken when its job can go on.
    fn await_job(&mut self, owner: Waiter) {
        // What was closed until now does not concern who waits for the same number from now on.
        self.hear_closing();
        let Some(Some(entry)) = self.parked.get_mut(owner as usize) else {
            return;
        };
        let ticket = entry.ticket;
        let wait = Wait { owner, ticket };
        let (interest, known) = entry.job.interest();
        let (watched, wake) = match interest {
            Interest::One(fd, direction) => {
                (self.readiness.watch(fd, known, direction, wait), None)
            }
            Interest::Many(fds, wake) => (self.readiness.watch_all(fds, wait), wake),
        };
        let mut blind = None;
        match watched {
            Watched::Yes => {}
            Watched::Anew if known.serial == 0 => {}
            Watched::Anew => entry.job.watched(),
            Watched::Ready(edge) => {
                let why = Wake::Edge(edge);
                self.woken.push(Woken { wait, why });
            }
            Watched::Not => blind = Some(clock::now() + BLIND),
        }
        if entry.timed || wake.is_some() || blind.is_some() {
            self.set_timer(owner, [wake, blind]);
        }
    }

    /// Has `owner` looked at when one of its times has come, or one of `others`.
    fn set_timer(&mut self, owner: Waiter, others: [Option<Instant>; 2]) {
        let Some(Some(entry)) = self.parked.get_mut(owner as usize) else {
            return;
        };
        entry.timed = true;
        let mut times = (None, None);
        if entry.bounded {
            self.times[owner as usize].begin();
            times = self.times[owner as usize].ends();
        }
        let (due, until) = times;
        let all = others.into_iter().chain([due, until]);
        self.timers.set(owner, all.flatten().min());
    }
}

impl Times {
    /// A wait begins, unless one is under way.
    fn begin(&mut self) {
        self.due = self.due.or_else(|| match self.limit.of_one_wait() {
            Limit::Until(until) => Some(until),
            Limit::Now => Some(clock::now()),
            _ => None,
        });
    }

    fn ends(&self) -> (Option<Instant>, Option<Instant>) {
        (self.due, self.until)
    }
}

impl<J: Parked> Default for EventLoop<J> {
    fn default() -> EventLoop<J> {
        EventLoop::new()
    }
}

#[cfg(test)]
mod tests;
