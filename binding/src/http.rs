//! `socket.http.core`: the heads of HTTP messages.

use std::ffi::{CStr, c_int};

use luasocket_codec::head::{self, Field};
use luasocket_codec::http::{Fields, Flaw, Length, Place, Status, first_line};
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
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int + 4);
        scratch::set_functions(l, FUNCTIONS);
        set_names(l, c"order", &head::ORDER);
        set_names(l, c"parts", PARTS);
        stack::push_bytes(l, KEPT);
        lua::lua_setfield(l, -2, c"kept".as_ptr());
        stack::push_bytes(l, TRAILERS);
        lua::lua_setfield(l, -2, c"trailers".as_ptr());
    }
    1
}

/// Sets a field of the table on top to a list of names.
unsafe fn set_names(l: *mut lua_State, field: &CStr, names: &[&[u8]]) {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_createtable(l, names.len() as c_int, 0);
        for (place, name) in (1..).zip(names) {
            stack::push_bytes(l, name);
            lua::lua_rawseti(l, -2, place);
        }
        lua::lua_setfield(l, -2, field.as_ptr());
    }
}

// Every function below is an entry or called by one (see `boundary.rs`).

/// `response(head)`: the code, the status line, whether the connection stays open
/// unless the fields say otherwise, a table of the fields (as of `headers`), and the length
/// of the body, where that is certain; or `nil` and a message.
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
            Ok(length) => push_length(l, length),
            Err(flaw) => return fail(l, flaw),
        }
    }
    5
}

unsafe fn push_length(l: *mut lua_State, length: Length) {
    // SAFETY: as the caller's.
    unsafe {
        match length.certain() {
            Some(length) => lua::lua_pushinteger(l, length as _),
            None => lua::lua_pushnil(l),
        }
    }
}

/// `headers(head)`: the table of the fields alone, name in lower case → value, repeats
/// joined; or `nil` and a message. What came as a head hangs at its metatable, in `head`.
unsafe extern "C-unwind" fn headers(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the head stays argument 1.
    unsafe {
        let head = stack::check_bytes(l, 1);
        match push_fields(l, head, 0) {
            Ok(_) => 1,
            Err(flaw) => fail(l, flaw),
        }
    }
}

/// `request(method, target, canonic, host, useragent, connection [, fields [, spelled [, body]]])`:
/// the text of a request: its head and a body. The fields that every request has come first,
/// unless they are among `fields`, which maps names in lower case to texts and whole numbers
/// (false stands for nothing); `canonic` and `spelled` map them to what is written. nil if
/// anything is not as it usually is, or does not belong into a head.
unsafe extern "C-unwind" fn request(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. What the fields point at lies in the arguments, and nothing
    // collects garbage until it is written.
    unsafe {
        let (method, target) = (stack::check_bytes(l, 1), stack::check_bytes(l, 2));
        lua::luaL_checktype(l, CANONIC, lua::LUA_TTABLE);
        lua::lua_settop(l, BODY);
        if lua::lua_getmetatable(l, CANONIC) != 0 {
            return 0;
        }
        let body = stack::opt_bytes(l, BODY);
        let scratch = scratch::open(l);
        let write = |fields: &mut [Field<'_>]| {
            let Some(count) = collect(l, fields) else {
                return false;
            };
            guard(l, || {
                let out = &mut (*scratch).out;
                let clean = head::write(method.get(), target.get(), &mut fields[..count], out);
                out.extend(body.get());
                clean
            })
        };
        let clean = match lua::lua_istable(l, FIELDS) {
            0 => write(&mut [Field::default(); USUAL]),
            _ => write(&mut [Field::default(); MOST_FIELDS]),
        };
        if clean {
            scratch::push_out(l, scratch);
        } else {
            lua::lua_pushnil(l);
        }
    }
    1
}

