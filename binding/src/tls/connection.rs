//! Connections: `SSL:Connection`, a stream whose bytes a TLS session carries.

use std::ffi::{CStr, c_int, c_void};

use luasocket_engine::operation::Direction;
use luasocket_engine::options;
use luasocket_engine::stream::Stream;
use luasocket_engine::tls::{Session, ciphers};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::{guard, park};
use crate::object::{self, Class, Kind, Tag};
use crate::socket::{self, SocketKind, push_inet_name};
use crate::stack;
use crate::stream::{self, StreamKind};

/// `SSL:Connection`.
pub struct Connection;

static TAG: Tag = Tag::new([c"SSL:Connection", c"", c""], &[]);

impl Kind for Connection {
    type Body = Stream;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(1, c"SSL:Connection");
}

impl SocketKind for Connection {
    const OPTIONS: u8 = options::TCP;
}

impl StreamKind for Connection {
    const MASTER: Class = Connection::ANY;
    const CLIENT: Class = Connection::ANY;
    const SERVER: Class = Connection::ANY;
}

pub(super) unsafe fn check(l: *mut lua_State, arg: c_int) -> *mut Stream {
    // SAFETY: called by an entry.
    unsafe {
        match object::to::<Connection>(l, arg) {
            Some(object) => &raw mut (*object).body,
            None => stack::type_error(l, arg, c"SSL:Connection"),
        }
    }
}

/// The open session of the object at argument 1; otherwise pushes `nil, "closed"`.
pub(super) unsafe fn open<'a>(l: *mut lua_State) -> Option<&'a mut Session> {
    // SAFETY: called by an entry; Lua owns the object.
    unsafe {
        match (*check(l, 1)).session_mut() {
            Some(session) if session.is_open() => Some(session),
            _ => {
                lua::lua_pushnil(l);
                stack::push_bytes(l, b"closed");
                None
            }
        }
    }
}

// Every function below is an entry (see `boundary.rs`).

/// `close()`: no result.
unsafe extern "C-unwind" fn close(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        guard(l, || (*stream).close());
    }
    0
}

/// `getpeername()`: address, port, family.
unsafe extern "C-unwind" fn getpeername(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        let peer = guard(l, || (*stream).socket.peer());
        push_inet_name(l, peer, (*stream).socket.family)
    }
}

/// `want()`: what the last operation waited for.
unsafe extern "C-unwind" fn want(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let wanted = (*check(l, 1)).session().and_then(Session::waits_for);
        stack::push_bytes(
            l,
            match wanted {
                None => b"nothing",
                Some(Direction::Read) => b"read",
                Some(Direction::Write) => b"write",
            },
        );
    }
    1
}

/// `info([field])`.
pub(super) unsafe extern "C-unwind" fn info(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let field = stack::opt_bytes(l, 2);
        let Some(session) = open(l) else {
            return 2;
        };
        push_info(l, session);
        if !field.is_absent() {
            stack::push_bytes(l, field.get());
            lua::lua_rawget(l, -2);
        }
    }
    1
}

unsafe fn push_info(l: *mut lua_State, session: &Session) {
    // SAFETY: called by an entry; all texts are static.
    unsafe {
        lua::lua_createtable(l, 0, 10);
        let Some(connection) = session.connection() else {
            return;
        };
        let tls13 = connection.protocol_version() == Some(luasocket_engine::tls::session::TLS13);
        stack::set_bytes(l, c"protocol", if tls13 { b"TLSv1.3" } else { b"TLSv1.2" });
        let suite = connection.negotiated_cipher_suite();
        if let Some(about) = suite.and_then(|suite| ciphers::describe(suite.suite())) {
            stack::set_bytes(l, c"cipher", about.name.as_bytes());
            stack::set_bytes(l, c"key", about.key.as_bytes());
            stack::set_bytes(l, c"authentication", about.authentication.as_bytes());
            stack::set_bytes(l, c"encryption", about.encryption.as_bytes());
            stack::set_bytes(l, c"mac", b"AEAD");
            for name in [c"bits", c"algbits"] {
                lua::lua_pushinteger(l, about.bits.into());
                lua::lua_setfield(l, -2, name.as_ptr());
            }
        }
        lua::lua_pushboolean(l, 0);
        lua::lua_setfield(l, -2, c"export".as_ptr());
        let resumed = session.is_resumed();
        lua::lua_pushboolean(l, resumed.into());
        lua::lua_setfield(l, -2, c"resumed".as_ptr());
        let common = session.common();
        let verify: &[u8] = match (common.strict, common.demand.named) {
            (false, _) => b"none",
            (true, false) => b"peer",
            (true, true) => b"peer+name",
        };
        stack::set_bytes(l, c"verify", verify);
    }
}

/// `getalpn()`: the protocol that was agreed upon, or nil.
unsafe extern "C-unwind" fn getalpn(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let session = (*check(l, 1)).session();
        let protocol = session
            .and_then(Session::connection)
            .and_then(|open| open.alpn_protocol());
        match protocol {
            Some(protocol) => stack::push_bytes(l, protocol),
            None => lua::lua_pushnil(l),
        }
    }
    1
}

