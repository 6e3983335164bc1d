//! One run of the interpreter, from an empty state to the exit status.

use std::ffi::{CStr, c_int};
use std::io::IsTerminal;

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::options::{Action, Options};
use crate::terminal::Input;
use crate::{alloc, chunk, interactive, interrupt, version};

/// Which of how many workers a session is, and how it is told to end.
#[derive(Clone, Copy)]
pub struct Worker {
    /// From 1.
    pub number: usize,
    /// How many there are.
    pub count: usize,
    /// Readable when it is time to end.
    pub drain: c_int,
}

/// Everything that owns memory lives here and outlives the protected call in which
/// the rest happens, for an error of Lua skips the destructors in between.
struct Session<'a> {
    program: &'a CStr,
    words: &'a [&'static CStr],
    options: Options,
    input: Input,
    worker: Option<Worker>,
}

/// Does what the command line says, as `worker` if it is one; returns the exit status.
pub fn run(
    program: &CStr,
    words: &[&'static CStr],
    options: Options,
    worker: Option<Worker>,
) -> c_int {
    let mut session = Session {
        program,
        words,
        options,
        input: Input::default(),
        worker,
    };
    interrupt::prepare();
    // SAFETY: a fresh state, used by this thread only; `session` outlives the call.
    unsafe {
        let l = lua::luaL_newstate();
        if l.is_null() {
            chunk::complain(Some(program), b"cannot create state: not enough memory");
            return 1;
        }
        lua::lua_pushcfunction(l, protected);
        lua::lua_pushlightuserdata(l, (&raw mut session).cast());
        let status = lua::lua_pcall(l, 1, 1, 0);
        let done = lua::lua_toboolean(l, -1) != 0;
        let fine = chunk::report(l, Some(program), status) && done;
        lua::lua_close(l);
        !fine as c_int
    }
}

/// Called by Lua with a pointer to the session; tells whether all went well.
unsafe extern "C-unwind" fn protected(l: *mut lua_State) -> c_int {
    // SAFETY: `run` calls us, with a session that it does not touch meanwhile.
    unsafe {
        let session = &mut *lua::lua_touserdata(l, 1).cast::<Session>();
        lua::lua_settop(l, 0);
        open_libraries(l, session.options.ignore_environment);
        if session.options.version {
            version::print(l);
        }
        set_arg(l, session.words, session.options.script, session.worker);
        lua::lua_pushboolean(l, perform(l, session) as c_int);
    }
    1
}

/// The steps in their order; the first that fails is the last.
unsafe fn perform(l: *mut lua_State, session: &mut Session) -> bool {
    let Session {
        program,
        words,
        options,
        input,
        worker,
    } = session;
    // SAFETY: a state with its libraries open.
    unsafe {
        if !options.ignore_environment && !run_init(l, program) {
            return false;
        }
        for &action in &options.actions {
            if !carry_out(l, program, action) {
                return false;
            }
        }
        match (options.script, *worker) {
            (Some(at), Some(worker)) => {
                let grace = options.grace.unwrap_or(GRACE);
                return run_task(l, program, words, at, worker, grace);
            }
            (Some(at), None) if !run_script(l, program, words, at) => return false,
            _ => {}
        }
        if options.interactive {
            interactive::run(l, input);
        } else if options.reads_input() && std::io::stdin().is_terminal() {
            version::print(l);
            interactive::run(l, input);
        } else if options.reads_input() {
            return chunk::run(l, program, lua::luaL_loadfile(l, std::ptr::null()));
        }
    }
    true
}

/// Opens Lua's libraries, and puts ours where `require` finds them.
unsafe fn open_libraries(l: *mut lua_State, ignore_environment: bool) {
    // SAFETY: a fresh state, in protected mode.
    unsafe {
        if ignore_environment {
            lua::lua_pushboolean(l, 1);
            lua::lua_setfield(l, lua::LUA_REGISTRYINDEX, c"LUA_NOENV".as_ptr());
        }
        lua::lua_gc(l, lua::LUA_GCSTOP, 0);
        lua::luaL_openlibs(l);
        lua::lua_gc(l, lua::LUA_GCRESTART, 0);
        // As the stock interpreters of these versions have it.
        #[cfg(any(feature = "lua54", feature = "lua55"))]
        lua::lua_gc(l, lua::LUA_GCGEN, 0, 0);
        // `-W` turns them on; 5.5 has them on in a new state.
        #[cfg(feature = "lua55")]
        lua::lua_warning(l, c"@off".as_ptr(), 0);
        luasocket::preload(l);
        alloc::preload(l);
    }
}

/// Sets the global `arg`: the script at 0, what follows it above, what stands before
/// it below. Without a script the program is at 0. A worker finds its number in `worker`, and
/// how many there are in `workers`.
unsafe fn set_arg(
    l: *mut lua_State,
    words: &[&'static CStr],
    script: Option<usize>,
    worker: Option<Worker>,
) {
    let script = script.unwrap_or(0);
    // SAFETY: in protected mode; two slots are used.
    unsafe {
        let above = words.len().saturating_sub(script + 1);
        lua::lua_createtable(l, above as c_int, script as c_int + 1);
        for (at, word) in words.iter().enumerate() {
            lua::lua_pushstring(l, word.as_ptr());
            lua::lua_rawseti(l, -2, at as lua::lua_Integer - script as lua::lua_Integer);
        }
        if let Some(worker) = worker {
            for (name, number) in [(c"worker", worker.number), (c"workers", worker.count)] {
                lua::lua_pushinteger(l, number as lua::lua_Integer);
                lua::lua_setfield(l, -2, name.as_ptr());
            }
        }
        lua::lua_setglobal(l, c"arg".as_ptr());
    }
}

/// The environment variables that hold a chunk, or `@` and a file, to be run first.
const INIT: &[&CStr] = if cfg!(feature = "lua52") {
    &[c"=LUA_INIT_5_2", c"=LUA_INIT"]
} else if cfg!(feature = "lua53") {
    &[c"=LUA_INIT_5_3", c"=LUA_INIT"]
} else if cfg!(feature = "lua54") {
    &[c"=LUA_INIT_5_4", c"=LUA_INIT"]
} else if cfg!(feature = "lua55") {
    &[c"=LUA_INIT_5_5", c"=LUA_INIT"]
} else {
    &[c"=LUA_INIT"]
};

unsafe fn run_init(l: *mut lua_State, program: &CStr) -> bool {
    // SAFETY: in protected mode. The environment's text is copied by Lua's loader
    // before any code runs that could change it.
    unsafe {
        for chunk_name in INIT {
            let text = libc::getenv(chunk_name.as_ptr().add(1));
            if text.is_null() {
                continue;
            }
            let text = CStr::from_ptr(text);
            if text.to_bytes().starts_with(b"@") {
                let file = text.as_ptr().add(1);
                return chunk::run(l, program, lua::luaL_loadfile(l, file));
            }
            return chunk::run_text(l, program, text, chunk_name);
        }
    }
    true
}

unsafe fn carry_out(l: *mut lua_State, program: &CStr, action: Action) -> bool {
    // SAFETY: in protected mode.
    unsafe {
        match action {
            Action::Execute(text) => chunk::run_text(l, program, text, c"=(command line)"),
            Action::Require(name) => run_lua(l, program, REQUIRE, name),
            Action::Warn => run_lua(l, program, c"warn('@on')", c""),
            Action::Jit(command) => run_lua(l, program, JIT, command),
            Action::Optimize(options) => run_lua(l, program, OPTIMIZE, options),
        }
    }
}

/// `-l`: the global's name may stand before the module's, with `=` between; if not, it
/// is the module's up to the first `-` (5.4 on). Lua 5.1 sets none of its own.
const REQUIRE: &CStr = if cfg!(any(feature = "lua54", feature = "lua55")) {
    c"local word = ...
      local name, module = word:match('^([^=]*)=(.*)$')
      if not name then name, module = word:match('^[^-]*'), word end
      _G[name] = require(module)"
} else if cfg!(any(feature = "lua51", feature = "luajit")) {
    c"require(...)"
} else {
    c"local name = ... _G[name] = require(name)"
};

/// `-j`: a function of the table `jit`, or a module `jit.NAME` with a `start`.
const JIT: &CStr = c"local name, rest = (...):match('^([^=]*)=?(.*)$')
     local list = {}
     for word in rest:gmatch('[^,]+') do list[#list + 1] = word end
     local f = jit[name]
     if type(f) ~= 'function' then f = require('jit.' .. name).start end
     f(unpack(list))";

/// `-O`: what `jit.opt.start` takes.
const OPTIMIZE: &CStr = c"local list = {}
     for word in (...):gmatch('[^,]+') do list[#list + 1] = word end
     if not list[1] then list[1] = '3' end
     require('jit.opt').start(unpack(list))";

/// Runs a chunk of our own with one argument.
unsafe fn run_lua(l: *mut lua_State, program: &CStr, text: &CStr, argument: &CStr) -> bool {
    // SAFETY: in protected mode; two slots and those of `call`.
    unsafe {
        let length = text.count_bytes();
        let mut status =
            lua::luaL_loadbuffer(l, text.as_ptr(), length, c"=(command line)".as_ptr());
        if status == lua::LUA_OK {
            lua::lua_pushstring(l, argument.as_ptr());
            status = chunk::call(l, 1, 0);
        }
        chunk::report(l, Some(program), status)
    }
}

/// Runs the script with the words after it.
unsafe fn run_script(
    l: *mut lua_State,
    program: &CStr,
    words: &[&'static CStr],
    at: usize,
) -> bool {
    // SAFETY: in protected mode.
    unsafe {
        let mut status = load_script(l, words, at);
        if status == lua::LUA_OK {
            let count = push_arguments(l, &words[at + 1..]);
            status = chunk::call(l, count, 0);
        }
        chunk::report(l, Some(program), status)
    }
}

/// Runs the script with the words after it as the first task of a loop.
unsafe fn run_task(
    l: *mut lua_State,
    program: &CStr,
    words: &[&'static CStr],
    at: usize,
    worker: Worker,
    grace: f64,
) -> bool {
    // SAFETY: in protected mode. The chunk returns whether all went well, and what did not.
    unsafe {
        let (text, name) = (DRAIN.as_ptr().cast(), c"=drain");
        let mut status = lua::luaL_loadbuffer(l, text, DRAIN.len(), name.as_ptr());
        if status == lua::LUA_OK {
            lua::lua_pushinteger(l, worker.drain.into());
            lua::lua_pushnumber(l, grace);
            status = load_script(l, words, at);
        }
        if status == lua::LUA_OK {
            let count = push_arguments(l, &words[at + 1..]);
            status = chunk::call(l, count + 3, 2);
        }
        if status == lua::LUA_OK && lua::lua_toboolean(l, -2) == 0 {
            status = lua::LUA_ERRRUN;
        }
        chunk::report(l, Some(program), status)
    }
}

/// What runs a script as a task.
const DRAIN: &str = include_str!("drain.lua");

/// How many seconds tasks have to end, unless the command line says it.
const GRACE: f64 = 5.0;

/// Loads the script; `-` is standard input, unless `--` said that it is a name.
unsafe fn load_script(l: *mut lua_State, words: &[&'static CStr], at: usize) -> c_int {
    let is_input = words[at] == c"-" && words[at - 1] != c"--";
    let file = if is_input {
        std::ptr::null()
    } else {
        words[at].as_ptr()
    };
    // SAFETY: in protected mode.
    unsafe { lua::luaL_loadfile(l, file) }
}

/// Pushes words as strings; how many.
unsafe fn push_arguments(l: *mut lua_State, words: &[&'static CStr]) -> c_int {
    let count = words.len() as c_int;
    // SAFETY: in protected mode; room for the arguments is asked for.
    unsafe {
        lua::luaL_checkstack(l, count + 3, c"too many arguments to script".as_ptr());
        for word in words {
            lua::lua_pushstring(l, word.as_ptr());
        }
    }
    count
}
