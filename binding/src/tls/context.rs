//! Contexts: what connections are made from.

use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use luasocket_engine::tls::ciphers;
use luasocket_engine::tls::context::{Role, Settings, Side};
use luasocket_engine::tls::credentials::{self, Unusable};
use luasocket_engine::tls::groups::{self, Found};
use luasocket_engine::tls::trust::Store;
use luasocket_engine::tls::verdict::Revocation;
use luasocket_engine::tls::{Context, context::Verify};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::{attempt, text};
use crate::boundary::{guard, park};
use crate::object::{self, Body, Class, Kind, Object, Tag, check};
use crate::stack;

/// `SSL:Context`.
pub struct Contexts;

/// `None` once collected.
#[derive(Default)]
pub struct Held {
    context: Option<Box<Context>>,
    /// What was built from it, kept when that fails.
    problem: Option<Box<str>>,
}

static TAG: Tag = Tag::new([c"SSL:Context", c"", c""], &[]);

impl Kind for Contexts {
    type Body = Held;
    const TAG: &'static Tag = &TAG;
    const ANY: Class = Class::new(1, c"SSL:Context");
}

impl Body for Held {
    fn finalize(&mut self) {
        *self = Held::default();
    }
}

/// What a session needs from the context at `arg`; or pushes `nil` and the reason.
pub unsafe fn side(l: *mut lua_State, arg: c_int) -> *mut Option<Side> {
    // SAFETY: called by an entry.
    unsafe {
        let held = held(l, arg);
        park(l, || {
            let context = (*held).context.as_mut()?;
            match context.side() {
                Ok(side) => Some(side),
                Err(words) => {
                    (*held).problem = Some(words.into());
                    None
                }
            }
        })
    }
}

/// Pushes the words for why [`side`] had nothing.
pub unsafe fn push_problem(l: *mut lua_State, arg: c_int) {
    // SAFETY: called by an entry; Lua owns the object.
    unsafe {
        let held = held(l, arg);
        match &(*held).problem {
            Some(words) => stack::push_bytes(l, words.as_bytes()),
            None => stack::push_bytes(l, b"invalid context"),
        }
    }
}

unsafe fn held(l: *mut lua_State, arg: c_int) -> *mut Held {
    // SAFETY: called by an entry.
    unsafe {
        match object::to::<Contexts>(l, arg) {
            Some(object) => &raw mut (*object).body,
            None => stack::type_error(l, arg, c"SSL:Context"),
        }
    }
}

/// Changes the settings of the context at argument 1.
unsafe fn change(
    l: *mut lua_State,
    work: impl FnOnce(&mut Settings) -> Result<(), String>,
) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        let held = held(l, 1);
        attempt(l, || match &mut (*held).context {
            Some(context) => work(context.change()),
            None => Err("invalid context".into()),
        })
    }
}

// Every function below is an entry (see `boundary.rs`).

/// `create(protocol)`.
unsafe extern "C-unwind" fn create(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let protocol = stack::check_bytes(l, 1);
        let object = object::create::<Contexts>(l, 0, Held::default());
        let known = guard(l, || {
            (*object).body.context = Context::new(&text(protocol.get())).map(Box::new);
            (*object).body.context.is_some()
        });
        if known {
            return 1;
        }
        lua::lua_pushnil(l);
        let detail = match protocol.get() {
            b"tlsv1" | b"tlsv1_1" => {
                c"invalid protocol (%s): only tlsv1_2 and tlsv1_3 are supported"
            }
            _ => c"invalid protocol (%s)",
        };
        lua::lua_pushfstring(l, detail.as_ptr(), lua::lua_tostring(l, 1));
        2
    }
}

/// `setmode(context, mode)`: true, or the error alone.
unsafe extern "C-unwind" fn setmode(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let held = held(l, 1);
        let role = match stack::check_bytes(l, 2).get() {
            b"client" => Role::Client,
            b"server" => Role::Server,
            _ => {
                lua::lua_pushfstring(l, c"invalid mode (%s)".as_ptr(), lua::lua_tostring(l, 2));
                return 1;
            }
        };
        guard(l, || {
            if let Some(context) = &mut (*held).context {
                context.change().role = Some(role);
            }
        });
        lua::lua_pushboolean(l, 1);
    }
    1
}

/// `loadkey(context, source [, password])`.
unsafe extern "C-unwind" fn loadkey(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings are its arguments.
    unsafe {
        let (source, password) = (stack::check_bytes(l, 2), stack::opt_bytes(l, 3));
        change(l, |settings| {
            let password = (!password.is_absent()).then(|| password.get());
            let key = credentials::read(source.get())
                .and_then(|text| credentials::key(&text, password))
                .map_err(|why| failure("error loading private key", &why))?;
            settings.pair(|pair| pair.key.is_some()).key = Some(key);
            matched(settings)
        })
    }
}

