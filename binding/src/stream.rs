//! Stream objects of every kind: `receive`, `send`, `accept` and their like.

use std::ffi::c_int;

use luasocket_engine::operation::Direction;
use luasocket_engine::stream::{Accept, Pattern, Receive, Received, Send, Sent, Skip, Stream};
use luasocket_engine::{Error, Result, sys};
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::drive::{self, Run};
use crate::hand_over::hand_over;
use crate::object::{self, Class, Kind, check};
use crate::socket::SocketKind;
use crate::stack::{self, fail, succeed};
use crate::subject::limit_of;
use crate::task;

/// Class numbers of streams.
pub const MASTER: u8 = 0;
/// Connected.
pub const CLIENT: u8 = 1;
/// Listening.
pub const SERVER: u8 = 2;

/// A kind of stream object.
pub trait StreamKind: SocketKind + Kind<Body = Stream> {
    /// Not connected.
    const MASTER: Class;
    /// Connected.
    const CLIENT: Class;
    /// Listening.
    const SERVER: Class;
}

// Every function below is an entry (see `boundary.rs`).

/// `receive([pattern [, prefix [, options]]])`: data, or `nil`, error, partial data; always
/// three values. A line of more than `options.most` bytes is an error and stays where it is.
pub unsafe extern "C-unwind" fn receive<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let stream = &raw mut (*check::<K>(l, 1, K::CLIENT)).body;
        let count = lua::lua_gettop(l);
        let prefix = match count {
            3.. => stack::opt_bytes(l, 3),
            _ => stack::Bytes::EMPTY,
        };
        let pattern = check_pattern(l, 2, prefix.len());
        let context = Context {
            prefix,
            timer: debug::start(),
        };
        let Some(pattern) = pattern else {
            return push_received(l, stream, Received::EMPTY, context);
        };
        let most = if count > 3 { most_of(l, 4) } else { usize::MAX };
        let mut op = Receive::bounded(pattern, most);
        match guard(l, || (*stream).at_hand(&mut op)) {
            Some(found) if !task::scheduler::budget_is_spent(task::scheduler::running()) => {
                push_data(l, stream, found.into(), context.prefix);
                lua::lua_pushnil(l);
                lua::lua_pushnil(l);
                debug::finish(l, context.timer)
            }
            _ => drive::run(l, receiving(stream, op, context)),
        }
    }
}

/// `receiveany([most])`: what is there, at least one byte and at most `most`; results as
/// of `receive`.
pub unsafe extern "C-unwind" fn receiveany<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let stream = &raw mut (*check::<K>(l, 1, K::CLIENT)).body;
        let context = Context {
            prefix: stack::Bytes::EMPTY,
            timer: debug::start(),
        };
        let op = Receive::bounded(Pattern::Available, most(l, 2).max(1));
        drive::run(l, receiving(stream, op, context))
    }
}

/// What `push_received` needs beside what was received.
#[derive(Clone, Copy)]
struct Context {
    prefix: stack::Bytes,
    timer: debug::Timer,
}

fn receiving(stream: *mut Stream, op: Receive, context: Context) -> Run<Stream, Receive, Context> {
    Run {
        subject: stream,
        op,
        direction: Some(Direction::Read),
        limit: limit_of,
        finish: push_received,
        context,
    }
}

/// `skipany([most])`: passes over what is there, at least one byte and at most `most`, and
/// tells how many bytes that were; or `nil` and the error.
pub unsafe extern "C-unwind" fn skipany<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let stream = &raw mut (*check::<K>(l, 1, K::CLIENT)).body;
        let op = Skip::new(most(l, 2).clamp(1, MOST_SKIPPED));
        let (direction, limit) = (Some(Direction::Read), limit_of as fn(&mut Stream) -> _);
        let (finish, context) = (push_skipped as _, ());
        drive::run(
            l,
            Run {
                subject: stream,
                op,
                direction,
                limit,
                finish,
                context,
            },
        )
    }
}

/// `isquiet()`: whether it is open, and nothing has come: neither bytes nor an end.
pub unsafe extern "C-unwind" fn isquiet<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let stream = &raw mut (*check::<K>(l, 1, K::CLIENT)).body;
        let quiet = guard(l, || (*stream).is_quiet());
        lua::lua_pushboolean(l, quiet.into());
    }
    1
}

