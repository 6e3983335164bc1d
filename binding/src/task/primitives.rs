//! What `socket/task.lua` is written in: the functions it is given, and its loading.

use std::ffi::{CStr, c_int, c_void};
use std::time::Duration;

use luasocket_engine::deadline::{Limit, bound};
use luasocket_engine::timers::Waiter;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use super::job::{Job, Signal};
use super::ready::ready;
use super::run;
use super::scheduler::{Scheduler, Standing, handle_key};
use super::sleep::{sleep, yield_};
use super::time::check_seconds;
use super::turn;
use super::wait::{self, current};
use crate::boundary::guard;
use crate::clock::{epoch, now};
use crate::embed::lua_module;
use crate::object::{self, Body, Class, Kind, Object, Tag};
use crate::stack;

lua_module!(
    /// What tasks are to each other.
    open_lua, "socket/task.lua"
);

lua_module!(
    /// What they share.
    open_sharing, "socket/task/sharing.lua"
);

/// The scheduler of a Lua state, as an object, so that Lua collects it.
struct Place;

static PLACE: Tag = Tag::new([c"task{scheduler}", c"", c""], &[]);

impl Kind for Place {
    type Body = Option<Scheduler>;
    const TAG: &'static Tag = &PLACE;
    const ANY: Class = Class::new(1, c"task{scheduler} expected");
}

impl Body for Option<Scheduler> {
    fn finalize(&mut self) {
        *self = None;
    }
}

/// The scheduler that is upvalue 1 of the running function.
unsafe fn scheduler(l: *mut lua_State) -> *mut Scheduler {
    // SAFETY: called by an entry with that upvalue.
    unsafe {
        let place =
            lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<Object<Option<Scheduler>>>();
        match &mut (*place).body {
            Some(scheduler) => scheduler,
            None => {
                lua::luaL_error(l, c"the scheduler was closed".as_ptr());
                unreachable!("luaL_error does not return")
            }
        }
    }
}

// Every function below is an entry (see `boundary.rs`).

/// `start(handle, f, ...)`: number of a new task that will call `f(...)`.
unsafe extern "C-unwind" fn start(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let scheduler = scheduler(l);
        lua::luaL_checktype(l, 1, lua::LUA_TTABLE);
        let arguments = lua::lua_gettop(l) - 2;
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles().into());
        let thread = lua::lua_newthread(l);
        let key = handle_key((*scheduler).next_id());
        lua::lua_rawseti(l, -2, key + 1);
        lua::lua_pushvalue(l, 1);
        lua::lua_rawseti(l, -2, key);
        lua::lua_pop(l, 1);
        if lua::lua_checkstack(thread, arguments + 8) == 0 {
            return lua::luaL_error(l, c"too many arguments".as_ptr());
        }
        lua::lua_xmove(l, thread, arguments + 1);
        let id = guard(l, || (*scheduler).add(thread, arguments));
        lua::lua_pushinteger(l, id.into());
    }
    1
}

unsafe fn check_task(l: *mut lua_State, arg: c_int) -> Waiter {
    // SAFETY: called by an entry.
    unsafe { lua::luaL_checknumber(l, arg) as Waiter }
}

/// `current()`: the handle of the running task, or nothing.
unsafe extern "C-unwind" fn current_handle(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some(scheduler) = current(l) else {
            return 0;
        };
        let Some(id) = (*scheduler).current() else {
            return 0;
        };
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles().into());
        lua::lua_rawgeti(l, -1, handle_key(id));
    }
    1
}

