//! Having a thread come from memory before it is resumed: what a resume needs lies in the thread, on
//! its stack and in its innermost frames.
//!
//! Where the thread says where those are is a guess, the same for all releases of a version of Lua.
//! A wrong one is harmless: nothing is read but the first words of the thread.

use luasocket_engine::sys::cache::prefetch;
use mlua_sys::lua_State;

/// At which words of a thread the top of its stack and its innermost frame are told.
const TOP_AND_FRAME: [usize; 2] = if cfg!(feature = "lua51") {
    [2, 5]
} else if cfg!(feature = "luajit") {
    [5, 4]
} else {
    [2, 4]
};

/// What is used of a thread, in bytes.
const THREAD: usize = 192;
/// What is used below the top of a stack.
const BELOW: usize = 64;
/// The size of a frame, and of the memory it is allocated in.
const FRAME: usize = 80;

/// Has a thread come from memory.
#[inline]
pub fn prefetch_thread(thread: *mut lua_State) {
    prefetch(thread.cast::<[u8; THREAD]>());
}

/// Has what a thread points at come from memory, when the thread has: the end of its stack, and
/// the innermost frame with that before it.
///
/// # Safety
///
/// `thread` is alive.
#[inline]
pub unsafe fn prefetch_frames(thread: *mut lua_State) {
    let words = thread.cast::<*const u8>();
    // SAFETY: every thread is larger.
    let [top, frame] = TOP_AND_FRAME.map(|word| unsafe { *words.add(word) });
    prefetch(top.wrapping_sub(BELOW).cast::<[u8; BELOW + 16]>());
    prefetch(frame.wrapping_sub(FRAME).cast::<[u8; 2 * FRAME - 16]>());
}
