//! The steps that `ssl.core` makes connections in; programs see what it makes of them.

use std::ffi::{CStr, c_int};

use luasocket_engine::error::Result;
use luasocket_engine::operation::Direction;
use luasocket_engine::stream::Stream;
use luasocket_engine::sys;
use luasocket_engine::tls::Session;
use luasocket_engine::tls::handshake::Handshake;
use luasocket_engine::tls::session::Shaken;
use luasocket_engine::transport::Transport;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::connection::{Connection, check, info, setmethod};
use super::context;
use crate::boundary::{guard, park};
use crate::drive::{self, Run};
use crate::object;
use crate::stack;
use crate::stream;
use crate::subject::limit_of;
use crate::tcp::Tcp;
use crate::unix::UnixStream;

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
