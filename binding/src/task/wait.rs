//! How a task waits: it leaves the entry that must wait, and comes back with results or an
//! error.

use std::ffi::c_int;

use luasocket_engine::deadline::Limit;
use luasocket_engine::timers::Waiter;
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::fibers::{self, FiberId};
use super::job::{Job, Signal};
use super::scheduler::{Next, RUNNING, SHARE, Scheduler, handle_key, running};
use super::service::fiber_for;
use super::suspend::{self, Continuation, Seal};
use super::turn;
use crate::boundary::guard;

/// The scheduler whose task is running on `l`, or on a coroutine of such a task.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn current(l: *mut lua_State) -> Option<*mut Scheduler> {
    // SAFETY: as the contract says.
    unsafe { of_task(l, running()) }
}

/// As [`current`], where it is known which scheduler is `running`.
///
/// # Safety
///
/// As [`current`].
#[inline]
pub unsafe fn of_task(
    l: *mut lua_State,
    running: Option<*mut Scheduler>,
) -> Option<*mut Scheduler> {
    let scheduler = running?;
    // SAFETY: it is set only while the scheduler's loop runs.
    unsafe {
        let id = (*scheduler).current?;
        let own = (*scheduler).task(id).thread == l
            || (*scheduler).registry == lua::lua_topointer(l, lua::LUA_REGISTRYINDEX);
        own.then_some(scheduler)
    }
}

/// How an entry is left.
#[derive(Clone, Copy)]
pub enum Exit {
    /// By yielding.
    Yield,
    /// Its frames stay where they are, and the loop goes on in this fiber.
    Fiber(FiberId),
}

impl Exit {
    /// What tells whether the entry in `l` keeps its arguments, once it is left.
    pub fn seal(self, l: *mut lua_State) -> Seal {
        match self {
            Exit::Yield => Seal::of(l),
            Exit::Fiber(_) => Seal::NONE,
        }
    }
}

/// How the entry in `l` can be left to wait, if it can.
///
/// # Safety
///
/// `l` is the state of an entry in a task of `scheduler`.
pub unsafe fn way_out(l: *mut lua_State, scheduler: *mut Scheduler) -> Option<Exit> {
    // SAFETY: as the contract says.
    unsafe {
        let own = (*scheduler)
            .current
            .is_some_and(|id| (*scheduler).task(id).thread == l);
        if own && suspend::can_yield(l) {
            return Some(Exit::Yield);
        }
        if !suspend::can_stay(l) {
            return None;
        }
        match fiber_for(l, scheduler) {
            Ok(fiber) => Some(Exit::Fiber(fiber)),
            Err(_) => {
                lua::luaL_error(l, c"no memory for a stack".as_ptr());
                unreachable!("luaL_error does not return")
            }
        }
    }
}

/// Whether the running task of `scheduler` may not wait.
///
/// # Safety
///
/// `scheduler` is valid.
pub unsafe fn is_interrupted(scheduler: *mut Scheduler) -> bool {
    // SAFETY: as the contract says.
    unsafe { (*scheduler).is_interrupted() }
}

/// Raises in a task that may not wait, and ends the entry. Others run before that, so that one
/// that tries again and again does not keep them from it.
///
/// # Safety
///
/// `l` is the state of an entry in a task of `scheduler`, as its last act; `exit` is its way
/// out.
pub unsafe fn refuse(l: *mut lua_State, scheduler: *mut Scheduler, exit: Option<Exit>) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        match exit {
            Some(exit) => leave(l, scheduler, exit, |scheduler, id| {
                scheduler.rest(id, Next::Raise);
            }),
            None => raise(l),
        }
    }
}

/// Lets others run, and ends the entry with the results of `signal`.
///
/// # Safety
///
/// As [`refuse`].
pub unsafe fn rest(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    exit: Exit,
    signal: Signal,
) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        leave(l, scheduler, exit, |scheduler, id| {
            scheduler.rest(id, Next::Results(Job::Signal(signal)));
        })
    }
}

/// Makes the running task wait for `job`, and ends the entry that asked for it. With `begun`,
/// the last step of the job waits; otherwise it was not stepped yet.
///
/// # Safety
///
/// `l` is the state of an entry in a task of `scheduler`, as its last act; `exit` is its way
/// out.
pub unsafe fn park(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    exit: Exit,
    job: Job,
    limit: Limit,
    begun: bool,
) -> c_int {
    let mut job = Some(job);
    // SAFETY: as the contract says; the closure uses no Lua.
    unsafe {
        leave(l, scheduler, exit, |scheduler, id| {
            if let Some(job) = job.take() {
                match begun {
                    true => scheduler.park(id, job, limit),
                    false => scheduler.queue(id, job, limit),
                }
            }
        })
    }
}

