//! gzip and deflate as LTN12 filters: `mime.compress` and `mime.decompress`.

use std::ffi::{c_int, c_void};

use luasocket_codec::Output;
use luasocket_codec::deflate::{Decoder, Encoder, Error, Format, Limits};
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::stack::{self, Bytes};

/// Sets `compress` and `decompress` in the table on top.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn set_functions(l: *mut lua_State) {
    // SAFETY: as the caller's.
    unsafe { stack::set_functions(l, &[(c"compress", compress), (c"decompress", decompress)]) }
}

/// `compress(format [, level])` → filter
unsafe extern "C-unwind" fn compress(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let format = check_format(l);
        let level = lua::luaL_optinteger(l, 2, DEFAULT_LEVEL);
        if !(0..=9).contains(&level) {
            lua::luaL_argerror(l, 2, c"level from 0 to 9 expected".as_ptr());
        }
        push_filter(l, || Codec::Encoder(Encoder::new(format, level as u32)))
    }
}

/// `decompress(format [, ratio [, total]])` → filter
unsafe extern "C-unwind" fn decompress(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let format = check_format(l);
        let usual = Limits::default();
        let limits = Limits {
            ratio: opt_limit(l, 2, usual.ratio),
            total: opt_limit(l, 3, usual.total),
        };
        push_filter(l, || Codec::Decoder(Decoder::new(format, limits)))
    }
}

/// What a filter has as its upvalue.
struct Filter {
    codec: Option<Box<Codec>>,
    out: Output,
    /// A call is in progress. A finalizer that runs meanwhile may not call again.
    running: bool,
}

enum Codec {
    Encoder(Encoder),
    Decoder(Decoder),
}

/// The filter: `filter(chunk)` → piece; or nil at the end; or nil and a message.
unsafe extern "C-unwind" fn filter(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The upvalue is a `Filter`, and stays where it is; only
    // one call at a time gets beyond the check.
    unsafe {
        let chunk = stack::opt_bytes(l, 1);
        let filter = lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<Filter>();
        if (*filter).running || (*filter).codec.is_none() {
            lua::luaL_error(l, c"filter is in use".as_ptr());
        }
        (*filter).out.clear();
        let result = guard(l, || (*filter).work(chunk));
        (*filter).running = true;
        let count = push_piece(l, &(*filter).out, result);
        (*filter).running = false;
        count
    }
}

unsafe fn push_piece(l: *mut lua_State, out: &Output, result: Result<bool, Error>) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        match result {
            Ok(true) => stack::push_bytes(l, out.as_slice()),
            _ => lua::lua_pushnil(l),
        }
        let Err(error) = result else { return 1 };
        stack::push_bytes(l, error.as_str().as_bytes());
    }
    2
}

impl Filter {
    /// Puts the next piece into `out`. Returns whether it is to be pushed, and not
    /// nil.
    ///
    /// # Safety
    ///
    /// The chunk is still on the stack.
    unsafe fn work(&mut self, chunk: Bytes) -> Result<bool, Error> {
        let out = &mut self.out;
        // SAFETY: as the caller's.
        let input = (!chunk.is_absent()).then(|| unsafe { chunk.get() });
        match (self.codec.as_deref_mut(), input) {
            (Some(Codec::Encoder(encoder)), Some(input)) => encoder.feed(input, out),
            (Some(Codec::Encoder(encoder)), None) => return Ok(encoder.finish(out)),
            (Some(Codec::Decoder(decoder)), Some(input)) => {
                decoder.feed(input);
                decoder.pull(out)?;
            }
            (Some(Codec::Decoder(decoder)), None) => decoder.finish(out)?,
            (None, _) => {}
        }
        Ok(input.is_some() || !out.is_empty())
    }
}

/// Pushes a filter around the codec that `make` makes.
unsafe fn push_filter(l: *mut lua_State, make: impl FnOnce() -> Codec) -> c_int {
    // SAFETY: the filter is valid before its metatable can see it.
    unsafe {
        let filter = stack::new_userdata::<Filter>(l);
        filter.write(Filter {
            codec: None,
            out: Output::new(),
            running: false,
        });
        push_metatable(l);
        lua::lua_setmetatable(l, -2);
        guard(l, || (*filter).codec = Some(Box::new(make())));
        lua::lua_pushcclosure(l, self::filter, 1);
    }
    1
}

unsafe fn push_metatable(l: *mut lua_State) {
    static KEY: u8 = 0;
    let key = (&raw const KEY).cast::<c_void>();
    // SAFETY: as the caller's.
    unsafe {
        if lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, key) == lua::LUA_TNIL {
            lua::lua_pop(l, 1);
            lua::lua_createtable(l, 0, 1);
            lua::lua_pushcfunction(l, gc);
            lua::lua_setfield(l, -2, c"__gc".as_ptr());
            lua::lua_pushvalue(l, -1);
            lua::lua_rawsetp(l, lua::LUA_REGISTRYINDEX, key);
        }
    }
}

/// Leaves a filter without codec behind: when Lua closes, the function may outlive it.
unsafe extern "C-unwind" fn gc(l: *mut lua_State) -> c_int {
    // SAFETY: only `push_filter` sets this metatable, on a valid filter.
    unsafe {
        let filter = lua::lua_touserdata(l, 1).cast::<Filter>();
        guard(l, || {
            (*filter).codec = None;
            (*filter).out = Output::new();
        });
    }
    0
}

unsafe fn check_format(l: *mut lua_State) -> Format {
    // SAFETY: as the caller's. The names end with nothing, as Lua wants it.
    unsafe {
        let names = [c"gzip".as_ptr(), c"deflate".as_ptr(), std::ptr::null()];
        match lua::luaL_checkoption(l, 1, std::ptr::null(), names.as_ptr()) {
            0 => Format::Gzip,
            _ => Format::Deflate,
        }
    }
}

/// A limit; infinity is none.
unsafe fn opt_limit(l: *mut lua_State, arg: c_int, usual: u64) -> u64 {
    // SAFETY: as the caller's. The conversion saturates.
    unsafe {
        match lua::lua_isnoneornil(l, arg) {
            0 => lua::luaL_checknumber(l, arg) as u64,
            _ => usual,
        }
    }
}

/// zlib's own choice.
const DEFAULT_LEVEL: lua::lua_Integer = 6;
