//! `socket.unix`: Unix-domain sockets, streams and datagrams.

use std::ffi::{CStr, c_int};

use luasocket_engine::Result;
use luasocket_engine::datagram::Datagram;
use luasocket_engine::options;
use luasocket_engine::stream::Stream;
use luasocket_engine::sys::{Name, SockAddr};
use luasocket_engine::unix;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::datagram::{self, CONNECTED, DatagramKind, UNCONNECTED, receive_with, transmit};
use crate::drive::{self, Run};
use crate::object::{self, Class, Kind, Tag, check};
use crate::socket::{self, HasSocket, SocketKind};
use crate::spot::Spot;
use crate::stack::{self, fail, push_outcome};
use crate::stream::{self, CLIENT, MASTER, StreamKind};
use crate::subject::limit_of;
use luasocket_engine::operation::Direction;

/// Unix-domain streams.
pub struct UnixStream;

/// What identifies Unix-domain stream objects.
pub static STREAM_TAG: Tag = Tag::new(
    [
        c"unixstream{master}",
        c"unixstream{client}",
        c"unixstream{server}",
    ],
    &[c"unixstream{any}"],
);

impl Kind for UnixStream {
    type Body = Stream;
    const TAG: &'static Tag = &STREAM_TAG;
    const ANY: Class = Class::new(7, c"unixstream{any} expected");
}

impl SocketKind for UnixStream {
    const OPTIONS: u8 = options::UNIX_STREAM;
}

impl StreamKind for UnixStream {
    const MASTER: Class = Class::new(1 << MASTER, c"unixstream{master} expected");
    const CLIENT: Class = Class::new(1 << CLIENT, c"unixstream{client} expected");
    const SERVER: Class = Class::new(1 << stream::SERVER, c"unixstream{server} expected");
}

/// Unix-domain datagrams.
pub struct UnixDgram;

/// What identifies Unix-domain datagram objects.
pub static DGRAM_TAG: Tag = Tag::new(
    [c"unixdgram{unconnected}", c"unixdgram{connected}", c""],
    &[c"unixdgram{any}", c"select{able}"],
);

impl Kind for UnixDgram {
    type Body = Datagram;
    const TAG: &'static Tag = &DGRAM_TAG;
    const ANY: Class = Class::new(3, c"unixdgram{any} expected");
}

impl SocketKind for UnixDgram {
    const OPTIONS: u8 = options::UNIX_DGRAM;
}

impl DatagramKind for UnixDgram {
    const UNCONNECTED: Class = Class::new(1 << UNCONNECTED, c"unixdgram{unconnected} expected");
    const CONNECTED: Class = Class::new(1 << CONNECTED, c"unixdgram{connected} expected");
}

// Every function below is an entry (see `boundary.rs`).

/// `unix.stream()`: a master, or `nil` and the error.
unsafe extern "C-unwind" fn new_stream(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = object::create::<UnixStream>(l, MASTER, Stream::new());
        match guard(l, || unix::open(&mut (*object).body.socket)) {
            Ok(()) => 1,
            Err(error) => fail(l, error),
        }
    }
}

/// `unix.dgram()`: an object without peer, or `nil` and the error.
unsafe extern "C-unwind" fn new_dgram(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = object::create::<UnixDgram>(l, UNCONNECTED, Datagram::new());
        match guard(l, || unix::open(&mut (*object).body.socket)) {
            Ok(()) => 1,
            Err(error) => fail(l, error),
        }
    }
}

/// `bind(path)`: 1, or `nil` and the error; a failure of the system closes.
unsafe extern "C-unwind" fn bind_stream(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<UnixStream>(l, 1, UnixStream::MASTER);
        let outcome = bind(l, &raw mut (*object).body);
        push_outcome(l, outcome)
    }
}