/// `loadcert(context, source)`.
unsafe extern "C-unwind" fn loadcert(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let source = stack::check_bytes(l, 2);
        change(l, |settings| {
            let chain = credentials::read(source.get())
                .and_then(|text| credentials::certificates(&text))
                .map_err(|why| failure("error loading certificate", &why))?;
            settings.pair(|pair| !pair.chain.is_empty()).chain = chain;
            matched(settings)
        })
    }
}

/// Whether the last key belongs to the last certificate, as far as both are there.
fn matched(settings: &Settings) -> Result<(), String> {
    match settings.pairs.last().is_none_or(|pair| pair.matches()) {
        true => Ok(()),
        false => Err("private key does not match public key".into()),
    }
}

fn failure(what: &str, why: &Unusable) -> String {
    format!("{what} ({})", why.words())
}

/// `checkkey(context)`: whether key and certificate belong together, and are there.
unsafe extern "C-unwind" fn checkkey(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let held = held(l, 1);
        let fits = guard(l, || {
            let pair = (*held)
                .context
                .as_ref()
                .and_then(|context| context.settings().pairs.last());
            pair.is_some_and(|pair| pair.is_whole() && pair.matches())
        });
        lua::lua_pushboolean(l, fits.into());
    }
    1
}

/// `locations(context [, cafile [, capath]])`.
unsafe extern "C-unwind" fn locations(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings are its arguments.
    unsafe {
        let (file, path) = (stack::opt_bytes(l, 2), stack::opt_bytes(l, 3));
        change(l, |settings| {
            if !file.is_absent() {
                let store = Store::file(file.get())
                    .map_err(|why| failure("error loading CA locations", &why))?;
                settings.stores.push(store);
            }
            if !path.is_absent() {
                let store = Store::directory(Path::new(&*text(path.get())));
                settings.stores.push(Arc::new(store));
            }
            Ok(())
        })
    }
}

/// `setcipher(context, list)`.
unsafe extern "C-unwind" fn setcipher(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let list = stack::check_bytes(l, 2);
        change(l, |settings| {
            settings.suites12 = ciphers::tls12(&text(list.get())).ok_or(NO_CIPHER)?;
            Ok(())
        })
    }
}

/// `setciphersuites(context, list)`.
unsafe extern "C-unwind" fn setciphersuites(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let list = stack::check_bytes(l, 2);
        change(l, |settings| {
            settings.suites13 = ciphers::tls13(&text(list.get())).ok_or(NO_CIPHER)?;
            Ok(())
        })
    }
}

const NO_CIPHER: &str = "error setting cipher list (no cipher match)";

/// `setcurve(context, name)`.
unsafe extern "C-unwind" fn setcurve(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let name = stack::check_bytes(l, 2);
        change(l, |settings| {
            let name = text(name.get());
            match groups::find(&name) {
                Found::Group(group) => settings.groups = vec![group],
                _ => return Err(format!("elliptic curve '{name}' not supported")),
            }
            Ok(())
        })
    }
}

/// `setcurveslist(context, names)`.
unsafe extern "C-unwind" fn setcurveslist(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let names = stack::check_bytes(l, 2);
        change(l, |settings| {
            settings.groups = groups::list(&text(names.get()))?;
            Ok(())
        })
    }
}

/// `setdepth(context, depth)`.
unsafe extern "C-unwind" fn setdepth(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let depth = lua::luaL_checkinteger(l, 2);
        change(l, |settings| {
            settings.depth = usize::try_from(depth).unwrap_or(usize::MAX);
            Ok(())
        })
    }
}

/// `setverify(context, flag, ...)`.
unsafe extern "C-unwind" fn setverify(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings are its arguments.
    unsafe {
        held(l, 1);
        let mut verify = Verify::NONE;
        for arg in 2..=lua::lua_gettop(l) {
            match stack::check_bytes(l, arg).get() {
                b"none" => {}
                b"peer" => verify.peer = true,
                b"client_once" => verify.other = true,
                b"fail_if_no_peer_cert" => verify.mandatory = true,
                _ => return refuse(l, c"invalid verify option (%s)", arg),
            }
        }
        change(l, |settings| {
            settings.verify = verify;
            Ok(())
        })
    }
}

/// `setusual(context)`: what a client does that was told nothing: the system's
/// authorities if no others are named, and names must match.
unsafe extern "C-unwind" fn setusual(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        change(l, |settings| {
            settings.verify.usual = true;
            Ok(())
        })
    }
}

