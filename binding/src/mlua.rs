//! For programs that embed Lua through the crate `mlua`.

use ::mlua::{Lua, Result};

/// Makes every module of [`MODULES`](crate::MODULES) loadable with `require` in `lua`.
///
/// # Errors
///
/// When memory is short, or `lua` was made without its `package` library.
pub fn preload(lua: &Lua) -> Result<()> {
    // SAFETY: mlua calls us in protected mode, with a state of its own and of the
    // version that our features chose for both; nothing here has a destructor.
    unsafe { lua.exec_raw((), |l| crate::preload(l)) }
}
