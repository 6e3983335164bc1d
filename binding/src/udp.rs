//! UDP objects.

use std::ffi::{CStr, c_int};

use luasocket_engine::Result;
use luasocket_engine::address::Family;
use luasocket_engine::datagram::Datagram;
use luasocket_engine::deadline::Limit;
use luasocket_engine::operation::Direction;
use luasocket_engine::options;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::datagram::{self, CONNECTED, DatagramKind, UNCONNECTED, receive_with, transmit};
use crate::drive::{self, Run};
use crate::object::{self, Class, Kind, Tag, check};
use crate::socket::{self, SocketKind, push_inet, push_inet_name};
use crate::spot::Spot;
use crate::stack::{self, fail, push_outcome, succeed};
use crate::task;

/// UDP.
pub struct Udp;

/// What identifies UDP objects.
pub static TAG: Tag = Tag::new(
    [c"udp{unconnected}", c"udp{connected}", c""],
    &[c"udp{any}", c"select{able}"],
);

impl Kind for Udp {
    type Body = Datagram;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(3, c"udp{any} expected");
}

impl SocketKind for Udp {
    const OPTIONS: u8 = options::UDP;
}

impl DatagramKind for Udp {
    const UNCONNECTED: Class = Class::new(1 << UNCONNECTED, c"udp{unconnected} expected");
    const CONNECTED: Class = Class::new(1 << CONNECTED, c"udp{connected} expected");
}

// Every function below is an entry (see `boundary.rs`).

/// `socket.udp()`: without descriptor.
unsafe extern "C-unwind" fn udp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { object::create::<Udp>(l, UNCONNECTED, Datagram::new()) };
    1
}

/// `socket.udp4()`.
unsafe extern "C-unwind" fn udp4(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { open(l, Family::Inet) }
}

/// `socket.udp6()`.
unsafe extern "C-unwind" fn udp6(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { open(l, Family::Inet6) }
}

unsafe fn open(l: *mut lua_State, family: Family) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        let object = object::create::<Udp>(l, UNCONNECTED, Datagram::new());
        match guard(l, || (*object).body.socket.open(family)) {
            Ok(()) => 1,
            Err(error) => fail(l, error),
        }
    }
}

/// `getpeername()`: address, port, family.
unsafe extern "C-unwind" fn getpeername(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<Udp>(l, 1, Udp::CONNECTED);
        let peer = guard(l, || (*object).body.socket.peer());
        push_inet_name(l, peer, (*object).body.socket.family)
    }
}

/// `receivefrom([size])`: datagram, address, port; or `nil` and the error.
unsafe extern "C-unwind" fn receivefrom(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<Udp>(l, 1, Udp::UNCONNECTED);
        receive_with(l, &raw mut (*object).body, |l, sender| {
            push_inet(l, sender);
            2
        })
    }
}

/// `sendto(datagram, ip, port)`: bytes sent, or `nil` and the error.
unsafe extern "C-unwind" fn sendto(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind; strings stay where they are.
    unsafe {
        let object = check::<Udp>(l, 1, Udp::UNCONNECTED);
        let data = stack::check_bytes(l, 2);
        let (ip, port) = (stack::check_name(l, 3), stack::check_name(l, 4));
        let datagram = &raw mut (*object).body;
        let op = guard(l, || (*datagram).sendto(data.get(), ip.get(), port.get()));
        transmit(l, datagram, op)
    }
}

/// `setpeername(address, port)`, or `setpeername("*")` to remove the peer: 1, or
/// `nil` and the error.
unsafe extern "C-unwind" fn setpeername(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind; strings stay where they are.
    unsafe {
        let object = check::<Udp>(l, 1, Udp::ANY);
        let host = stack::check_name(l, 2);
        if host.get() == b"*" {
            guard(l, || (*object).body.disconnect());
            object::set_class::<Udp>(l, 1, object, UNCONNECTED);
            return succeed(l);
        }
        let port = stack::check_name(l, 3);
        // The class changes as soon as there is a peer, but it must not change before.
        let subject = &raw mut (*object).body;
        let may_block = task::wait::current(l).is_none()
            && !matches!(
                (*subject).socket.limit(),
                Limit::Until(_) | Limit::Each { .. }
            );
        let op = match guard(l, || {
            (*subject).begin_connect(host.get(), port.get(), may_block)
        }) {
            Ok(op) => op,
            Err(error) => return fail(l, error),
        };
        lua::lua_pushvalue(l, 1);
        let context = Spot::of_top(l, subject);
        let (direction, finish) = (Some(Direction::Write), push_connected as _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit: lookup_limit,
                finish,
                context,
            },
        )
    }
}

/// With `settimeout(0)` no later call could continue a look-up, so it takes the time it
/// takes.
fn lookup_limit(datagram: &mut Datagram) -> Limit {
    match datagram.socket.limit() {
        Limit::Now => Limit::None,
        limit => limit,
    }
}

unsafe fn push_connected(
    l: *mut lua_State,
    datagram: *mut Datagram,
    connected: Result<()>,
    spot: Spot,
) -> c_int {
    // SAFETY: called by an entry, which keeps the object on its stack.
    unsafe {
        if let Err(error) = connected {
            return fail(l, error);
        }
        spot.push(l, datagram);
        if let Some(object) = object::to::<Udp>(l, -1) {
            object::set_class::<Udp>(l, -1, object, CONNECTED);
        }
        succeed(l)
    }
}

/// `setsockname(address, port)`: 1, or `nil` and the error.
unsafe extern "C-unwind" fn setsockname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind; strings stay where they are.
    unsafe {
        let object = check::<Udp>(l, 1, Udp::UNCONNECTED);
        let (host, port) = (stack::check_name(l, 2), stack::check_name(l, 3));
        let bound = guard(l, || (*object).body.socket.bind(host.get(), port.get()));
        push_outcome(l, bound)
    }
}

/// Makes the classes known to `l`.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn register(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe { object::register::<Udp>(l, METHODS) }
}

/// What UDP adds to the namespace.
pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[(c"udp", udp), (c"udp4", udp4), (c"udp6", udp6)];

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"close", socket::close::<Udp>),
    (c"dirty", socket::dirty::<Udp>),
    (c"getfamily", socket::getfamily::<Udp>),
    (c"getfd", socket::getfd::<Udp>),
    (c"getoption", socket::getoption::<Udp>),
    (c"getpeername", getpeername),
    (c"getsockname", socket::getsockname::<Udp>),
    (c"gettimeout", socket::gettimeout::<Udp>),
    (c"receive", datagram::receive::<Udp>),
    (c"receivefrom", receivefrom),
    (c"send", datagram::send::<Udp>),
    (c"sendto", sendto),
    (c"setfd", socket::setfd::<Udp>),
    (c"setoption", socket::setoption::<Udp>),
    (c"setpeername", setpeername),
    (c"setsockname", setsockname),
    (c"settimeout", socket::settimeout::<Udp>),
];
