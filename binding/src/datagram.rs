//! Datagram objects of both kinds: receiving.

use std::ffi::c_int;

use luasocket_engine::Result;
use luasocket_engine::datagram::{Datagram, LARGEST, Receive, Send};
use luasocket_engine::operation::Direction;
use luasocket_engine::sys::SockAddr;
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::drive::{self, Run};
use crate::object::{Class, Kind, check};
use crate::socket::SocketKind;
use crate::stack::{self, fail};
use crate::subject::limit_of;

/// Class numbers of datagram objects.
pub const UNCONNECTED: u8 = 0;
/// With a peer.
pub const CONNECTED: u8 = 1;

/// A kind of datagram object.
pub trait DatagramKind: SocketKind + Kind<Body = Datagram> {
    /// Without a peer.
    const UNCONNECTED: Class;
    /// With a peer.
    const CONNECTED: Class;
}

// Every function below is an entry (see `boundary.rs`).

/// `send(datagram)`: bytes sent, or `nil` and the error.
pub unsafe extern "C-unwind" fn send<K: DatagramKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind; the string stays argument 2.
    unsafe {
        let datagram = &raw mut (*check::<K>(l, 1, K::CONNECTED)).body;
        let data = stack::check_bytes(l, 2);
        let op = guard(l, || (*datagram).send(data.get()));
        transmit(l, datagram, op)
    }
}

/// Sends what was begun, and ends the entry.
pub(crate) unsafe fn transmit(
    l: *mut lua_State,
    subject: *mut Datagram,
    op: Result<Send<'static>>,
) -> c_int {
    // SAFETY: called by an entry, as its last act, with an object that Lua owns.
    unsafe {
        let op = match op {
            Ok(op) => op,
            Err(error) => return fail(l, error),
        };
        let (direction, limit) = (Some(Direction::Write), limit_of as fn(&mut Datagram) -> _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish: push_sent,
                context: (),
            },
        )
    }
}

unsafe fn push_sent(l: *mut lua_State, _: *mut Datagram, sent: Result<usize>, (): ()) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        match sent {
            Ok(count) => {
                lua::lua_pushinteger(l, count as _);
                1
            }
            Err(error) => fail(l, error),
        }
    }
}

/// `receive([size])`: the datagram, or `nil` and the error.
pub unsafe extern "C-unwind" fn receive<K: DatagramKind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; `check` proved the kind.
    unsafe {
        let object = check::<K>(l, 1, K::ANY);
        receive_with(l, &raw mut (*object).body, |_, _| 0)
    }
}

/// Pushes the sender of a datagram; how many values that are.
pub(crate) type PushSender = unsafe fn(*mut lua_State, &SockAddr) -> c_int;

/// Receives, and ends the entry: pushes the datagram and, with `push_sender`, its sender.
pub(crate) unsafe fn receive_with(
    l: *mut lua_State,
    subject: *mut Datagram,
    context: PushSender,
) -> c_int {
    // SAFETY: called by an entry, as its last act, with an object that Lua owns.
    unsafe {
        let op = Receive {
            size: check_size(l, 2),
        };
        let (direction, limit) = (Some(Direction::Read), limit_of as fn(&mut Datagram) -> _);
        drive::run(
            l,
            Run {
                subject,
                op,
                direction,
                limit,
                finish: push_received,
                context,
            },
        )
    }
}

unsafe fn push_received(
    l: *mut lua_State,
    datagram: *mut Datagram,
    received: Result<()>,
    push_sender: PushSender,
) -> c_int {
    // SAFETY: called by an entry, with an object that Lua owns.
    unsafe {
        match received {
            Ok(()) => {
                stack::push_bytes(l, (*datagram).found());
                let more = push_sender(l, (*datagram).sender());
                (*datagram).take();
                1 + more
            }
            Err(error) => fail(l, error),
        }
    }
}

/// A size; negative ones are too large to be had.
unsafe fn check_size(l: *mut lua_State, arg: c_int) -> usize {
    // SAFETY: called by an entry.
    unsafe {
        let size = lua::luaL_optnumber(l, arg, LARGEST as f64);
        if size <= -1.0 {
            usize::MAX
        } else {
            size as usize
        }
    }
}
