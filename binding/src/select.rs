//! `socket.select`.
//!
//! The lists are read in one of two ways. As long as they hold our own objects only,
//! everything is read from the objects, without calling Lua; the collection of
//! descriptors lies in one place that all calls of a Lua state share. The first value
//! that needs Lua (an object of the program's own, a list with a metatable, a patched
//! method) makes the call begin anew with a place of its own, because its methods may
//! do anything, `select` included.

use std::ffi::c_int;

use luasocket_engine::Error;
use luasocket_engine::datagram::Datagram;
use luasocket_engine::deadline::Limit;
use luasocket_engine::operation::Direction;
use luasocket_engine::select::{Connecting, Selector};
use luasocket_engine::stream::Stream;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::object::{self, Body, Class, Kind, Object, Tag};
use crate::{serial, socket, stack, tcp, udp, unix};

/// What a call works with.
struct Call {
    selector: Selector,
    /// Streams that are still connecting, and where they are watched.
    connecting: Vec<(*mut Stream, usize)>,
    /// Whether a call is using this place.
    busy: bool,
}

impl Call {
    fn new() -> Call {
        Call {
            selector: Selector::new(),
            connecting: Vec::new(),
            busy: false,
        }
    }
}

/// A place for calls, as an object, so that Lua collects it.
struct Place;

static PLACE: Tag = Tag::new([c"select{call}", c"", c""], &[]);

impl Kind for Place {
    type Body = Call;
    const TAG: &'static Tag = &PLACE;
    const ANY: Class = Class::new(1, c"select{call} expected");
}

impl Body for Call {
    fn finalize(&mut self) {
        *self = Call::new();
    }
}

/// Pushes the function `select`, with a place for its calls.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn push(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe {
        object::register::<Place>(l, &[]);
        object::create::<Place>(l, 0, Call::new());
        lua::lua_pushcclosure(l, select, 1);
    }
}

/// Arguments of `select`, which stay where they are.
const RECVT: c_int = 1;
const SENDT: c_int = 2;
const TIMEOUT: c_int = 3;
/// Results.
const READABLE: c_int = 4;
const WRITABLE: c_int = 5;
/// What the lists held, where reading them again could call Lua.
const HELD: c_int = 6;

/// `select(recvt, sendt [, timeout])` (entry, see `boundary.rs`).
unsafe extern "C-unwind" fn select(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let seconds = lua::luaL_optnumber(l, TIMEOUT, -1.0);
        check_list(l, RECVT);
        check_list(l, SENDT);
        lua::lua_settop(l, TIMEOUT);
        lua::lua_createtable(l, 0, 0);
        lua::lua_createtable(l, 0, 0);
        let shared = lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<Object<Call>>();
        let shared = &raw mut (*shared).body;
        let (call, found) = match collect_own(l, shared) {
            Some(buffered) => (shared, buffered),
            None => collect_any(l),
        };
        let limit = if found {
            Limit::Now
        } else {
            Limit::after(seconds)
        };
        let ready = guard(l, || wait(&mut *call, limit));
        let outcome = push_ready(l, call, ready);
        (*call).busy = false;
        match outcome {
            Ok(true) => 2,
            Ok(false) if found => 2,
            Ok(false) => {
                stack::push_bytes(l, b"timeout");
                3
            }
            Err(Error::Interrupted) => lua::luaL_error(l, c"interrupted!".as_ptr()),
            Err(_) => lua::luaL_error(l, c"select failed".as_ptr()),
        }
    }
}

unsafe fn check_list(l: *mut lua_State, arg: c_int) {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_isnoneornil(l, arg) == 0 && lua::lua_istable(l, arg) == 0 {
            stack::type_error(l, arg, c"table");
        }
    }
}

