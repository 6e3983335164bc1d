//! `socket.dns`: names and addresses.

use std::ffi::{CStr, CString, c_int};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use luasocket_engine::address::{self, Family, host_text};
use luasocket_engine::deadline::Limit;
use luasocket_engine::dns;
use luasocket_engine::operation::{Direction, Interest, Operation, Step};
use luasocket_engine::resolve::Lookup;
use luasocket_engine::socket::Socket;
use luasocket_engine::sys::HostEntry;
use luasocket_engine::{Error, Result};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::park;
use crate::drive::{self, Run};
use crate::stack::{self, fail};
use crate::subject::{Finish, Subject};
use crate::task;

// Every function below is an entry (see `boundary.rs`).

/// `toip(address)`: the first IPv4 address and all that is known of the host; or `nil`
/// and the error.
unsafe extern "C-unwind" fn toip(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let name = stack::check_bytes(l, 1);
        // What is not of this machine is not looked up backwards: nobody waits for the name
        // of an address. Names of loopback addresses are in a file.
        if let Some(IpAddr::V4(ip)) = address::literal(name.get())
            && !ip.is_loopback()
        {
            push_ip(l, ip);
            push_literal(l);
            return 2;
        }
        let ask = || {
            let name = name.get().to_vec();
            move || dns::toip(&name)
        };
        look_up(l, dns::is_at_hand(name.get()), ask, push_toip)
    }
}

unsafe fn push_toip(l: *mut lua_State, found: *mut Asked<HostEntry>, (): (), (): ()) -> c_int {
    // SAFETY: called by an entry; what it owns is parked.
    unsafe {
        match &(*found).answer {
            Ok(entry) => {
                match entry.addresses.first() {
                    Some(ip) => push_ip(l, *ip),
                    None => lua::lua_pushnil(l),
                }
                push_entry(l, entry);
                2
            }
            Err(error) => fail(l, *error),
        }
    }
}

/// `tohostname(address)`: the official name and all that is known of the host; or `nil`
/// and the error.
unsafe extern "C-unwind" fn tohostname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let name = stack::check_bytes(l, 1);
        let ask = || {
            let name = name.get().to_vec();
            move || dns::tohostname(&name)
        };
        look_up(l, false, ask, push_tohostname)
    }
}

unsafe fn push_tohostname(
    l: *mut lua_State,
    found: *mut Asked<HostEntry>,
    (): (),
    (): (),
) -> c_int {
    // SAFETY: called by an entry; what it owns is parked.
    unsafe {
        match &(*found).answer {
            Ok(entry) => {
                stack::push_bytes(l, entry.name.to_bytes());
                push_entry(l, entry);
                2
            }
            Err(error) => fail(l, *error),
        }
    }
}

unsafe fn push_ip(l: *mut lua_State, ip: Ipv4Addr) {
    // SAFETY: called by an entry.
    unsafe { stack::push_bytes(l, host_text(&SocketAddr::new(ip.into(), 0)).bytes()) }
}

/// What is known of a host that is its own address. Its text is on top.
unsafe fn push_literal(l: *mut lua_State) {
    // SAFETY: called by an entry.
    unsafe {
        lua::lua_createtable(l, 0, 3);
        lua::lua_pushvalue(l, -2);
        lua::lua_setfield(l, -2, c"name".as_ptr());
        lua::lua_createtable(l, 0, 0);
        lua::lua_setfield(l, -2, c"alias".as_ptr());
        lua::lua_createtable(l, 1, 0);
        lua::lua_pushvalue(l, -3);
        lua::lua_rawseti(l, -2, 1);
        lua::lua_setfield(l, -2, c"ip".as_ptr());
    }
}

unsafe fn push_entry(l: *mut lua_State, entry: &HostEntry) {
    // SAFETY: called by an entry; what it owns is parked.
    unsafe {
        lua::lua_createtable(l, 0, 3);
        stack::set_bytes(l, c"name", entry.name.to_bytes());
        lua::lua_createtable(l, entry.aliases.len() as c_int, 0);
        for (i, alias) in (1..).zip(&entry.aliases) {
            stack::push_bytes(l, alias.to_bytes());
            lua::lua_rawseti(l, -2, i);
        }
        lua::lua_setfield(l, -2, c"alias".as_ptr());
        lua::lua_createtable(l, entry.addresses.len() as c_int, 0);
        for (i, ip) in (1..).zip(&entry.addresses) {
            push_ip(l, *ip);
            lua::lua_rawseti(l, -2, i);
        }
        lua::lua_setfield(l, -2, c"ip".as_ptr());
    }
}

/// `getaddrinfo(address)`: a list of `{family =, addr =}`, or `nil` and the error.
unsafe extern "C-unwind" fn getaddrinfo(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let name = stack::check_bytes(l, 1);
        let ask = || {
            let name = name.get().to_vec();
            move || dns::getaddrinfo(&name)
        };
        look_up(l, dns::is_at_hand(name.get()), ask, push_addresses)
    }
}

