//! Leaving an entry by yielding, and coming back with results or an error: what differs
//! between Lua versions.
//!
//! From 5.2 on, the continuation of the yield pushes the results or raises. PUC Lua 5.1 and
//! LuaJIT have none: the loop pushes the results, and an error is raised by a hook at the
//! first instruction that the task executes.

#[cfg(any(feature = "lua51", feature = "luajit"))]
use std::cell::Cell;
use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

/// Whether the entry itself goes on after the yield, by
/// [`go_on`](super::wait::go_on).
pub const CONTINUES: bool = version::CONTINUES;

/// Whether `l` can yield right here.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn can_yield(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { version::can_yield(l) }
}

/// Whether an entry in `l` can stay on its native stack while others run.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn can_stay(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { version::can_stay(l) }
}

/// Yields, as the last act of an entry; its results will be what the scheduler then has for
/// the task.
///
/// # Safety
///
/// `l` is an entry's state, and can yield.
pub unsafe fn yield_(l: *mut lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe { version::yield_(l) }
}

/// Where nothing continues: makes the thread `l` raise the error of its task as soon as it is
/// resumed.
///
/// # Safety
///
/// `l` is a suspended thread, about to be resumed.
pub unsafe fn prepare_raise(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe { version::prepare_raise(l) }
}

/// Takes back what is left of [`prepare_raise`].
///
/// # Safety
///
/// `l` is the same thread.
pub unsafe fn after_raise(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe { version::after_raise(l) }
}

#[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
mod version {
    use super::*;

    pub const CONTINUES: bool = true;

    pub unsafe fn can_yield(l: *mut lua_State) -> bool {
        // SAFETY: as the caller's.
        unsafe { lua::lua_isyieldable(l) != 0 }
    }

    pub unsafe fn yield_(l: *mut lua_State) -> c_int {
        unsafe extern "C-unwind" fn go_on(l: *mut lua_State, _: c_int, _: isize) -> c_int {
            // SAFETY: called by Lua in a task that the scheduler resumed.
            unsafe { super::super::wait::go_on(l) }
        }
        // SAFETY: as the contract says.
        unsafe { lua::lua_yieldk(l, 0, 0, Some(go_on)) }
    }

    pub use super::continued::{after_raise, can_stay, prepare_raise};
}

#[cfg(feature = "lua52")]
mod version {
    use super::*;

    pub const CONTINUES: bool = true;

    pub unsafe fn can_yield(l: *mut lua_State) -> bool {
        // SAFETY: as the caller's.
        unsafe { structure::can_yield(l) }
    }

    pub unsafe fn yield_(l: *mut lua_State) -> c_int {
        unsafe extern "C-unwind" fn go_on(l: *mut lua_State) -> c_int {
            // SAFETY: called by Lua in a task that the scheduler resumed.
            unsafe { super::super::wait::go_on(l) }
        }
        // SAFETY: as the contract says.
        unsafe { lua::lua_yieldk(l, 0, 0, Some(go_on)) }
    }

    pub use super::continued::{after_raise, can_stay, prepare_raise};
}

#[cfg(any(feature = "lua51", feature = "luajit"))]
mod version {
    use super::*;

    pub const CONTINUES: bool = false;

    /// Not below a C function, not even one that can be yielded through, as LuaJIT's `pcall`: an
    /// error is raised in the Lua function that called the entry, and must not pass by a
    /// `pcall` between the two.
    pub unsafe fn can_yield(l: *mut lua_State) -> bool {
        // SAFETY: as the caller's.
        unsafe { may_yield(l) && is_called_by_lua(l) }
    }

    #[cfg(feature = "luajit")]
    unsafe fn may_yield(l: *mut lua_State) -> bool {
        unsafe extern "C-unwind" {
            fn lua_isyieldable(l: *mut lua_State) -> c_int;
        }
        // SAFETY: as the caller's.
        unsafe { lua_isyieldable(l) != 0 }
    }

    #[cfg(feature = "lua51")]
    use structure::can_yield as may_yield;

