//! TCP objects, and `socket.connect`.

use std::ffi::{CStr, c_int};

use luasocket_engine::Error;
use luasocket_engine::address::Family;
use luasocket_engine::connecting::{Begun, Connecting};
use luasocket_engine::operation::Direction;
use luasocket_engine::options;
use luasocket_engine::stream::Stream;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::drive::{self, Run};
use crate::object::{self, Class, Kind, Object, Tag, check};
use crate::socket::{self, SocketKind, push_inet_name};
use crate::spot::Spot;
use crate::stack::{self, Bytes, Name, push_outcome};
use crate::stream::{self, CLIENT, MASTER, StreamKind, discard};
use crate::subject::{Finish, limit_of};
use crate::task;

/// TCP.
pub struct Tcp;

/// What identifies TCP objects.
pub static TAG: Tag = Tag::new(
    [c"tcp{master}", c"tcp{client}", c"tcp{server}"],
    &[c"tcp{any}"],
);

impl Kind for Tcp {
    type Body = Stream;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(7, c"tcp{any} expected");
}

impl SocketKind for Tcp {
    const OPTIONS: u8 = options::TCP;
}

impl StreamKind for Tcp {
    const MASTER: Class = Class::new(1 << MASTER, c"tcp{master} expected");
    const CLIENT: Class = Class::new(1 << CLIENT, c"tcp{client} expected");
    const SERVER: Class = Class::new(1 << stream::SERVER, c"tcp{server} expected");
}

// Every function below is an entry (see `boundary.rs`).

/// `socket.tcp()`: a master without descriptor.
unsafe extern "C-unwind" fn tcp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { object::create::<Tcp>(l, MASTER, Stream::new()) };
    1
}

/// `socket.tcp4()`.
unsafe extern "C-unwind" fn tcp4(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { open(l, Family::Inet) }
}

/// `socket.tcp6()`.
unsafe extern "C-unwind" fn tcp6(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { open(l, Family::Inet6) }
}

unsafe fn open(l: *mut lua_State, family: Family) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        let object = object::create::<Tcp>(l, MASTER, Stream::new());
        match guard(l, || (*object).body.open(family)) {
            Ok(()) => 1,
            Err(error) => stack::fail(l, error),
        }
    }
}

/// `bind(address, port)`: 1, or `nil` and the error.
unsafe extern "C-unwind" fn bind(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<Tcp>(l, 1, Tcp::MASTER);
        let (host, port) = (stack::check_name(l, 2), stack::check_name(l, 3));
        let bound = guard(l, || (*object).body.socket.bind(host.get(), port.get()));
        push_outcome(l, bound)
    }
}

/// `connect(address, port)`: 1, or `nil` and the error; the object is a client from
/// now on.
unsafe extern "C-unwind" fn connect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<Tcp>(l, 1, Tcp::ANY);
        let (host, port) = (stack::check_name(l, 2), stack::check_name(l, 3));
        object::set_class::<Tcp>(l, 1, object, CLIENT);
        let stream = &raw mut (*object).body;
        connect_to(l, stream, host, port, |op| op, push_connected, ())
    }
}

