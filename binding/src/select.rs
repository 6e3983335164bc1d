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
use luasocket_engine::operation::{Direction, Interest, Operation, Step};
use luasocket_engine::select::{Connecting, Selector};
use luasocket_engine::socket::Socket;
use luasocket_engine::stream::Stream;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::drive::{self, Run};
use crate::object::{self, Body, Class, Kind, Object, Peek, Tag};
use crate::socket::SocketKind;
use crate::spot;
use crate::subject::Subject;
use crate::{serial, socket, stack, task, tcp, tls, udp, unix};

/// What a call works with.
struct Call {
    selector: Selector,
    /// Streams that are still connecting, and where they are watched.
    connecting: Vec<(*mut Stream, usize)>,
    /// Whether a call is using this place.
    busy: bool,
    /// How long the call may take.
    limit: Limit,
}

impl Call {
    fn new() -> Call {
        Call {
            selector: Selector::new(),
            connecting: Vec::new(),
            busy: false,
            limit: Limit::Now,
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
        for name in [c"getfd", c"dirty", c"__index", c"timeout"] {
            lua::lua_pushstring(l, name.as_ptr());
        }
        lua::lua_pushcclosure(l, select, 5);
    }
}

/// LuaSocket's `_SETSIZE`. Only told: there is no limit, but for the debug build.
pub const SETSIZE: i32 = 1024;

/// Upvalues of `select`.
const PLACE_OF_CALLS: c_int = 1;
const GETFD: c_int = 2;
const DIRTY: c_int = 3;
const INDEX: c_int = 4;
const TIMED_OUT: c_int = 5;
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
        let seconds = match lua::lua_type(l, TIMEOUT) {
            lua::LUA_TNUMBER => lua::lua_tonumber(l, TIMEOUT),
            _ => lua::luaL_optnumber(l, TIMEOUT, -1.0),
        };
        let lists = Lists {
            recvt: check_list(l, RECVT),
            sendt: check_list(l, SENDT),
        };
        lua::lua_settop(l, TIMEOUT);
        #[cfg(feature = "debug")]
        check_limit(l, lists);
        let shared =
            lua::lua_touserdata(l, lua::lua_upvalueindex(PLACE_OF_CALLS)).cast::<Object<Call>>();
        let shared = &raw mut (*shared).body;
        let (call, found) = match collect_own(l, lists, shared) {
            Some(buffered) => (shared, buffered),
            None => collect_any(l, lists),
        };
        let limit = if found {
            Limit::Now
        } else {
            Limit::after(seconds)
        };
        let in_task = !limit.is_now() && task::wait::current(l).is_some();
        let first = if in_task { Limit::Now } else { limit };
        let ready = guard(l, || wait(&mut *call, first));
        if in_task && ready == Ok(false) {
            (*call).busy = false;
            return wait_in_task(l, lists, limit);
        }
        let outcome = push_ready(l, call, ready);
        (*call).busy = false;
        match outcome {
            Ok(true) => 2,
            Ok(false) if found => 2,
            Ok(false) => {
                lua::lua_pushvalue(l, lua::lua_upvalueindex(TIMED_OUT));
                3
            }
            Err(Error::Interrupted) => lua::luaL_error(l, c"interrupted!".as_ptr()),
            Err(_) => lua::luaL_error(l, c"select failed".as_ptr()),
        }
    }
}

/// Which of the lists there are.
#[derive(Clone, Copy)]
struct Lists {
    recvt: bool,
    sendt: bool,
}

impl Lists {
    /// Index and direction of each.
    fn each(self) -> impl Iterator<Item = (c_int, Direction)> {
        let recvt = self.recvt.then_some((RECVT, Direction::Read));
        let sendt = self.sendt.then_some((SENDT, Direction::Write));
        recvt.into_iter().chain(sendt)
    }
}

/// In a task, where nothing was ready at once: waits with a place of its own, and ends the
/// entry.
unsafe fn wait_in_task(l: *mut lua_State, lists: Lists, limit: Limit) -> c_int {
    // SAFETY: called by the entry, as its last act. The stack keeps what is watched.
    unsafe {
        let (subject, buffered) = collect_any(l, lists);
        (*subject).limit = if buffered { Limit::Now } else { limit };
        (*subject).selector.park();
        if buffered {
            let ready = guard(l, || wait(&mut *subject, Limit::Now));
            let _ = push_ready(l, subject, ready);
            return 2;
        }
        lua::lua_pushvalue(l, HELD);
        spot::anchor_as(l, subject.cast());
        let (direction, limit) = (None, (|call: &mut Call| call.limit) as fn(&mut Call) -> _);
        let (op, finish, context) = (Selecting, push_selected as _, ());
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish,
                context,
            },
        )
    }
}

impl Subject for Call {
    fn socket(&mut self) -> Option<&mut Socket> {
        None
    }

    fn closing(&mut self, fd: i32) {
        let connecting = &self.connecting;
        self.selector
            .closing(fd, |at| connecting.iter().any(|&(_, place)| place == at));
    }
}

