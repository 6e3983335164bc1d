//! The loop: lets tasks run, one after the other, and asks the kernel in between.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::time::Duration;

use luasocket_engine::error::{Error, Result};
use luasocket_engine::timers::Waiter;
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::fibers::{self, FiberId};
use super::scheduler::{
    BATCH, Loop, NO_TASK, Next, Order, RUNNING, SHARE, Scheduler, Task, handle_key,
};
use super::service::fiber_for;
use super::suspend;
use super::turn::{plan, turn};
use super::wait::{Waiting, push_waiting_error};
use crate::boundary::guard;
use crate::stack;

/// The error of a task that is lost.
const LOST: &[u8] = b"the coroutine of a waiting task was closed or resumed";

/// Runs until no task is left, [`stop`](Scheduler::stop) was called, or nothing can ever
/// happen any more.
///
/// # Safety
///
/// `l` is the state of an entry outside of the scheduler's tasks.
pub unsafe fn run_all(l: *mut lua_State, scheduler: *mut Scheduler) -> Result<()> {
    // SAFETY: as the contract says.
    unsafe {
        (*scheduler).quota = BATCH;
        run_as_ordered(l, scheduler, Order::RunAll)
    }
}

/// Runs what is ready, waits at most `wait` for more (`None`: as long as it takes), and
/// runs that. What becomes ready meanwhile is for the next time.
///
/// # Safety
///
/// As [`run_all`].
pub unsafe fn run_turn(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    wait: Option<Duration>,
) -> Result<()> {
    // SAFETY: as the contract says.
    unsafe {
        (*scheduler).quota = (*scheduler).can_run();
        run_as_ordered(l, scheduler, Order::Turn(wait))
    }
}

/// From the program: runs the loop as ordered.
unsafe fn run_as_ordered(l: *mut lua_State, scheduler: *mut Scheduler, order: Order) -> Result<()> {
    // SAFETY: as the contracts above say.
    unsafe {
        let Ok(fiber) = fiber_for(l, scheduler) else {
            return Err(Error::NoMemory);
        };
        // Before tasks take all descriptors there are. If there is none now, a turn will tell.
        let _ = (*scheduler).fd();
        let outer = RUNNING.replace(scheduler);
        (*scheduler).order = order;
        (*scheduler).outcome = Ok(());
        (*scheduler).runs = true;
        fibers::enter(&raw mut (*scheduler).fibers, fiber);
        while shed(scheduler) {}
        suspend::after_others(l);
        (*scheduler).runs = false;
        RUNNING.set(outer);
        std::mem::replace(&mut (*scheduler).outcome, Ok(()))
    }
}

/// What runs in fibers.
pub const LOOP: Loop = Loop {
    bottom: loop_in_fiber,
    entry: call_loop,
};

/// The bottom of every fiber: its loop, begun anew where an error of Lua has ended it.
fn loop_in_fiber(scheduler: *mut Scheduler, service: *mut lua_State, id: FiberId) {
    loop {
        // SAFETY: the scheduler outlives its fibers; the service thread is anchored. Nothing
        // may raise here but in the call.
        unsafe {
            lua::lua_settop(service, 1);
            lua::lua_pushvalue(service, 1);
            if lua::lua_pcall(service, 0, 0, 0) != lua::LUA_OK {
                recover(&mut *scheduler);
            }
            if !(*scheduler).fibers.is_ending() {
                (*scheduler).fibers.put_idle(id);
                fibers::leave(&raw mut (*scheduler).fibers);
            }
            if (*scheduler).fibers.is_ending() {
                return;
            }
        }
    }
}

/// Gives a native stack back that is not needed; whether there was one.
unsafe fn shed(scheduler: *mut Scheduler) -> bool {
    // SAFETY: no task runs. Without a quota, the loop of an idle fiber runs none either, and
    // returns.
    unsafe {
        let quota = std::mem::replace(&mut (*scheduler).quota, 0);
        let shed = fibers::shed(&raw mut (*scheduler).fibers);
        (*scheduler).quota = quota;
        shed
    }
}

unsafe extern "C-unwind" fn call_loop(l: *mut lua_State) -> c_int {
    // SAFETY: the loop runs in the thread that has set `RUNNING`.
    unsafe { run_loop(RUNNING.get(), l) };
    0
}

/// After an error in the loop itself, which is always that memory is lacking: tells the
/// program, and leaves everything as it was, so that the next run can go on.
fn recover(scheduler: &mut Scheduler) {
    scheduler.outcome = Err(Error::NoMemory);
    scheduler.order = Order::Stop;
    scheduler.current = None;
    scheduler.budget = NO_TASK;
    if let Some(id) = scheduler.resuming.take() {
        scheduler.retry(id);
    }
    if let Some(id) = scheduler.telling.take() {
        scheduler.end(id);
        scheduler.untold.push(id);
    }
}

