//! Certificates: `SSL:Certificate`.

use std::ffi::{CStr, c_int, c_void};

use luasocket_engine::tls::certificate::{self, Alternative, Attribute, Certificate, Text};
use luasocket_engine::tls::issued;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::text;
use crate::boundary::{guard, park};
use crate::object::{self, Body, Class, Kind, Object, Tag};
use crate::stack;

/// `SSL:Certificate`.
pub struct Certificates;

/// A certificate, unless it is collected.
#[derive(Default)]
pub struct Held {
    certificate: Option<Box<Certificate>>,
    /// Whether texts are wanted in UTF-8.
    utf8: bool,
}

static TAG: Tag = Tag::new([c"SSL:Certificate", c"", c""], &[]);

impl Kind for Certificates {
    type Body = Held;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(1, c"SSL:Certificate");
}

impl Body for Held {
    fn finalize(&mut self) {
        *self = Held::default();
    }
}

/// Pushes the certificate that `make` makes, or nil.
pub unsafe fn push(l: *mut lua_State, make: impl FnOnce() -> Option<Certificate>) {
    // SAFETY: called by an entry; the object is valid before it is filled.
    unsafe {
        let object = object::create::<Certificates>(l, 0, Held::default());
        let made = guard(l, || {
            (*object).body.certificate = make().map(Box::new);
            (*object).body.certificate.is_some()
        });
        if !made {
            lua::lua_pop(l, 1);
            lua::lua_pushnil(l);
        }
    }
}

unsafe fn held(l: *mut lua_State, arg: c_int) -> *mut Held {
    // SAFETY: called by an entry.
    unsafe {
        match object::to::<Certificates>(l, arg) {
            Some(object) if (*object).body.certificate.is_some() => &raw mut (*object).body,
            _ => stack::type_error(l, arg, c"SSL:Certificate"),
        }
    }
}

/// The certificate at `arg`.
unsafe fn certificate<'a>(l: *mut lua_State, arg: c_int) -> &'a Certificate {
    // SAFETY: called by an entry; Lua owns the object, and `held` has looked.
    unsafe { (*held(l, arg)).certificate.as_deref().unwrap_unchecked() }
}

/// Pushes a text that `make` makes.
unsafe fn push_text(l: *mut lua_State, make: impl FnOnce() -> String) -> c_int {
    // SAFETY: called by an entry; what is parked stays on the stack.
    unsafe {
        let made = park(l, make);
        stack::push_bytes(l, (*made).as_bytes());
    }
    1
}

// Every function below is an entry (see `boundary.rs`).

/// `load(pem)`: the first certificate in it, or nil.
unsafe extern "C-unwind" fn load(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let pem = stack::check_bytes(l, 1);
        push(l, || Certificate::from_pem(pem.get()));
    }
    1
}

unsafe extern "C-unwind" fn pem(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        push_text(l, || certificate.pem())
    }
}

unsafe extern "C-unwind" fn serial(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        push_text(l, || certificate.serial())
    }
}

unsafe extern "C-unwind" fn notbefore(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        push_text(l, || certificate::date(certificate.not_before()))
    }
}

unsafe extern "C-unwind" fn notafter(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        push_text(l, || certificate::date(certificate.not_after()))
    }
}

unsafe extern "C-unwind" fn getsignaturename(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        push_text(l, || certificate.signature_name())
    }
}

unsafe extern "C-unwind" fn validat(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        let time = lua::luaL_checkinteger(l, 2) as i64;
        let valid = guard(l, || {
            (certificate.not_before()..=certificate.not_after()).contains(&time)
        });
        lua::lua_pushboolean(l, valid.into());
    }
    1
}

/// `digest([algorithm])`.
unsafe extern "C-unwind" fn digest(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let certificate = certificate(l, 1);
        let algorithm = stack::opt_bytes(l, 2);
        let made = park(l, || {
            let name = if algorithm.is_absent() {
                b"sha1"
            } else {
                algorithm.get()
            };
            certificate.digest(&text(name))
        });
        match &*made {
            Some(digest) => {
                stack::push_bytes(l, digest.as_bytes());
                1
            }
            None => {
                lua::lua_pushnil(l);
                let name = lua::lua_tostring(l, 2);
                lua::lua_pushfstring(l, c"digest algorithm not supported (%s)".as_ptr(), name);
                2
            }
        }
    }
}

/// `pubkey()`: PEM, type, bits.
unsafe extern "C-unwind" fn pubkey(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let certificate = certificate(l, 1);
        let Some(key) = &*park(l, || certificate.key()) else {
            return 0;
        };
        stack::push_bytes(l, key.pem.as_bytes());
        stack::push_bytes(l, key.kind.as_bytes());
        lua::lua_pushinteger(l, key.bits as _);
    }
    3
}

/// `setencode("ai5" or "utf8")`.
unsafe extern "C-unwind" fn setencode(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let held = held(l, 1);
        let encoding = stack::check_bytes(l, 2).get();
        let utf8 = match encoding {
            name if name.starts_with(b"ai5") => Some(false),
            name if name.starts_with(b"utf8") => Some(true),
            _ => None,
        };
        if let Some(utf8) = utf8 {
            (*held).utf8 = utf8;
        }
        lua::lua_pushboolean(l, utf8.is_some().into());
    }
    1
}

unsafe extern "C-unwind" fn subject(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (certificate, utf8) = (certificate(l, 1), (*held(l, 1)).utf8);
        let attributes = park(l, || certificate.subject());
        push_attributes(l, &*attributes, utf8)
    }
}

