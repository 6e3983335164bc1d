//! What objects of every kind have: descriptor, timeouts, options, names.

use std::ffi::{CStr, c_int};
use std::net::Ipv4Addr;

use luasocket_engine::address::{Family, host_text};
use luasocket_engine::datagram::Datagram;
use luasocket_engine::error::{Error, Result};
use luasocket_engine::options::{self, Device, Kind as Shape, SocketOption, Value};
use luasocket_engine::socket::Socket;
use luasocket_engine::stream::Stream;
use luasocket_engine::sys::{Name, SockAddr};
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::object::{Body, Kind, check};
use crate::stack::{self, fail, push_outcome, succeed};
use crate::subject::Subject;

impl Subject for Stream {
    #[inline]
    fn socket(&mut self) -> Option<&mut Socket> {
        Some(&mut self.socket)
    }
}

impl Subject for Datagram {
    #[inline]
    fn socket(&mut self) -> Option<&mut Socket> {
        Some(&mut self.socket)
    }
}

/// A body with a socket in it.
pub trait HasSocket: Body {
    /// The socket.
    fn socket(&mut self) -> &mut Socket;
    /// Whether received bytes wait to be taken.
    fn is_dirty(&self) -> bool;
    /// Replaces the descriptor.
    fn set_fd(&mut self, fd: i32);
    /// The pending error, if it is known without asking the descriptor.
    fn pending_error(&mut self) -> Option<Option<Error>>;
}

impl HasSocket for Stream {
    #[inline]
    fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    #[inline]
    fn is_dirty(&self) -> bool {
        Stream::is_dirty(self)
    }

    fn set_fd(&mut self, fd: i32) {
        Stream::set_fd(self, fd);
    }

    fn pending_error(&mut self) -> Option<Option<Error>> {
        self.connect_error()
    }
}

impl HasSocket for Datagram {
    #[inline]
    fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn is_dirty(&self) -> bool {
        false
    }

    fn set_fd(&mut self, fd: i32) {
        self.socket.set_fd(fd);
    }

    fn pending_error(&mut self) -> Option<Option<Error>> {
        None
    }
}

/// A kind of object with a socket in it.
pub trait SocketKind: Kind<Body: HasSocket> {
    /// Which of the `options` module's sets it belongs to.
    const OPTIONS: u8;
}

// Every function below is an entry (see `boundary.rs`).

/// `close()`: 1, also when closed already.
pub unsafe extern "C-unwind" fn close<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        guard(l, || (*object).body.finalize());
        succeed(l)
    }
}

/// `dirty()`: whether received bytes wait to be taken.
pub unsafe extern "C-unwind" fn dirty<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        lua::lua_pushboolean(l, (*object).body.is_dirty().into());
    }
    1
}

/// `getfamily()`: `"inet4"`, also when undecided, or `"inet6"`.
pub unsafe extern "C-unwind" fn getfamily<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let inet6 = (*object).body.socket().family == Family::Inet6;
        stack::push_bytes(l, if inet6 { b"inet6" } else { b"inet4" });
    }
    1
}

/// `getfd()`: the descriptor; -1 if there is none.
pub unsafe extern "C-unwind" fn getfd<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        lua::lua_pushinteger(l, (*object).body.socket().fd().into());
    }
    1
}

/// `setfd(fd)`: takes `fd` without closing the old one; no result.
pub unsafe extern "C-unwind" fn setfd<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let fd = match lua::luaL_checknumber(l, 2) {
            number if (0.0..2147483648.0).contains(&number) => number as i32,
            _ => -1,
        };
        guard(l, || (*object).body.set_fd(fd));
    }
    0
}

/// `getsockname()`: address, port, family.
pub unsafe extern "C-unwind" fn getsockname<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let name = guard(l, || (*object).body.socket().name());
        push_inet_name(l, name, (*object).body.socket().family)
    }
}

/// Pushes address, port and family, or the failure.
pub(crate) unsafe fn push_inet_name(
    l: *mut lua_State,
    name: Result<SockAddr>,
    family: Family,
) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match name {
            Ok(name) => {
                push_inet(l, &name);
                stack::push_bytes(l, family.name().as_bytes());
                3
            }
            Err(error) => fail(l, error),
        }
    }
}

/// Pushes address and port.
pub(crate) unsafe fn push_inet(l: *mut lua_State, name: &SockAddr) {
    // SAFETY: called by an entry.
    unsafe {
        match name.name() {
            Name::Inet(address) => {
                stack::push_bytes(l, host_text(&address).bytes());
                lua::lua_pushinteger(l, address.port().into());
            }
            Name::Unix(path) => {
                stack::push_bytes(l, path);
                lua::lua_pushinteger(l, 0);
            }
            Name::Unknown => {
                stack::push_bytes(l, b"");
                lua::lua_pushinteger(l, 0);
            }
        }
    }
}