/// Collects from lists that hold our own objects only; whether some have buffered
/// input. `None` if they hold something else, or the place is in use.
unsafe fn collect_own(l: *mut lua_State, call: *mut Call) -> Option<bool> {
    // SAFETY: called by an entry; the place belongs to the running function. No Lua
    // code runs, so nobody else can come to use it.
    unsafe {
        if (*call).busy {
            return None;
        }
        (*call).selector.begin();
        (*call).connecting.clear();
        let mut methods = Methods::default();
        let mut buffered = false;
        for (list, direction) in [(RECVT, Direction::Read), (SENDT, Direction::Write)] {
            if lua::lua_istable(l, list) == 0 {
                continue;
            }
            if lua::lua_getmetatable(l, list) != 0 {
                lua::lua_settop(l, WRITABLE);
                return None;
            }
            for index in 1.. {
                lua::lua_rawgeti(l, list, index);
                let Some((tag, userdata)) = object::peek(l, -1) else {
                    let end = lua::lua_isnil(l, -1) != 0;
                    lua::lua_settop(l, WRITABLE);
                    if end {
                        break;
                    }
                    return None;
                };
                let own = match Own::of(tag, userdata) {
                    Some(own) if methods.are_ours(l, tag) => own,
                    _ => {
                        lua::lua_settop(l, WRITABLE);
                        return None;
                    }
                };
                if direction == Direction::Read && own.is_dirty() {
                    put_result(l, READABLE);
                    buffered = true;
                } else {
                    own.watch(&mut *call, direction, index as u32);
                }
                lua::lua_settop(l, WRITABLE);
            }
        }
        (*call).busy = true;
        Some(buffered)
    }
}

/// One of our objects.
#[derive(Clone, Copy)]
enum Own {
    Stream(*mut Stream),
    Datagram(*mut Datagram),
}

const STREAMS: [&Tag; 3] = [&tcp::TAG, &unix::STREAM_TAG, &serial::TAG];
const DATAGRAMS: [&Tag; 2] = [&udp::TAG, &unix::DGRAM_TAG];

impl Own {
    /// What `object::peek` found, if it is one of ours.
    #[inline]
    unsafe fn of(tag: *const Tag, userdata: *mut std::ffi::c_void) -> Option<Own> {
        // SAFETY: the tag proves the kind.
        unsafe {
            if STREAMS.iter().any(|stream| std::ptr::eq(*stream, tag)) {
                let object = userdata.cast::<Object<Stream>>();
                return Some(Own::Stream(&raw mut (*object).body));
            }
            if DATAGRAMS
                .iter()
                .any(|datagram| std::ptr::eq(*datagram, tag))
            {
                let object = userdata.cast::<Object<Datagram>>();
                return Some(Own::Datagram(&raw mut (*object).body));
            }
        }
        None
    }

    #[inline]
    unsafe fn is_dirty(self) -> bool {
        match self {
            // SAFETY: the object is on the stack.
            Own::Stream(stream) => unsafe { (*stream).socket.fd() >= 0 && (*stream).is_dirty() },
            Own::Datagram(_) => false,
        }
    }

    #[inline]
    unsafe fn watch(self, call: &mut Call, direction: Direction, index: u32) {
        // SAFETY: the object is in the list, so it lives.
        let socket = unsafe {
            match self {
                Own::Stream(stream) if (*stream).connect.is_some() => {
                    let fd = (*stream).socket.fd();
                    let place = call.selector.watch_connecting(fd, direction, index);
                    call.connecting.push((stream, place));
                    return;
                }
                Own::Stream(stream) => &(*stream).socket,
                Own::Datagram(datagram) => &(*datagram).socket,
            }
        };
        if socket.fd() >= 0 {
            call.selector
                .watch(socket.fd(), socket.serial(), direction, index);
        }
    }
}

/// Which kinds are known to have our own `getfd` and `dirty` in all classes. A program
/// may have patched them.
#[derive(Default)]
struct Methods {
    last: Option<*const Tag>,
}

