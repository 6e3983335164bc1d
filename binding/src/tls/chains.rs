//! The certificates of both ends of a connection, and what the peer's are worth.

use std::ffi::{CStr, c_int};

use luasocket_engine::tls::Session;
use luasocket_engine::tls::certificate::Certificate;
use luasocket_engine::tls::verdict::{self, Verdict};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::certificate;
use super::connection::{check, open};
use crate::boundary::park;
use crate::stack;

// Every function below is an entry (see `boundary.rs`).

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

pub const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"getlocalcertificate", getlocalcertificate),
    (c"getlocalchain", getlocalchain),
    (c"getpeercertificate", getpeercertificate),
    (c"getpeerchain", getpeerchain),
    (c"getpeerverification", getpeerverification),
];
