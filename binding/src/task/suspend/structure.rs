//! What some Luas know about a thread and do not tell.
//!
//! It lies in the structure of the thread, the same in all releases. Cases of which the answer
//! is known show whether it is what we think; if it is not, this is a Lua with another
//! structure, and the answer is the safe one.

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU8, Ordering};

use mlua_sys as lua;
use mlua_sys::lua_State;

/// Whether no C call lies between `l` and the resume it runs in. Where that is not known, no
/// task yields.
///
/// # Safety
///
/// `l` is an entry's state. May raise. Uses 4 slots.
#[cfg(not(feature = "luajit"))]
pub unsafe fn can_yield(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { is_known(l) && look_at(l) == DIRECT }
}

/// Whether the call that `thread` waits in will be continued otherwise than at an instruction.
/// Where that is not known, it may be.
///
/// # Safety
///
/// `thread` is suspended in a C function, `l` an entry's state. May raise. Uses 4 slots of `l`.
#[cfg(feature = "luajit")]
pub unsafe fn goes_on_otherwise(l: *mut lua_State, thread: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { !is_known(l) || look_at(thread) != DIRECT }
}

/// What [`look_at`] finds where Lua code called a C function, and nothing else did.
const DIRECT: u32 = 0;

/// `nCcalls` less `baseCcalls`, behind eleven words and two `int`s.
#[cfg(feature = "lua51")]
unsafe fn look_at(l: *mut lua_State) -> u32 {
    // SAFETY: the fields lie within the structure of a thread, which is larger.
    unsafe {
        let counts = l.cast::<u8>().add(96).cast::<u16>();
        u32::from((*counts).wrapping_sub(*counts.add(1)))
    }
}

/// `nny`, behind eight words and an `int`.
#[cfg(feature = "lua52")]
unsafe fn look_at(l: *mut lua_State) -> u32 {
    // SAFETY: the field lies within the structure of a thread, which is larger.
    unsafe { u32::from(*l.cast::<u8>().add(68).cast::<u16>()) }
}

/// The type of the frame of the running function, in the slot below `base`; `base` and `top`
/// follow four words. This is LuaJIT with garbage-collected objects anywhere in memory, the
/// default of today.
#[cfg(feature = "luajit")]
unsafe fn look_at(l: *mut lua_State) -> u32 {
    // SAFETY: the fields lie within the structure of a thread, which is larger; what they point
    // at is read only if they can be what they are taken for.
    unsafe {
        let [base, top] = *l.cast::<[*const u64; 2]>().add(2);
        let here: bool =
            (top as usize).wrapping_sub(base as usize) == 8 * lua::lua_gettop(l) as usize;
        if here {
            (*base.sub(1) & 7) as u32
        } else {
            u32::MAX
        }
    }
}

/// Whether [`look_at`] is right where the answer is known.
unsafe fn is_known(l: *mut lua_State) -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(0);

    if cfg!(not(target_pointer_width = "64")) {
        return false;
    }
    match ANSWER.load(Ordering::Relaxed) {
        0 => {}
        answer => return answer == 2,
    }
    // SAFETY: as the callers'.
    match unsafe { try_out(l) } {
        None => false,
        Some(right) => {
            ANSWER.store(if right { 2 } else { 1 }, Ordering::Relaxed);
            right
        }
    }
}

/// What to try: calls directly, and otherwise.
#[cfg(not(feature = "luajit"))]
const TEXT: &str = "local look, gsub = ... \
                    local other gsub('x', 'x', function() other = look() end) \
                    local direct = look() \
                    return direct, other";
#[cfg(not(feature = "luajit"))]
const FUNCTION: (&CStr, &CStr) = (c"string", c"gsub");

#[cfg(feature = "luajit")]
const TEXT: &str = "local look, setmetatable = ... \
                    local other = setmetatable({}, { __index = look }).x \
                    local direct = look() \
                    return direct, other";
#[cfg(feature = "luajit")]
const FUNCTION: (&CStr, &CStr) = (c"_G", c"setmetatable");

/// `None` if there is no memory to try.
unsafe fn try_out(l: *mut lua_State) -> Option<bool> {
    unsafe extern "C-unwind" fn look(l: *mut lua_State) -> c_int {
        // SAFETY: called by Lua.
        unsafe { lua::lua_pushnumber(l, look_at(l).into()) };
        1
    }

    // SAFETY: as the callers'. The thread is on the stack as long as it is used.
    unsafe {
        let thread = lua::lua_newthread(l);
        let loaded =
            lua::luaL_loadbuffer(thread, TEXT.as_ptr().cast(), TEXT.len(), c"=look".as_ptr());
        lua::lua_pushcfunction(thread, look);
        lua::lua_getfield(l, lua::LUA_REGISTRYINDEX, c"_LOADED".as_ptr());
        lua::lua_getfield(l, -1, FUNCTION.0.as_ptr());
        if lua::lua_istable(l, -1) != 0 {
            lua::lua_getfield(l, -1, FUNCTION.1.as_ptr());
            lua::lua_xmove(l, thread, 1);
        }
        let mut results = 0;
        let ran =
            loaded == lua::LUA_OK && lua::lua_resume(thread, l, 2, &mut results) == lua::LUA_OK;
        let found = |index| lua::lua_tonumber(thread, index) as u32;
        let right = ran.then(|| found(-2) == DIRECT && is_other(found(-1)));
        lua::lua_pop(l, 3);
        right
    }
}

/// Whether `found` is what is found in the other case.
fn is_other(found: u32) -> bool {
    match cfg!(feature = "luajit") {
        true => found == 2, // a frame below which there is a continuation
        false => found != DIRECT,
    }
}
