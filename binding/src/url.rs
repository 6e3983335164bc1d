//! `socket.url`: URLs taken apart, put together and resolved.

use std::ffi::{CStr, c_int};

use luasocket_codec::percent::{self, Escaper};
use luasocket_codec::url::{self, Base, Parts, Tail};
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::scratch::{self, Scratch};
use crate::stack::{self, Bytes};

/// `require "socket.url"`. The module is also `socket.url`.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_getglobal(l, c"require".as_ptr());
        stack::push_bytes(l, b"socket");
        lua::lua_call(l, 1, 1);
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int + 1);
        scratch::set_functions(l, FUNCTIONS);
        stack::set_bytes(l, c"_VERSION", b"URL 1.0.3");
        lua::lua_pushvalue(l, -1);
        lua::lua_setfield(l, -3, c"url".as_ptr());
    }
    1
}

/// `parse(url [, default [, "strict"]])`
unsafe extern "C-unwind" fn parse(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let text = opt_text(l, 1);
        let has_default = lua::lua_toboolean(l, 2) != 0;
        if has_default {
            lua::luaL_checktype(l, 2, lua::LUA_TTABLE);
        }
        let strict = read_option(l, 3, c"strict");
        lua::lua_settop(l, 2);
        let parts = guard(l, || {
            Some(Parts::parse(text.get())).filter(|parts| !strict || parts.is_strict())
        });
        match parts {
            Some(parts) if text.len() > 0 => push_parts(l, parts, has_default),
            _ => invalid(l),
        }
    }
}

/// `build(parts)`
unsafe extern "C-unwind" fn build(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The parts stay on the stack.
    unsafe {
        let parts = check_parts(l, 1);
        let scratch = scratch::open(l);
        let clean = guard(l, || {
            let out = &mut (*scratch).out;
            parts.build(out);
            !out.as_slice()
                .iter()
                .any(|c| matches!(c, b'\r' | b'\n' | 0))
        });
        if !clean {
            return invalid(l);
        }
        scratch::push_out(l, scratch);
    }
    1
}

/// `absolute(base, reference [, "rfc3986"])`
unsafe extern "C-unwind" fn absolute(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. Arguments and parts stay on the stack.
    unsafe {
        let reference = opt_text(l, 2);
        let tail = if read_option(l, 3, c"rfc3986") {
            Tail::Keep
        } else {
            Tail::Collapse
        };
        let base = match lua::lua_type(l, 1) {
            lua::LUA_TTABLE | lua::LUA_TUSERDATA => Base::Parts(check_parts(l, 1)),
            _ => Base::Text(opt_text(l, 1).get()),
        };
        if matches!(base, Base::Text(b"")) {
            stack::check_bytes(l, 2);
        }
        let scratch = scratch::open(l);
        guard(l, || {
            let Scratch { out, spare, .. } = &mut *scratch;
            url::resolve(base, reference.get(), tail, spare, out);
        });
        scratch::push_out(l, scratch);
    }
    1
}

/// `escape(s)`
unsafe extern "C-unwind" fn escape(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The argument stays on the stack.
    unsafe {
        let text = stack::check_bytes(l, 1);
        let scratch = scratch::open(l);
        guard(l, || Escaper::VALUE.escape(text.get(), &mut (*scratch).out));
        scratch::push_out(l, scratch);
    }
    1
}

/// `unescape(s)`
unsafe extern "C-unwind" fn unescape(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The argument stays on the stack.
    unsafe {
        let text = stack::check_bytes(l, 1);
        let scratch = scratch::open(l);
        guard(l, || percent::unescape(text.get(), &mut (*scratch).out));
        scratch::push_out(l, scratch);
    }
    1
}