/// `select` under way; whether something is ready.
#[derive(Clone, Copy)]
struct Selecting;

impl Operation<Call> for Selecting {
    type Output = luasocket_engine::Result<bool>;

    fn step(&mut self, call: &mut Call) -> Step<Self::Output> {
        match wait(call, Limit::Now) {
            Ok(false) => Step::Wait,
            found => Step::Done(found),
        }
    }

    fn interest<'a>(&'a mut self, call: &'a mut Call) -> Interest<'a> {
        let mut list = connecting(&mut call.connecting);
        let (fds, wake) = call.selector.interest(&mut list);
        Interest::Many(fds, wake)
    }

    fn give_up(&mut self, _: &mut Call, why: Error) -> Self::Output {
        if why == Error::Timeout {
            Ok(false)
        } else {
            Err(why)
        }
    }
}

unsafe fn push_selected(
    l: *mut lua_State,
    call: *mut Call,
    found: luasocket_engine::Result<bool>,
    (): (),
) -> c_int {
    // SAFETY: called by an entry; the stack of the task keeps the call and what it holds.
    unsafe {
        let found = match found {
            Ok(found) => found,
            Err(Error::Interrupted) => return lua::luaL_error(l, c"interrupted!".as_ptr()),
            Err(_) => return lua::luaL_error(l, c"select failed".as_ptr()),
        };
        spot::push_anchored(l, call);
        let held = lua::lua_gettop(l);
        lua::lua_createtable(l, 0, 0);
        lua::lua_createtable(l, 0, 0);
        if !found {
            stack::push_bytes(l, b"timeout");
            return 3;
        }
        for entry in (*call).selector.ready() {
            lua::lua_rawgeti(l, held, entry.index.into());
            put_result(l, held + 1 + entry.direction as c_int);
            lua::lua_settop(l, held + 2);
        }
    }
    2
}

/// Whether there is a list at `arg`; raises for what is none.
unsafe fn check_list(l: *mut lua_State, arg: c_int) -> bool {
    // SAFETY: called by an entry.
    unsafe {
        match lua::lua_type(l, arg) {
            lua::LUA_TTABLE => true,
            lua::LUA_TNIL | lua::LUA_TNONE => false,
            // The auxiliary library's text names the kind of a userdata.
            _ => {
                lua::luaL_checktype(l, arg, lua::LUA_TTABLE);
                true
            }
        }
    }
}

/// LuaSocket's own tests, which only run with its debug build, count on the limit of `_SETSIZE`.
#[cfg(feature = "debug")]
unsafe fn check_limit(l: *mut lua_State, lists: Lists) {
    // SAFETY: called by an entry; the objects are in the lists, so they live.
    unsafe {
        for (list, _) in lists.each() {
            for index in 1.. {
                lua::lua_rawgeti(l, list, index);
                let fd = match object::peek(l, -1).and_then(|peek| Own::of(&peek)) {
                    Some((_, Own::Stream(stream))) => (*stream).socket.fd(),
                    Some((_, Own::Datagram(datagram))) => (*datagram).socket.fd(),
                    None if lua::lua_isnil(l, -1) != 0 => break,
                    None => -1,
                };
                if fd >= SETSIZE {
                    lua::luaL_argerror(l, list, c"descriptor too large for set size".as_ptr());
                }
                lua::lua_pop(l, 1);
            }
            lua::lua_pop(l, 1);
        }
    }
}