/// `getsniname()`: the name that the client asks for, or nil.
unsafe extern "C-unwind" fn getsniname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        match (*check(l, 1)).session().and_then(Session::name) {
            Some(name) => stack::push_bytes(l, name),
            None => lua::lua_pushnil(l),
        }
    }
    1
}

/// `getfinished()`: our last message in the handshake; or nil and why not.
unsafe extern "C-unwind" fn getfinished(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_finished(l, true) }
}

/// `getpeerfinished()`: the peer's.
unsafe extern "C-unwind" fn getpeerfinished(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_finished(l, false) }
}

unsafe fn push_finished(l: *mut lua_State, ours: bool) -> c_int {
    // SAFETY: called by an entry; the bytes stay as long as the session.
    unsafe {
        let Some(session) = open(l) else {
            return 2;
        };
        if let Some(bytes) = session.finished(ours) {
            stack::push_bytes(l, bytes);
            return 1;
        }
        lua::lua_pushnil(l);
        stack::push_bytes(l, b"finished messages are not available");
    }
    2
}

/// `exportkeyingmaterial(label, length [, context])`.
unsafe extern "C-unwind" fn exportkeyingmaterial(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings are its arguments.
    unsafe {
        let stream = check(l, 1);
        if open(l).is_none() {
            return 2;
        }
        let label = stack::check_bytes(l, 2);
        let length = lua::luaL_checkinteger(l, 3);
        let context = stack::opt_bytes(l, 4);
        if !(0..=1 << 20).contains(&length) {
            stack::arg_error(l, 3, c"invalid length");
        }
        if length == 0 {
            stack::push_bytes(l, b"");
            return 1;
        }
        let made = &*park(l, || {
            let output = vec![0u8; length as usize];
            let context = (!context.is_absent()).then(|| context.get());
            (*stream)
                .session_mut()
                .and_then(Session::connection_mut)
                .and_then(|open| {
                    open.export_keying_material(output, label.get(), context)
                        .ok()
                })
        });
        match made {
            Some(bytes) => {
                stack::push_bytes(l, bytes);
                1
            }
            None => {
                lua::lua_pushnil(l);
                stack::push_bytes(l, b"error exporting keying material");
                2
            }
        }
    }
}

unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        let object = lua::lua_touserdata(l, 1).cast::<c_void>();
        let words = match (*stream).session() {
            Some(_) => c"SSL connection: %p",
            None => c"SSL connection: %p (closed)",
        };
        lua::lua_pushfstring(l, words.as_ptr(), object);
    }
    1
}

/// `setmethod(name, function)`: for all connections.
pub(super) unsafe extern "C-unwind" fn setmethod(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        stack::check_bytes(l, 1);
        lua::luaL_checktype(l, 2, lua::LUA_TFUNCTION);
        object::push_metatable_of(l, &TAG, 0);
        lua::lua_getfield(l, -1, c"__index".as_ptr());
        lua::lua_pushvalue(l, 1);
        lua::lua_pushvalue(l, 2);
        lua::lua_rawset(l, -3);
    }
    0
}

/// Makes the class known to `l`, with `more` methods than those of this file.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn register(l: *mut lua_State, more: &[(&CStr, lua_CFunction)]) {
    // SAFETY: as the contract says.
    unsafe {
        object::register::<Connection>(l, METHODS);
        object::push_metatable_of(l, &TAG, 0);
        stack::set_functions(l, &[(c"__tostring", tostring)]);
        lua::lua_getfield(l, -1, c"__index".as_ptr());
        stack::set_functions(l, more);
        lua::lua_pop(l, 2);
    }
}

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"close", close),
    (c"dirty", socket::dirty::<Connection>),
    (c"exportkeyingmaterial", exportkeyingmaterial),
    (c"getalpn", getalpn),
    (c"getfamily", socket::getfamily::<Connection>),
    (c"getfd", socket::getfd::<Connection>),
    (c"getfinished", getfinished),
    (c"getoption", socket::getoption::<Connection>),
    (c"getpeerfinished", getpeerfinished),
    (c"getpeername", getpeername),
    (c"getsniname", getsniname),
    (c"getsockname", socket::getsockname::<Connection>),
    (c"getstats", stream::getstats::<Connection>),
    (c"gettimeout", socket::gettimeout::<Connection>),
    (c"info", info),
    (c"isquiet", stream::isquiet::<Connection>),
    (c"receive", stream::receive::<Connection>),
    (c"receiveany", stream::receiveany::<Connection>),
    (c"send", stream::send::<Connection>),
    (c"setoption", socket::setoption::<Connection>),
    (c"setstats", stream::setstats::<Connection>),
    (c"settimeout", socket::settimeout::<Connection>),
    (c"skipany", stream::skipany::<Connection>),
    (c"want", want),
];