/// `parse_path(path)`
unsafe extern "C-unwind" fn parse_path(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The argument stays on the stack.
    unsafe {
        let path = opt_text(l, 1).get();
        let scratch = scratch::open(l);
        lua::lua_createtable(l, 4, 2);
        let segments = path
            .split(|&c| c == b'/')
            .filter(|segment| !segment.is_empty());
        for (i, segment) in segments.enumerate() {
            if segment.contains(&b'%') {
                (*scratch).out.clear();
                guard(l, || percent::unescape(segment, &mut (*scratch).out));
                scratch::push_out(l, scratch);
            } else {
                stack::push_bytes(l, segment);
            }
            lua::lua_rawseti(l, -2, i as lua::lua_Integer + 1);
        }
        set_flag(l, path.first() == Some(&b'/'), c"is_absolute");
        set_flag(l, path.last() == Some(&b'/'), c"is_directory");
    }
    1
}

/// `build_path(list [, unsafe])`
unsafe extern "C-unwind" fn build_path(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. Each segment is on the stack while it is used; the
    // scratch is taken, because `list` may have metamethods.
    unsafe {
        check_indexable(l, 1);
        let raw = lua::lua_toboolean(l, 2) != 0;
        #[allow(clippy::unnecessary_cast)] // A `c_int` on 5.2.
        let count = lua::luaL_len(l, 1) as lua::lua_Integer;
        let scratch = scratch::take(l);
        let is_absolute = has_flag(l, c"is_absolute");
        let is_directory = has_flag(l, c"is_directory");
        if is_absolute {
            guard(l, || (*scratch).out.push(b'/'));
        }
        for i in 1..=count {
            let segment = check_segment(l, i);
            guard(l, || {
                let out = &mut (*scratch).out;
                match raw {
                    true => out.extend(segment.get()),
                    false => Escaper::SEGMENT.escape(segment.get(), out),
                }
                if i < count || is_directory {
                    out.push(b'/');
                }
            });
            lua::lua_pop(l, 1);
        }
        scratch::push_out(l, scratch);
    }
    1
}

/// The parts in the table at `arg`, which stay on the stack.
unsafe fn check_parts<'a>(l: *mut lua_State, arg: c_int) -> Parts<'a> {
    // SAFETY: as the caller's.
    unsafe {
        check_indexable(l, arg);
        lua::luaL_checkstack(l, FIELDS.len() as c_int + 8, std::ptr::null());
        let mut parts = Parts::default();
        for &(name, part) in FIELDS {
            *part(&mut parts) = read_part(l, arg, name);
        }
        parts
    }
}

/// One of them, pushed; nothing for nil and false.
unsafe fn read_part<'a>(l: *mut lua_State, arg: c_int, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: as the caller's.
    unsafe {
        match lua::lua_getfield(l, arg, name.as_ptr()) {
            lua::LUA_TNIL => None,
            lua::LUA_TBOOLEAN if lua::lua_toboolean(l, -1) == 0 => None,
            lua::LUA_TSTRING | lua::LUA_TNUMBER => Some(stack::check_bytes(l, -1).get()),
            _ => {
                let kind = lua::luaL_typename(l, -1);
                let format = c"bad part '%s' (string expected, got %s)".as_ptr();
                lua::luaL_error(l, format, name.as_ptr(), kind);
                None
            }
        }
    }
}

/// A segment of the list, pushed.
unsafe fn check_segment(l: *mut lua_State, i: lua::lua_Integer) -> Bytes {
    // SAFETY: as the caller's.
    unsafe {
        let kind = lua::lua_geti(l, 1, i);
        if kind != lua::LUA_TSTRING && kind != lua::LUA_TNUMBER {
            let format = c"bad segment #%d (string expected, got %s)".as_ptr();
            lua::luaL_error(l, format, i as c_int, lua::luaL_typename(l, -1));
        }
        stack::check_bytes(l, -1)
    }
}

