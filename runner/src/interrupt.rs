//! Ctrl-C: ends Lua code that runs, and a call that waits.
//!
//! While Lua runs ([`Guard`]), SIGINT sets a hook, which raises "interrupted!" at the
//! next instruction, and a flag, which the library looks at when the signal has
//! interrupted a wait. A second SIGINT before that happens ends the process, as
//! does any while no Lua runs. The stock `lua` does the same, but for the waits.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use mlua_sys::{LUA_MASKCOUNT, lua_Debug, lua_State, lua_sethook, luaL_error};

/// Set by the signal, for calls that wait.
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The state to be interrupted: the main one, as the handler cannot know better.
static STATE: AtomicPtr<lua_State> = AtomicPtr::new(null_mut());

/// To be called once, before any Lua runs.
pub fn prepare() {
    luasocket::interrupt::watch(&REQUESTED);
}

/// From its making to its `end`, SIGINT interrupts Lua code. Plain data: a frame that
/// Lua's errors leave by `longjmp` may hold one.
#[derive(Clone, Copy)]
pub struct Guard {
    state: *mut lua_State,
    before: libc::sigaction,
    /// Whether SIGINT does its default, and was taken over.
    ours: bool,
}

impl Guard {
    /// Takes SIGINT over, unless the parent process had it ignored.
    pub fn new(state: *mut lua_State) -> Guard {
        STATE.store(state, Ordering::Release);
        // SAFETY: `sigaction` fills what it is given; all zeroes is a value of it.
        let before = unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGINT, std::ptr::null(), &mut before);
            before
        };
        let ours = before.sa_sigaction == libc::SIG_DFL;
        if ours {
            set_handler(on_signal as *const () as usize);
        }
        Guard {
            state,
            before,
            ours,
        }
    }

    /// Gives SIGINT back, and forgets an interrupt that nothing noticed in time.
    pub fn end(self) {
        if self.ours {
            // SAFETY: what `sigaction` itself told us.
            unsafe { libc::sigaction(libc::SIGINT, &self.before, null_mut()) };
            if REQUESTED.swap(false, Ordering::Relaxed) {
                // SAFETY: the state is the caller's own, and running.
                unsafe { lua_sethook(self.state, None, 0, 0) };
            }
        }
    }
}

/// Runs in a signal handler: atomics, `sigaction` and `lua_sethook` may be used there.
extern "C" fn on_signal(_: c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
    // Another one ends the process, should this one not be noticed.
    set_handler(libc::SIG_DFL);
    let state = STATE.load(Ordering::Acquire);
    // At the next instruction, but not at the next call: that may be of the message
    // handler, when a wait has ended with the error already.
    // SAFETY: Lua allows this call at any time; the state lives while Lua runs.
    unsafe { lua_sethook(state, Some(on_hook), LUA_MASKCOUNT, 1) };
}

/// Called by Lua at the next instruction.
unsafe extern "C-unwind" fn on_hook(l: *mut lua_State, _: *mut lua_Debug) {
    REQUESTED.store(false, Ordering::Relaxed);
    // SAFETY: Lua calls us with its running state; a hook may raise.
    unsafe {
        lua_sethook(l, None, 0, 0);
        luaL_error(l, c"interrupted!".as_ptr());
    }
}

/// Without `SA_RESTART`, so that a system call that waits comes back.
fn set_handler(handler: libc::sighandler_t) {
    // SAFETY: a zeroed `sigaction` has no flags and an empty mask.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(libc::SIGINT, &action, null_mut());
    }
}
