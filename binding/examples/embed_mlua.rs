//! A program that has a Lua of its own, through the crate mlua, and gives it sockets.
//!
//! ```sh
//! cargo run -p luasocket --features lua54,vendored,mlua --example embed_mlua
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use mlua::{Function, Lua, Result, Table};

/// Runs in Lua: a server that answers one client.
const SCRIPT: &str = r#"
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    server:settimeout(5)
    local M = { port = tonumber((select(2, server:getsockname()))) }

    function M.serve()
      local client = assert(server:accept())
      local text = assert(client:receive "*a")
      assert(client:send(text:upper()))
      client:close()
      server:close()
      return #text
    end

    return M
"#;

fn main() -> Result<()> {
    let (served, heard) = exchange()?;
    println!("Lua served {served} bytes, Rust heard: {heard}");
    Ok(())
}

/// Lets Rust talk to a server of Lua's; returns how much Lua got and what Rust heard.
fn exchange() -> Result<(usize, String)> {
    let lua = Lua::new();
    luasocket::mlua::preload(&lua)?;
    let server: Table = lua.load(SCRIPT).set_name("=script").eval()?;
    let port: u16 = server.get("port")?;
    let client = thread::spawn(move || ask(port, "hello from rust"));
    let served = server.get::<Function>("serve")?.call(())?;
    Ok((served, client.join().expect("the client had no trouble")))
}

/// Sends all of `text`, then reads the answer to its end.
fn ask(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.write_all(text.as_bytes()).expect("it reads");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("it is connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[cfg(test)]
mod tests {
    #[test]
    fn rust_and_lua_exchange_bytes() {
        assert_eq!(super::exchange().unwrap(), (15, "HELLO FROM RUST".into()));
    }

    #[test]
    fn a_lua_without_its_package_library_is_an_error() {
        let lua = mlua::Lua::new_with(mlua::StdLib::NONE, mlua::LuaOptions::new()).unwrap();
        let problem = luasocket::mlua::preload(&lua).unwrap_err().to_string();
        assert!(problem.contains("package library"), "{problem}");
    }
}