/// As much as is passed over by one call, which others may have to wait for.
const MOST_SKIPPED: usize = 16 * 1024 * 1024;

unsafe fn push_skipped(l: *mut lua_State, stream: *mut Stream, skipped: Sent, (): ()) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match skipped.error {
            None => {
                lua::lua_pushinteger(l, skipped.count as _);
                1
            }
            Some(error) => fail(l, told(&*stream, error)),
        }
    }
}

/// The field `most` of the options at `arg`. What is no table is a surplus argument, which
/// LuaSocket ignores.
unsafe fn most_of(l: *mut lua_State, arg: c_int) -> usize {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_type(l, arg) != lua::LUA_TTABLE {
            return usize::MAX;
        }
        stack::push_bytes(l, b"most");
        lua::lua_rawget(l, arg);
        let most = most(l, -1);
        lua::lua_pop(l, 1);
        most
    }
}

/// The bound at `arg`. What is no number is a surplus argument, which LuaSocket ignores.
unsafe fn most(l: *mut lua_State, arg: c_int) -> usize {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_type(l, arg) == lua::LUA_TNUMBER {
            lua::lua_tonumber(l, arg) as usize // saturates
        } else {
            usize::MAX
        }
    }
}

/// Reads the pattern at `arg`. A count includes the prefix: `None` if the prefix
/// alone suffices.
#[inline]
unsafe fn check_pattern(l: *mut lua_State, arg: c_int, prefix: usize) -> Option<Pattern> {
    // SAFETY: called by an entry.
    unsafe {
        match lua::lua_type(l, arg) {
            lua::LUA_TNONE | lua::LUA_TNIL => Some(Pattern::Line),
            lua::LUA_TNUMBER => check_count(l, arg, prefix),
            _ => match named(stack::check_bytes(l, arg).get()) {
                Some(pattern) => Some(pattern),
                None if lua::lua_isnumber(l, arg) != 0 => check_count(l, arg, prefix),
                None => stack::arg_error(l, arg, c"invalid receive pattern"),
            },
        }
    }
}

/// LuaSocket's names, of which only two characters matter, and Lua's own.
fn named(name: &[u8]) -> Option<Pattern> {
    match name {
        [b'*', b'l', ..] | b"l" | b"line" => Some(Pattern::Line),
        [b'*', b'L', ..] | b"L" => Some(Pattern::RawLine),
        [b'*', b'a', ..] | b"a" | b"all" => Some(Pattern::All),
        [b'*', b'h', ..] | b"h" => Some(Pattern::Head),
        [b'*', b'r', ..] | b"r" => Some(Pattern::Available),
        _ => None,
    }
}

#[inline]
unsafe fn check_count(l: *mut lua_State, arg: c_int, prefix: usize) -> Option<Pattern> {
    // SAFETY: called by an entry.
    unsafe {
        let count = lua::lua_tonumber(l, arg);
        if !(count >= 0.0) {
            stack::arg_error(l, arg, c"invalid receive pattern");
        }
        // Saturates: what is beyond all counts reads until the end.
        let count = count as usize;
        if prefix > 0 && count <= prefix {
            None
        } else {
            Some(Pattern::Count(count - prefix))
        }
    }
}

unsafe fn push_received(
    l: *mut lua_State,
    stream: *mut Stream,
    received: Received,
    context: Context,
) -> c_int {
    // SAFETY: called by an entry; the bytes lie in `*stream`, which Lua owns.
    unsafe {
        match received.error {
            None => {
                push_data(l, stream, received, context.prefix);
                lua::lua_pushnil(l);
                lua::lua_pushnil(l);
            }
            Some(error) => {
                fail(l, told(&*stream, error));
                push_data(l, stream, received, context.prefix);
            }
        }
        debug::finish(l, context.timer)
    }
}