/// The loop. Returns when the program is to go on.
unsafe fn run_loop(scheduler: *mut Scheduler, l: *mut lua_State) {
    // SAFETY: called by `loop_in_fiber` only; the scheduler is not borrowed while a task
    // runs.
    unsafe {
        loop {
            run_batch(scheduler, l);
            let Some(wait) = plan(&mut *scheduler) else {
                return;
            };
            shed(scheduler);
            let mut turned = Ok(());
            guard(l, || turned = turn(&mut *scheduler, wait));
            if turned.is_err() {
                (*scheduler).outcome = turned;
                return;
            }
            (*scheduler).quota = match (*scheduler).order {
                Order::Last => (*scheduler).can_run(),
                _ => BATCH,
            };
        }
    }
}

/// Runs as many tasks as the quota allows. How many are left to run is not known to this
/// frame: when a task goes on that has its frames on another stack, another loop goes on
/// with the batch.
unsafe fn run_batch(scheduler: *mut Scheduler, l: *mut lua_State) {
    // SAFETY: as `run_loop`.
    unsafe {
        while (*scheduler).quota > 0 && (*scheduler).order != Order::Stop {
            (*scheduler).quota -= 1;
            if let Some(id) = (*scheduler).untold.pop() {
                tell_end(scheduler, l, id, Told::OutOfMemory);
            }
            let mut next = None;
            guard(l, || next = (*scheduler).next());
            match next {
                Some(id) => resume(scheduler, l, id),
                None => return,
            }
        }
    }
}

/// Whether a task can be resumed: its thread is as it was left, or was not begun.
unsafe fn is_whole(task: *mut Task) -> bool {
    // SAFETY: the task, which has not ended, keeps its thread.
    unsafe {
        let thread = (*task).thread;
        match (&(*task).next, lua::lua_status(thread)) {
            (Next::Values(values), lua::LUA_YIELD) => *values == 0,
            (Next::Values(values), lua::LUA_OK) => {
                let mut frame = MaybeUninit::<lua::lua_Debug>::zeroed();
                lua::lua_gettop(thread) == values + 1
                    && lua::lua_getstack(thread, 0, frame.as_mut_ptr()) == 0
            }
            (Next::Values(_), _) => false,
            _ => suspend::is_left(thread),
        }
    }
}

/// Lets a task run until it waits or ends.
unsafe fn resume(scheduler: *mut Scheduler, l: *mut lua_State, id: Waiter) {
    // SAFETY: as `run_loop`.
    unsafe {
        let task = &raw mut *(*scheduler).task(id);
        if let Some(fiber) = (*task).fiber.take() {
            // Its frames wait on a stack of their own.
            if let Some(own) = (*scheduler).fibers.current() {
                (*scheduler).fibers.put_idle(own);
            }
            (*scheduler).current = Some(id);
            (*scheduler).budget = SHARE;
            fibers::change(&raw mut (*scheduler).fibers, fiber);
            return;
        }
        let thread = (*task).thread;
        if !is_whole(task) {
            (*scheduler).end(id);
            return tell_end(scheduler, l, id, Told::Lost);
        }
        (*scheduler).resuming = Some(id);
        let (values, raises) = prepare(scheduler, l, id);
        (*scheduler).resuming = None;
        (*scheduler).current = Some(id);
        (*scheduler).leaving = false;
        (*scheduler).budget = SHARE;
        let mut results = 0;
        let status = lua::lua_resume(thread, l, values, &mut results);
        if raises {
            suspend::after_raise(thread);
        }
        if status != lua::LUA_YIELD {
            return end(scheduler, l, id, status == lua::LUA_OK, results);
        }
        (*scheduler).current = None;
        (*scheduler).budget = NO_TASK;
        if !std::mem::replace(&mut (*scheduler).leaving, false) {
            // A yield of the program's own, which lets others run.
            lua::lua_pop(thread, results);
            (*scheduler).rest(id, Next::Values(0));
        }
    }
}

/// Sees to it that the thread of a task goes on as it is to when it is resumed: how many
/// values it is to be resumed with, and whether an error was prepared.
unsafe fn prepare(scheduler: *mut Scheduler, l: *mut lua_State, id: Waiter) -> (c_int, bool) {
    // SAFETY: as `run_loop`. The job stays with the task until its results are pushed.
    unsafe {
        let task = &raw mut *(*scheduler).task(id);
        let next = &raw mut (*task).next;
        match &mut *next {
            Next::Values(values) => (std::mem::take(values), false),
            Next::Parked => (0, false),
            // The entry goes on by itself.
            _ if suspend::CONTINUES => (0, false),
            Next::Results(job) => {
                let top = lua::lua_gettop(l);
                lua::luaL_checkstack(l, lua::LUA_MINSTACK, std::ptr::null());
                let pushed = job.push(l);
                // There is room: the entry has left some of its slots for its results.
                lua::lua_xmove(l, (*task).thread, pushed);
                lua::lua_settop(l, top); // an entry may leave more than its results
                *next = Next::Values(0);
                (pushed, false)
            }
            Next::Raise => {
                *next = Next::Values(0);
                suspend::prepare_raise::<Waiting>(l, (*task).thread);
                (0, true)
            }
        }
    }
}

