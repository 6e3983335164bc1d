//! Leaving an entry by yielding, and coming back with results or an error: what differs
//! between Lua versions, one file each.
//!
//! A version has:
//!
//! * `CONTINUES`: whether the entry itself goes on after the yield, by
//!   [`go_on`](Continuation::go_on). From 5.2 on, the continuation of the yield does so. PUC
//!   Lua 5.1 and LuaJIT have none: the loop pushes the results, and an error is raised by a
//!   hook at the first instruction that the task executes.
//! * `can_yield(l)`: whether the entry in `l` can be left by yielding.
//! * `can_stay(l)`: whether it can stay on its native stack while others run. May raise.
//! * `after_others(l)`: to be called in the entry in `l` when others have run on other native stacks,
//!   before anything else is done with `l`.
//! * `yield_::<K>(l)`: yields, as the last act of the entry; its results will be what the scheduler
//!   then has for the task.
//! * `prepare_raise::<K>(l, thread)`, where nothing continues: makes the suspended `thread` raise the
//!   error of its task as soon as it is resumed. `l` is what resumes it; may raise there.
//! * `after_raise(thread)`: takes back what is left of that.

use std::ffi::c_int;

use mlua_sys::lua_State;

#[cfg_attr(feature = "lua51", path = "lua51.rs")]
#[cfg_attr(feature = "lua52", path = "lua52.rs")]
#[cfg_attr(
    any(feature = "lua53", feature = "lua54", feature = "lua55"),
    path = "lua53.rs"
)]
#[cfg_attr(feature = "luajit", path = "luajit.rs")]
mod version;

#[cfg(any(feature = "lua51", feature = "luajit"))]
mod hook;
#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
mod structure;

pub use version::{
    CONTINUES, after_others, after_raise, can_stay, can_yield, prepare_raise, yield_,
};

/// How an entry goes on that was left.
#[allow(dead_code, reason = "each version uses one of the two")]
pub trait Continuation {
    /// Pushes the results of the entry, or raises.
    ///
    /// # Safety
    ///
    /// `l` is the state of the entry, in a task that the scheduler has resumed.
    unsafe fn go_on(l: *mut lua_State) -> c_int;

    /// Raises the error that waits for the task.
    ///
    /// # Safety
    ///
    /// `l` is the state of the entry, or of a hook, in a task that the scheduler has resumed.
    unsafe fn raise(l: *mut lua_State) -> !;
}