/// Collects from lists that hold our own objects only; whether some have buffered
/// input, which then are in a table `READABLE`. `None` if they hold something else, or the
/// place is in use.
unsafe fn collect_own(l: *mut lua_State, lists: Lists, call: *mut Call) -> Option<bool> {
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
        for (list, direction) in lists.each() {
            if lua::lua_getmetatable(l, list) != 0 {
                return None;
            }
            for index in 1.. {
                lua::lua_rawgeti(l, list, index);
                let Some(peek) = object::peek(l, -1) else {
                    if lua::lua_isnil(l, -1) == 0 {
                        return None;
                    }
                    lua::lua_pop(l, 1);
                    break;
                };
                let own = match Own::of(&peek) {
                    Some((kind, own)) if methods.are_ours(l, kind, peek.class) => own,
                    _ => return None,
                };
                if direction == Direction::Read && own.is_dirty() {
                    if !buffered {
                        lua::lua_createtable(l, 1, 1);
                        lua::lua_insert(l, READABLE);
                        buffered = true;
                    }
                    put_result(l, READABLE);
                } else {
                    own.watch(&mut *call, direction, index as u32);
                }
                lua::lua_pop(l, 1);
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

/// A kind of object of ours, with the methods that `select` asks others for.
struct OwnKind {
    tag: &'static Tag,
    /// Whether it holds a `Stream`; else it is a `Datagram`.
    is_stream: bool,
    getfd: lua_CFunction,
    dirty: lua_CFunction,
}

static KINDS: [OwnKind; 6] = [
    OwnKind::new::<tcp::Tcp>(true),
    OwnKind::new::<udp::Udp>(false),
    OwnKind::new::<unix::UnixStream>(true),
    OwnKind::new::<unix::UnixDgram>(false),
    OwnKind::new::<serial::Serial>(true),
    OwnKind::new::<tls::Connection>(true),
];

impl OwnKind {
    const fn new<K: SocketKind>(is_stream: bool) -> OwnKind {
        OwnKind {
            tag: K::TAG,
            is_stream,
            getfd: socket::getfd::<K>,
            dirty: socket::dirty::<K>,
        }
    }
}

impl Own {
    /// What `object::peek` found, if it is one of ours, and the number of its kind.
    #[inline]
    unsafe fn of(peek: &Peek) -> Option<(usize, Own)> {
        let number = KINDS
            .iter()
            .position(|kind| std::ptr::eq(kind.tag, peek.tag))?;
        // SAFETY: the tag proves the kind.
        let own = unsafe {
            if KINDS[number].is_stream {
                Own::Stream(&raw mut (*peek.userdata.cast::<Object<Stream>>()).body)
            } else {
                Own::Datagram(&raw mut (*peek.userdata.cast::<Object<Datagram>>()).body)
            }
        };
        Some((number, own))
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

/// Which classes are known to have our own `getfd` and `dirty`. A program may have
/// patched them.
#[derive(Default)]
struct Methods {
    /// Three bits for each kind.
    ours: u32,
}

impl Methods {
    #[inline]
    unsafe fn are_ours(&mut self, l: *mut lua_State, kind: usize, class: u8) -> bool {
        let bit = 1 << (3 * kind as u32 + u32::from(class));
        if self.ours & bit == 0 {
            // SAFETY: called by an entry.
            if !unsafe { methods_are(l, &KINDS[kind], class) } {
                return false;
            }
            self.ours |= bit;
        }
        true
    }
}

/// Whether the method table of a class still has the kind's own methods.
unsafe fn methods_are(l: *mut lua_State, own: &OwnKind, class: u8) -> bool {
    // SAFETY: called by an entry; the method table is read raw.
    unsafe {
        let top = lua::lua_gettop(l);
        object::push_metatable_of(l, own.tag, class);
        lua::lua_pushvalue(l, lua::lua_upvalueindex(INDEX));
        let mut same = lua::lua_rawget(l, top + 1) == lua::LUA_TTABLE;
        for (upvalue, method) in [(GETFD, own.getfd), (DIRTY, own.dirty)] {
            if same {
                lua::lua_pushvalue(l, lua::lua_upvalueindex(upvalue));
                lua::lua_rawget(l, top + 2);
                same = lua::lua_tocfunction(l, -1).is_some_and(|f| f as usize == method as usize);
            }
        }
        lua::lua_settop(l, top);
        same
    }
}

/// Collects from any lists, with a place of its own, which it leaves on the stack behind
/// both results and what is held.
unsafe fn collect_any(l: *mut lua_State, lists: Lists) -> (*mut Call, bool) {
    // SAFETY: called by an entry.
    unsafe {
        lua::lua_settop(l, TIMEOUT);
        for _ in READABLE..=HELD {
            lua::lua_createtable(l, 0, 0);
        }
        let call = &raw mut (*object::create::<Place>(l, 0, Call::new())).body;
        let top = lua::lua_gettop(l);
        let (mut held, mut buffered) = (0, false);
        for (list, direction) in lists.each() {
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
        let own = object::peek(l, index).and_then(|peek| Own::of(&peek));
        if let Some((_, own @ Own::Stream(stream))) = own
            && (*stream).connect.is_some()
        {
            own.watch(&mut *call, direction, held);
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
    let mut list = connecting(&mut call.connecting);
    call.selector.wait(&mut list, limit)
}

/// The streams that are still connecting, each once.
fn connecting(found: &mut [(*mut Stream, usize)]) -> Vec<Connecting<'static>> {
    let mut list: Vec<Connecting<'static>> = Vec::new();
    found.sort_unstable();
    for &mut (stream, place) in found {
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
    list
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
        let top = lua::lua_gettop(l);
        let held = top >= HELD;
        let [readable, writable] = if ready? { count_ready(call) } else { [0, 0] };
        if top < READABLE {
            lua::lua_createtable(l, readable, readable);
        }
        if top < WRITABLE {
            lua::lua_createtable(l, writable, writable);
        }
        if readable + writable > 0 {
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

/// How many are ready in each direction.
unsafe fn count_ready(call: *mut Call) -> [c_int; 2] {
    let mut counts = [0; 2];
    // SAFETY: as the caller's.
    for entry in unsafe { (*call).selector.ready() } {
        counts[entry.direction as usize] += 1;
    }
    counts
}

/// Adds the value on top to a result table, by number and by itself, unless it is there.
unsafe fn put_result(l: *mut lua_State, result: c_int) {
    // SAFETY: called by an entry; uses 2 slots.
    unsafe {
        lua::lua_pushvalue(l, -1);
        let known = lua::lua_rawget(l, result) != lua::LUA_TNIL;
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