/// Connects, and ends the entry with `finish`.
unsafe fn connect_to<C: Copy + 'static>(
    l: *mut lua_State,
    stream: *mut Stream,
    host: Name,
    port: Name,
    adapt: fn(Connecting) -> Connecting,
    finish: Finish<Stream, Result<(), Error>, C>,
    context: C,
) -> c_int {
    // SAFETY: called by an entry, as its last act; strings are its arguments.
    unsafe {
        let may_block = task::wait::current(l).is_none();
        let begun = guard(l, || {
            (*stream).begin_connect(host.get(), port.get(), may_block)
        });
        match begun {
            Begun::Known(result) => finish(l, stream, result, context),
            Begun::Going(op) => {
                let op = adapt(op);
                let (direction, limit) = (Some(Direction::Write), limit_of as fn(&mut Stream) -> _);
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
    }
}

unsafe fn push_connected(
    l: *mut lua_State,
    _: *mut Stream,
    connected: Result<(), Error>,
    (): (),
) -> c_int {
    // SAFETY: called by an entry.
    unsafe { push_outcome(l, connected) }
}

/// `getpeername()`: address, port, family.
unsafe extern "C-unwind" fn getpeername(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<Tcp>(l, 1, Tcp::ANY);
        let peer = guard(l, || (*object).body.socket.peer());
        push_inet_name(l, peer, (*object).body.socket.family)
    }
}

/// `socket.connect(host, port [, laddr [, lport [, family]]])`, or
/// `socket.connect(host, port, options)`: a client, or `nil` and the error.
unsafe extern "C-unwind" fn socket_connect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (host, port) = (stack::check_name(l, 1), stack::check_name(l, 2));
        let with_options = lua::lua_istable(l, 3) != 0;
        let local = match with_options {
            true => Local::from_options(l, 3),
            false => Local::from_arguments(l, 3),
        };
        let object = object::create::<Tcp>(l, CLIENT, Stream::new());
        let stream = &raw mut (*object).body;
        if with_options {
            set_options(l, 3, object);
        }
        if let Err(error) = guard(l, || bind_local(&mut *stream, local)) {
            return discard(l, stream, error);
        }
        let spot = Spot::of_top(l, stream);
        connect_to(l, stream, host, port, Connecting::alone, push_client, spot)
    }
}

/// Pushes the object that holds `stream`, which `socket.connect` made.
unsafe fn push_client(
    l: *mut lua_State,
    stream: *mut Stream,
    connected: Result<(), Error>,
    spot: Spot,
) -> c_int {
    // SAFETY: called by an entry, which keeps the object on its stack.
    unsafe {
        match connected {
            Ok(()) => {
                spot.push(l, stream);
                1
            }
            Err(error) => discard(l, stream, error),
        }
    }
}

/// Where `socket.connect` connects from.
#[derive(Clone, Copy)]
struct Local {
    address: Bytes,
    port: Name,
    family: Family,
}

impl Local {
    /// From arguments `arg` and the two behind it.
    unsafe fn from_arguments(l: *mut lua_State, arg: c_int) -> Local {
        // SAFETY: called by an entry.
        unsafe {
            Local {
                address: stack::opt_bytes(l, arg),
                port: stack::opt_name(l, arg + 1),
                family: check_family(l, arg + 2, arg + 2),
            }
        }
    }

    /// From the fields of the table at `arg`, which are left on the stack.
    unsafe fn from_options(l: *mut lua_State, arg: c_int) -> Local {
        // SAFETY: called by an entry.
        unsafe {
            lua::lua_settop(l, arg);
            for name in [c"laddr", c"lport", c"family"] {
                lua::lua_getfield(l, arg, name.as_ptr());
            }
            let text =
                |at: c_int| lua::lua_isnoneornil(l, at) != 0 || lua::lua_isstring(l, at) != 0;
            if !text(arg + 1) {
                stack::arg_error(l, arg, c"string 'laddr' field expected");
            }
            if !text(arg + 2) {
                stack::arg_error(l, arg, c"'lport' field must be a port");
            }
            if !text(arg + 3) {
                stack::arg_error(l, arg, c"string 'family' field expected");
            }
            Local {
                address: stack::opt_bytes(l, arg + 1),
                port: stack::opt_name(l, arg + 2),
                family: check_family(l, arg + 3, arg),
            }
        }
    }
}

