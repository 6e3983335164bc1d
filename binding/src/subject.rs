//! What operations work on, and what becomes of their results.

use std::ffi::c_int;

use luasocket_engine::deadline::Limit;
use luasocket_engine::socket::Socket;
use mlua_sys::lua_State;

/// What an operation works on.
pub trait Subject {
    /// Its socket, if it has one of its own.
    fn socket(&mut self) -> Option<&mut Socket>;

    /// A descriptor that it may be using is being closed.
    fn closing(&mut self, _: i32) {}
}

/// Pushes the results of an operation; may raise.
pub type Finish<S, T, C> =
    unsafe fn(l: *mut lua_State, subject: *mut S, output: T, context: C) -> c_int;

/// The limit of a subject with a socket.
pub fn limit_of<S: Subject>(subject: &mut S) -> Limit {
    subject
        .socket()
        .map_or(Limit::None, |socket| socket.limit())
}
