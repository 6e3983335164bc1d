//! Several Lua states in one process, in one thread and in several.

use std::ffi::{CStr, c_int, c_void};
use std::sync::mpsc::channel;
use std::thread;

use mlua_sys as lua;
use mlua_sys::lua_State;

/// A state with all libraries, and with what [`PROLOGUE`] defines.
struct State(*mut lua_State);

// SAFETY: it is used by one thread at a time.
unsafe impl Send for State {}

const PROLOGUE: &str = r#"
    socket, task = require "socket", require "socket.task"

    -- A server that answers each line with itself, in tasks; its port.
    function serve()
      local server = assert(socket.bind("127.0.0.1", 0, 64))
      task.spawn(task.serve, server, function(client)
        for line in function() return client:receive() end do client:send(line .. "\n") end
      end)
      return (select(2, server:getsockname()))
    end

    -- Tasks that talk to such a server until they are told "over" or fail; counts what they hear.
    heard, problems, over = 0, 0, false
    function talk(port, count)
      for i = 1, count do
        task.spawn(function()
          local client = assert(socket.connect("127.0.0.1", port))
          while not over do
            local ok = client:send(i .. "\n") and client:receive()
            if not ok then
              problems = problems + 1
              break
            end
            assert(ok == tostring(i), ok)
            heard = heard + 1
          end
          client:close()
        end)
      end
    end

    -- Tasks that wait in all the ways there are.
    function wait_everywhere()
      local name = socket.dns.gethostname()
      local udp = socket.udp4()
      udp:setsockname("127.0.0.1", 0)
      local event = task.event()
      task.spawn(task.sleep, 1000)
      task.spawn(function() return udp:receive() end)
      task.spawn(function() return socket.select({ udp }, nil, 1000) end)
      task.spawn(function() return event:wait(1000) end)
      task.spawn(function() while true do socket.dns.getaddrinfo(name) end end)
      task.spawn(function() table.sort({ 1, 2, 3 }, function() task.sleep(1000) end) end)
      task.spawn(function() coroutine.wrap(function() udp:receive() end)() end)
      task.spawn(function() task.timeout(1000, function() pcall(udp.receive, udp) end) end)
    end

    -- Long lists, for which a set is kept in the kernel.
    function long_select()
      local list = {}
      for i = 1, 100 do
        list[i] = socket.udp4()
        list[i]:setsockname("127.0.0.1", 0)
      end
      for i = 1, 100, 7 do
        local host, port = list[i]:getsockname()
        list[1]:sendto("x", host, port)
        local ready = socket.select(list, nil, 5)
        assert(#ready == 1 and ready[1] == list[i])
        ready[1]:receive()
      end
      for i = 1, 100 do list[i]:close() end
    end
"#;

impl State {
    fn new() -> State {
        // SAFETY: a fresh state; what may raise is called in protected mode.
        unsafe {
            let l = lua::luaL_newstate();
            assert!(!l.is_null(), "out of memory");
            lua::lua_pushcfunction(l, open);
            assert_eq!(lua::lua_pcall(l, 0, 0, 0), lua::LUA_OK);
            let state = State(l);
            state.run(PROLOGUE);
            state
        }
    }

    /// Runs a chunk; its result, as a number.
    fn run(&self, text: &str) -> i64 {
        // SAFETY: the state lives, and nobody else uses it.
        unsafe { run(self.0, text) }
    }

    /// Turns the loop until `condition` holds.
    fn turn_until(&self, others: &[&State], condition: &str) {
        let condition = format!("return ({condition}) and 1 or 0");
        for _ in 0..100_000 {
            if self.run(&condition) == 1 {
                return;
            }
            for state in others {
                state.run("task.step(0)");
            }
            self.run("task.step(0.0001)");
        }
        panic!("it never comes to {condition}");
    }

    /// Makes `run_other(text)` run a chunk in another state, which must live as long.
    fn befriend(&self, other: &State) {
        // SAFETY: the state lives; two slots.
        unsafe {
            lua::lua_pushlightuserdata(self.0, other.0.cast());
            lua::lua_pushcclosure(self.0, run_other, 1);
            lua::lua_setglobal(self.0, c"run_other".as_ptr());
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: no code runs in it.
        unsafe { lua::lua_close(self.0) };
    }
}

unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::luaL_openlibs(l);
        luasocket::preload(l);
    }
    0
}

unsafe extern "C-unwind" fn run_other(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the first upvalue is a state that lives. What panics here is a
    // test that fails.
    unsafe {
        let other = lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<c_void>();
        let text = CStr::from_ptr(lua::lua_tostring(l, 1)).to_str().unwrap();
        let result = run(other.cast(), text);
        lua::lua_pushinteger(l, result as _);
    }
    1
}