/// Reads the fields that were given, and adds those that every request has. `None` if there
/// is anything unusual.
unsafe fn collect(l: *mut lua_State, fields: &mut [Field<'_>]) -> Option<usize> {
    // SAFETY: as in `request`.
    unsafe {
        let (mut count, mut given) = (0, [false; USUAL]);
        if lua::lua_istable(l, FIELDS) != 0 {
            count = collect_given(l, fields, &mut given)?;
        }
        let mut values = [None, None, None, Some(TRAILERS)];
        for (arg, value) in (HOST..).zip(&mut values).take(USUAL - 1) {
            match lua::lua_type(l, arg) {
                lua::LUA_TSTRING => *value = Some(stack::check_bytes(l, arg).get()),
                lua::LUA_TNIL => {}
                _ => return None,
            }
        }
        for (value, _) in values.iter_mut().zip(given).filter(|(_, given)| *given) {
            *value = None;
        }
        let rest = fields.get_mut(count..)?;
        Some(count + add_usual(l, values, rest)?)
    }
}

/// Adds those of the usual fields that have a value.
unsafe fn add_usual<'a>(
    l: *mut lua_State,
    values: [Option<&'a [u8]>; USUAL],
    fields: &mut [Field<'a>],
) -> Option<usize> {
    // SAFETY: as in `request`.
    unsafe {
        let mut count = 0;
        for ((rank, value), name) in values.into_iter().enumerate().zip(USUAL_NAMES) {
            let Some(value) = value else {
                continue;
            };
            debug_assert_eq!(name.to_bytes(), head::ORDER[rank]);
            lua::lua_getfield(l, CANONIC, name.as_ptr());
            let spelled = text_on_top(l).unwrap_or(name.to_bytes());
            lua::lua_pop(l, 1);
            *fields.get_mut(count)? = Field::known(rank, spelled, value);
            count += 1;
        }
        Some(count)
    }
}

/// Reads the table of fields. Which of the usual ones are in it, or are not wanted, is left
/// in `given`.
unsafe fn collect_given(
    l: *mut lua_State,
    fields: &mut [Field<'_>],
    given: &mut [bool; USUAL],
) -> Option<usize> {
    // SAFETY: as in `request`.
    unsafe {
        let mut count = 0;
        lua::lua_pushnil(l);
        while lua::lua_next(l, FIELDS) != 0 {
            let kind = lua::lua_type(l, -1);
            if lua::lua_type(l, -2) != lua::LUA_TSTRING || count == fields.len() {
                return None;
            }
            let name = stack::check_bytes(l, -2).get();
            let mut field = Field::new(name, b"", b"");
            if let Some(given) = field.rank().and_then(|rank| given.get_mut(rank)) {
                *given = true;
            }
            match kind {
                lua::LUA_TSTRING => field.value = stack::check_bytes(l, -1).get(),
                lua::LUA_TNUMBER => field.number = Some(whole(l)?),
                lua::LUA_TBOOLEAN if lua::lua_toboolean(l, -1) == 0 => {
                    lua::lua_pop(l, 1);
                    continue;
                }
                _ => return None,
            }
            lua::lua_pop(l, 1);
            let spelled = spelled(l, CANONIC).or_else(|| spelled(l, SPELLED));
            field.spelled = spelled.unwrap_or(name);
            fields[count] = field;
            count += 1;
        }
        Some(count)
    }
}

/// How the name on top is written, if the table tells, which may be missing.
unsafe fn spelled<'a>(l: *mut lua_State, table: c_int) -> Option<&'a [u8]> {
    // SAFETY: as in `request`; the text stays in the table.
    unsafe {
        if lua::lua_istable(l, table) == 0 {
            return None;
        }
        lua::lua_pushvalue(l, -1);
        lua::lua_rawget(l, table);
        let text = text_on_top(l);
        lua::lua_pop(l, 1);
        text
    }
}

/// The text on top, if there is one.
unsafe fn text_on_top<'a>(l: *mut lua_State) -> Option<&'a [u8]> {
    // SAFETY: as in `request`.
    unsafe {
        let is_text = lua::lua_type(l, -1) == lua::LUA_TSTRING;
        is_text.then(|| stack::check_bytes(l, -1).get())
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

/// `plain(request, connection, canonic, useragent)`: the text of the request that the table
/// asks for, the authority, and the pool if the table names one; nothing if it asks for more
/// than to get a plain URL over a connection that is kept. `connection` is what it says of
/// that unless it says something else.
unsafe extern "C-unwind" fn plain(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. What the fields point at lies in the arguments, and nothing
    // collects garbage until it is written.
    unsafe {
        lua::luaL_checktype(l, CANONIC, lua::LUA_TTABLE);
        lua::lua_settop(l, CANONIC + 1);
        let Some(wish) = read_wish(l) else {
            return 0;
        };
        let place = guard(l, || Place::parse(wish.url.get()));
        let Some(place) = place.filter(|place| place.scheme == b"http") else {
            return 0;
        };
        let agent = match lua::lua_type(l, CANONIC + 1) {
            lua::LUA_TSTRING => Some(stack::check_bytes(l, CANONIC + 1).get()),
            lua::LUA_TNIL => None,
            _ => return 0,
        };
        let values = [Some(place.authority), agent, Some(KEPT), Some(TRAILERS)];
        let scratch = scratch::open(l);
        let mut fields = [Field::default(); USUAL];
        let Some(count) = add_usual(l, values, &mut fields) else {
            return 0;
        };
        let clean = guard(l, || {
            let out = &mut (*scratch).out;
            head::write(b"GET", place.target, &mut fields[..count], out)
        });
        if !clean {
            return 0;
        }
        scratch::push_out(l, scratch);
        stack::push_bytes(l, place.authority);
        match wish.has_pool {
            true => lua::lua_pushvalue(l, POOL),
            false => lua::lua_pushnil(l),
        }
        3
    }
}

/// What a plain request asks for.
struct Wish {
    url: stack::Bytes,
    /// There is a pool at `POOL`.
    has_pool: bool,
}

/// Reads the table at 1. `None` if it asks for more than `plain` does, or may do so.
unsafe fn read_wish(l: *mut lua_State) -> Option<Wish> {
    // SAFETY: as in `plain`; the texts stay in the table.
    unsafe {
        if lua::lua_type(l, 1) != lua::LUA_TTABLE
            || lua::lua_getmetatable(l, 1) != 0
            || lua::lua_getmetatable(l, CANONIC) != 0
        {
            return None;
        }
        lua::lua_pushnil(l); // for the pool
        let (mut url, mut has_pool) = (None, false);
        let is_text = |index| lua::lua_type(l, index) == lua::LUA_TSTRING;
        let says =
            |index, word: &[u8]| is_text(index) && stack::check_bytes(l, index).get() == word;
        let mut stays = says(2, b"keep-alive");
        lua::lua_pushnil(l);
        while lua::lua_next(l, 1) != 0 {
            if !is_text(-2) {
                return None;
            }
            match stack::check_bytes(l, -2).get() {
                b"url" if is_text(-1) => url = Some(stack::check_bytes(l, -1)),
                b"connection" if says(-1, b"keep-alive") => stays = true,
                b"pool" if lua::lua_istable(l, -1) != 0 => {
                    lua::lua_pushvalue(l, -1);
                    lua::lua_replace(l, POOL);
                    (has_pool, stays) = (true, true);
                }
                b"method" if says(-1, b"GET") => {}
                b"sink" | b"simple" | b"target" => {}
                _ => return None,
            }
            lua::lua_pop(l, 1);
        }
        let url = url.filter(|_| stays)?;
        Some(Wish { url, has_pool })
    }
}

/// `place(request)`: scheme, host, target, authority, and the port as a text and as a number
/// (or nil), if the table says no more of them than a plain URL; nothing for others.
unsafe extern "C-unwind" fn place(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the URL stays in the table, which is argument 1.
    unsafe {
        let Some(url) = only_url(l) else {
            return 0;
        };
        let Some(place) = guard(l, || Place::parse(url.get())) else {
            return 0;
        };
        stack::push_bytes(l, place.scheme);
        stack::push_bytes(l, place.host);
        stack::push_bytes(l, place.target);
        match place.port {
            Some((port, number)) => {
                stack::push_bytes(l, place.authority);
                stack::push_bytes(l, port);
                lua::lua_pushinteger(l, number as _);
                6
            }
            None => {
                lua::lua_pushvalue(l, -2);
                4
            }
        }
    }
}

/// The field `url` of the table at 1, unless there are other fields that name the place, or
/// may be some that are not seen.
unsafe fn only_url(l: *mut lua_State) -> Option<stack::Bytes> {
    // SAFETY: as in `place`.
    unsafe {
        if lua::lua_type(l, 1) != lua::LUA_TTABLE || lua::lua_getmetatable(l, 1) != 0 {
            return None;
        }
        let mut url = None;
        lua::lua_pushnil(l);
        while lua::lua_next(l, 1) != 0 {
            if lua::lua_type(l, -2) == lua::LUA_TSTRING {
                match stack::check_bytes(l, -2).get() {
                    b"url" if lua::lua_type(l, -1) == lua::LUA_TSTRING => {
                        url = Some(stack::check_bytes(l, -1));
                    }
                    name if PARTS.contains(&name) => return None,
                    _ => {}
                }
            }
            lua::lua_pop(l, 1);
        }
        url
    }
}

/// Pushes the table of the fields that begin at `at`.
unsafe fn push_fields(l: *mut lua_State, head: stack::Bytes, at: usize) -> Result<Length, Flaw> {
    // SAFETY: the head is argument 1; the scratch is ours until it is let go.
    unsafe {
        lua::lua_createtable(l, 0, USUAL_FIELDS);
        let scratch = scratch::take(l);
        let mut fields = Fields::from(at);
        let (mut length, mut seen) = (Length::default(), Seen::default());
        loop {
            let next = guard(l, || {
                let Scratch { out, spare, .. } = &mut *scratch;
                let value = fields.next(head.get(), out, spare)?;
                let Some(value) = value else {
                    return Ok(None);
                };
                length.note(out.as_slice(), value);
                Ok(Some((value, seen.add(out.as_slice()))))
            });
            match next {
                Ok(Some((value, maybe))) => set_field(l, (*scratch).out.as_slice(), value, maybe),
                Ok(None) => break,
                Err(flaw) => {
                    scratch::release(scratch);
                    return Err(flaw);
                }
            }
        }
        scratch::release(scratch);
        lua::lua_pop(l, 1);
        lua::lua_createtable(l, 0, 4);
        lua::lua_pushvalue(l, 1);
        lua::lua_setfield(l, -2, c"head".as_ptr());
        lua::lua_setmetatable(l, -2);
        Ok(length)
    }
}

/// Which names may have been there before: one bit for many.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Adds a name; whether it may have been there already.
    fn add(&mut self, name: &[u8]) -> bool {
        let middle = name.get(name.len() / 2).copied().unwrap_or(0);
        let bit = 1 << ((usize::from(middle) + name.len()) % 64);
        let maybe = self.0 & bit != 0;
        self.0 |= bit;
        maybe
    }
}

/// Adds a field to the table below the scratch, which is on top.
unsafe fn set_field(l: *mut lua_State, name: &[u8], value: &[u8], maybe_there: bool) {
    // SAFETY: as in `push_fields`.
    unsafe {
        stack::push_bytes(l, name);
        if maybe_there {
            lua::lua_pushvalue(l, -1);
            lua::lua_rawget(l, -4);
            if lua::lua_isnil(l, -1) == 0 {
                stack::push_bytes(l, b", ");
                stack::push_bytes(l, value);
                lua::lua_concat(l, 3);
                return lua::lua_rawset(l, -4);
            }
            lua::lua_pop(l, 1);
        }
        stack::push_bytes(l, value);
        lua::lua_rawset(l, -4);
    }
}

/// `process()`: the number of this process, which a forked child has another one of.
unsafe extern "C-unwind" fn process(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushinteger(l, luasocket_engine::sys::pid().into()) };
    1
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
    (c"plain", plain),
    (c"process", process),
    (c"request", request),
    (c"response", response),
];

/// The arguments of `request`, from the third on; a user agent and how long the connection
/// stays follow upon the host.
const CANONIC: c_int = 3;
const HOST: c_int = 4;
const FIELDS: c_int = 7;
const SPELLED: c_int = 8;
const BODY: c_int = 9;

/// What a request says of a connection that stays, and of trailers.
const KEPT: &[u8] = b"keep-alive, TE";
const TRAILERS: &[u8] = b"trailers";

/// The fields of a request's table that stand for the URL's parts, or for what is asked for.
const PARTS: &[&[u8]] = &[
    b"scheme",
    b"authority",
    b"userinfo",
    b"user",
    b"password",
    b"host",
    b"port",
    b"path",
    b"params",
    b"query",
    b"fragment",
    b"uri",
];

/// Where `plain` puts the pool.
const POOL: c_int = CANONIC + 2;

/// How many fields every request has, and their names: the first of [`head::ORDER`].
const USUAL: usize = 4;
const USUAL_NAMES: [&CStr; USUAL] = [c"host", c"user-agent", c"connection", c"te"];

/// A table of this size is made at once.
const USUAL_FIELDS: c_int = 8;

/// More than a request usually has.
const MOST_FIELDS: usize = 24;
