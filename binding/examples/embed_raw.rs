//! A program that has a Lua of its own, through the C API, and gives it sockets.
//!
//! ```sh
//! cargo run -p luasocket --features lua54,vendored --example embed_raw
//! ```

use std::ffi::{CStr, c_int};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use mlua_sys as lua;

/// Runs in Lua; `...` is the port of a server. The table of `require "socket"` is in
/// the global `socket`.
const SCRIPT: &CStr = c"
    local client = assert(socket.connect('127.0.0.1', (...)))
    client:settimeout(5)
    assert(client:send('hello from Lua\\n'))
    local answer = assert(client:receive('*l'))
    client:close()
    return answer
";

fn main() {
    println!("Lua was told: {}", exchange());
}

/// Lets Lua talk to a server of Rust's; returns what Lua heard.
fn exchange() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let server = thread::spawn(move || answer(&listener));
    // SAFETY: a state of our own, of the Lua that both crates were built for; all that
    // may raise is called in protected mode.
    let heard = unsafe {
        let l = lua::luaL_newstate();
        assert!(!l.is_null(), "out of memory");
        lua::lua_pushcfunction(l, open_libraries);
        let mut status = lua::lua_pcall(l, 0, 0, 0);
        if status == lua::LUA_OK {
            status = run(l, port);
        }
        let text = lua::lua_tostring(l, -1);
        assert!(!text.is_null(), "Lua returned something else than a text");
        let text = CStr::from_ptr(text).to_string_lossy().into_owned();
        assert!(status == lua::LUA_OK, "{text}");
        lua::lua_close(l);
        text
    };
    server.join().expect("the server had no trouble");
    heard
}

/// Lua's own libraries, then ours as the global `socket`.
unsafe extern "C-unwind" fn open_libraries(l: *mut lua::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::luaL_openlibs(l);
        luasocket::open(l);
        lua::lua_setglobal(l, c"socket".as_ptr());
    }
    0
}

/// Leaves the script's result, or the message, on the stack.
unsafe fn run(l: *mut lua::lua_State, port: u16) -> c_int {
    // SAFETY: `l` is the state of our caller; two slots are used.
    unsafe {
        let length = SCRIPT.count_bytes();
        let status = lua::luaL_loadbuffer(l, SCRIPT.as_ptr(), length, c"=script".as_ptr());
        if status != lua::LUA_OK {
            return status;
        }
        lua::lua_pushinteger(l, port.into());
        lua::lua_pcall(l, 1, 1, 0)
    }
}

/// Serves one connection: a line in, a line out.
fn answer(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    reader.read_line(&mut line).expect("a line");
    write!(stream, "you said: {line}").expect("it listens");
}

#[cfg(test)]
mod tests {
    #[test]
    fn lua_and_rust_exchange_lines() {
        assert_eq!(super::exchange(), "you said: hello from Lua");
    }
}
