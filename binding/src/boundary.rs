//! The boundary between Lua and Rust: what every entry function shares.
//!
//! Contract of every entry (`unsafe extern "C-unwind" fn(*mut lua_State) -> c_int`):
//! Lua calls it with its running state and at least `LUA_MINSTACK` free slots.
//! An entry reads its arguments (may raise), works (never calls Lua, see
//! [`guard`]), pushes its results (may raise), and raises or yields last.
//! No value with a destructor is alive where Lua may raise.