/// `setnames(context, whether)`: whether the peer's name must be in its certificate,
/// whatever else is said.
unsafe extern "C-unwind" fn setnames(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let names = lua::lua_toboolean(l, 2) != 0;
        change(l, |settings| {
            settings.names = Some(names);
            Ok(())
        })
    }
}

/// `setverifyext(context, flag, ...)`.
unsafe extern "C-unwind" fn setverifyext(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings are its arguments.
    unsafe {
        held(l, 1);
        let (mut continued, mut ignore_purpose) = (false, false);
        let (mut crl, mut chain) = (false, false);
        for arg in 2..=lua::lua_gettop(l) {
            match stack::check_bytes(l, arg).get() {
                b"lsec_continue" => continued = true,
                b"lsec_ignore_purpose" => ignore_purpose = true,
                b"crl_check" => crl = true,
                b"crl_check_chain" => chain = true,
                _ => return refuse(l, c"invalid verify option (%s)", arg),
            }
        }
        change(l, |settings| {
            settings.continued = continued;
            settings.ignore_purpose = ignore_purpose;
            settings.revocation = match (crl, chain) {
                (true, true) => Revocation::Chain,
                (true, false) => Revocation::Leaf,
                _ => Revocation::Off,
            };
            Ok(())
        })
    }
}

/// Pushes false and the words, with argument `arg` in them.
unsafe fn refuse(l: *mut lua_State, words: &CStr, arg: c_int) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        lua::lua_pushboolean(l, 0);
        lua::lua_pushfstring(l, words.as_ptr(), lua::lua_tostring(l, arg));
    }
    2
}

/// `setoption(context, name)`: an option with an effect here; others have none.
unsafe extern "C-unwind" fn setoption(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let name = stack::check_bytes(l, 2);
        change(l, |settings| {
            match name.get() {
                b"no_tlsv1_2" => settings.tls12 = false,
                b"no_tlsv1_3" => settings.tls13 = false,
                b"no_ssl_mask" => (settings.tls12, settings.tls13) = (false, false),
                b"cipher_server_preference" => settings.server_preference = true,
                b"no_ticket" => settings.no_ticket = true,
                b"ignore_unexpected_eof" => settings.ignore_eof = true,
                b"keylog" => settings.key_log = true,
                _ => {}
            }
            match settings.tls12 || settings.tls13 {
                true => Ok(()),
                false => Err("no protocols available".into()),
            }
        })
    }
}

/// `setalpn(context, wire)`: names, each behind a byte with its length.
unsafe extern "C-unwind" fn setalpn(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string is its argument.
    unsafe {
        let wire = stack::check_bytes(l, 2);
        change(l, |settings| {
            settings.alpn = names(wire.get()).ok_or("error setting ALPN (invalid list)")?;
            Ok(())
        })
    }
}

/// The names in a list, each behind a byte with its length.
pub fn names(mut wire: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    while let Some((length, rest)) = wire.split_first() {
        let (name, behind) = rest.split_at_checked(usize::from(*length))?;
        if name.is_empty() {
            return None;
        }
        names.push(name.to_vec());
        wire = behind;
    }
    Some(names)
}

/// `mode(context)`: `"client"` or `"server"`.
unsafe extern "C-unwind" fn mode(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let held = held(l, 1);
        let server = (*held)
            .context
            .as_ref()
            .is_some_and(|context| context.settings().is(Role::Server));
        stack::push_bytes(l, if server { b"server" } else { b"client" });
    }
    1
}

/// `is(value)`: whether it is a context.
unsafe extern "C-unwind" fn is(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushboolean(l, object::to::<Contexts>(l, 1).is_some().into()) };
    1
}

unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object: *mut Object<Held> = check::<Contexts>(l, 1, Contexts::ANY);
        lua::lua_pushfstring(l, c"SSL context: %p".as_ptr(), object.cast::<c_void>());
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
        object::register::<Contexts>(l, &[(c"setverifyext", setverifyext)]);
        object::push_metatable_of(l, &TAG, 0);
        stack::set_functions(l, &[(c"__tostring", tostring)]);
        lua::lua_pop(l, 1);
    }
}

pub const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"checkkey", checkkey),
    (c"create", create),
    (c"is", is),
    (c"loadcert", loadcert),
    (c"loadkey", loadkey),
    (c"locations", locations),
    (c"mode", mode),
    (c"setalpn", setalpn),
    (c"setcipher", setcipher),
    (c"setciphersuites", setciphersuites),
    (c"setcurve", setcurve),
    (c"setcurveslist", setcurveslist),
    (c"setdepth", setdepth),
    (c"setmode", setmode),
    (c"setnames", setnames),
    (c"setoption", setoption),
    (c"setusual", setusual),
    (c"setverify", setverify),
    (c"setverifyext", setverifyext),
];