/// As a stream tells an error: where LuaSocket says "timeout", LuaSec says what it would
/// have had to wait for.
#[cold]
pub(crate) fn told(stream: &Stream, error: Error) -> Error {
    match stream.session() {
        Some(session) if session.plain_timeouts => error,
        Some(_) if error == Error::Timeout && stream.connect.is_some() => Error::WantWrite,
        Some(session) if error == Error::Timeout => match session.wants() {
            Direction::Read => Error::WantRead,
            Direction::Write => Error::WantWrite,
        },
        _ => error,
    }
}

/// Pushes the prefix and the bytes received as one string, and takes the latter.
unsafe fn push_data(
    l: *mut lua_State,
    stream: *mut Stream,
    received: Received,
    prefix: stack::Bytes,
) {
    // SAFETY: as in `push_received`; the prefix is an argument of the entry.
    unsafe {
        if prefix.len() == 0 && hand_over(l, stream, received) {
            return;
        }
        if prefix.len() > 0 {
            stack::push_bytes(l, prefix.get());
        }
        stack::push_bytes(l, (*stream).received(received));
        if prefix.len() > 0 {
            lua::lua_concat(l, 2);
        }
        // Only now: had pushing raised, the bytes would still be in the buffer.
        (*stream).take(received);
    }
}

/// `send(data [, i [, j]])`: index of the last byte sent, or `nil`, error, that index;
/// always three values.
pub unsafe extern "C-unwind" fn send<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind; the string stays argument 2.
    unsafe {
        let stream = &raw mut (*check::<K>(l, 1, K::CLIENT)).body;
        let data = stack::check_bytes(l, 2);
        let (first, last) = check_range(l, data.len());
        let skipped = first - 1;
        let context = Skipped {
            skipped,
            timer: debug::start(),
        };
        if first > last {
            return push_sent(
                l,
                stream,
                Sent {
                    count: 0,
                    error: None,
                },
                context,
            );
        }
        let op = Send::new(&data.get()[skipped as usize..last as usize]);
        let (direction, limit) = (Some(Direction::Write), limit_of as fn(&mut Stream) -> _);
        drive::run(
            l,
            Run {
                subject: stream,
                op,
                direction,
                limit,
                finish: push_sent,
                context,
            },
        )
    }
}

/// The first and the last byte of `send`'s arguments: of `len`, all if there are none.
#[inline]
unsafe fn check_range(l: *mut lua_State, len: usize) -> (i64, i64) {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_gettop(l) <= 2 {
            return (1, len as i64);
        }
        let (first, last) = (
            lua::luaL_optnumber(l, 3, 1.0),
            lua::luaL_optnumber(l, 4, -1.0),
        );
        (
            normalise(first, len).max(1),
            normalise(last, len).min(len as i64),
        )
    }
}

/// What `push_sent` needs beside what was sent: how many bytes lie before it.
#[derive(Clone, Copy)]
struct Skipped {
    skipped: i64,
    timer: debug::Timer,
}

unsafe fn push_sent(l: *mut lua_State, stream: *mut Stream, sent: Sent, context: Skipped) -> c_int {
    let reached = context.skipped + sent.count as i64;
    // SAFETY: called by an entry.
    unsafe {
        match sent.error {
            None => {
                lua::lua_pushinteger(l, reached as _);
                lua::lua_pushnil(l);
                lua::lua_pushnil(l);
            }
            Some(error) => {
                fail(l, told(&*stream, error));
                lua::lua_pushinteger(l, reached as _);
            }
        }
        debug::finish(l, context.timer)
    }
}

/// An index as in `string.sub`, its fraction dropped; negative counts from the end.
fn normalise(index: f64, len: usize) -> i64 {
    let index = index as i64;
    if index < 0 {
        index.saturating_add(len as i64 + 1)
    } else {
        index
    }
}

/// `accept()`: a client object, or `nil` and the error.
pub unsafe extern "C-unwind" fn accept<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let server = &raw mut (*check::<K>(l, 1, K::SERVER)).body;
        let (direction, limit) = (Some(Direction::Read), limit_of as fn(&mut Stream) -> _);
        let (finish, context) = (push_accepted::<K> as _, ());
        drive::run(
            l,
            Run {
                subject: server,
                op: Accept,
                direction,
                limit,
                finish,
                context,
            },
        )
    }
}

