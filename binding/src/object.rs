//! Objects: userdata with a class that can change.
//!
//! An object begins with the address of the [`Tag`] of its kind. No other userdata
//! can: so a look at the size and the first word proves the kind, faster than
//! metatables can be compared, and also where a program exchanges metatables.

use std::ffi::{CStr, c_int, c_void};

use luasocket_engine::datagram::Datagram;
use luasocket_engine::stream::Stream;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::stack;

/// A kind of object: TCP, UDP, ….
pub trait Kind: 'static {
    /// What an object holds.
    type Body: Body;
    /// Identifies the kind.
    const TAG: &'static Tag;
    /// All classes.
    const ANY: Class;
}

/// What all kinds' bodies have.
pub trait Body {
    /// Closes and gives back all memory. The body stays valid.
    fn finalize(&mut self);
}

impl Body for Stream {
    fn finalize(&mut self) {
        self.discard();
    }
}

impl Body for Datagram {
    fn finalize(&mut self) {
        self.close();
    }
}

/// Identity and names of a kind.
pub struct Tag {
    /// Names of its classes by number; an empty one does not exist.
    classes: [&'static CStr; 3],
    /// Names of its groups, which stand in the metatables.
    groups: &'static [&'static CStr],
    /// Keys for the metatables in the registry: their addresses.
    keys: [u8; 3],
}

impl Tag {
    /// A tag, to be made a `static`.
    pub const fn new(classes: [&'static CStr; 3], groups: &'static [&'static CStr]) -> Tag {
        Tag {
            classes,
            groups,
            keys: [0; 3],
        }
    }

    fn key(&'static self, class: u8) -> *const c_void {
        (&raw const self.keys[usize::from(class)]).cast()
    }
}

/// One class of a kind, or a group of classes: which, and the words for a mistake.
#[derive(Clone, Copy)]
pub struct Class {
    mask: u8,
    expected: &'static CStr,
}

impl Class {
    /// The classes with these numbers as bits; `expected` is the text of the error,
    /// or the name of what is missing.
    pub const fn new(mask: u8, expected: &'static CStr) -> Class {
        Class { mask, expected }
    }
}

/// A userdata of kind `K`.
#[repr(C)]
pub struct Object<B> {
    tag: *const Tag,
    class: u8,
    /// What it holds.
    pub body: B,
}

/// The beginning of every object.
#[repr(C)]
struct Header {
    tag: *const Tag,
    class: u8,
}

/// The object at `arg`, which must be of `class`; raises otherwise.
///
/// # Safety
///
/// `l` is an entry's state.
#[inline]
pub unsafe fn check<K: Kind>(l: *mut lua_State, arg: c_int, class: Class) -> *mut Object<K::Body> {
    // SAFETY: `is_a` looks before it reads.
    unsafe {
        match to::<K>(l, arg) {
            Some(object) if class.mask & (1 << (*object).class) != 0 => object,
            _ => mismatch(l, arg, class.expected),
        }
    }
}

/// Raises the error. LuaSocket's words are a whole sentence; LuaSec's a name, which the
/// auxiliary library makes one of.
#[cold]
unsafe fn mismatch(l: *mut lua_State, arg: c_int, expected: &CStr) -> ! {
    // SAFETY: called by an entry.
    unsafe {
        match expected.to_bytes().ends_with(b" expected") {
            true => stack::arg_error(l, arg, expected),
            false => stack::type_error(l, arg, expected),
        }
    }
}

/// The object of kind `K` at `index`, if it is one.
///
/// # Safety
///
/// `l` is an entry's state.
#[inline]
pub unsafe fn to<K: Kind>(l: *mut lua_State, index: c_int) -> Option<*mut Object<K::Body>> {
    // SAFETY: only what is a userdata as large as a header is read as one.
    unsafe {
        let header = lua::lua_touserdata(l, index).cast::<Header>();
        let large = !header.is_null() && lua::lua_rawlen(l, index) >= size_of::<Header>();
        (large && std::ptr::eq((*header).tag, K::TAG)).then_some(header.cast())
    }
}

/// A userdata that may be an object: what stands where an object has its tag and class.
pub struct Peek {
    /// To be compared, not read.
    pub tag: *const Tag,
    /// A class number, if the tag is one.
    pub class: u8,
    /// The userdata.
    pub userdata: *mut c_void,
}

/// A look at the userdata at `index`. `None` if it is too small for an object.
///
/// # Safety
///
/// `l` is an entry's state.
#[inline]
pub unsafe fn peek(l: *mut lua_State, index: c_int) -> Option<Peek> {
    // SAFETY: as in `to`.
    unsafe {
        let header = lua::lua_touserdata(l, index).cast::<Header>();
        let large = !header.is_null() && lua::lua_rawlen(l, index) >= size_of::<Header>();
        large.then(|| Peek {
            tag: (*header).tag,
            class: (*header).class,
            userdata: header.cast(),
        })
    }
}

/// Pushes a new object of kind `K` and class number `class`, closed.
///
/// # Safety
///
/// `l` is an entry's state; the kind is registered.
pub unsafe fn create<K: Kind>(l: *mut lua_State, class: u8, body: K::Body) -> *mut Object<K::Body> {
    // SAFETY: the object is valid before a metatable can see it. A body that is
    // lost because memory is lacking holds nothing yet.
    unsafe {
        let object = stack::new_userdata::<Object<K::Body>>(l);
        object.write(Object {
            tag: K::TAG,
            class,
            body,
        });
        lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, K::TAG.key(class));
        lua::lua_setmetatable(l, -2);
        object
    }
}

/// Makes the object at `index` one of class number `class`.
///
/// # Safety
///
/// `l` is an entry's state, `object` lies at `index`, and has kind `K`.
pub unsafe fn set_class<K: Kind>(
    l: *mut lua_State,
    index: c_int,
    object: *mut Object<K::Body>,
    class: u8,
) {
    // SAFETY: as the contract says.
    unsafe {
        if (*object).class == class {
            return;
        }
        lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, K::TAG.key(class));
        lua::lua_setmetatable(l, if index < 0 { index - 1 } else { index });
        (*object).class = class;
    }
}