unsafe extern "C-unwind" fn bind_dgram(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<UnixDgram>(l, 1, UnixDgram::UNCONNECTED);
        let outcome = bind(l, &raw mut (*object).body);
        push_outcome(l, outcome)
    }
}

unsafe fn bind<B: HasSocket>(l: *mut lua_State, body: *mut B) -> Result<()> {
    // SAFETY: called by an entry, with a body that Lua owns.
    unsafe {
        let path = stack::check_bytes(l, 2);
        guard(l, || {
            let path = unix::address(path.get())?;
            let bound = unix::bind((*body).socket(), &path);
            bound.inspect_err(|_| (*body).finalize())
        })
    }
}

/// `connect(path)`: 1 and the object is a client; or `nil` and the error, and it is
/// closed.
unsafe extern "C-unwind" fn connect_stream(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<UnixStream>(l, 1, UnixStream::MASTER);
        let path = stack::check_bytes(l, 2);
        let subject = &raw mut (*object).body;
        let op = match guard(l, || unix::begin_connect(&*subject, path.get())) {
            Ok(op) => op,
            Err(error) => return fail(l, error),
        };
        lua::lua_pushvalue(l, 1);
        let context = Spot::of_top(l, subject);
        let (direction, limit) = (Some(Direction::Write), limit_of as fn(&mut Stream) -> _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish: push_connected,
                context,
            },
        )
    }
}

unsafe fn push_connected(
    l: *mut lua_State,
    stream: *mut Stream,
    connected: Result<()>,
    spot: Spot,
) -> c_int {
    // SAFETY: called by an entry, which keeps the object on its stack.
    unsafe {
        if let Err(error) = connected {
            return fail(l, error);
        }
        spot.push(l, stream);
        if let Some(object) = object::to::<UnixStream>(l, -1) {
            object::set_class::<UnixStream>(l, -1, object, CLIENT);
        }
        push_outcome(l, connected)
    }
}

/// As `connect_stream`, for datagrams.
unsafe extern "C-unwind" fn connect_dgram(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<UnixDgram>(l, 1, UnixDgram::ANY);
        let path = stack::check_bytes(l, 2);
        let connected = guard(l, || {
            unix::connect_datagram(&mut (*object).body, path.get())
        });
        if connected.is_ok() {
            object::set_class::<UnixDgram>(l, 1, object, CONNECTED);
        }
        push_outcome(l, connected)
    }
}

/// `getsockname()`: the path; empty if unnamed, with a leading NUL if abstract.
unsafe extern "C-unwind" fn getsockname<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let name = guard(l, || (*object).body.socket().name());
        push_name(l, name)
    }
}

/// `getpeername()`: the path of the peer, as `getsockname`.
unsafe extern "C-unwind" fn getpeername<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let name = guard(l, || (*object).body.socket().peer());
        push_name(l, name)
    }
}

unsafe fn push_name(l: *mut lua_State, name: Result<SockAddr>) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match name {
            Ok(name) => {
                push_path(l, &name);
                1
            }
            Err(error) => fail(l, error),
        }
    }
}

unsafe fn push_path(l: *mut lua_State, name: &SockAddr) -> c_int {
    let path = match name.name() {
        Name::Unix(path) => path,
        _ => b"",
    };
    // SAFETY: called by an entry.
    unsafe { stack::push_bytes(l, path) };
    1
}

/// `sendto(data, path)`: bytes sent, or `nil` and the error.
unsafe extern "C-unwind" fn sendto(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; strings stay where they are.
    unsafe {
        let object = check::<UnixDgram>(l, 1, UnixDgram::UNCONNECTED);
        let (data, path) = (stack::check_bytes(l, 2), stack::check_bytes(l, 3));
        let datagram = &raw mut (*object).body;
        let op = guard(l, || {
            let to = unix::address(path.get())?;
            (*datagram).send_to(data.get(), Some(to))
        });
        transmit(l, datagram, op)
    }
}

