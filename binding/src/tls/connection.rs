//! Connections: `SSL:Connection`, a stream whose bytes a TLS session carries.

use std::ffi::{CStr, c_int, c_void};

use luasocket_engine::error::Result;
use luasocket_engine::operation::Direction;
use luasocket_engine::options;
use luasocket_engine::stream::Stream;
use luasocket_engine::sys;
use luasocket_engine::tls::certificate::Certificate;
use luasocket_engine::tls::handshake::Handshake;
use luasocket_engine::tls::session::Shaken;
use luasocket_engine::tls::verdict::Verdict;
use luasocket_engine::tls::{Session, ciphers, verdict};
use luasocket_engine::transport::Transport;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::{certificate, context};
use crate::boundary::{guard, park};
use crate::drive::{self, Run, limit_of};
use crate::object::{self, Class, Kind, Tag};
use crate::socket::{self, SocketKind, push_inet_name};
use crate::stack;
use crate::stream::{self, StreamKind};
use crate::tcp::Tcp;
use crate::unix::UnixStream;

/// `SSL:Connection`.
pub struct Connection;

static TAG: Tag = Tag::new([c"SSL:Connection", c"", c""], &[]);

impl Kind for Connection {
    type Body = Stream;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(1, c"SSL:Connection expected");
}

impl SocketKind for Connection {
    const OPTIONS: u8 = options::TCP;
}

impl StreamKind for Connection {
    const MASTER: Class = Connection::ANY;
    const CLIENT: Class = Connection::ANY;
    const SERVER: Class = Connection::ANY;
}

unsafe fn check(l: *mut lua_State, arg: c_int) -> *mut Stream {
    // SAFETY: called by an entry.
    unsafe {
        match object::to::<Connection>(l, arg) {
            Some(object) => &raw mut (*object).body,
            None => stack::type_error(l, arg, c"SSL:Connection"),
        }
    }
}

/// The open session of the object at argument 1; otherwise pushes `nil, "closed"`.
unsafe fn open<'a>(l: *mut lua_State) -> Option<&'a mut Session> {
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

/// `create(context)`: a connection without descriptor, or `nil` and the error.
unsafe extern "C-unwind" fn create(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let side = context::side(l, 1);
        let Some(side) = &*side else {
            lua::lua_pushnil(l);
            context::push_problem(l, 1);
            return 2;
        };
        let object = object::create::<Connection>(l, 0, Stream::new());
        guard(l, || {
            let session = Session::new(side.clone(), Transport::Socket);
            (*object).body.transport = Transport::Tls(Box::new(session));
        });
    }
    1
}

/// `take(connection, socket)`: whether it was an object of ours, whose place the
/// connection has taken.
unsafe extern "C-unwind" fn take(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; both objects are its arguments, and not the same.
    unsafe {
        let stream = check(l, 1);
        let other = object::to::<Tcp>(l, 2)
            .or_else(|| object::to::<UnixStream>(l, 2))
            .or_else(|| object::to::<Connection>(l, 2));
        let taken = match other {
            Some(other) if (&raw mut (*other).body) != stream => {
                guard(l, || (*stream).take_over(&mut (*other).body));
                true
            }
            _ => false,
        };
        lua::lua_pushboolean(l, taken.into());
    }
    1
}

/// `setfd(connection, fd)`: only before the handshake.
unsafe extern "C-unwind" fn setfd(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        let fd = stack::check_int(l, 2);
        if (*stream).session().is_none_or(Session::has_begun) {
            stack::arg_error(l, 1, c"invalid SSL object state");
        }
        guard(l, || {
            (*stream).set_fd(fd);
            if fd >= 0 {
                let _ = sys::set_nonblocking(fd);
            }
        });
    }
    0
}