/// `wait([seconds [, shielded]])`: waits to be woken: `true`, or `nil` and `"timeout"` or
/// `"interrupted"`. A shielded wait cannot be interrupted.
unsafe extern "C-unwind" fn wait(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let limit = match lua::lua_isnoneornil(l, 1) {
            0 => Limit::after(check_seconds(l, 1)),
            _ => Limit::None,
        };
        let signal = match lua::lua_toboolean(l, 2) {
            0 => Signal::Waiting,
            _ => Signal::Shielded,
        };
        let Some(scheduler) = current(l) else {
            return lua::luaL_error(l, c"not in a task".as_ptr());
        };
        let Some(exit) = wait::way_out(l, scheduler) else {
            return lua::luaL_error(l, c"cannot wait for another task here".as_ptr());
        };
        if signal == Signal::Waiting && wait::is_interrupted(scheduler) {
            wait::rest(l, scheduler, exit, Signal::Interrupted)
        } else if limit.is_now() {
            wait::rest(l, scheduler, exit, signal)
        } else {
            wait::park(l, scheduler, exit, Job::Signal(signal), limit, true)
        }
    }
}

/// `wake(task)`: whether the task waited to be woken.
unsafe extern "C-unwind" fn wake(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (scheduler, id) = (scheduler(l), check_task(l, 1));
        let woken = !turn::is_lost(&mut *scheduler, id) && guard(l, || (*scheduler).wake(id));
        lua::lua_pushboolean(l, woken.into());
    }
    1
}

/// `interrupt(task)`: ends all waits of a task, from the present one on, by raising what is
/// in field `raise` of its handle.
unsafe extern "C-unwind" fn interrupt(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (scheduler, id) = (scheduler(l), check_task(l, 1));
        guard(l, || (*scheduler).interrupt(id));
    }
    0
}

/// `standing(task, standing)`: whether `run` waits for its end; see the names below.
unsafe extern "C-unwind" fn standing(l: *mut lua_State) -> c_int {
    const STANDINGS: [(&CStr, Standing); 3] = [
        (c"awaited", Standing::Awaited),
        (c"background", Standing::Background),
        (c"aside", Standing::Aside),
    ];
    // SAFETY: called by Lua, with a name.
    unsafe {
        let id = check_task(l, 1);
        let name = CStr::from_ptr(lua::luaL_checkstring(l, 2));
        if let Some((_, standing)) = STANDINGS.iter().find(|(known, _)| *known == name) {
            (*scheduler(l)).set_standing(id, *standing);
        }
    }
    0
}

/// `calm(task)`: lets a task wait again.
unsafe extern "C-unwind" fn calm(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { (*scheduler(l)).calm(check_task(l, 1)) };
    0
}

/// `waits(task)`: whether it waits.
unsafe extern "C-unwind" fn waits(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let waits = (*scheduler(l)).waits(check_task(l, 1));
        lua::lua_pushboolean(l, waits.into());
    }
    1
}

/// `deadline([seconds])`: sets when all waits of the running task end, and returns the
/// former one; both in the time of `now`. Without argument there is none.
unsafe extern "C-unwind" fn deadline(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let scheduler = scheduler(l);
        let until = match lua::lua_isnoneornil(l, 1) {
            0 => {
                let after = Duration::try_from_secs_f64(check_seconds(l, 1));
                after.ok().and_then(|after| epoch().checked_add(after))
            }
            _ => None,
        };
        match (*scheduler).set_until(until) {
            Some(former) => {
                let former = former.saturating_duration_since(epoch()).as_secs_f64();
                lua::lua_pushnumber(l, former);
            }
            None => lua::lua_pushnil(l),
        }
    }
    1
}

/// `run()`: runs until no task is left that could ever go on; how many are left. Raises
/// `interrupted!`.
unsafe extern "C-unwind" fn run(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let scheduler = idle_scheduler(l);
        push_ran(l, scheduler, run::run_all(l, scheduler))
    }
}

/// `turn([seconds])`: runs what is ready, waiting for it at most that long; how many tasks
/// are left.
unsafe extern "C-unwind" fn turn(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let wait = match lua::lua_isnoneornil(l, 1) {
            0 => bound(check_seconds(l, 1)),
            _ => None,
        };
        let scheduler = idle_scheduler(l);
        push_ran(l, scheduler, run::run_turn(l, scheduler, wait))
    }
}

