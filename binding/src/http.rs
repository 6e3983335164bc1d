//! `socket.http.core`: the heads of HTTP messages.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;
use std::time::Instant;

use luasocket_codec::http::{Fields, Flaw, Place, Status, first_line};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::scratch::{self, Scratch};
use crate::stack;

/// Opens the module.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int);
        scratch::set_functions(l, FUNCTIONS);
    }
    1
}

// Every function below is an entry or called by one (see `boundary.rs`).

/// `response(head)`: the code, the status line, whether the connection stays open
/// unless the fields say otherwise, and a table of the fields (name in lower case →
/// value, repeats joined); or `nil` and a message.
unsafe extern "C-unwind" fn response(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the head stays argument 1.
    unsafe {
        let head = stack::check_bytes(l, 1);
        let (line, at) = match guard(l, || first_line(head.get())) {
            Ok(first) => first,
            Err(flaw) => return fail(l, flaw),
        };
        let status = guard(l, || Status::parse(line));
        let Some(status) = status else {
            lua::lua_pushnil(l);
            stack::push_bytes(l, line);
            return 2;
        };
        lua::lua_pushinteger(l, status.code as _);
        stack::push_bytes(l, line);
        lua::lua_pushboolean(l, c_int::from(status.persistent));
        match push_fields(l, head, at) {
            Ok(()) => 4,
            Err(flaw) => fail(l, flaw),
        }
    }
}

/// `headers(head)`: the table of the fields alone; or `nil` and a message.
unsafe extern "C-unwind" fn headers(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the head stays argument 1.
    unsafe {
        let head = stack::check_bytes(l, 1);
        match push_fields(l, head, 0) {
            Ok(()) => 1,
            Err(flaw) => fail(l, flaw),
        }
    }
}

/// `now()`: seconds of a clock that only goes forward.
unsafe extern "C-unwind" fn now(l: *mut lua_State) -> c_int {
    static START: OnceLock<Instant> = OnceLock::new();
    // SAFETY: called by Lua.
    unsafe {
        let now = guard(l, || START.get_or_init(Instant::now).elapsed());
        lua::lua_pushnumber(l, now.as_secs_f64());
    }
    1
}

/// `place(url)`: scheme, host, port (or nil) and target of a plain URL; nothing for
/// others.
unsafe extern "C-unwind" fn place(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the URL stays argument 1.
    unsafe {
        let url = stack::check_bytes(l, 1);
        let Some(place) = guard(l, || Place::parse(url.get())) else {
            return 0;
        };
        stack::push_bytes(l, place.scheme);
        stack::push_bytes(l, place.host);
        match place.port {
            Some(port) => stack::push_bytes(l, port),
            None => lua::lua_pushnil(l),
        }
        stack::push_bytes(l, place.target);
    }
    4
}

unsafe fn push_fields(l: *mut lua_State, head: stack::Bytes, at: usize) -> Result<(), Flaw> {
    // SAFETY: the head is an argument; the scratch is ours until it is let go.
    unsafe {
        lua::lua_createtable(l, 0, USUAL_FIELDS);
        let scratch = scratch::take(l);
        let mut fields = Fields::from(at);
        loop {
            let next = guard(l, || {
                let Scratch { out, spare, .. } = &mut *scratch;
                fields.next(head.get(), out, spare)
            });
            match next {
                Ok(true) => set_field(l, scratch),
                Ok(false) => break,
                Err(flaw) => {
                    scratch::release(scratch);
                    return Err(flaw);
                }
            }
        }
        scratch::release(scratch);
        lua::lua_pop(l, 1);
    }
    Ok(())
}

/// Adds the field in the scratch, which is on top, to the table below.
unsafe fn set_field(l: *mut lua_State, scratch: *mut Scratch) {
    // SAFETY: as in `push_fields`.
    unsafe {
        stack::push_bytes(l, (*scratch).out.as_slice());
        lua::lua_pushvalue(l, -1);
        lua::lua_rawget(l, -4);
        if lua::lua_isnil(l, -1) != 0 {
            lua::lua_pop(l, 1);
            stack::push_bytes(l, (*scratch).spare.as_slice());
        } else {
            stack::push_bytes(l, b", ");
            stack::push_bytes(l, (*scratch).spare.as_slice());
            lua::lua_concat(l, 3);
        }
        lua::lua_rawset(l, -4);
    }
}

unsafe fn fail(l: *mut lua_State, flaw: Flaw) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_pushnil(l);
        stack::push_bytes(l, flaw.text().as_bytes());
    }
    2
}

const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"headers", headers),
    (c"now", now),
    (c"place", place),
    (c"response", response),
];

/// A table of this size is made at once.
const USUAL_FIELDS: c_int = 8;