/// Pushes a new table of parts. Those that are missing come from the table at 2.
unsafe fn push_parts(l: *mut lua_State, mut parts: Parts, has_default: bool) -> c_int {
    // SAFETY: as the caller's. What is read from the new table stays on the stack.
    unsafe {
        lua::lua_createtable(l, 0, FIELDS.len() as c_int);
        if has_default {
            copy_fields(l);
            if parts.authority.is_none() {
                parts.authority = read_part(l, TABLE, c"authority");
                guard(l, || parts.split_authority());
            }
            if parts.authority.is_some() && parts.userinfo.is_none() {
                parts.userinfo = read_part(l, TABLE, c"userinfo");
            }
            guard(l, || parts.split_userinfo());
            lua::lua_settop(l, TABLE);
        }
        for &(name, part) in FIELDS {
            if let Some(bytes) = *part(&mut parts) {
                stack::set_bytes(l, name, bytes);
            }
        }
    }
    1
}

/// Copies the table at 2 into the one at 3, on top.
unsafe fn copy_fields(l: *mut lua_State) {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_pushnil(l);
        while lua::lua_next(l, 2) != 0 {
            lua::lua_pushvalue(l, -2);
            lua::lua_insert(l, -2);
            lua::lua_rawset(l, TABLE);
        }
    }
}

/// A table, or anything else that can be indexed.
unsafe fn check_indexable(l: *mut lua_State, arg: c_int) {
    // SAFETY: as the caller's.
    unsafe {
        if lua::luaL_getmetafield(l, arg, c"__index".as_ptr()) != lua::LUA_TNIL {
            lua::lua_pop(l, 1);
        } else {
            lua::luaL_checktype(l, arg, lua::LUA_TTABLE);
        }
    }
}

/// A string; nil and false are empty.
#[inline]
unsafe fn opt_text(l: *mut lua_State, arg: c_int) -> Bytes {
    // SAFETY: as the caller's.
    unsafe {
        match lua::lua_toboolean(l, arg) {
            0 => Bytes::EMPTY,
            _ => stack::check_bytes(l, arg),
        }
    }
}

/// Whether the argument is there. It may only be `name`.
unsafe fn read_option(l: *mut lua_State, arg: c_int, name: &CStr) -> bool {
    // SAFETY: as the caller's. The names end with nothing, as Lua wants it.
    unsafe {
        if lua::lua_toboolean(l, arg) == 0 {
            return false;
        }
        lua::luaL_checkoption(
            l,
            arg,
            std::ptr::null(),
            [name.as_ptr(), std::ptr::null()].as_ptr(),
        );
    }
    true
}

unsafe fn set_flag(l: *mut lua_State, on: bool, name: &CStr) {
    // SAFETY: as the caller's.
    unsafe {
        if on {
            lua::lua_pushinteger(l, 1);
            lua::lua_setfield(l, -2, name.as_ptr());
        }
    }
}

unsafe fn has_flag(l: *mut lua_State, name: &CStr) -> bool {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_getfield(l, 1, name.as_ptr());
        let on = lua::lua_toboolean(l, -1) != 0;
        lua::lua_pop(l, 1);
        on
    }
}

unsafe fn invalid(l: *mut lua_State) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_pushnil(l);
        stack::push_bytes(l, b"invalid url");
    }
    2
}

/// Where `parse` has its result.
const TABLE: c_int = 3;

type Part = for<'p, 'a> fn(&'p mut Parts<'a>) -> &'p mut Option<&'a [u8]>;

/// The names of the parts in a Lua table.
const FIELDS: &[(&CStr, Part)] = &[
    (c"scheme", |parts| &mut parts.scheme),
    (c"authority", |parts| &mut parts.authority),
    (c"userinfo", |parts| &mut parts.userinfo),
    (c"user", |parts| &mut parts.user),
    (c"password", |parts| &mut parts.password),
    (c"host", |parts| &mut parts.host),
    (c"port", |parts| &mut parts.port),
    (c"path", |parts| &mut parts.path),
    (c"params", |parts| &mut parts.params),
    (c"query", |parts| &mut parts.query),
    (c"fragment", |parts| &mut parts.fragment),
];

const FUNCTIONS: &[(&CStr, lua::lua_CFunction)] = &[
    (c"absolute", absolute),
    (c"build", build),
    (c"build_path", build_path),
    (c"escape", escape),
    (c"parse", parse),
    (c"parse_path", parse_path),
    (c"unescape", unescape),
];