    unsafe fn is_called_by_lua(l: *mut lua_State) -> bool {
        let mut caller = std::mem::MaybeUninit::<lua::lua_Debug>::zeroed();
        // SAFETY: as the caller's; uses 1 slot.
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

    #[cfg(feature = "lua51")]
    pub unsafe fn can_stay(_: *mut lua_State) -> bool {
        true
    }

    /// Not in a hook or a finalizer, which are a state of all threads, in which none can yield.
    /// LuaJIT does not tell; but in that state no other hook is called.
    #[cfg(feature = "luajit")]
    pub unsafe fn can_stay(l: *mut lua_State) -> bool {
        thread_local! {
            static CALLED: Cell<bool> = const { Cell::new(false) };
        }

        unsafe extern "C-unwind" fn hook(_: *mut lua_State, _: *mut lua::lua_Debug) {
            CALLED.set(true);
        }

        // SAFETY: as the caller's; uses 1 slot. The code is new each time, so it is never
        // compiled, and compiled code calls no hooks.
        unsafe {
            if lua::luaL_loadbuffer(l, c"".as_ptr(), 0, c"=hook".as_ptr()) != lua::LUA_OK {
                lua::lua_pop(l, 1);
                return false;
            }
            let programs = Hook::of(l);
            CALLED.set(false);
            lua::lua_sethook(l, Some(hook), lua::LUA_MASKCOUNT, 1);
            let ran = lua::lua_pcall(l, 0, 0, 0);
            programs.set(l);
            if ran != lua::LUA_OK {
                lua::lua_pop(l, 1);
            }
        }
        CALLED.get()
    }

    /// Everything on the entry's stack goes along, because LuaJIT forgets what does not; it is
    /// ignored when the thread is resumed.
    pub unsafe fn yield_(l: *mut lua_State) -> c_int {
        // SAFETY: as the contract says.
        unsafe { lua::lua_yield(l, lua::lua_gettop(l)) }
    }

    /// A hook of the program's.
    #[derive(Clone, Copy)]
    struct Hook(Option<lua::lua_Hook>, c_int, c_int);

    impl Hook {
        unsafe fn of(l: *mut lua_State) -> Hook {
            // SAFETY: as the caller's.
            unsafe {
                let (mask, count) = (lua::lua_gethookmask(l), lua::lua_gethookcount(l));
                Hook(lua::lua_gethook(l), mask, count)
            }
        }

        unsafe fn set(self, l: *mut lua_State) {
            // SAFETY: as the caller's.
            unsafe { lua::lua_sethook(l, self.0, self.1, self.2) };
        }
    }

    thread_local! {
        /// While there is a hook of ours in its place.
        static PROGRAMS: Cell<Option<Hook>> = const { Cell::new(None) };
    }

    pub unsafe fn prepare_raise(l: *mut lua_State) {
        unsafe extern "C-unwind" fn raise(l: *mut lua_State, _: *mut lua::lua_Debug) {
            // SAFETY: called by Lua in a task that the scheduler resumed.
            unsafe {
                after_raise(l);
                super::super::wait::raise(l);
            }
        }
        // SAFETY: as the contract says.
        unsafe {
            PROGRAMS.set(Some(Hook::of(l)));
            lua::lua_sethook(l, Some(raise), lua::LUA_MASKCOUNT, 1);
        }
    }

    pub unsafe fn after_raise(l: *mut lua_State) {
        if let Some(hook) = PROGRAMS.take() {
            // SAFETY: as the contract says.
            unsafe { hook.set(l) };
        }
    }
}

#[cfg(not(any(feature = "lua51", feature = "luajit")))]
mod continued {
    use super::*;

    pub unsafe fn can_stay(_: *mut lua_State) -> bool {
        true
    }

    pub unsafe fn prepare_raise(_: *mut lua_State) {}

    pub unsafe fn after_raise(_: *mut lua_State) {}
}

/// PUC Lua 5.1 and 5.2 do not tell whether a thread can yield; but its structure, the same in
/// all releases, does. [`trusted`](structure::trusted) has made sure that it is what we think.
#[cfg(any(feature = "lua51", feature = "lua52"))]
mod structure {
    use super::*;

    pub unsafe fn can_yield(l: *mut lua_State) -> bool {
        // SAFETY: as the caller's.
        unsafe { trusted(l) && no_c_calls(l) }
    }

    /// Whether no C call lies between `l` and the resume it runs in.
    unsafe fn no_c_calls(l: *mut lua_State) -> bool {
        // SAFETY: the fields lie within the structure of a thread, which is larger.
        unsafe {
            #[cfg(feature = "lua51")]
            {
                // `nCcalls` and `baseCcalls`, behind eleven words and two `int`s.
                let counts = l.cast::<u8>().add(96).cast::<u16>();
                *counts == *counts.add(1)
            }
            #[cfg(feature = "lua52")]
            {
                // `nny`, behind eight words and an `int`.
                *l.cast::<u8>().add(68).cast::<u16>() == 0
            }
        }
    }

    /// Whether `no_c_calls` is right in two cases of which the answer is known. If it is
    /// not, this is a Lua with another structure, and no task yields by `lua_yield`.
    unsafe fn trusted(l: *mut lua_State) -> bool {
        use std::sync::atomic::{AtomicU8, Ordering};

        static ANSWER: AtomicU8 = AtomicU8::new(0);
        const TEXT: &str = "local look, pcall = ... local _, nested = pcall(look) \
                            local direct = look() return direct and not nested";

        unsafe extern "C-unwind" fn look(l: *mut lua_State) -> c_int {
            // SAFETY: called by Lua.
            unsafe { lua::lua_pushboolean(l, no_c_calls(l).into()) };
            1
        }

        if cfg!(not(target_pointer_width = "64")) {
            return false;
        }
        match ANSWER.load(Ordering::Relaxed) {
            0 => {}
            answer => return answer == 2,
        }
        // SAFETY: as the caller's; uses 4 slots.
        let right = unsafe {
            let thread = lua::lua_newthread(l);
            let loaded =
                lua::luaL_loadbuffer(thread, TEXT.as_ptr().cast(), TEXT.len(), c"=look".as_ptr());
            lua::lua_pushcfunction(thread, look);
            lua::lua_getglobal(l, c"pcall".as_ptr());
            lua::lua_xmove(l, thread, 1);
            let mut results = 0;
            let right = loaded == lua::LUA_OK
                && lua::lua_resume(thread, l, 2, &mut results) == lua::LUA_OK
                && lua::lua_toboolean(thread, -1) != 0;
            lua::lua_pop(l, 1);
            right
        };
        ANSWER.store(if right { 2 } else { 1 }, Ordering::Relaxed);
        right
    }
}