/// `settimeout([seconds [, mode]])`: 1.
pub unsafe extern "C-unwind" fn settimeout<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let seconds = lua::luaL_optnumber(l, 2, -1.0);
        let mode = stack::opt_bytes(l, 3);
        let timeouts = &mut (*object).body.socket().timeouts;
        match mode.get().first() {
            None if mode.is_absent() => timeouts.block = seconds,
            Some(b'b') => timeouts.block = seconds,
            Some(b'r' | b't') => timeouts.total = seconds,
            _ => stack::arg_error(l, 3, c"invalid timeout mode"),
        }
        succeed(l)
    }
}

/// `gettimeout()`: block and total timeout.
pub unsafe extern "C-unwind" fn gettimeout<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let timeouts = (*object).body.socket().timeouts;
        lua::lua_pushnumber(l, timeouts.block);
        lua::lua_pushnumber(l, timeouts.total);
    }
    2
}

/// `setoption(name [, value])`: 1, or `nil, "setsockopt failed"`.
///
/// Before there is a descriptor the option is remembered for when there is one.
pub unsafe extern "C-unwind" fn setoption<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let name = stack::check_bytes(l, 2);
        let Some(option) = options::settable(name.get(), K::OPTIONS) else {
            return unsupported(l, name);
        };
        let value = check_value(l, 3, option);
        let outcome = guard(l, || set_option((*object).body.socket(), option, value));
        push_outcome(l, outcome)
    }
}

/// Sets an option now, and on every further descriptor of the object.
pub(crate) fn set_option(
    socket: &mut Socket,
    option: &'static SocketOption,
    value: Value,
) -> Result<()> {
    if !socket.is_fresh() {
        option.set(socket.fd(), value)?;
    }
    socket.remembered.keep(option, value);
    Ok(())
}

/// `getoption(name)`: the value, or `nil, "getsockopt failed"`.
pub unsafe extern "C-unwind" fn getoption<K: SocketKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        let name = stack::check_bytes(l, 2);
        let Some(option) = options::gettable(name.get(), K::OPTIONS) else {
            return unsupported(l, name);
        };
        let value = guard(l, || get_option(&mut (*object).body, option));
        match value {
            Ok(value) => push_value(l, value),
            Err(error) => fail(l, error),
        }
    }
}

fn get_option(body: &mut impl HasSocket, option: &SocketOption) -> Result<Value> {
    if option.kind == Shape::Pending
        && let Some(error) = body.pending_error()
    {
        return Ok(Value::Pending(error));
    }
    option.get(body.socket().fd())
}

/// Raises for an option that objects of this class do not have.
pub(crate) unsafe fn unsupported(l: *mut lua_State, name: stack::Bytes) -> c_int {
    // SAFETY: called by an entry; the name is cut so that it ends with NUL.
    unsafe {
        let name = name.get();
        let name = &name[..name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len())
            .min(35)];
        stack::push_bytes(l, name);
        let name = lua::lua_tostring(l, -1);
        let message = lua::lua_pushfstring(l, c"unsupported option `%s'".as_ptr(), name);
        lua::luaL_argerror(l, 2, message)
    }
}

/// Reads the value for `option` at `arg`; raises if it has the wrong shape.
pub(crate) unsafe fn check_value(
    l: *mut lua_State,
    arg: c_int,
    option: &'static SocketOption,
) -> Value {
    // SAFETY: called by an entry.
    unsafe {
        match option.kind {
            Shape::Boolean => Value::Boolean(check_boolean(l, arg)),
            Shape::Switch if lua::lua_isboolean(l, arg) != 0 => {
                Value::Number(lua::lua_toboolean(l, arg))
            }
            Shape::Switch | Shape::Number => Value::Number(stack::check_int(l, arg)),
            Shape::Linger => check_linger(l, arg),
            Shape::Device => Value::Device(Device::new(stack::check_bytes(l, arg).get())),
            Shape::Address => match ipv4(stack::check_bytes(l, arg).get()) {
                Some(ip) => Value::Address(ip),
                None => stack::arg_error(l, arg, c"ip expected"),
            },
            Shape::Membership => check_membership(l, arg),
            Shape::Membership6 => check_membership6(l, arg),
            Shape::Pending => stack::arg_error(l, arg, c"option cannot be set"),
        }
    }
}

unsafe fn check_boolean(l: *mut lua_State, arg: c_int) -> bool {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_isboolean(l, arg) == 0 {
            stack::type_error(l, arg, c"boolean");
        }
        lua::lua_toboolean(l, arg) != 0
    }
}