/// `handshake(connection)`: true; `nil` if the client's first message is there to be
/// looked at; false and the error.
unsafe extern "C-unwind" fn handshake(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, as the last act.
    unsafe {
        let subject = check(l, 1);
        let (direction, limit) = (Some(Direction::Read), limit_of as fn(&mut Stream) -> _);
        let (op, finish, context) = (Handshake, push_shaken as _, ());
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

unsafe fn push_shaken(
    l: *mut lua_State,
    stream: *mut Stream,
    shaken: Result<Shaken>,
    (): (),
) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match shaken {
            Ok(Shaken::Done) => lua::lua_pushboolean(l, 1),
            Ok(Shaken::Hello) => lua::lua_pushnil(l),
            Err(error) => {
                lua::lua_pushboolean(l, 0);
                stack::push_error(l, stream::told(&*stream, error));
                return 2;
            }
        }
    }
    1
}

/// `ask(connection)`: the handshake is to stop at the client's first message.
unsafe extern "C-unwind" fn ask(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if let Some(session) = (*check(l, 1)).session_mut() {
            session.ask();
        }
    }
    0
}

/// `hello(connection)`: the name that the client asks for or nil, and a list of the
/// protocols that it offers.
unsafe extern "C-unwind" fn hello(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; what is pushed is parked.
    unsafe {
        let stream = check(l, 1);
        let hello = &*park(l, || {
            (*stream).session().map(Session::hello).unwrap_or_default()
        });
        match &hello.name {
            Some(name) => stack::push_bytes(l, name.as_bytes()),
            None => lua::lua_pushnil(l),
        }
        lua::lua_createtable(l, hello.protocols.len() as c_int, 0);
        for (protocol, index) in hello.protocols.iter().zip(1..) {
            stack::push_bytes(l, protocol);
            lua::lua_rawseti(l, -2, index);
        }
    }
    2
}

/// `answer(connection [, context [, wire]])`: goes on after the client's first message;
/// nil or false for the context means the first one, for the protocols its own.
unsafe extern "C-unwind" fn answer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let stream = check(l, 1);
        lua::lua_settop(l, 3);
        let wire = stack::opt_bytes(l, 3);
        let side = match lua::lua_toboolean(l, 2) {
            0 => None,
            _ => (*context::side(l, 2)).as_ref(),
        };
        guard(l, || {
            let names = (!wire.is_absent()).then(|| context::names(wire.get()).unwrap_or_default());
            if let Some(session) = (*stream).session_mut() {
                session.answer(side, names.as_deref());
            }
        });
    }
    0
}

/// `refuse(connection)`: there is no such name here.
unsafe extern "C-unwind" fn refuse(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        guard(l, || {
            if let Some(session) = (*stream).session_mut() {
                session.refuse_name();
            }
        });
    }
    0
}

/// `setname(connection, name or nil)`: what a client asks for.
unsafe extern "C-unwind" fn setname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let stream = check(l, 1);
        let name = stack::opt_bytes(l, 2);
        guard(l, || {
            if let Some(session) = (*stream)
                .session_mut()
                .filter(|session| !session.has_begun())
            {
                session.set_name((!name.is_absent()).then(|| name.get()));
            }
        });
    }
    0
}

/// `sethost(connection, host or nil)`: what stands in for a name.
unsafe extern "C-unwind" fn sethost(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let stream = check(l, 1);
        let host = stack::opt_bytes(l, 2);
        guard(l, || {
            if let Some(session) = (*stream).session_mut() {
                session.set_host((!host.is_absent()).then(|| host.get()));
            }
        });
    }
    0
}

/// `finish(connection)`: tells the peer that nothing more will be sent, by TLS and by TCP,
/// while receiving goes on. Whether that could be done at once.
unsafe extern "C-unwind" fn finish(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let stream = check(l, 1);
        let told = guard(l, || {
            let fd = (*stream).socket.fd();
            let told = (*stream)
                .session_mut()
                .is_some_and(|session| session.finish_sending(fd));
            told && sys::shutdown(fd, sys::SHUT_WR).is_ok()
        });
        lua::lua_pushboolean(l, told.into());
    }
    1
}

/// `abandon(connection)`: closing it will not look like a good end.
unsafe extern "C-unwind" fn abandon(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if let Some(session) = (*check(l, 1)).session_mut() {
            session.abandon();
        }
    }
    0
}

