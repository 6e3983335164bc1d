//! Letting others run, for a while or just now.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use luasocket_engine::error::Error;
use luasocket_engine::operation::{Interest, Operation, Step};
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::job::Signal;
use super::time::{Time, time_limit};
use super::wait::{self, current};
use crate::drive::{self, Run};
use crate::stack;

// Every function below is an entry (see `boundary.rs`).

/// `yield()`: lets other tasks run.
pub unsafe extern "C-unwind" fn yield_(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some(scheduler) = current(l) else {
            return 0;
        };
        match wait::way_out(l, scheduler) {
            exit if wait::is_interrupted(scheduler) => wait::refuse(l, scheduler, exit),
            Some(exit) => wait::rest(l, scheduler, exit, Signal::Rested),
            None => 0,
        }
    }
}

/// `sleep(seconds)`: as `socket.sleep`, letting other tasks run.
pub unsafe extern "C-unwind" fn sleep(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let seconds = lua::luaL_checknumber(l, 1);
        if !(seconds > 0.0) {
            return yield_(l);
        }
        let subject = Time::push(l, -1.0);
        let op = Sleep(Instant::now() + Duration::from_secs_f64(seconds.min(2_147_483_647.0)));
        let (direction, limit) = (None, time_limit as fn(&mut Time) -> _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish: push_slept,
                context: (),
            },
        )
    }
}

/// Sleeping until an instant.
#[derive(Clone, Copy)]
struct Sleep(Instant);

impl Operation<Time> for Sleep {
    type Output = Result<(), Error>;

    fn step(&mut self, _: &mut Time) -> Step<Self::Output> {
        if self.0 <= Instant::now() {
            Step::Done(Ok(()))
        } else {
            Step::Wait
        }
    }

    fn interest<'a>(&'a mut self, _: &'a mut Time) -> Interest<'a> {
        Interest::Many(&mut [], Some(self.0))
    }

    fn give_up(&mut self, _: &mut Time, why: Error) -> Self::Output {
        Err(why)
    }
}

unsafe fn push_slept(l: *mut lua_State, _: *mut Time, slept: Result<(), Error>, (): ()) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        if let Err(error @ Error::Interrupted) = slept {
            stack::push_error(l, error);
        }
    }
    0
}
