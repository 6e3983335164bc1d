//! Waiting for descriptors of the program's own.

use std::ffi::c_int;
use std::time::Duration;

use luasocket_engine::error::Error;
use luasocket_engine::operation::{Interest, Operation, Step};
use luasocket_engine::sys;
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::time::{Time, check_seconds, time_limit};
use crate::drive::{self, Run};
use crate::stack;

/// `ready(fd, events [, seconds])`: waits until the descriptor is ready for one of the
/// events, `"r"`, `"w"` or `"rw"`: `true`, or `nil, "timeout"`. Works outside of tasks, too.
pub unsafe extern "C-unwind" fn ready(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let fd = stack::check_int(l, 1);
        let events = match stack::check_bytes(l, 2).get() {
            b"r" => sys::POLLIN,
            b"w" => sys::POLLOUT,
            b"rw" => sys::POLLIN | sys::POLLOUT,
            _ => stack::arg_error(l, 2, c"'r', 'w' or 'rw' expected"),
        };
        let seconds = match lua::lua_isnoneornil(l, 3) {
            0 => check_seconds(l, 3),
            _ => -1.0,
        };
        let op = Ready(sys::PollFd::new(fd, events));
        let subject = Time::push(l, seconds);
        let (direction, limit) = (None, time_limit as fn(&mut Time) -> _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish: push_ready,
                context: (),
            },
        )
    }
}

/// Waiting for a descriptor of the program's own.
#[derive(Clone, Copy)]
struct Ready(sys::PollFd);

impl Operation<Time> for Ready {
    type Output = Result<(), Error>;

    fn step(&mut self, _: &mut Time) -> Step<Self::Output> {
        match sys::poll(std::slice::from_mut(&mut self.0), Some(Duration::ZERO)) {
            Ok(0) | Err(sys::EINTR) => Step::Wait,
            Ok(_) if self.0.revents() & sys::POLLNVAL != 0 => {
                Step::Done(Err(Error::Os(sys::EBADF)))
            }
            Ok(_) => Step::Done(Ok(())),
            Err(errno) => Step::Done(Err(Error::Os(errno))),
        }
    }

    fn interest<'a>(&'a mut self, _: &'a mut Time) -> Interest<'a> {
        Interest::Many(std::slice::from_mut(&mut self.0), None)
    }

    fn give_up(&mut self, _: &mut Time, why: Error) -> Self::Output {
        Err(why)
    }
}

unsafe fn push_ready(l: *mut lua_State, _: *mut Time, ready: Result<(), Error>, (): ()) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match ready {
            Ok(()) => {
                lua::lua_pushboolean(l, 1);
                1
            }
            Err(error) => stack::fail(l, error),
        }
    }
}