/// The scheduler, which must not be running.
unsafe fn idle_scheduler(l: *mut lua_State) -> *mut Scheduler {
    // SAFETY: called by an entry with that upvalue.
    unsafe {
        let scheduler = scheduler(l);
        if (*scheduler).runs {
            lua::luaL_error(l, c"tasks are running already".as_ptr());
        }
        scheduler
    }
}

unsafe fn push_ran(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    ran: luasocket_engine::Result<()>,
) -> c_int {
    // SAFETY: called by an entry.
    unsafe {
        if let Err(error) = ran {
            stack::push_error(l, error);
            lua::lua_error(l);
        }
        lua::lua_pushinteger(l, (*scheduler).counts()[0] as _);
    }
    1
}

/// `runs()`: whether the loop runs.
unsafe extern "C-unwind" fn runs(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushboolean(l, (*scheduler(l)).runs.into()) };
    1
}

/// `stop()`: has `run` return.
unsafe extern "C-unwind" fn stop(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { (*scheduler(l)).stop() };
    0
}

/// `patience()`: the number of seconds for which nothing will happen unless the descriptor of
/// the event loop becomes readable; `nil` for ever.
unsafe extern "C-unwind" fn patience(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        match (*scheduler(l)).patience() {
            Some(patience) => lua::lua_pushnumber(l, patience.as_secs_f64()),
            None => lua::lua_pushnil(l),
        }
    }
    1
}

/// `getfd()`: the descriptor of the event loop.
unsafe extern "C-unwind" fn getfd(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let scheduler = scheduler(l);
        match guard(l, || (*scheduler).fd()) {
            Ok(fd) => lua::lua_pushinteger(l, fd.into()),
            Err(error) => {
                stack::push_error(l, error);
                lua::lua_error(l);
            }
        }
    }
    1
}

/// `counts()`: tasks, ready tasks, deadlines, native stacks.
unsafe extern "C-unwind" fn counts(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        for count in (*scheduler(l)).counts() {
            lua::lua_pushinteger(l, count as _);
        }
    }
    4
}

/// `require "socket.task"`.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        object::register::<Place>(l, &[]);
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int + 1);
        let place = object::create::<Place>(l, 0, None);
        for &(name, function) in FUNCTIONS {
            lua::lua_pushvalue(l, -1);
            lua::lua_pushcclosure(l, function, 1);
            lua::lua_setfield(l, -3, name.as_ptr());
        }
        lua::lua_pop(l, 1);
        lua::lua_pushcfunction(l, open_lua);
        lua::lua_pushvalue(l, -2);
        crate::except::push_module(l);
        lua::lua_call(l, 2, 1);
        // The module says whom to tell of ended tasks.
        lua::lua_getfield(l, -2, c"ended".as_ptr());
        let ended = lua::luaL_ref(l, lua::LUA_REGISTRYINDEX);
        lua::lua_createtable(l, 0, 0);
        let handles = lua::luaL_ref(l, lua::LUA_REGISTRYINDEX);
        let registry: *const c_void = lua::lua_topointer(l, lua::LUA_REGISTRYINDEX);
        guard(l, || {
            (*place).body = Some(Scheduler::new(registry, handles, ended, run::LOOP))
        });
    }
    1
}

const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"calm", calm),
    (c"counts", counts),
    (c"current", current_handle),
    (c"deadline", deadline),
    (c"getfd", getfd),
    (c"interrupt", interrupt),
    (c"now", now),
    (c"patience", patience),
    (c"ready", ready),
    (c"run", run),
    (c"runs", runs),
    (c"sharing", open_sharing),
    (c"sleep", sleep),
    (c"standing", standing),
    (c"start", start),
    (c"stop", stop),
    (c"turn", turn),
    (c"wait", wait),
    (c"waits", waits),
    (c"wake", wake),
    (c"yield", yield_),
];
