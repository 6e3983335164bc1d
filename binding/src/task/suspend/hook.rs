//! Raising an error in a thread that is resumed, by a hook.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::Continuation;

/// A hook of the program's.
#[derive(Clone, Copy)]
pub struct Hook(Option<lua::lua_Hook>, c_int, c_int);

impl Hook {
    /// That of `l`.
    ///
    /// # Safety
    ///
    /// `l` is a thread.
    pub unsafe fn of(l: *mut lua_State) -> Hook {
        // SAFETY: as the contract says.
        unsafe {
            let (mask, count) = (lua::lua_gethookmask(l), lua::lua_gethookcount(l));
            Hook(lua::lua_gethook(l), mask, count)
        }
    }

    /// Gives it to `l` again.
    ///
    /// # Safety
    ///
    /// As [`Hook::of`].
    pub unsafe fn set(self, l: *mut lua_State) {
        // SAFETY: as the contract says.
        unsafe { lua::lua_sethook(l, self.0, self.1, self.2) };
    }
}

thread_local! {
    /// While there is a hook of ours in its place.
    static PROGRAMS: Cell<Option<Hook>> = const { Cell::new(None) };
}

/// Sets a hook that raises the error of the task at its next instruction.
///
/// # Safety
///
/// `thread` is suspended, and about to be resumed.
pub unsafe fn prepare_raise<K: Continuation>(thread: *mut lua_State) {
    unsafe extern "C-unwind" fn raise<K: Continuation>(l: *mut lua_State, _: *mut lua::lua_Debug) {
        // SAFETY: called by Lua in a task that the scheduler resumed.
        unsafe {
            after_raise(l);
            K::raise(l);
        }
    }
    // SAFETY: as the contract says.
    unsafe {
        PROGRAMS.set(Some(Hook::of(thread)));
        lua::lua_sethook(thread, Some(raise::<K>), lua::LUA_MASKCOUNT, 1);
    }
}

/// Gives the program its hook back.
///
/// # Safety
///
/// `l` is the thread of the last [`prepare_raise`], if there was one.
pub unsafe fn after_raise(l: *mut lua_State) {
    if let Some(hook) = PROGRAMS.take() {
        // SAFETY: as the contract says.
        unsafe { hook.set(l) };
    }
}

/// What marks the stack of a thread whose entry was left.
pub fn mark() -> *const c_void {
    static MARK: u8 = 0;
    (&raw const MARK).cast()
}

/// Whether Lua code has called the entry in `l`.
///
/// # Safety
///
/// `l` is an entry's state. Uses 1 slot.
pub unsafe fn is_called_by_lua(l: *mut lua_State) -> bool {
    let mut caller = MaybeUninit::<lua::lua_Debug>::zeroed();
    // SAFETY: as the contract says.
    unsafe {
        if lua::lua_getstack(l, 1, caller.as_mut_ptr()) == 0 {
            return false;
        }
        lua::lua_getinfo(l, c"f".as_ptr(), caller.as_mut_ptr());
        let c = lua::lua_iscfunction(l, -1) != 0;
        lua::lua_pop(l, 1);
        !c
    }
}
