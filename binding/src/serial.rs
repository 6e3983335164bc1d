//! `socket.serial`: character devices, and other files, as stream objects.

use std::ffi::{CStr, c_int};

use luasocket_engine::Error;
use luasocket_engine::stream::Stream;
use luasocket_engine::sys;
use luasocket_engine::transport::Transport;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::object::{self, Class, Kind, Tag};
use crate::socket::{self, SocketKind};
use crate::stack::{self, fail};
use crate::stream::{self, CLIENT, StreamKind};

/// A device.
pub struct Serial;

/// What identifies serial objects.
pub static TAG: Tag = Tag::new([c"", c"serial{client}", c""], &[c"serial{any}"]);

impl Kind for Serial {
    type Body = Stream;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(1 << CLIENT, c"serial{any} expected");
}

impl SocketKind for Serial {
    const OPTIONS: u8 = 0;
}

impl StreamKind for Serial {
    const MASTER: Class = Class::new(0, c"serial{master} expected");
    const CLIENT: Class = Class::new(1 << CLIENT, c"serial{client} expected");
    const SERVER: Class = Class::new(0, c"serial{server} expected");
}

/// `serial(path)`: an object for the opened file, or `nil`, error, errno.
unsafe extern "C-unwind" fn serial(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let path = stack::check_bytes(l, 1);
        let object = object::create::<Serial>(l, CLIENT, Stream::new());
        match guard(l, || open(&mut (*object).body, path.get())) {
            Ok(()) => 1,
            Err(errno) => {
                fail(l, Error::from_errno(errno));
                lua::lua_pushinteger(l, errno.into());
                3
            }
        }
    }
}

fn open(stream: &mut Stream, path: &[u8]) -> Result<(), c_int> {
    let path = std::ffi::CString::new(path).map_err(|_| sys::EINVAL)?;
    stream.transport = Transport::File;
    stream.set_fd(sys::open(&path)?);
    Ok(())
}

/// `require "socket.serial"`: the function.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open_module(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        object::register::<Serial>(l, METHODS);
        lua::lua_pushcfunction(l, serial);
    }
    1
}

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"close", socket::close::<Serial>),
    (c"dirty", socket::dirty::<Serial>),
    (c"getfd", socket::getfd::<Serial>),
    (c"getstats", stream::getstats::<Serial>),
    (c"gettimeout", socket::gettimeout::<Serial>),
    (c"isquiet", stream::isquiet::<Serial>),
    (c"receive", stream::receive::<Serial>),
    (c"receiveany", stream::receiveany::<Serial>),
    (c"send", stream::send::<Serial>),
    (c"setfd", socket::setfd::<Serial>),
    (c"setstats", stream::setstats::<Serial>),
    (c"settimeout", socket::settimeout::<Serial>),
    (c"skipany", stream::skipany::<Serial>),
];
