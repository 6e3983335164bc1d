//! `socket.http.core`: the heads of HTTP messages.

use std::ffi::{CStr, c_int};

use luasocket_codec::head::{self, Field};
use luasocket_codec::http::{Fields, Flaw, Place, Status, first_line};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::clock::now;
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
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int + 1);
        scratch::set_functions(l, FUNCTIONS);
        lua::lua_createtable(l, head::ORDER.len() as c_int, 0);
        for (place, name) in (1..).zip(head::ORDER) {
            stack::push_bytes(l, name);
            lua::lua_rawseti(l, -2, place);
        }
        lua::lua_setfield(l, -2, c"order".as_ptr());
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

/// `request(method, target, fields, canonic [, spelled [, body]])`: the text of a request:
/// its head and a body. `fields` maps names in lower case to texts and whole numbers (false
/// stands for nothing); the other tables map them to what is written. nil if anything is not
/// as it usually is, or does not belong into a head.
unsafe extern "C-unwind" fn request(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. What the fields point at lies in the arguments, and nothing
    // collects garbage until it is written.
    unsafe {
        let (method, target) = (stack::check_bytes(l, 1), stack::check_bytes(l, 2));
        lua::luaL_checktype(l, 3, lua::LUA_TTABLE);
        lua::luaL_checktype(l, 4, lua::LUA_TTABLE);
        lua::lua_settop(l, 6);
        if lua::lua_getmetatable(l, 4) != 0 {
            return 0;
        }
        let body = stack::opt_bytes(l, 6);
        let scratch = scratch::open(l);
        let mut fields = [Field::default(); MOST_FIELDS];
        let clean = match collect(l, &mut fields) {
            Some(count) => guard(l, || {
                let out = &mut (*scratch).out;
                let clean = head::write(method.get(), target.get(), &mut fields[..count], out);
                out.extend(body.get());
                clean
            }),
            None => false,
        };
        if clean {
            scratch::push_out(l, scratch);
        } else {
            lua::lua_pushnil(l);
        }
    }
    1
}

/// Reads the table of fields at 3. `None` if there is anything unusual.
unsafe fn collect(l: *mut lua_State, fields: &mut [Field<'_>]) -> Option<usize> {
    // SAFETY: as in `request`.
    unsafe {
        let mut count = 0;
        lua::lua_pushnil(l);
        while lua::lua_next(l, 3) != 0 {
            let kind = lua::lua_type(l, -1);
            if lua::lua_type(l, -2) != lua::LUA_TSTRING || count == fields.len() {
                return None;
            }
            let name = stack::check_bytes(l, -2).get();
            let mut field = Field::new(name, spelled(l).unwrap_or(name), b"");
            match kind {
                lua::LUA_TSTRING => field.value = stack::check_bytes(l, -1).get(),
                lua::LUA_TNUMBER => field.number = Some(whole(l)?),
                lua::LUA_TBOOLEAN if lua::lua_toboolean(l, -1) == 0 => {
                    lua::lua_pop(l, 1);
                    continue;
                }
                _ => return None,
            }
            fields[count] = field;
            count += 1;
            lua::lua_pop(l, 1);
        }
        Some(count)
    }
}

/// How the name below the top is written, if a table tells.
unsafe fn spelled<'a>(l: *mut lua_State) -> Option<&'a [u8]> {
    // SAFETY: as in `request`; the text stays in the table.
    unsafe {
        for table in [4, 5] {
            if lua::lua_istable(l, table) == 0 {
                continue;
            }
            lua::lua_pushvalue(l, -2);
            lua::lua_rawget(l, table);
            let found = lua::lua_type(l, -1) == lua::LUA_TSTRING;
            let text = found.then(|| stack::check_bytes(l, -1).get());
            lua::lua_pop(l, 1);
            if text.is_some() {
                return text;
            }
        }
        None
    }
}

/// The number on top, if it is one that every Lua writes as digits alone.
unsafe fn whole(l: *mut lua_State) -> Option<u64> {
    // SAFETY: as in `request`.
    unsafe {
        #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
        if lua::lua_isinteger(l, -1) == 0 {
            return None;
        }
        let number = lua::lua_tonumber(l, -1);
        let plain = (0.0..1e14).contains(&number) && number.fract() == 0.0;
        plain.then_some(number as u64)
    }
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
    (c"process", process),
    (c"request", request),
    (c"response", response),
];

/// `process()`: the number of this process, which a forked child has another one of.
unsafe extern "C-unwind" fn process(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushinteger(l, luasocket_engine::sys::pid().into()) };
    1
}

/// A table of this size is made at once.
const USUAL_FIELDS: c_int = 8;

/// More than a request usually has.
const MOST_FIELDS: usize = 24;