unsafe fn check_table(l: *mut lua_State, arg: c_int) {
    // SAFETY: called by an entry.
    unsafe {
        if lua::lua_istable(l, arg) == 0 {
            stack::type_error(l, arg, c"table");
        }
    }
}

unsafe fn check_linger(l: *mut lua_State, arg: c_int) -> Value {
    // SAFETY: called by an entry.
    unsafe {
        check_table(l, arg);
        if lua::lua_getfield(l, arg, c"on".as_ptr()) != lua::LUA_TBOOLEAN {
            stack::arg_error(l, arg, c"boolean 'on' field expected");
        }
        let on = lua::lua_toboolean(l, -1) != 0;
        lua::lua_getfield(l, arg, c"timeout".as_ptr());
        if lua::lua_isnumber(l, -1) == 0 {
            stack::arg_error(l, arg, c"number 'timeout' field expected");
        }
        // The kernel counts in 16 bits at least; more is as good as for ever.
        let timeout = lua::lua_tonumber(l, -1).clamp(0.0, 65535.0) as i32;
        Value::Linger { on, timeout }
    }
}

/// An IPv4 address in any of the classic notations, or `*` for the unspecified one.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    match text {
        b"*" => Some(Ipv4Addr::UNSPECIFIED),
        text => luasocket_engine::dns::numeric_v4(text),
    }
}

/// Field `name` of the table at `arg` as bytes; raises with `missing` if it is no
/// string. Leaves it on the stack.
unsafe fn field(l: *mut lua_State, arg: c_int, name: &CStr, missing: &CStr) -> stack::Bytes {
    // SAFETY: called by an entry.
    unsafe {
        lua::lua_getfield(l, arg, name.as_ptr());
        if lua::lua_isstring(l, -1) == 0 {
            stack::arg_error(l, arg, missing);
        }
        stack::check_bytes(l, lua::lua_gettop(l))
    }
}

unsafe fn check_membership(l: *mut lua_State, arg: c_int) -> Value {
    // SAFETY: called by an entry; the fields stay on the stack.
    unsafe {
        check_table(l, arg);
        let group = field(l, arg, c"multiaddr", c"string 'multiaddr' field expected");
        let group = match group.get() {
            b"*" => None,
            text => ipv4(text),
        };
        let Some(group) = group else {
            stack::arg_error(l, arg, c"invalid 'multiaddr' ip address")
        };
        let interface = field(l, arg, c"interface", c"string 'interface' field expected");
        let Some(interface) = ipv4(interface.get()) else {
            stack::arg_error(l, arg, c"invalid 'interface' ip address")
        };
        Value::Membership { group, interface }
    }
}

unsafe fn check_membership6(l: *mut lua_State, arg: c_int) -> Value {
    // SAFETY: called by an entry; the fields stay on the stack.
    unsafe {
        check_table(l, arg);
        let group = field(l, arg, c"multiaddr", c"string 'multiaddr' field expected");
        let group = match group.get() {
            b"*" => None,
            text => std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()),
        };
        let Some(group) = group else {
            stack::arg_error(l, arg, c"invalid 'multiaddr' ip address")
        };
        lua::lua_getfield(l, arg, c"interface".as_ptr());
        let interface = match () {
            () if lua::lua_isnil(l, -1) != 0 => 0,
            () if lua::lua_isnumber(l, -1) != 0 => lua::lua_tonumber(l, -1) as u32,
            () if lua::lua_type(l, -1) == lua::LUA_TSTRING => {
                let name = CStr::from_ptr(lua::lua_tostring(l, -1));
                match luasocket_engine::sys::if_nametoindex(name) {
                    0 => stack::arg_error(l, arg, c"unknown 'interface'"),
                    index => index,
                }
            }
            () => stack::arg_error(l, arg, c"number 'interface' field expected"),
        };
        Value::Membership6 { group, interface }
    }
}

unsafe fn push_value(l: *mut lua_State, value: Value) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match value {
            Value::Boolean(on) => lua::lua_pushboolean(l, on.into()),
            Value::Number(number) => lua::lua_pushinteger(l, number.into()),
            Value::Linger { on, timeout } => {
                lua::lua_createtable(l, 0, 2);
                lua::lua_pushboolean(l, on.into());
                lua::lua_setfield(l, -2, c"on".as_ptr());
                lua::lua_pushinteger(l, timeout.into());
                lua::lua_setfield(l, -2, c"timeout".as_ptr());
            }
            Value::Device(device) => stack::push_bytes(l, device.name()),
            Value::Address(ip) => {
                stack::push_bytes(l, host_text(&(ip, 0).into()).bytes());
            }
            Value::Pending(Some(error)) => stack::push_error(l, error),
            Value::Pending(None) | Value::Membership { .. } | Value::Membership6 { .. } => {
                lua::lua_pushnil(l);
            }
        }
    }
    1
}
