//! What waits for nothing but time, and numbers of seconds.

use std::ffi::c_int;

use luasocket_engine::deadline::Limit;
use luasocket_engine::socket::Socket;
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::stack;
use crate::subject::Subject;

/// A number of seconds; what is negative is past.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn check_seconds(l: *mut lua_State, arg: c_int) -> f64 {
    // SAFETY: called by an entry.
    let seconds = unsafe { lua::luaL_checknumber(l, arg) };
    if seconds < 0.0 { 0.0 } else { seconds }
}

/// A subject that is nothing but a limit.
pub struct Time(Limit);

impl Subject for Time {
    fn socket(&mut self) -> Option<&mut Socket> {
        None
    }
}

impl Time {
    /// Pushes a place for a limit of `seconds`, negative for none.
    ///
    /// # Safety
    ///
    /// `l` is an entry's state. Uses 1 slot.
    pub unsafe fn push(l: *mut lua_State, seconds: f64) -> *mut Time {
        // SAFETY: called by an entry; the place holds nothing that must be dropped.
        unsafe {
            let time = stack::new_userdata::<Time>(l);
            time.write(Time(Limit::after(seconds)));
            time
        }
    }
}

/// The limit that a subject of time is.
pub fn time_limit(time: &mut Time) -> Limit {
    time.0
}
