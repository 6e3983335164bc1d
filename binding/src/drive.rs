//! Driving an operation for an entry: at once, blocking, or parked in a scheduler.
//!
//! Every entry that can wait ends with [`run`], which goes on with the operation in
//! the way that the caller's situation asks for, and pushes the results.

use std::ffi::c_int;

use luasocket_engine::deadline::Limit;
use luasocket_engine::error::Error;
use luasocket_engine::operation::{self, Direction, Interest, Operation, Step};
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::subject::{Finish, Subject};
use crate::task::job::Job;
use crate::task::scheduler::{self, Scheduler};
use crate::task::{lost, wait};

/// An operation, and how it is to be treated.
pub struct Run<S, O: Operation<S>, C> {
    /// What it works on; Lua owns it and keeps it as long as the call lasts.
    pub subject: *mut S,
    /// The operation.
    pub op: O,
    /// In which direction no other may be under way at the same time.
    pub direction: Option<Direction>,
    /// How long it may take.
    pub limit: fn(&mut S) -> Limit,
    /// What pushes the results.
    pub finish: Finish<S, O::Output, C>,
    /// For `finish`.
    pub context: C,
}

/// Drives an operation to its end and pushes its results; or yields, as the last act of
/// the entry.
///
/// # Safety
///
/// `l` is an entry's state, whose last act this is. The subject, and what the operation
/// and the context point at, are arguments of the entry or anchored by them.
#[inline(always)] // or what an operation that need not wait costs doubles
pub unsafe fn run<S, O, C>(l: *mut lua_State, mut run: Run<S, O, C>) -> c_int
where
    S: Subject + 'static,
    O: Operation<S> + Copy + 'static,
    O::Output: Copy + 'static,
    C: Copy + 'static,
{
    // SAFETY: as the contract says; nothing in the closure uses Lua.
    unsafe {
        let running = scheduler::running();
        match guard(l, || begin(&mut run, running)) {
            First::Done(output) => (run.finish)(l, run.subject, output, run.context),
            first => go_on(l, &raw mut run, first, running),
        }
    }
}

/// The first step, unless another operation is under way.
#[inline(always)]
fn begin<S: Subject, O: Operation<S>, C>(
    run: &mut Run<S, O, C>,
    running: Option<*mut Scheduler>,
) -> First<O::Output> {
    // Also of those that are refused, or one that tries again and again would keep the first
    // from ever being done.
    if scheduler::budget_is_spent(running) {
        return First::Rest;
    }
    // SAFETY: Lua owns the subject, and nobody else uses it during the call.
    let subject = unsafe { &mut *run.subject };
    if is_busy(subject, run.direction) {
        return First::Done(run.op.refuse(subject, Error::Busy));
    }
    First::of(run.op.step(subject))
}

/// Whether another operation is under way.
#[inline(always)]
fn is_busy<S: Subject>(subject: &mut S, direction: Option<Direction>) -> bool {
    match (direction, subject.socket()) {
        (Some(direction), Some(socket)) if socket.is_parked(direction) => {
            still_busy(subject, direction)
        }
        _ => false,
    }
}

/// Whether the task that has occupied a subject still waits.
#[cold]
fn still_busy<S: Subject>(subject: &mut S, direction: Direction) -> bool {
    let lost = lost::remove((&raw mut *subject).cast(), direction);
    if let (true, Some(socket)) = (lost, subject.socket()) {
        socket.park(direction, false);
    }
    !lost
}

/// An operation that is refused, after a rest.
#[derive(Clone, Copy)]
struct Refused<O>(O);

impl<S, O: Operation<S>> Operation<S> for Refused<O> {
    type Output = O::Output;

    fn step(&mut self, subject: &mut S) -> Step<O::Output> {
        Step::Done(self.0.refuse(subject, Error::Busy))
    }

    fn interest<'a>(&'a mut self, _: &'a mut S) -> Interest<'a> {
        Interest::Many(&mut [], None)
    }

    fn give_up(&mut self, subject: &mut S, why: Error) -> O::Output {
        self.0.give_up(subject, why)
    }
}

/// What comes after a first step that does not end the call.
#[cold]
#[inline(never)]
unsafe fn go_on<S, O, C>(
    l: *mut lua_State,
    run: *mut Run<S, O, C>,
    first: First<O::Output>,
    running: Option<*mut Scheduler>,
) -> c_int
where
    S: Subject + 'static,
    O: Operation<S> + Copy + 'static,
    O::Output: Copy + 'static,
    C: Copy + 'static,
{
    // SAFETY: as the contract of `run` says; nothing in the closures uses Lua.
    unsafe {
        let Run {
            subject,
            ref mut op,
            direction,
            limit,
            finish,
            context,
        } = *run;
        let limit = guard(l, || limit(&mut *subject));
        let rests = matches!(first, First::Rest);
        let busy = rests && guard(l, || is_busy(&mut *subject, direction));
        if let Some(scheduler) = wait::of_task(l, running)
            && (rests || !limit.is_now())
        {
            let first = match first {
                // An edge comes once: only when the kernel has said that there is nothing
                // will it tell when there is something.
                First::Wait { sure: false } => guard(l, || settle(op, &mut *subject)),
                first => first,
            };
            if let First::Done(output) = first {
                return finish(l, subject, output, context);
            }
            let exit = wait::way_out(l, scheduler);
            if wait::is_interrupted(scheduler) {
                if !busy {
                    guard(l, || op.abandon(&mut *subject));
                }
                return wait::refuse(l, scheduler, exit);
            }
            if let (Some(exit), Some(room)) = (exit, (*scheduler).room()) {
                let seal = exit.seal(l);
                let job = match busy {
                    true => Job::new(room, seal, subject, Refused(*op), None, finish, context),
                    false => Job::new(room, seal, subject, *op, direction, finish, context),
                };
                return wait::park(l, scheduler, exit, job, limit, !rests);
            }
        }
        let output = guard(l, || {
            if busy {
                return op.refuse(&mut *subject, Error::Busy);
            }
            let socket = (*subject).socket();
            let unasked = socket.is_some_and(|socket| std::mem::take(&mut socket.edge.drained));
            let last = match first {
                First::Wait { sure: true } if !unasked => Step::Wait,
                First::Wait { sure: false } if !unasked => Step::Drained,
                // Not asked yet; only a task can wait for the next edge.
                _ => op.step(&mut *subject),
            };
            operation::go_on(op, &mut *subject, limit, last)
        });
        finish(l, subject, output, context)
    }
}

/// Steps until it is done, or must wait for certain.
fn settle<S: Subject, O: Operation<S>>(op: &mut O, subject: &mut S) -> First<O::Output> {
    loop {
        match First::of(op.step(subject)) {
            First::Wait { sure: false } => {}
            first => return first,
        }
    }
}

#[derive(Clone, Copy)]
enum First<T> {
    Done(T),
    /// It was not made: the task has had its share, and rests first.
    Rest,
    /// It must wait; `sure` if the kernel said so.
    Wait {
        sure: bool,
    },
}

impl<T> First<T> {
    #[inline(always)]
    fn of(step: Step<T>) -> First<T> {
        match step {
            Step::Done(output) => First::Done(output),
            Step::Drained => First::Wait { sure: false },
            Step::Wait => First::Wait { sure: true },
        }
    }
}