unsafe fn push_addresses(
    l: *mut lua_State,
    found: *mut Asked<Vec<SocketAddr>>,
    (): (),
    (): (),
) -> c_int {
    // SAFETY: called by an entry; what it owns is parked.
    unsafe {
        let addresses = match &(*found).answer {
            Ok(addresses) => addresses,
            Err(error) => return fail(l, *error),
        };
        lua::lua_createtable(l, addresses.len() as c_int, 0);
        for (i, address) in (1..).zip(addresses) {
            lua::lua_createtable(l, 0, 2);
            stack::set_bytes(l, c"family", Family::of(address).name().as_bytes());
            stack::set_bytes(l, c"addr", host_text(address).bytes());
            lua::lua_rawseti(l, -2, i);
        }
    }
    1
}

/// `getnameinfo([host [, service]])`: a list of names, and the service's name if one was
/// given; or `nil` and the error.
unsafe extern "C-unwind" fn getnameinfo(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; strings stay where they are.
    unsafe {
        let (host, service) = (stack::opt_bytes(l, 1), stack::opt_name(l, 2));
        if host.is_absent() && service.is_absent() {
            return lua::luaL_error(l, c"host and serv cannot be both nil".as_ptr());
        }
        let ask = || {
            let host = (!host.is_absent()).then(|| host.get().to_vec());
            let service = (!service.is_absent()).then(|| service.get().to_vec());
            move || dns::getnameinfo(host.as_deref(), service.as_deref())
        };
        look_up(l, false, ask, push_names)
    }
}

/// Names of a host's addresses, and the name of a service.
type Names = (Vec<CString>, Option<CString>);

unsafe fn push_names(l: *mut lua_State, found: *mut Asked<Names>, (): (), (): ()) -> c_int {
    // SAFETY: called by an entry; what it owns is parked.
    unsafe {
        let (names, service) = match &(*found).answer {
            Ok(found) => found,
            Err(error) => return fail(l, *error),
        };
        lua::lua_createtable(l, names.len() as c_int, 0);
        for (i, name) in (1..).zip(names) {
            stack::push_bytes(l, name.to_bytes());
            lua::lua_rawseti(l, -2, i);
        }
        let Some(service) = service else { return 1 };
        stack::push_bytes(l, service.to_bytes());
    }
    2
}

/// A look-up and, in the end, its answer.
struct Asked<T> {
    lookup: Lookup<T>,
    answer: Result<T>,
}

impl<T> Subject for Asked<T> {
    fn socket(&mut self) -> Option<&mut Socket> {
        None
    }
}

/// Looks up, and ends the entry: here, or in a task on another thread if there is something
/// to wait for. `ask` copies the question; what it returns asks it.
unsafe fn look_up<T, F>(
    l: *mut lua_State,
    at_hand: bool,
    ask: impl FnOnce() -> F,
    finish: Finish<Asked<T>, (), ()>,
) -> c_int
where
    T: Send + 'static,
    F: Fn() -> Result<T> + Send + Sync + 'static,
{
    // SAFETY: called by an entry, as its last act; `park` keeps what is owned.
    unsafe {
        let here = at_hand || task::wait::current(l).is_none();
        let subject = park(l, || {
            let question = ask();
            let lookup = match here {
                true => Lookup::known(question()),
                false => Lookup::start(question).unwrap_or_else(|error| Lookup::known(Err(error))),
            };
            Asked {
                lookup,
                answer: Err(Error::Timeout),
            }
        });
        let (direction, limit) = (None, (|_: &mut Asked<T>| Limit::None) as fn(&mut _) -> _);
        drive::run(
            l,
            Run {
                subject,
                op: Await,
                direction,
                limit,
                finish,
                context: (),
            },
        )
    }
}

/// Waiting for the answer.
#[derive(Clone, Copy)]
struct Await;

impl<T: Send + 'static> Operation<Asked<T>> for Await {
    type Output = ();

    fn step(&mut self, asked: &mut Asked<T>) -> Step<()> {
        match asked.lookup.take() {
            Some(answer) => {
                asked.answer = answer;
                Step::Done(())
            }
            None => Step::Wait,
        }
    }

    fn interest<'a>(&'a mut self, asked: &'a mut Asked<T>) -> Interest<'a> {
        Interest::One(asked.lookup.fd(), Direction::Read)
    }

    fn give_up(&mut self, asked: &mut Asked<T>, why: Error) {
        asked.lookup.close();
        asked.answer = Err(why);
    }

    fn abandon(&mut self, asked: &mut Asked<T>) {
        asked.lookup.close();
    }
}

/// `gethostname()`: the name of this host.
unsafe extern "C-unwind" fn gethostname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let name = park(l, || {
            luasocket_engine::sys::gethostname().map_err(Error::Os)
        });
        match &*name {
            Ok(name) => {
                stack::push_bytes(l, name.to_bytes());
                1
            }
            Err(error) => fail(l, *error),
        }
    }
}

/// The table of contents of `socket.dns`.
pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"getaddrinfo", getaddrinfo),
    (c"gethostname", gethostname),
    (c"getnameinfo", getnameinfo),
    (c"tohostname", tohostname),
    (c"toip", toip),
];