/// `receivefrom([size])`: data and the path of its sender, or `nil` and the error.
unsafe extern "C-unwind" fn receivefrom(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<UnixDgram>(l, 1, UnixDgram::UNCONNECTED);
        receive_with(l, &raw mut (*object).body, |l, sender| push_path(l, sender))
    }
}

/// `unix(...)`: `unix.stream(...)`, looked up at call time.
unsafe extern "C-unwind" fn call(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_getfield(l, 1, c"stream".as_ptr());
        lua::lua_replace(l, 1);
        lua::lua_call(l, lua::lua_gettop(l) - 1, lua::LUA_MULTRET);
        lua::lua_gettop(l)
    }
}

/// `require "socket.unix"`: the callable table.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open_module(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        object::register::<UnixStream>(l, STREAM_METHODS);
        object::register::<UnixDgram>(l, DGRAM_METHODS);
        lua::lua_createtable(l, 0, 5);
        stack::set_functions(l, FUNCTIONS);
        for (old, name) in OLD_NAMES {
            lua::lua_getfield(l, -1, name.as_ptr());
            lua::lua_setfield(l, -2, old.as_ptr());
        }
        lua::lua_pushvalue(l, -1);
        lua::lua_setmetatable(l, -2);
    }
    1
}

const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"__call", call),
    (c"dgram", new_dgram),
    (c"stream", new_stream),
];

/// Old names of the same functions; `==` says so on every Lua.
const OLD_NAMES: [(&CStr, &CStr); 2] = [(c"tcp", c"stream"), (c"udp", c"dgram")];

const STREAM_METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"accept", stream::accept::<UnixStream>),
    (c"bind", bind_stream),
    (c"close", socket::close::<UnixStream>),
    (c"connect", connect_stream),
    (c"dirty", socket::dirty::<UnixStream>),
    (c"getfd", socket::getfd::<UnixStream>),
    (c"getoption", socket::getoption::<UnixStream>),
    (c"getpeername", getpeername::<UnixStream>),
    (c"getsockname", getsockname::<UnixStream>),
    (c"getstats", stream::getstats::<UnixStream>),
    (c"gettimeout", socket::gettimeout::<UnixStream>),
    (c"isquiet", stream::isquiet::<UnixStream>),
    (c"listen", stream::listen::<UnixStream>),
    (c"receive", stream::receive::<UnixStream>),
    (c"receiveany", stream::receiveany::<UnixStream>),
    (c"send", stream::send::<UnixStream>),
    (c"setfd", socket::setfd::<UnixStream>),
    (c"setoption", socket::setoption::<UnixStream>),
    (c"setpeername", connect_stream),
    (c"setsockname", bind_stream),
    (c"setstats", stream::setstats::<UnixStream>),
    (c"settimeout", socket::settimeout::<UnixStream>),
    (c"shutdown", stream::shutdown::<UnixStream>),
    (c"skipany", stream::skipany::<UnixStream>),
];

const DGRAM_METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"bind", bind_dgram),
    (c"close", socket::close::<UnixDgram>),
    (c"connect", connect_dgram),
    (c"dirty", socket::dirty::<UnixDgram>),
    (c"getfd", socket::getfd::<UnixDgram>),
    (c"getoption", socket::getoption::<UnixDgram>),
    (c"getpeername", getpeername::<UnixDgram>),
    (c"getsockname", getsockname::<UnixDgram>),
    (c"gettimeout", socket::gettimeout::<UnixDgram>),
    (c"receive", datagram::receive::<UnixDgram>),
    (c"receivefrom", receivefrom),
    (c"send", datagram::send::<UnixDgram>),
    (c"sendto", sendto),
    (c"setfd", socket::setfd::<UnixDgram>),
    (c"setoption", socket::setoption::<UnixDgram>),
    (c"setpeername", connect_dgram),
    (c"setsockname", bind_dgram),
    (c"settimeout", socket::settimeout::<UnixDgram>),
];
