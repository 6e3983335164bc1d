//! The shape of everything that can wait, and what drives it.
//!
//! An operation makes its system call first and asks to wait only when the
//! kernel said "would block". Who drives it decides what waiting means: the
//! driver here polls until the limit of the call ([`Limit::None`],
//! [`Limit::Until`], …), or answers at once ([`Limit::Now`]). A scheduler can
//! park the operation instead; the operation does not know.

use std::time::{Duration, Instant};

use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::sys::{self, Fd, PollFd};

/// What a step came to.
pub enum Step<T> {
    /// The operation is over, with this result.
    Done(T),
    /// Nothing to be had now; [`Operation::interest`] tells what to wait for.
    Wait,
    /// As [`Step::Wait`], but the kernel was not asked again: it had less than
    /// there was room for, so it has most likely nothing now.
    Drained,
}

/// A state machine over a subject (a stream, a datagram socket, …). It may be
/// stepped any number of times, also when nothing is ready.
pub trait Operation<S: ?Sized> {
    /// What it results in, failures and partial results included.
    type Output;

    /// Goes as far as it can without waiting.
    fn step(&mut self, subject: &mut S) -> Step<Self::Output>;

    /// What the last step, which answered [`Step::Wait`], waits for.
    fn interest<'a>(&'a mut self, subject: &'a mut S) -> Interest<'a>;

    /// Before the first byte is waited for: waits a moment for many, if they are likely to
    /// come. Whether it waited.
    fn linger(&mut self, _: &mut S, _: Limit) -> Result<bool> {
        Ok(false)
    }

    /// The result when waiting ends for the reason `why` ([`Error::Timeout`],
    /// [`Error::Interrupted`], or a failure of the wait itself).
    fn give_up(&mut self, subject: &mut S, why: Error) -> Self::Output;

    /// Its owner does not want its result any more: what only it needs goes away.
    fn abandon(&mut self, _: &mut S) {}

    /// The result when the operation may not even begin for the reason `why`: what was
    /// received already belongs to somebody else.
    fn refuse(&mut self, subject: &mut S, why: Error) -> Self::Output {
        self.give_up(subject, why)
    }
}

/// What to wait for.
pub enum Interest<'a> {
    /// One descriptor in one direction.
    One(Fd, Direction),
    /// Any of these (their `events` are set), or the instant.
    Many(&'a mut [PollFd], Option<Instant>),
}

/// A direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// There is something to read, or an end, or an error.
    Read,
    /// There is room to write, or an error.
    Write,
}

impl Direction {
    /// The `poll` events that stand for it.
    pub fn events(self) -> i16 {
        match self {
            Direction::Read => sys::POLLIN,
            Direction::Write => sys::POLLOUT,
        }
    }
}

/// Pauses between tries, for what the kernel has no event for.
#[derive(Clone, Copy)]
pub struct Pause(Duration);

impl Pause {
    /// The first pause is a millisecond.
    pub const FIRST: Pause = Pause(Duration::from_millis(1));
    const LONGEST: Duration = Duration::from_millis(20);

    /// When to try again. The pauses grow.
    pub fn interest(&mut self) -> Interest<'static> {
        let wake = Instant::now() + self.0;
        self.0 = (self.0 * 2).min(Pause::LONGEST);
        Interest::Many(&mut [], Some(wake))
    }
}

/// Drives `op` to its end, waiting in `poll` as long as `limit` allows.
pub fn drive<S: ?Sized, O: Operation<S>>(op: &mut O, subject: &mut S, limit: Limit) -> O::Output {
    let first = op.step(subject);
    go_on(op, subject, limit, first)
}

/// Drives `op`, of which the last step was `last`, to its end.
pub fn go_on<S: ?Sized, O: Operation<S>>(
    op: &mut O,
    subject: &mut S,
    limit: Limit,
    mut last: Step<O::Output>,
) -> O::Output {
    let mut over = limit.is_now();
    let mut bound = limit.of_one_wait();
    loop {
        match last {
            Step::Done(output) => return output,
            // Who may not wait wants to know for certain.
            Step::Drained if limit.is_now() => {}
            Step::Drained | Step::Wait if over => return op.give_up(subject, Error::Timeout),
            Step::Drained | Step::Wait => {
                // What is ready in vain again and again must not outlast the limit.
                over = limit.is_over();
                let lingered = op.linger(subject, bound);
                let ready = match lingered {
                    Ok(false) => wait(op.interest(subject), bound),
                    lingered => lingered.map(usize::from),
                };
                match ready {
                    Ok(0) => {} // a pause is over, not the wait
                    Ok(_) => bound = limit.of_one_wait(),
                    Err(why) => return op.give_up(subject, why),
                }
            }
        }
        last = op.step(subject);
    }
}

/// Waits once, and counts what is ready. An error is the reason to give the operation up.
fn wait(interest: Interest<'_>, limit: Limit) -> Result<usize> {
    match interest {
        Interest::One(fd, direction) => {
            poll(&mut [PollFd::new(fd, direction.events())], None, limit)
        }
        Interest::Many(fds, at) => poll(fds, at, limit),
    }
}

/// Polls `fds` until one is ready, `at` has come (both `Ok`), or `limit` is over
/// ([`Error::Timeout`]). The result is the number of ready descriptors. Signals
/// do not end it unless an interrupt was asked for.
pub(crate) fn poll(fds: &mut [PollFd], at: Option<Instant>, limit: Limit) -> Result<usize> {
    let start = needs_clock(at, limit).then(Instant::now);
    let until = start.and_then(|now| limit.wake(now));
    let wake = [at, until].into_iter().flatten().min();
    let mut now = start;
    loop {
        let timeout = match (wake, now) {
            (Some(wake), Some(now)) => Some(wake.saturating_duration_since(now)),
            _ => limit.is_now().then_some(Duration::ZERO),
        };
        match sys::poll(fds, timeout) {
            Ok(0) if timeout.is_some() => {
                return match at {
                    Some(at) if until.is_none_or(|until| at < until) => Ok(0),
                    _ => Err(Error::Timeout),
                };
            }
            Ok(ready) => return Ok(ready),
            Err(sys::EINTR) if interrupt::requested() => return Err(Error::Interrupted),
            Err(sys::EINTR) => now = start.map(|_| Instant::now()),
            Err(errno) => return Err(Error::Os(errno)),
        }
    }
}

fn needs_clock(at: Option<Instant>, limit: Limit) -> bool {
    at.is_some() || !matches!(limit, Limit::None | Limit::Now)
}

/// Sleeps for `seconds`; negative and NaN not at all, beyond 2^31-1 that long.
///
/// Signals do not shorten it, unless an interrupt was asked for.
pub fn sleep(seconds: f64) -> Result<()> {
    if !(seconds > 0.0) {
        return Ok(());
    }
    let limit =
        Limit::Until(Instant::now() + Duration::from_secs_f64(seconds.min(2_147_483_647.0)));
    match poll(&mut [], None, limit) {
        Err(Error::Timeout) | Ok(_) => Ok(()),
        Err(why) => Err(why),
    }
}
