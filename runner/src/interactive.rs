//! The conversation: reads a statement or an expression, runs it, prints its values.

use std::ffi::{CStr, c_int};
use std::io::{IsTerminal, Write};

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::chunk;
use crate::terminal::{Answer, Input};

/// Every text is tried as an expression first.
const RETURN: &[u8] = b"return ";

/// Runs the conversation to the end of input.
pub unsafe fn run(l: *mut lua_State, input: &mut Input) {
    let edited = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && input.open();
    // SAFETY: in protected mode, with the libraries open.
    unsafe {
        lua::lua_settop(l, 0);
        push_stdin(l); // at STDIN, for as long as we run
        loop {
            lua::lua_settop(l, STDIN);
            let Some(status) = read(l, input, edited) else {
                break;
            };
            match status {
                Some(lua::LUA_OK) => execute(l),
                Some(status) => _ = chunk::report(l, None, status),
                None => {}
            }
        }
        lua::lua_settop(l, 0);
    }
    println!();
}

/// Calls the chunk on top of the stack and prints its values.
unsafe fn execute(l: *mut lua_State) {
    // SAFETY: the chunk stands at STDIN + 1.
    unsafe {
        let status = chunk::call(l, 0, lua::LUA_MULTRET);
        if !chunk::report(l, None, status) {
            return;
        }
        let count = lua::lua_gettop(l) - STDIN;
        if count == 0 {
            return;
        }
        lua::luaL_checkstack(l, 5, c"too many results to print".as_ptr());
        lua::lua_getglobal(l, c"print".as_ptr());
        lua::lua_insert(l, STDIN + 1);
        if lua::lua_pcall(l, count, 0, 0) != lua::LUA_OK {
            let message = lua::lua_tostring(l, -1);
            let message = if message.is_null() {
                c"?".as_ptr()
            } else {
                message
            };
            lua::lua_pushfstring(l, c"error calling 'print' (%s)".as_ptr(), message);
            chunk::report(l, None, lua::LUA_ERRRUN);
        }
    }
}

/// Reads lines until they make a chunk or a mistake, which is then on the stack.
/// `None` at the end of input; `Some(None)` when the person gave up.
unsafe fn read(l: *mut lua_State, input: &mut Input, edited: bool) -> Option<Option<c_int>> {
    input.text.clear();
    input.text.extend_from_slice(RETURN);
    // SAFETY: as `run`; every turn of the loop leaves the stack as it found it.
    unsafe {
        match read_line(l, input, edited, true) {
            Answer::Line => {}
            Answer::Never => return Some(None),
            Answer::End => return None,
        }
        if input.text.get(RETURN.len()) == Some(&b'=') {
            input.text[RETURN.len()] = b' '; // as it was written before 5.3
        }
        if load(l, &input.text) == lua::LUA_OK {
            input.remember(RETURN.len());
            return Some(Some(lua::LUA_OK));
        }
        lua::lua_pop(l, 1);
        loop {
            let status = load(l, &input.text[RETURN.len()..]);
            if !is_incomplete(l, status) {
                input.remember(RETURN.len());
                return Some(Some(status));
            }
            input.text.push(b'\n');
            match read_line(l, input, edited, false) {
                Answer::Line => lua::lua_pop(l, 1), // the complaint
                Answer::Never => return Some(None),
                Answer::End => return Some(Some(status)),
            }
        }
    }
}

unsafe fn load(l: *mut lua_State, text: &[u8]) -> c_int {
    // SAFETY: the text outlives the call.
    unsafe { lua::luaL_loadbuffer(l, text.as_ptr().cast(), text.len(), c"=stdin".as_ptr()) }
}

/// Whether the parser was content but for the end of the text.
unsafe fn is_incomplete(l: *mut lua_State, status: c_int) -> bool {
    if status != lua::LUA_ERRSYNTAX {
        return false;
    }
    // SAFETY: the message is on the stack and stays there.
    unsafe {
        let mut length = 0;
        let text = lua::lua_tolstring(l, -1, &mut length);
        let text = std::slice::from_raw_parts(text.cast::<u8>(), length);
        text.ends_with(b"<eof>") || text.ends_with(b"'<eof>'")
    }
}

/// Adds a line to the text, from the editor or from Lua's own standard input.
unsafe fn read_line(l: *mut lua_State, input: &mut Input, edited: bool, first: bool) -> Answer {
    // SAFETY: the prompt's text stays on the stack while it is used.
    unsafe {
        let prompt = push_prompt(l, first);
        chunk::flush();
        let answer = match edited {
            true => input.read_line(prompt.to_bytes()),
            false => read_plain(l, input, prompt),
        };
        lua::lua_pop(l, 1);
        answer
    }
}

/// Pushes the global `_PROMPT` or `_PROMPT2` as a string, or else what is usual.
unsafe fn push_prompt<'a>(l: *mut lua_State, first: bool) -> &'a CStr {
    let (name, usual) = if first {
        (c"_PROMPT", c"> ")
    } else {
        (c"_PROMPT2", c">> ")
    };
    // SAFETY: two slots; one is left.
    unsafe {
        lua::lua_getglobal(l, name.as_ptr());
        if lua::lua_type(l, -1) == lua::LUA_TNIL {
            lua::lua_pushstring(l, usual.as_ptr());
        } else {
            lua::luaL_tolstring(l, -1, std::ptr::null_mut());
        }
        lua::lua_remove(l, -2);
        CStr::from_ptr(lua::lua_tostring(l, -1))
    }
}

/// The slot of `io.stdin`.
const STDIN: c_int = 1;

/// Lines that are not edited are read as `io.read` reads them, so that both find
/// what the other leaves.
unsafe fn push_stdin(l: *mut lua_State) {
    // SAFETY: two slots; one is left.
    unsafe {
        lua::lua_getglobal(l, c"io".as_ptr());
        lua::lua_getfield(l, -1, c"stdin".as_ptr());
        lua::lua_remove(l, -2);
    }
}

unsafe fn read_plain(l: *mut lua_State, input: &mut Input, prompt: &CStr) -> Answer {
    let mut out = std::io::stdout();
    let _ = out.write_all(prompt.to_bytes());
    let _ = out.flush();
    // SAFETY: `io.stdin` is at STDIN; three slots, none is left.
    unsafe {
        lua::lua_getfield(l, STDIN, c"read".as_ptr());
        lua::lua_pushvalue(l, STDIN);
        lua::lua_pushstring(l, c"*l".as_ptr());
        lua::lua_call(l, 2, 1);
        let mut length = 0;
        let line = lua::lua_tolstring(l, -1, &mut length);
        if !line.is_null() {
            let line = std::slice::from_raw_parts(line.cast::<u8>(), length);
            input.text.extend_from_slice(line);
        }
        lua::lua_pop(l, 1);
        if line.is_null() {
            Answer::End
        } else {
            Answer::Line
        }
    }
}