/// Ends a task whose function has returned or raised.
unsafe fn end(
    scheduler: *mut Scheduler,
    l: *mut lua_State,
    id: Waiter,
    well: bool,
    results: c_int,
) {
    // SAFETY: as `run_loop`.
    unsafe {
        (*scheduler).current = None;
        (*scheduler).budget = NO_TASK;
        let top = lua::lua_gettop(l);
        let told = match well {
            true => Told::Results(results),
            false => {
                (*scheduler).telling = Some(id);
                push_traceback(scheduler, l, id);
                (*scheduler).telling = None;
                close_variables(scheduler, id);
                Told::Error
            }
        };
        (*scheduler).end(id);
        tell_end(scheduler, l, id, told);
        lua::lua_settop(l, top);
    }
}

/// Pushes the traceback of a task that has ended with an error; `nil` if that is what ended its
/// waits, because nobody asks where it was cancelled, and to find it out takes longer than all the
/// rest.
unsafe fn push_traceback(scheduler: *mut Scheduler, l: *mut lua_State, id: Waiter) {
    // SAFETY: as `run_loop`; the thread holds the error.
    unsafe {
        let thread = (*scheduler).task(id).thread;
        lua::luaL_checkstack(l, 3, std::ptr::null());
        push_waiting_error(l, scheduler, id);
        let raised = lua::lua_istable(l, -1) != 0
            && lua::lua_topointer(l, -1) == lua::lua_topointer(thread, -1);
        lua::lua_pop(l, 3);
        match raised {
            true => lua::lua_pushnil(l),
            false => lua::luaL_traceback(l, thread, std::ptr::null(), 0),
        }
    }
}

/// What there is to tell of the end of a task.
enum Told {
    /// Its thread holds so many results.
    Results(c_int),
    /// Its thread holds an error; a traceback, or `nil`, is on top.
    Error,
    /// There was no memory to tell more.
    OutOfMemory,
    /// The program has closed or resumed its thread.
    Lost,
}

/// Tells the end of a task to the function that wants to know: its handle, whether it went
/// well, and its results, or the error and a traceback, if there is one.
unsafe fn tell_end(scheduler: *mut Scheduler, l: *mut lua_State, id: Waiter, told: Told) {
    // SAFETY: as `run_loop`.
    unsafe {
        (*scheduler).telling = Some(id);
        let thread = (*scheduler).task(id).thread;
        let passed = match told {
            Told::Results(results) => results,
            Told::Error | Told::OutOfMemory | Told::Lost => 2,
        };
        let (traceback, key) = (lua::lua_gettop(l), handle_key(id));
        lua::luaL_checkstack(l, 8 + passed, std::ptr::null());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).ended.into());
        lua::lua_rawgeti(l, -2, key);
        lua::lua_pushboolean(l, matches!(told, Told::Results(_)).into());
        match told {
            Told::Results(results) => lua::lua_xmove(thread, l, results),
            Told::Error => {
                lua::lua_xmove(thread, l, 1);
                lua::lua_pushvalue(l, traceback);
            }
            Told::OutOfMemory => {
                stack::push_error(l, Error::NoMemory);
                lua::lua_pushnil(l);
            }
            Told::Lost => {
                stack::push_bytes(l, LOST);
                lua::lua_pushnil(l);
            }
        }
        lua::lua_call(l, 2 + passed, 0);
        lua::lua_pushnil(l);
        lua::lua_rawseti(l, -2, key);
        lua::lua_pushnil(l);
        lua::lua_rawseti(l, -2, key + 1);
        lua::lua_pop(l, 1);
        (*scheduler).telling = None;
        (*scheduler).forget(id);
    }
}

/// Closes the variables of a task that has ended with an error (5.4 on), as an act of the
/// task: it may wait.
#[cfg(any(feature = "lua54", feature = "lua55"))]
unsafe fn close_variables(scheduler: *mut Scheduler, id: Waiter) {
    // SAFETY: as `run_loop`; the thread has ended with an error, which it keeps, or which
    // closing replaces.
    unsafe {
        let thread = (*scheduler).task(id).thread;
        (*scheduler).current = Some(id);
        (*scheduler).budget = SHARE;
        #[cfg(feature = "lua54")]
        lua::lua_resetthread(thread);
        #[cfg(feature = "lua55")]
        lua::lua_closethread(thread, std::ptr::null_mut());
        (*scheduler).current = None;
        (*scheduler).budget = NO_TASK;
    }
}

#[cfg(not(any(feature = "lua54", feature = "lua55")))]
unsafe fn close_variables(_: *mut Scheduler, _: Waiter) {}