/// Makes the metatables of a kind, with `methods`.
///
/// # Safety
///
/// `l` is an entry's state. Uses 4 slots.
pub unsafe fn register<K: Kind>(l: *mut lua_State, methods: &[(&CStr, lua_CFunction)]) {
    // SAFETY: as the contract says.
    unsafe {
        for (number, name) in (0u8..).zip(K::TAG.classes) {
            if name.is_empty() {
                continue;
            }
            if lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, K::TAG.key(number)) != lua::LUA_TNIL {
                lua::lua_pop(l, 1);
                continue;
            }
            lua::lua_pop(l, 1);
            push_metatable::<K>(l, name, methods);
            lua::lua_rawsetp(l, lua::LUA_REGISTRYINDEX, K::TAG.key(number));
        }
    }
}

unsafe fn push_metatable<K: Kind>(
    l: *mut lua_State,
    name: &CStr,
    methods: &[(&CStr, lua_CFunction)],
) {
    // SAFETY: `l` is an entry's state.
    unsafe {
        lua::lua_createtable(l, 0, 8);
        lua::lua_createtable(l, 0, methods.len() as c_int + 1);
        stack::set_functions(l, methods);
        stack::set_bytes(l, c"class", name.to_bytes());
        lua::lua_setfield(l, -2, c"__index".as_ptr());
        stack::set_bytes(l, c"__name", name.to_bytes());
        stack::set_functions(
            l,
            &[
                (c"__gc", gc::<K>),
                (c"__close", gc::<K>),
                (c"__tostring", tostring::<K>),
            ],
        );
        for group in K::TAG.groups {
            lua::lua_pushboolean(l, 1);
            lua::lua_setfield(l, -2, group.as_ptr());
        }
    }
}

/// `__gc` and `__close`: closes. May run twice, and on an object that lives on.
unsafe extern "C-unwind" fn gc<K: Kind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if let Some(object) = to::<K>(l, 1) {
            guard(l, || (*object).body.finalize());
        }
    }
    0
}

unsafe extern "C-unwind" fn tostring<K: Kind>(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some(object) = to::<K>(l, 1) else {
            return lua::luaL_error(l, c"invalid object passed to '__tostring'".as_ptr());
        };
        let name = K::TAG.classes[usize::from((*object).class)];
        lua::lua_pushfstring(
            l,
            c"%s: %p".as_ptr(),
            name.as_ptr(),
            object.cast::<c_void>(),
        );
    }
    1
}

/// Pushes the metatable of class number `class`.
///
/// # Safety
///
/// `l` is an entry's state, in which the kind is registered. Uses 1 slot.
pub unsafe fn push_metatable_of(l: *mut lua_State, tag: &'static Tag, class: u8) {
    // SAFETY: as the contract says.
    unsafe { lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, tag.key(class)) };
}
