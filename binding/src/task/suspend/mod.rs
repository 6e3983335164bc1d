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
//! * `CAN_BE_LOST`: whether a program can do to a suspended coroutine what takes its entry away:
//!   close it, or, where the entry does not go on, resume it.
//! * `is_left(thread)`: whether the thread still is as `yield_` has left it.

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
mod near;
#[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
mod structure;

pub use near::{prefetch_frames, prefetch_thread};
pub use version::{
    CAN_BE_LOST, CONTINUES, after_others, after_raise, can_stay, can_yield, is_left, prepare_raise,
    yield_,
};

/// Whether an entry that was left still keeps, on the stack of its thread, what it was called
/// with.
#[derive(Clone, Copy)]
pub struct Seal(*mut lua_State);

impl Seal {
    /// That of an entry whose frames stay on a native stack: the coroutine is neither suspended
    /// nor dead, so nobody can resume or close it.
    pub const NONE: Seal = Seal(std::ptr::null_mut());

    /// That of an entry that yields on `l`.
    pub fn of(l: *mut lua_State) -> Seal {
        Seal(l)
    }

    /// Whether it does not any more.
    ///
    /// # Safety
    ///
    /// The entry was left, and its thread is alive.
    #[inline]
    pub unsafe fn is_broken(self) -> bool {
        // SAFETY: as the contract says.
        CAN_BE_LOST && !self.0.is_null() && unsafe { !is_left(self.0) }
    }
}

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