/// `settimeouts(connection)`: timeouts are to be told as `"timeout"`.
unsafe extern "C-unwind" fn settimeouts(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if let Some(session) = (*check(l, 1)).session_mut() {
            session.plain_timeouts = true;
        }
    }
    0
}

/// `isclient(connection)`: nil once it is closed.
unsafe extern "C-unwind" fn isclient(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        match (*check(l, 1)).session() {
            Some(session) => lua::lua_pushboolean(l, session.is_client().into()),
            None => lua::lua_pushnil(l),
        }
    }
    1
}

/// `is(value)`: whether it is a connection.
unsafe extern "C-unwind" fn is(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushboolean(l, object::to::<Connection>(l, 1).is_some().into()) };
    1
}

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
unsafe extern "C-unwind" fn info(l: *mut lua_State) -> c_int {
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

/// `getpeercertificate([n])`: one of the peer's chain, or nil.
unsafe extern "C-unwind" fn getpeercertificate(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_certificate(l, peer_chain) }
}

/// `getlocalcertificate([n])`: one of ours, or nil.
unsafe extern "C-unwind" fn getlocalcertificate(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_certificate(l, own_chain) }
}

type ChainOf = fn(&Session) -> Vec<Certificate>;

fn peer_chain(session: &Session) -> Vec<Certificate> {
    let chain = session
        .connection()
        .and_then(|open| open.peer_certificates());
    chain
        .unwrap_or_default()
        .iter()
        .cloned()
        .map(Certificate::new)
        .collect()
}

fn own_chain(session: &Session) -> Vec<Certificate> {
    session
        .own_chain()
        .iter()
        .cloned()
        .map(Certificate::new)
        .collect()
}

unsafe fn push_certificate(l: *mut lua_State, chain: ChainOf) -> c_int {
    // SAFETY: called by an entry; Lua owns the session.
    unsafe {
        let stream = check(l, 1);
        if open(l).is_none() {
            return 2;
        }
        let number = lua::luaL_optinteger(l, 2, 1);
        if number < 1 {
            lua::lua_pushnil(l);
            stack::push_bytes(l, b"invalid certificate index");
            return 2;
        }
        certificate::push(l, || {
            let session = (*stream).session()?;
            chain(session).into_iter().nth(number as usize - 1)
        });
    }
    1
}

/// `getpeerchain()`: all certificates of the peer.
unsafe extern "C-unwind" fn getpeerchain(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_chain(l, peer_chain) }
}

/// `getlocalchain()`: all of ours.
unsafe extern "C-unwind" fn getlocalchain(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { push_chain(l, own_chain) }
}

unsafe fn push_chain(l: *mut lua_State, chain: ChainOf) -> c_int {
    // SAFETY: called by an entry; Lua owns the session.
    unsafe {
        let stream = check(l, 1);
        if open(l).is_none() {
            return 2;
        }
        let chain = &*park(l, || (*stream).session().map(chain).unwrap_or_default());
        lua::lua_createtable(l, chain.len() as c_int, 0);
        for (one, index) in chain.iter().zip(1..) {
            certificate::push(l, || Some(one.clone()));
            lua::lua_rawseti(l, -2, index);
        }
    }
    1
}

/// `getpeerverification()`: true; or false and the reason, a table of reasons by place in
/// the chain if the handshake went on in spite of them.
unsafe extern "C-unwind" fn getpeerverification(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; what is pushed is static.
    unsafe {
        let stream = check(l, 1);
        let refusal = match (*stream).session() {
            Some(session) if session.is_open() => None,
            session => Some(session.and_then(Session::refusal).unwrap_or("closed")),
        };
        if let Some(words) = refusal {
            lua::lua_pushboolean(l, 0);
            stack::push_bytes(l, words.as_bytes());
            return 2;
        }
        // The session is looked up when it is needed: making a place may run finalizers,
        // and these may close it.
        let judged = park(l, || (*stream).session().and_then(judge));
        match &*judged {
            None => {
                lua::lua_pushboolean(l, 1);
                1
            }
            Some((verdict, continued)) => {
                lua::lua_pushboolean(l, 0);
                if *continued {
                    push_notes(l, &verdict.notes);
                } else {
                    let note = verdict.notes.first().map_or("", |note| note.1);
                    stack::push_bytes(l, note.as_bytes());
                }
                2
            }
        }
    }
}