/// Leaves the entry, after `arrange` has seen to it that the task goes on some time.
unsafe fn leave(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    exit: Exit,
    mut arrange: impl FnMut(&mut Scheduler, Waiter),
) -> c_int {
    // SAFETY: as `park`'s contract. The scheduler is not borrowed while Lua or another fiber
    // runs.
    unsafe {
        let Some(id) = (*scheduler).current else {
            return 0;
        };
        let over = guard(l, || {
            arrange(&mut *scheduler, id);
            stay(&mut *scheduler, id, exit.seal(l))
        });
        match exit {
            _ if over => {
                if let Exit::Fiber(unused) = exit {
                    (*scheduler).fibers.put_idle(unused);
                }
                (*scheduler).budget = SHARE;
                go_on(l, scheduler)
            }
            Exit::Yield => {
                (*scheduler).leaving = true;
                suspend::yield_::<Waiting>(l)
            }
            Exit::Fiber(other) => {
                (*scheduler).task(id).fiber = (*scheduler).fibers.current();
                (*scheduler).current = None;
                fibers::change(&raw mut (*scheduler).fibers, other);
                suspend::after_others(l);
                go_on(l, scheduler)
            }
        }
    }
}

/// Waits without leaving the entry, where that keeps nobody from running; whether the wait is
/// over. As long as the entry is not left, nobody can take its arguments away.
fn stay(scheduler: &mut Scheduler, id: Waiter, seal: Seal) -> bool {
    if !turn::may_stay(scheduler) {
        return false;
    }
    scheduler.seal(id, Seal::NONE);
    let over = turn::stay(scheduler, id);
    if !over {
        scheduler.seal(id, seal);
    }
    over
}

/// An entry that waits, and how it goes on.
pub struct Waiting;

impl Continuation for Waiting {
    unsafe fn go_on(l: *mut lua_State) -> c_int {
        // SAFETY: as the contract says; the scheduler is valid while its loop runs.
        unsafe {
            let scheduler = RUNNING.get();
            let is_due = !scheduler.is_null()
                && (*scheduler)
                    .current
                    .is_some_and(|id| (*scheduler).task(id).thread == l);
            if !is_due {
                // Resumed by the program, which has kept the coroutine: it waits on, with what it
                // was resumed with on its stack.
                lua::luaL_checkstack(l, lua::LUA_MINSTACK, std::ptr::null());
                return suspend::yield_::<Waiting>(l);
            }
            go_on(l, scheduler)
        }
    }

    unsafe fn raise(l: *mut lua_State) -> ! {
        // SAFETY: as the contract says.
        unsafe { raise(l) }
    }
}

/// In the task, after a wait: pushes its results, or raises.
///
/// # Safety
///
/// `l` is the state of an entry that has waited, in a task of `scheduler`.
unsafe fn go_on(l: *mut lua_State, scheduler: *mut Scheduler) -> c_int {
    // SAFETY: as the contract says; the job stays with the task until its results are
    // pushed, so nothing is lost or leaks if that raises.
    unsafe {
        let Some(id) = (*scheduler).current else {
            return 0;
        };
        let next = &raw mut (*scheduler).task(id).next;
        let pushed = match &mut *next {
            Next::Values(_) | Next::Parked => 0,
            // As it would have without waiting: with the slots that are left to the entry.
            Next::Results(job) => job.push(l),
            Next::Raise => {
                *next = Next::Values(0);
                raise(l)
            }
        };
        *next = Next::Values(0);
        pushed
    }
}

/// In the task: raises the error that waits in its handle.
///
/// # Safety
///
/// `l` is the state of an entry, or of a hook, in a task.
unsafe fn raise(l: *mut lua_State) -> ! {
    // SAFETY: as the contract says.
    unsafe {
        let scheduler = RUNNING.get();
        lua::luaL_checkstack(l, 4, std::ptr::null());
        match (*scheduler).current {
            Some(id) => push_waiting_error(l, scheduler, id),
            None => lua::lua_pushnil(l),
        }
        lua::lua_error(l)
    }
}

/// Pushes the error that waits in the handle of a task, on two other values; `nil` if there is none.
///
/// # Safety
///
/// `l` has 3 free slots; `id` is a task of `scheduler` whose end was not told. May raise.
pub unsafe fn push_waiting_error(l: *mut lua_State, scheduler: *mut Scheduler, id: Waiter) {
    // SAFETY: as the contract says.
    unsafe {
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
        lua::lua_rawgeti(l, -1, handle_key(id));
        lua::lua_getfield(l, -1, c"raise".as_ptr());
    }
}