impl Methods {
    #[inline]
    unsafe fn are_ours(&mut self, l: *mut lua_State, tag: *const Tag) -> bool {
        if self.last == Some(tag) {
            return true;
        }
        self.last = Some(tag);
        // SAFETY: called by an entry.
        unsafe {
            let known: [(&'static Tag, lua_CFunction, lua_CFunction); 5] = [
                (
                    &tcp::TAG,
                    socket::getfd::<tcp::Tcp>,
                    socket::dirty::<tcp::Tcp>,
                ),
                (
                    &udp::TAG,
                    socket::getfd::<udp::Udp>,
                    socket::dirty::<udp::Udp>,
                ),
                (
                    &unix::STREAM_TAG,
                    socket::getfd::<unix::UnixStream>,
                    socket::dirty::<unix::UnixStream>,
                ),
                (
                    &unix::DGRAM_TAG,
                    socket::getfd::<unix::UnixDgram>,
                    socket::dirty::<unix::UnixDgram>,
                ),
                (
                    &serial::TAG,
                    socket::getfd::<serial::Serial>,
                    socket::dirty::<serial::Serial>,
                ),
            ];
            let Some(&(tag, getfd, dirty)) = known.iter().find(|(own, ..)| std::ptr::eq(*own, tag))
            else {
                return false;
            };
            let mut classes = (0..3).filter(|class| tag.has_class(*class));
            classes.all(|class| methods_are(l, tag, class, getfd, dirty))
        }
    }
}

unsafe fn methods_are(
    l: *mut lua_State,
    tag: &'static Tag,
    class: u8,
    getfd: lua_CFunction,
    dirty: lua_CFunction,
) -> bool {
    // SAFETY: called by an entry; the method table is read raw.
    unsafe {
        object::push_methods(l, tag, class);
        if lua::lua_istable(l, -1) == 0 {
            lua::lua_pop(l, 1);
            return false;
        }
        let mut same = true;
        for (name, own) in [(c"getfd", getfd), (c"dirty", dirty)] {
            lua::lua_pushstring(l, name.as_ptr());
            lua::lua_rawget(l, -2);
            same &= lua::lua_tocfunction(l, -1).is_some_and(|found| found as usize == own as usize);
            lua::lua_pop(l, 1);
        }
        lua::lua_pop(l, 1);
        same
    }
}

/// Collects from any lists, with a place of its own, which it leaves on the stack.
unsafe fn collect_any(l: *mut lua_State) -> (*mut Call, bool) {
    // SAFETY: called by an entry.
    unsafe {
        for result in [READABLE, WRITABLE] {
            lua::lua_createtable(l, 0, 0);
            lua::lua_replace(l, result);
        }
        lua::lua_createtable(l, 0, 0);
        let call = &raw mut (*object::create::<Place>(l, 0, Call::new())).body;
        let top = lua::lua_gettop(l);
        let (mut held, mut buffered) = (0, false);
        for (list, direction) in [(RECVT, Direction::Read), (SENDT, Direction::Write)] {
            if lua::lua_istable(l, list) == 0 {
                continue;
            }
            for index in 1.. {
                if lua::lua_geti(l, list, index) == lua::LUA_TNIL {
                    break;
                }
                if direction == Direction::Read && is_buffered(l, top + 1) {
                    lua::lua_settop(l, top + 1);
                    put_result(l, READABLE);
                    buffered = true;
                    lua::lua_settop(l, top);
                    continue;
                }
                lua::lua_settop(l, top + 1);
                if watch_any(l, call, direction, held + 1) {
                    lua::lua_settop(l, top + 1);
                    held += 1;
                    lua::lua_rawseti(l, HELD, held.into());
                }
                lua::lua_settop(l, top);
            }
            lua::lua_settop(l, top);
        }
        (call, buffered)
    }
}

/// Whether the value at `index` has a descriptor and says it is `dirty`.
unsafe fn is_buffered(l: *mut lua_State, index: c_int) -> bool {
    // SAFETY: called by an entry.
    unsafe {
        if descriptor(l, index).is_none() || !push_method(l, index, c"dirty") {
            return false;
        }
        lua::lua_pushvalue(l, index);
        lua::lua_call(l, 1, 1);
        lua::lua_toboolean(l, -1) != 0
    }
}

/// Watches the value on top in `direction`, if it has a descriptor.
unsafe fn watch_any(l: *mut lua_State, call: *mut Call, direction: Direction, held: u32) -> bool {
    // SAFETY: called by an entry; what is watched is held by the list or by `HELD`.
    unsafe {
        let index = lua::lua_gettop(l);
        let own = object::peek(l, index).and_then(|(tag, userdata)| Own::of(tag, userdata));
        if let Some(Own::Stream(stream)) = own
            && (*stream).connect.is_some()
        {
            own.unwrap_unchecked().watch(&mut *call, direction, held);
            return true;
        }
        let Some(fd) = descriptor(l, index) else {
            return false;
        };
        (*call).selector.watch(fd, 0, direction, held);
        true
    }
}

/// What `getfd` of the value at `index` answers, if it is a descriptor.
unsafe fn descriptor(l: *mut lua_State, index: c_int) -> Option<i32> {
    // SAFETY: called by an entry.
    unsafe {
        if !push_method(l, index, c"getfd") {
            return None;
        }
        lua::lua_pushvalue(l, index);
        lua::lua_call(l, 1, 1);
        let fd = match lua::lua_isnumber(l, -1) {
            0 => -1.0,
            _ => lua::lua_tonumber(l, -1),
        };
        lua::lua_pop(l, 1);
        (fd >= 0.0 && fd <= f64::from(i32::MAX)).then_some(fd as i32)
    }
}

/// Pushes field `name` of the value at `index`, if it can have fields and has this one.
unsafe fn push_method(l: *mut lua_State, index: c_int, name: &std::ffi::CStr) -> bool {
    // SAFETY: called by an entry.
    unsafe {
        let indexable = match lua::lua_type(l, index) {
            lua::LUA_TTABLE => true,
            lua::LUA_TSTRING => false,
            _ => match lua::luaL_getmetafield(l, index, c"__index".as_ptr()) {
                0 => false,
                _ => {
                    lua::lua_pop(l, 1);
                    true
                }
            },
        };
        if !indexable {
            return false;
        }
        lua::lua_getfield(l, index, name.as_ptr());
        if lua::lua_isnil(l, -1) != 0 {
            lua::lua_pop(l, 1);
            return false;
        }
        true
    }
}

/// Waits. The result is whether something is ready.
fn wait(call: &mut Call, limit: Limit) -> luasocket_engine::Result<bool> {
    if call.connecting.is_empty() {
        return call.selector.wait(&mut [], limit);
    }
    let mut list: Vec<Connecting<'_>> = Vec::new();
    call.connecting.sort_unstable();
    for &(stream, place) in &call.connecting {
        match list.last_mut() {
            Some(last) if std::ptr::eq(&*last.stream, stream) => last.places[1] = Some(place),
            _ => list.push(Connecting {
                // SAFETY: the streams are in the lists, so they live; sorted, each is
                // borrowed once.
                stream: unsafe { &mut *stream },
                places: [Some(place), None],
            }),
        }
    }
    call.selector.wait(&mut list, limit)
}

/// Puts what is ready into the result tables.
unsafe fn push_ready(
    l: *mut lua_State,
    call: *mut Call,
    ready: luasocket_engine::Result<bool>,
) -> luasocket_engine::Result<bool> {
    // SAFETY: called by an entry. The place is marked as in use (or nobody else's), so
    // it stays as it is whatever a collector may run meanwhile.
    unsafe {
        if ready? {
            let held = lua::lua_gettop(l) >= HELD;
            for entry in (*call).selector.ready() {
                let (list, result) = match entry.direction {
                    Direction::Read => (RECVT, READABLE),
                    Direction::Write => (SENDT, WRITABLE),
                };
                lua::lua_rawgeti(l, if held { HELD } else { list }, entry.index.into());
                put_result(l, result);
                lua::lua_pop(l, 1);
            }
        }
        lua::lua_settop(l, WRITABLE);
        ready
    }
}

/// Adds the value on top to a result table, by number and by itself, unless it is there.
unsafe fn put_result(l: *mut lua_State, result: c_int) {
    // SAFETY: called by an entry; uses 2 slots.
    unsafe {
        lua::lua_pushvalue(l, -1);
        lua::lua_rawget(l, result);
        let known = lua::lua_isnil(l, -1) == 0;
        lua::lua_pop(l, 1);
        if known {
            return;
        }
        let next = lua::lua_rawlen(l, result) + 1;
        lua::lua_pushvalue(l, -1);
        lua::lua_rawseti(l, result, next as _);
        lua::lua_pushvalue(l, -1);
        lua::lua_pushinteger(l, next as _);
        lua::lua_rawset(l, result);
    }
}