/// What is wrong with the peer's certificate, and whether the handshake went on in spite
/// of it; `None` if nothing is.
fn judge(session: &Session) -> Option<(Verdict, bool)> {
    let chain = session
        .connection()
        .and_then(|open| open.peer_certificates());
    let name = session.server_name().filter(|_| session.is_client());
    let judged = session
        .common()
        .judge(chain.unwrap_or_default(), name.as_ref(), verdict::now());
    judged
        .err()
        .map(|verdict| (verdict, session.common().continued))
}

unsafe fn push_notes(l: *mut lua_State, notes: &[(usize, &str)]) {
    // SAFETY: called by an entry.
    unsafe {
        lua::lua_createtable(l, 1, 0);
        for &(place, words) in notes {
            if lua::lua_rawgeti(l, -1, place as _) == lua::LUA_TNIL {
                lua::lua_pop(l, 1);
                lua::lua_createtable(l, 1, 0);
                lua::lua_pushvalue(l, -1);
                lua::lua_rawseti(l, -3, place as _);
            }
            stack::push_bytes(l, words.as_bytes());
            let next = lua::lua_rawlen(l, -2) + 1;
            lua::lua_rawseti(l, -2, next as _);
            lua::lua_pop(l, 1);
        }
    }
}

/// `getfinished()` and `getpeerfinished()`: not to be had; no value.
unsafe extern "C-unwind" fn getfinished(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { check(l, 1) };
    0
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
unsafe extern "C-unwind" fn setmethod(l: *mut lua_State) -> c_int {
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

/// Makes the class known to `l`.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn register(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe {
        object::register::<Connection>(l, METHODS);
        object::push_metatable_of(l, &TAG, 0);
        stack::set_functions(l, &[(c"__tostring", tostring)]);
        lua::lua_pop(l, 1);
    }
}

pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"abandon", abandon),
    (c"answer", answer),
    (c"ask", ask),
    (c"create", create),
    (c"finish", finish),
    (c"handshake", handshake),
    (c"hello", hello),
    (c"info", info),
    (c"is", is),
    (c"isclient", isclient),
    (c"refuse", refuse),
    (c"setfd", setfd),
    (c"sethost", sethost),
    (c"setmethod", setmethod),
    (c"setname", setname),
    (c"settimeouts", settimeouts),
    (c"take", take),
];

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"close", close),
    (c"dirty", socket::dirty::<Connection>),
    (c"exportkeyingmaterial", exportkeyingmaterial),
    (c"getalpn", getalpn),
    (c"getfamily", socket::getfamily::<Connection>),
    (c"getfd", socket::getfd::<Connection>),
    (c"getfinished", getfinished),
    (c"getlocalcertificate", getlocalcertificate),
    (c"getlocalchain", getlocalchain),
    (c"getoption", socket::getoption::<Connection>),
    (c"getpeercertificate", getpeercertificate),
    (c"getpeerchain", getpeerchain),
    (c"getpeerfinished", getfinished),
    (c"getpeername", getpeername),
    (c"getpeerverification", getpeerverification),
    (c"getsniname", getsniname),
    (c"getsockname", socket::getsockname::<Connection>),
    (c"getstats", stream::getstats::<Connection>),
    (c"gettimeout", socket::gettimeout::<Connection>),
    (c"info", info),
    (c"receive", stream::receive::<Connection>),
    (c"receiveany", stream::receiveany::<Connection>),
    (c"send", stream::send::<Connection>),
    (c"setoption", socket::setoption::<Connection>),
    (c"setstats", stream::setstats::<Connection>),
    (c"settimeout", socket::settimeout::<Connection>),
    (c"want", want),
];
