//! Loading and calling Lua code, and reporting what went wrong.

use std::ffi::{CStr, c_int};
use std::io::Write;

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::interrupt;

/// Calls the function below its `arguments`; an error gets a traceback.
pub unsafe fn call(l: *mut lua_State, arguments: c_int, results: c_int) -> c_int {
    // SAFETY: the caller pushed function and arguments.
    unsafe {
        let base = lua::lua_gettop(l) - arguments;
        lua::lua_pushcfunction(l, explain);
        lua::lua_insert(l, base);
        let guard = interrupt::Guard::new(l);
        let status = lua::lua_pcall(l, arguments, results, base);
        guard.end();
        lua::lua_remove(l, base);
        status
    }
}

/// Calls a chunk that was loaded with `status`, and reports either's failure.
pub unsafe fn run(l: *mut lua_State, program: &CStr, status: c_int) -> bool {
    // SAFETY: the caller has the chunk, or the message, on the stack.
    unsafe {
        let status = if status == lua::LUA_OK {
            call(l, 0, 0)
        } else {
            status
        };
        report(l, Some(program), status)
    }
}

/// Runs `text` under the chunk name `name`.
pub unsafe fn run_text(l: *mut lua_State, program: &CStr, text: &CStr, name: &CStr) -> bool {
    // SAFETY: the caller's state; the text outlives the call.
    unsafe {
        let length = text.count_bytes();
        let status = lua::luaL_loadbuffer(l, text.as_ptr(), length, name.as_ptr());
        run(l, program, status)
    }
}

/// Takes the message of a failure off the stack and prints it. Returns whether
/// there was none.
pub unsafe fn report(l: *mut lua_State, program: Option<&CStr>, status: c_int) -> bool {
    if status == lua::LUA_OK {
        return true;
    }
    // SAFETY: the caller's state; Lua owns the bytes until the pop.
    unsafe {
        let mut length = 0;
        let text = lua::lua_tolstring(l, -1, &mut length);
        let text = match text.is_null() {
            true => b"(error message not a string)",
            false => std::slice::from_raw_parts(text.cast::<u8>(), length),
        };
        complain(program, text);
        lua::lua_pop(l, 1);
    }
    false
}

/// Prints `program: text` on standard error.
pub fn complain(program: Option<&CStr>, text: &[u8]) {
    let mut line = Vec::new();
    if let Some(program) = program {
        line.extend_from_slice(program.to_bytes());
        line.extend_from_slice(b": ");
    }
    line.extend_from_slice(text);
    line.push(b'\n');
    flush();
    let _ = std::io::stderr().write_all(&line);
}

/// Writes out what Lua's `print` and `io.write` still keep.
pub fn flush() {
    // SAFETY: flushes every stream of C.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// The message handler: any error object becomes a text with a traceback, or what
/// its `__tostring` says, without one.
unsafe extern "C-unwind" fn explain(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the error object.
    unsafe {
        let mut message = lua::lua_tostring(l, 1);
        if message.is_null() {
            if lua::luaL_callmeta(l, 1, c"__tostring".as_ptr()) != 0
                && lua::lua_type(l, -1) == lua::LUA_TSTRING
            {
                return 1;
            }
            let kind = lua::lua_typename(l, lua::lua_type(l, 1));
            message = lua::lua_pushfstring(l, c"(error object is a %s value)".as_ptr(), kind);
        }
        lua::luaL_traceback(l, l, message, 1);
    }
    1
}