unsafe fn run(l: *mut lua_State, text: &str) -> i64 {
    // SAFETY: as the caller says; two slots.
    unsafe {
        let (start, length) = (text.as_ptr().cast(), text.len());
        let mut status = lua::luaL_loadbuffer(l, start, length, c"=script".as_ptr());
        if status == lua::LUA_OK {
            status = lua::lua_pcall(l, 0, 1, 0);
        }
        if status != lua::LUA_OK {
            let message = CStr::from_ptr(lua::lua_tostring(l, -1));
            panic!("{}", message.to_string_lossy());
        }
        let result = lua::lua_tonumber(l, -1) as i64;
        lua::lua_settop(l, 0);
        result
    }
}

#[test]
fn two_states_in_one_thread_take_turns() {
    let (one, other) = (State::new(), State::new());
    let ports = [one.run("return serve()"), other.run("return serve()")];
    // Each talks to itself and to the other.
    for port in ports {
        one.run(&format!("talk({port}, 5)"));
        other.run(&format!("talk({port}, 5)"));
    }
    one.turn_until(&[&other], "heard > 500");
    other.turn_until(&[&one], "heard > 500");
    one.run("long_select()");
    other.run("long_select()");
    one.run("long_select()");
    assert_eq!(one.run("return problems") + other.run("return problems"), 0);
}

#[test]
fn a_state_is_closed_while_another_in_the_same_thread_goes_on() {
    let other = State::new();
    let port = other.run("return serve()");
    for round in 1..=5 {
        let one = State::new();
        let dying = one.run("return serve()");
        one.run(&format!("talk({port}, 5) wait_everywhere()"));
        other.run(&format!("talk({dying}, 5) wait_everywhere()"));
        one.turn_until(&[&other], "heard > 50");
        other.turn_until(&[&one], "heard > 50");
        drop(one);
        // Those that talked to it are told, and the numbers of its descriptors are taken anew.
        other.turn_until(&[], &format!("problems == {}", 5 * round));
        other.run(&format!("heard = 0 talk({port}, 5)"));
        other.turn_until(&[], "heard > 50");
        other.run("over = true");
        other.turn_until(&[], "heard > 50");
        other.run("for _ = 1, 50 do task.step(0) end over, heard = false, 0 long_select()");
    }
}

#[test]
fn a_task_calls_into_another_state() {
    let (one, other) = (State::new(), State::new());
    one.befriend(&other);
    one.run(
        r#"
        task.run(function()
          local ticks = 0
          local ticking = task.spawn(function() while true do task.sleep(0.0001) ticks = ticks + 1 end end)
          for i = 1, 20 do
            -- It has a loop of its own, which runs inside of ours.
            local result = run_other [[
              local sum = 0
              task.run(function()
                for i = 1, 10 do task.spawn(function() task.sleep(0.0001) sum = sum + i end) end
              end)
              return sum ]]
            assert(result == 55)
            -- Outside of its tasks it blocks.
            run_other "socket.sleep(0.001) long_select()"
            local before = ticks
            task.sleep(0.001)
            assert(ticks > before)
            -- Where our call cannot yield, too.
            table.sort({ 1, 2 }, function(a, b)
              run_other "task.run(function() table.sort({ 1, 2 }, function(a, b) task.sleep(0.0001) return a < b end) end)"
              task.sleep(0.0001)
              return a < b
            end)
          end
          ticking:cancel()
        end)
        "#,
    );
}

#[test]
fn states_in_several_threads() {
    let (sender, ports) = channel();
    let serving = thread::spawn(move || {
        let state = State::new();
        sender.send(state.run("return serve()")).unwrap();
        state.run("talk(serve(), 3) wait_everywhere()");
        state.turn_until(&[], "heard > 2000");
        // Closed in mid-flight.
    });
    let port = ports.recv().unwrap();
    let talking: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                let state = State::new();
                let own = state.run("return serve()");
                state.run(&format!("talk({own}, 3) wait_everywhere()"));
                state.run(&format!("talk({port}, 3)"));
                state.turn_until(&[], "problems == 3");
                state.run("heard = 0");
                state.turn_until(&[], "heard > 500");
                state.run("long_select()");
            })
        })
        .collect();
    serving.join().unwrap();
    for thread in talking {
        thread.join().unwrap();
    }
}

#[test]
fn a_state_moves_to_another_thread() {
    let mut state = State::new();
    let port = state.run("return serve()");
    state.run(&format!("talk({port}, 5) wait_everywhere()"));
    for round in 1..=5 {
        state.turn_until(&[], &format!("heard > {}", 200 * round));
        state = thread::spawn(move || {
            state.run("long_select()");
            state.turn_until(&[], &format!("heard > {}", 200 * round + 100));
            // What one thread closes, another one opens.
            state.run(&format!(
                "over = true for _ = 1, 50 do task.step(0) end over = false talk({port}, 5)"
            ));
            state
        })
        .join()
        .unwrap();
    }
}