/// Reads a family at `index`; a mistake is blamed on `arg`.
unsafe fn check_family(l: *mut lua_State, index: c_int, arg: c_int) -> Family {
    // SAFETY: called by an entry.
    unsafe {
        let name = stack::opt_bytes(l, index);
        match name.get() {
            _ if name.is_absent() => Family::Unspec,
            b"unspec" => Family::Unspec,
            b"inet" => Family::Inet,
            b"inet6" => Family::Inet6,
            _ => {
                let name = lua::lua_tostring(l, index);
                let message = lua::lua_pushfstring(l, c"invalid option '%s'".as_ptr(), name);
                lua::luaL_argerror(l, arg, message);
                unreachable!("luaL_argerror does not return")
            }
        }
    }
}

/// Sets what else the option table at `arg` names: `timeout` (block), `total`, and
/// socket options by their names. Raises for a field that is none of these.
unsafe fn set_options(l: *mut lua_State, arg: c_int, object: *mut Object<Stream>) {
    // SAFETY: called by an entry; the object is on top of the stack and stays there.
    unsafe {
        let stream = &raw mut (*object).body;
        lua::lua_pushnil(l);
        while lua::lua_next(l, arg) != 0 {
            let value = lua::lua_gettop(l);
            if lua::lua_type(l, value - 1) != lua::LUA_TSTRING {
                stack::arg_error(l, arg, c"option names must be strings");
            }
            let name = stack::check_bytes(l, value - 1);
            match name.get() {
                b"timeout" => (*stream).socket.timeouts.block = lua::luaL_checknumber(l, value),
                b"total" => (*stream).socket.timeouts.total = lua::luaL_checknumber(l, value),
                b"laddr" | b"lport" | b"family" => {}
                name_bytes => {
                    let Some(option) = options::settable(name_bytes, options::TCP) else {
                        socket::unsupported(l, name);
                        unreachable!("unsupported does not return")
                    };
                    let setting = socket::check_value(l, value, option);
                    let _ = guard(l, || {
                        socket::set_option(&mut (*stream).socket, option, setting)
                    });
                    lua::lua_settop(l, value);
                }
            }
            lua::lua_pop(l, 1);
        }
    }
}

fn bind_local(stream: &mut Stream, local: Local) -> Result<(), Error> {
    stream.socket.family = local.family;
    if local.address.is_absent() {
        return Ok(());
    }
    // SAFETY: the strings are arguments of the entry that called us.
    let (address, port) = unsafe { (local.address.get(), local.port.get()) };
    stream.socket.bind(address, port)
}

/// Makes the classes known to `l`.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn register(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe { object::register::<Tcp>(l, METHODS) }
}

/// What TCP adds to the namespace.
pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"connect", socket_connect),
    (c"tcp", tcp),
    (c"tcp4", tcp4),
    (c"tcp6", tcp6),
];

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"accept", stream::accept::<Tcp>),
    (c"bind", bind),
    (c"close", socket::close::<Tcp>),
    (c"connect", connect),
    (c"dirty", socket::dirty::<Tcp>),
    (c"getfamily", socket::getfamily::<Tcp>),
    (c"getfd", socket::getfd::<Tcp>),
    (c"getoption", socket::getoption::<Tcp>),
    (c"getpeername", getpeername),
    (c"getsockname", socket::getsockname::<Tcp>),
    (c"getstats", stream::getstats::<Tcp>),
    (c"gettimeout", socket::gettimeout::<Tcp>),
    (c"isquiet", stream::isquiet::<Tcp>),
    (c"listen", stream::listen::<Tcp>),
    (c"receive", stream::receive::<Tcp>),
    (c"receiveany", stream::receiveany::<Tcp>),
    (c"send", stream::send::<Tcp>),
    (c"setfd", socket::setfd::<Tcp>),
    (c"setoption", socket::setoption::<Tcp>),
    (c"setpeername", connect),
    (c"setsockname", bind),
    (c"setstats", stream::setstats::<Tcp>),
    (c"settimeout", socket::settimeout::<Tcp>),
    (c"shutdown", stream::shutdown::<Tcp>),
    (c"skipany", stream::skipany::<Tcp>),
];