unsafe extern "C-unwind" fn issuer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (certificate, utf8) = (certificate(l, 1), (*held(l, 1)).utf8);
        let attributes = park(l, || certificate.issuer());
        push_attributes(l, &*attributes, utf8)
    }
}

unsafe fn push_attributes(l: *mut lua_State, attributes: &[Attribute], utf8: bool) -> c_int {
    // SAFETY: called by an entry; what is pushed is parked.
    unsafe {
        lua::lua_createtable(l, attributes.len() as c_int, 0);
        for (attribute, index) in attributes.iter().zip(1..) {
            lua::lua_createtable(l, 0, 3);
            stack::set_bytes(l, c"oid", attribute.oid.as_bytes());
            stack::set_bytes(l, c"name", attribute.name.as_bytes());
            push_value(l, &attribute.value, utf8);
            lua::lua_setfield(l, -2, c"value".as_ptr());
            lua::lua_rawseti(l, -2, index);
        }
    }
    1
}

unsafe fn push_value(l: *mut lua_State, value: &Text, utf8: bool) {
    // SAFETY: called by an entry; what is pushed is parked.
    unsafe {
        match (&value.utf8, utf8) {
            (_, false) => stack::push_bytes(l, &value.raw),
            (Some(text), true) => stack::push_bytes(l, text),
            (None, true) => lua::lua_pushnil(l),
        }
    }
}

/// `extensions()`: the other names of the subject.
unsafe extern "C-unwind" fn extensions(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; what is pushed is parked.
    unsafe {
        let (certificate, utf8) = (certificate(l, 1), (*held(l, 1)).utf8);
        let found = park(l, || certificate.alternatives());
        lua::lua_createtable(l, 0, 1);
        let Some(names) = &*found else {
            return 1;
        };
        lua::lua_createtable(l, 0, 3);
        stack::set_bytes(l, c"name", b"X509v3 Subject Alternative Name");
        for name in names {
            push_alternative(l, name, utf8);
        }
        lua::lua_setfield(l, -2, c"2.5.29.17".as_ptr());
    }
    1
}

/// Adds a name to the table on top.
unsafe fn push_alternative(l: *mut lua_State, name: &Alternative, utf8: bool) {
    // SAFETY: called by an entry; what is pushed is parked.
    unsafe {
        let (list, words) = match name {
            Alternative::Dns(_) => ("dNSName", None),
            Alternative::Mail(_) => ("rfc822Name", None),
            Alternative::Uri(_) => ("uniformResourceIdentifier", None),
            Alternative::Ip(_) => ("iPAddress", None),
            Alternative::Other { oid, name, .. } => (oid.as_str(), Some(name)),
        };
        stack::push_bytes(l, list.as_bytes());
        lua::lua_pushvalue(l, -1);
        if lua::lua_rawget(l, -3) == lua::LUA_TNIL {
            lua::lua_pop(l, 1);
            lua::lua_createtable(l, 1, 1);
            if let Some(words) = words {
                stack::set_bytes(l, c"name", words.as_bytes());
            }
            lua::lua_pushvalue(l, -2);
            lua::lua_pushvalue(l, -2);
            lua::lua_rawset(l, -5);
        }
        match name {
            Alternative::Dns(value) | Alternative::Mail(value) | Alternative::Uri(value) => {
                push_value(l, value, utf8);
            }
            Alternative::Other { value, .. } => push_value(l, value, utf8),
            Alternative::Ip(Some(address)) => stack::push_bytes(l, address.as_bytes()),
            Alternative::Ip(None) => lua::lua_pushnil(l),
        }
        let next = lua::lua_rawlen(l, -2) + 1;
        lua::lua_rawseti(l, -2, next as _);
        lua::lua_pop(l, 2);
    }
}

/// `issued(other [, intermediate, ...])`: true, or nil and the reason.
unsafe extern "C-unwind" fn issued(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the objects are its arguments.
    unsafe {
        let (own, other) = (certificate(l, 1), certificate(l, 2));
        let top = lua::lua_gettop(l);
        for arg in 3..=top {
            held(l, arg);
        }
        let between = park(l, || {
            let more = (3..=top).filter_map(|arg| object::to::<Certificates>(l, arg));
            more.filter_map(|object| (*object).body.certificate.as_deref().cloned())
                .collect::<Vec<_>>()
        });
        match guard(l, || issued::check(own, other, &*between)) {
            Ok(()) => {
                lua::lua_pushboolean(l, 1);
                1
            }
            Err(words) => {
                lua::lua_pushnil(l);
                stack::push_bytes(l, words.as_bytes());
                2
            }
        }
    }
}

unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object: *mut Object<Held> = object::check::<Certificates>(l, 1, Certificates::ANY);
        lua::lua_pushfstring(l, c"X509 certificate: %p".as_ptr(), object.cast::<c_void>());
    }
    1
}

/// Makes the class known to `l`.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn register(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe {
        object::register::<Certificates>(l, METHODS);
        object::push_metatable_of(l, &TAG, 0);
        stack::set_functions(l, &[(c"__tostring", tostring)]);
        lua::lua_pop(l, 1);
    }
}

pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[(c"load", load)];

const METHODS: &[(&CStr, lua_CFunction)] = &[
    (c"digest", digest),
    (c"extensions", extensions),
    (c"getsignaturename", getsignaturename),
    (c"issued", issued),
    (c"issuer", issuer),
    (c"notafter", notafter),
    (c"notbefore", notbefore),
    (c"pem", pem),
    (c"pubkey", pubkey),
    (c"serial", serial),
    (c"setencode", setencode),
    (c"subject", subject),
    (c"validat", validat),
];