unsafe fn push_accepted<K: StreamKind>(
    l: *mut lua_State,
    server: *mut Stream,
    accepted: Result<()>,
    (): (),
) -> c_int {
    // SAFETY: called by an entry; Lua owns both objects.
    unsafe {
        if let Err(error) = accepted {
            return fail(l, error);
        }
        let client = object::create::<K>(l, CLIENT, Stream::new());
        guard(l, || (*server).fetch(&mut (*client).body));
    }
    1
}

/// `listen([backlog])`: 1 and the object is a server; or `nil` and the error.
pub unsafe extern "C-unwind" fn listen<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<K>(l, 1, K::MASTER);
        let backlog = lua::luaL_optnumber(l, 2, 32.0) as i32;
        match guard(l, || (*object).body.listen(backlog)) {
            Ok(()) => {
                object::set_class::<K>(l, 1, object, SERVER);
                succeed(l)
            }
            Err(error) => fail(l, error),
        }
    }
}

/// `shutdown([mode])`: always 1; `"both"`, `"send"` or `"receive"`.
pub unsafe extern "C-unwind" fn shutdown<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<K>(l, 1, K::CLIENT);
        let how = check_how(l, 2);
        // Whatever the system says: after it, that direction is shut.
        let _ = guard(l, || sys::shutdown((*object).body.socket.fd(), how));
        succeed(l)
    }
}

unsafe fn check_how(l: *mut lua_State, arg: c_int) -> i32 {
    // SAFETY: called by an entry.
    unsafe {
        let mode = stack::opt_bytes(l, arg);
        match mode.get() {
            _ if mode.is_absent() => sys::SHUT_RDWR,
            b"both" => sys::SHUT_RDWR,
            b"receive" => sys::SHUT_RD,
            b"send" => sys::SHUT_WR,
            _ => {
                let mode = lua::lua_tostring(l, arg);
                let message = lua::lua_pushfstring(l, c"invalid option '%s'".as_ptr(), mode);
                lua::luaL_argerror(l, arg, message);
                unreachable!("luaL_argerror does not return")
            }
        }
    }
}

/// `getstats()`: bytes received, bytes sent, age in seconds.
pub unsafe extern "C-unwind" fn getstats<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<K>(l, 1, K::CLIENT);
        let stats = (*object).body.stats;
        lua::lua_pushinteger(l, stats.received as _);
        lua::lua_pushinteger(l, stats.sent as _);
        lua::lua_pushnumber(l, stats.age());
    }
    3
}

/// `setstats([received [, sent [, age]]])`: 1.
pub unsafe extern "C-unwind" fn setstats<K: StreamKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<K>(l, 1, K::CLIENT);
        let mut stats = (*object).body.stats;
        stats.received = lua::luaL_optnumber(l, 2, stats.received as f64) as u64;
        stats.sent = lua::luaL_optnumber(l, 3, stats.sent as f64) as u64;
        if lua::lua_isnumber(l, 4) != 0 {
            stats.set_age(lua::lua_tonumber(l, 4));
        }
        (*object).body.stats = stats;
        succeed(l)
    }
}

/// What LuaSocket's debug build adds to `send` and `receive`: the elapsed seconds.
#[cfg(feature = "debug")]
mod debug {
    use super::*;
    use std::time::Instant;

    pub type Timer = Instant;

    pub fn start() -> Timer {
        Instant::now()
    }

    pub unsafe fn finish(l: *mut lua_State, start: Timer) -> c_int {
        // SAFETY: called by an entry.
        unsafe { lua::lua_pushnumber(l, start.elapsed().as_secs_f64()) };
        4
    }
}

#[cfg(not(feature = "debug"))]
mod debug {
    use super::*;

    pub type Timer = ();

    #[inline]
    pub fn start() -> Timer {}

    #[inline]
    pub unsafe fn finish(_: *mut lua_State, (): ()) -> c_int {
        3
    }
}

/// Closes an object that a constructor made for nothing, and fails.
pub(crate) unsafe fn discard(l: *mut lua_State, stream: *mut Stream, error: Error) -> c_int {
    // SAFETY: called by an entry, with a stream that Lua owns.
    unsafe {
        guard(l, || (*stream).close());
        fail(l, error)
    }
}
