//! The scheduler: tasks, the order in which they run, and the loop that runs them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use luasocket_engine::deadline::Limit;
use luasocket_engine::error::{Error, Result};
use luasocket_engine::event_loop::{EventLoop, Over};
use luasocket_engine::timers::Waiter;
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::fibers::{self, FiberId, Fibers};
use super::job::Job;
use super::suspend;
use crate::boundary::guard;

/// How many operations a task may complete without waiting before others have a turn.
const BUDGET: u32 = 200;

/// How many tasks run at most before the kernel is asked again.
const BATCH: u32 = 61;

thread_local! {
    /// The scheduler whose loop runs in this thread.
    static RUNNING: Cell<*mut Scheduler> = const { Cell::new(std::ptr::null_mut()) };
    /// What is left to the running task; `u32::MAX` outside tasks.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// The tasks of a Lua state.
pub struct Scheduler {
    events: EventLoop<Job>,
    /// Boxed, so that a task stays in its place while others are added.
    #[expect(clippy::vec_box, reason = "tasks must not move")]
    tasks: Vec<Box<Task>>,
    free: Vec<Waiter>,
    ready: VecDeque<Waiter>,
    current: Option<Waiter>,
    /// Tasks that have not ended.
    live: usize,
    /// Of these, such that wait to be woken by others, without a deadline.
    asleep: usize,
    pub(super) fibers: Fibers,
    /// What the loop is to do.
    order: Order,
    /// Why it stopped.
    outcome: Result<()>,
    /// The registry of the Lua state, to know it by.
    registry: *const c_void,
    /// Reference to the table of handles, by task; service threads have negative keys.
    handles: c_int,
    /// Reference to the function that is told of ended tasks.
    ended: c_int,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Run until all tasks have ended.
    RunAll,
    /// Run what is ready, wait at most that long, run what then is ready.
    Turn(Option<Duration>),
    /// Run what is ready now.
    Last,
    /// Go back to the program.
    Stop,
}

struct Task {
    thread: *mut lua_State,
    /// What it has waited for, when that is over.
    job: Option<Job>,
    /// How many values lie on its stack for the first resume.
    values: c_int,
    /// When whatever it waits for ends.
    until: Option<Instant>,
    /// Whether an error waits to be raised in it, in field `raise` of its handle.
    raise: bool,
    /// Whether it waits in the event loop.
    parked: bool,
    /// Whether its wait counts among those asleep.
    asleep: bool,
    /// Whether its wait must not be ended by an error.
    shield: bool,
    /// Whether the error is raised again at every further wait.
    sticky: bool,
    /// The fiber that its frames occupy.
    fiber: Option<FiberId>,
}

/// The scheduler whose task is running on `l`, or on a coroutine of such a task.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn current(l: *mut lua_State) -> Option<*mut Scheduler> {
    let scheduler = RUNNING.get();
    if scheduler.is_null() {
        return None;
    }
    // SAFETY: it is set only while the scheduler's loop runs.
    unsafe {
        let id = (*scheduler).current?;
        let own = (&(*scheduler).tasks)[id as usize].thread == l
            || (*scheduler).registry == lua::lua_topointer(l, lua::LUA_REGISTRYINDEX);
        own.then_some(scheduler)
    }
}

/// Counts an operation that did not wait; whether the running task has had its share.
#[inline]
pub fn budget_is_spent() -> bool {
    match LEFT.get() {
        u32::MAX => false,
        0 => true,
        left => {
            LEFT.set(left - 1);
            false
        }
    }
}

impl Scheduler {
    /// A scheduler without tasks.
    pub fn new(registry: *const c_void, handles: c_int, ended: c_int) -> Result<Scheduler> {
        Ok(Scheduler {
            events: EventLoop::new()?,
            tasks: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            current: None,
            live: 0,
            asleep: 0,
            fibers: Fibers::default(),
            order: Order::Stop,
            outcome: Ok(()),
            registry,
            handles,
            ended,
        })
    }

    /// Adds a task: `thread` holds a function and `arguments` arguments of it.
    pub fn add(&mut self, thread: *mut lua_State, arguments: c_int) -> Waiter {
        let task = Box::new(Task {
            thread,
            job: None,
            values: arguments,
            until: None,
            raise: false,
            parked: false,
            asleep: false,
            fiber: None,
            shield: false,
            sticky: false,
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.tasks[id as usize] = task;
                id
            }
            None => {
                self.tasks.push(task);
                (self.tasks.len() - 1) as Waiter
            }
        };
        self.live += 1;
        self.ready.push_back(id);
        id
    }

    /// The number that `add` will give to the next task.
    pub fn next_id(&self) -> Waiter {
        self.free
            .last()
            .copied()
            .unwrap_or(self.tasks.len() as Waiter)
    }

    /// The running task.
    pub fn current(&self) -> Option<Waiter> {
        self.current
    }

    /// Reference to the table of handles.
    pub fn handles(&self) -> c_int {
        self.handles
    }

    /// Counts: tasks, ready tasks, deadlines, native stacks.
    pub fn counts(&self) -> [usize; 4] {
        [
            self.live,
            self.ready.len(),
            self.events.deadlines(),
            self.fibers.len(),
        ]
    }

    /// The descriptor of the event loop.
    pub fn fd(&self) -> i32 {
        self.events.fd()
    }

    /// Sets when whatever the running task waits for ends; the former instant.
    pub fn set_until(&mut self, until: Option<Instant>) -> Option<Instant> {
        let id = self.current?;
        std::mem::replace(&mut self.tasks[id as usize].until, until)
    }

    /// Wakes a task that waits to be; whether it did.
    pub fn wake(&mut self, id: Waiter) -> bool {
        if !self.tasks[id as usize].parked {
            return false;
        }
        let Some(Job::Signal { woken }) = self.events.job(id) else {
            return false;
        };
        *woken = true;
        self.end_wait(id);
        true
    }

    /// Has the error in the handle of a task raised where it waits, or will wait next;
    /// `sticky`: at every wait from then on.
    pub fn interrupt(&mut self, id: Waiter, sticky: bool) {
        let task = &mut self.tasks[id as usize];
        task.raise = true;
        task.sticky |= sticky;
        if task.parked && !task.shield {
            self.end_wait(id);
        }
    }

    /// Takes back an interruption that has not been raised yet, unless it is sticky.
    pub fn calm(&mut self, id: Waiter) {
        let task = &mut self.tasks[id as usize];
        task.raise = task.sticky;
    }

    /// Whether a task waits.
    pub fn waits(&self, id: Waiter) -> bool {
        self.tasks[id as usize].parked
    }

    /// Says whether the next wait of the running task may be ended by an error.
    pub fn shield(&mut self, shielded: bool) {
        if let Some(id) = self.current {
            self.tasks[id as usize].shield = shielded;
        }
    }

    /// Takes the job of a task out of the event loop, and makes the task ready.
    fn end_wait(&mut self, id: Waiter) {
        let mut job = self.events.take(id);
        if let Some(job) = &mut job {
            job.occupy(false);
        }
        let task = &mut self.tasks[id as usize];
        task.parked = false;
        if std::mem::replace(&mut task.asleep, false) {
            self.asleep -= 1;
        }
        task.job = job;
        self.ready.push_back(id);
    }

    /// Puts the job of the running task into the event loop.
    fn begin_wait(&mut self, id: Waiter, mut job: Job, limit: Limit) {
        job.occupy(true);
        let task = &mut self.tasks[id as usize];
        let until = if task.shield { None } else { task.until };
        let idle = matches!(job, Job::Signal { woken: false }) && limit == Limit::None;
        task.asleep = idle && until.is_none();
        task.parked = true;
        self.asleep += usize::from(task.asleep);
        self.events.park(id, job, limit, until);
    }

    /// The next task to run: one that is ready, or one whose wait is found to be over.
    fn next(&mut self) -> Option<Waiter> {
        if let Some(id) = self.ready.pop_front() {
            return Some(id);
        }
        let (id, why) = self.events.next_over()?;
        if why == Over::Until {
            self.tasks[id as usize].raise = true;
        }
        self.end_wait(id);
        self.ready.pop_front()
    }
}

/// Makes the running task wait for `job`, and ends the entry that asked for it.
///
/// # Safety
///
/// `l` is the state of an entry in a task of `scheduler`, as its last act.
pub unsafe fn park(l: *mut lua_State, scheduler: *mut Scheduler, job: Job, limit: Limit) -> c_int {
    // SAFETY: as the contract says. The scheduler is not borrowed while Lua or another
    // fiber runs. `job` is moved before anything can raise, unless a fiber must be made.
    unsafe {
        let Some(id) = (*scheduler).current else {
            return 0;
        };
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        if (*task).raise && !(*task).shield {
            drop(job);
            raise(l);
        }
        if l == (*task).thread && suspend::can_yield(l) {
            guard_park(l, scheduler, id, job, limit);
            return suspend::yield_(l);
        }
        let mut job = Some(job);
        let other = match fiber_for(l, scheduler) {
            Ok(other) => other,
            Err(_) => {
                drop(job.take());
                return lua::luaL_error(l, c"no memory for a stack".as_ptr());
            }
        };
        if let Some(job) = job.take() {
            guard_park(l, scheduler, id, job, limit);
        }
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        (*task).fiber = (*scheduler).fibers.current();
        (*scheduler).current = None;
        fibers::change(&raw mut (*scheduler).fibers, other);
        go_on(l)
    }
}

/// Gives other tasks a turn although `job` is done, and ends the entry that it belongs to.
///
/// # Safety
///
/// As [`park`].
pub unsafe fn requeue(l: *mut lua_State, scheduler: *mut Scheduler, job: Job) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        if let Some(id) = (*scheduler).current {
            (*scheduler).events.wake(id);
        }
        park(l, scheduler, job, Limit::None)
    }
}

unsafe fn guard_park(
    l: *mut lua_State,
    scheduler: *mut Scheduler,
    id: Waiter,
    job: Job,
    limit: Limit,
) {
    let mut job = Some(job);
    // SAFETY: as `park`'s contract; the closure does not use Lua.
    unsafe {
        guard(l, || {
            if let Some(job) = job.take() {
                (*scheduler).begin_wait(id, job, limit);
            }
        });
    }
}

/// An idle fiber, or a new one.
unsafe fn fiber_for(l: *mut lua_State, scheduler: *mut Scheduler) -> std::io::Result<FiberId> {
    // SAFETY: called by an entry; the service thread is anchored before it is used.
    unsafe {
        if let Some(idle) = (*scheduler).fibers.take_idle() {
            return Ok(idle);
        }
        lua::luaL_checkstack(l, 4, std::ptr::null());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
        let service = lua::lua_newthread(l);
        lua::lua_rawseti(l, -2, -1 - (*scheduler).fibers.len() as lua::lua_Integer);
        lua::lua_pop(l, 1);
        (*scheduler)
            .fibers
            .create(move |id| loop_in_fiber(scheduler, service, id))
    }
}

/// The bottom of every fiber: its loop, begun anew where an error of Lua has ended it.
fn loop_in_fiber(scheduler: *mut Scheduler, service: *mut lua_State, id: FiberId) {
    unsafe extern "C-unwind" fn run(l: *mut lua_State) -> c_int {
        // SAFETY: the loop runs in the thread that has set `RUNNING`.
        unsafe { run_loop(RUNNING.get(), l) };
        0
    }
    loop {
        // SAFETY: the scheduler outlives its fibers; the service thread is anchored.
        unsafe {
            lua::lua_settop(service, 0);
            lua::lua_pushcfunction(service, run);
            if lua::lua_pcall(service, 0, 0, 0) != lua::LUA_OK {
                // Memory is lacking. The task whose results could not be pushed, or the
                // program, will notice by itself.
                (*scheduler).outcome = Err(Error::NoMemory);
                (*scheduler).order = Order::Stop;
            }
            (*scheduler).fibers.put_idle(id);
            fibers::leave(&raw mut (*scheduler).fibers);
        }
    }
}

/// From the program: runs the loop as ordered.
unsafe fn run_as_ordered(l: *mut lua_State, scheduler: *mut Scheduler, order: Order) -> Result<()> {
    // SAFETY: called by an entry outside of tasks.
    unsafe {
        let Ok(fiber) = fiber_for(l, scheduler) else {
            return Err(Error::NoMemory);
        };
        let outer = (RUNNING.replace(scheduler), LEFT.replace(u32::MAX));
        (*scheduler).order = order;
        (*scheduler).outcome = Ok(());
        fibers::enter(&raw mut (*scheduler).fibers, fiber);
        RUNNING.set(outer.0);
        LEFT.set(outer.1);
        std::mem::replace(&mut (*scheduler).outcome, Ok(()))
    }
}

/// Runs until no task is left, [`stop`](Scheduler::stop) was called, or nothing can ever
/// happen any more.
///
/// # Safety
///
/// `l` is the state of an entry outside of tasks.
pub unsafe fn run_all(l: *mut lua_State, scheduler: *mut Scheduler) -> Result<()> {
    // SAFETY: as the contract says.
    unsafe { run_as_ordered(l, scheduler, Order::RunAll) }
}

/// Runs what is ready, waits at most `wait` for more (`None`: as long as it takes), and
/// runs that.
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
    unsafe { run_as_ordered(l, scheduler, Order::Turn(wait)) }
}

/// Whether a loop of this thread runs already.
pub fn is_running() -> bool {
    !RUNNING.get().is_null()
}

/// The loop. Returns when the program is to go on.
unsafe fn run_loop(scheduler: *mut Scheduler, l: *mut lua_State) {
    // SAFETY: called by `loop_in_fiber` only; the scheduler is not borrowed while a task
    // runs.
    unsafe {
        loop {
            let more = run_batch(scheduler, l);
            let all_asleep = (*scheduler).live == (*scheduler).asleep;
            let wait = match (*scheduler).order {
                Order::Stop => return,
                Order::Turn(_) | Order::RunAll if more => Some(Duration::ZERO),
                Order::Turn(_) | Order::RunAll if all_asleep => return,
                Order::RunAll => None,
                Order::Turn(wait) => {
                    // What this finds is the last batch.
                    (*scheduler).order = Order::Last;
                    wait
                }
                Order::Last => return,
            };
            let mut turned = Ok(());
            guard(l, || turned = (*scheduler).events.turn(wait));
            if turned.is_err() {
                (*scheduler).outcome = turned;
                return;
            }
        }
    }
}

/// Runs some tasks that can run; whether there may be more.
unsafe fn run_batch(scheduler: *mut Scheduler, l: *mut lua_State) -> bool {
    // SAFETY: as `run_loop`.
    unsafe {
        for _ in 0..BATCH {
            let mut next = None;
            guard(l, || next = (*scheduler).next());
            let Some(id) = next else { return false };
            resume(scheduler, l, id);
            if (*scheduler).order == Order::Stop {
                return true;
            }
        }
        true
    }
}

/// Lets a task run until it waits or ends.
unsafe fn resume(scheduler: *mut Scheduler, l: *mut lua_State, id: Waiter) {
    // SAFETY: as `run_loop`.
    unsafe {
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        if let Some(fiber) = (*task).fiber.take() {
            // Its frames wait on a stack of their own.
            let own = (*scheduler).fibers.current();
            if let Some(own) = own {
                (*scheduler).fibers.put_idle(own);
            }
            (*scheduler).current = Some(id);
            LEFT.set(BUDGET);
            fibers::change(&raw mut (*scheduler).fibers, fiber);
            return;
        }
        let thread = (*task).thread;
        let mut values = (*task).values;
        (*task).values = 0;
        if !suspend::CONTINUES && lua::lua_status(thread) == lua::LUA_YIELD {
            let shielded = std::mem::replace(&mut (*task).shield, false);
            if (*task).raise && !shielded {
                suspend::prepare_raise(thread);
            } else if (*task).job.is_some() {
                values = push_results(scheduler, l, id, thread);
            }
        }
        (*scheduler).current = Some(id);
        LEFT.set(BUDGET);
        let mut results = 0;
        let status = lua::lua_resume(thread, l, values, &mut results);
        LEFT.set(u32::MAX);
        (*scheduler).current = None;
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        match status {
            lua::LUA_YIELD if (*task).parked => {}
            lua::LUA_YIELD => {
                // A yield of the program's own, which lets others run.
                lua::lua_pop(thread, results);
                (*scheduler).ready.push_back(id);
            }
            _ => end(scheduler, l, id, status == lua::LUA_OK, results),
        }
    }
}

/// Before 5.3: pushes the results of a task's job on its stack, by way of `l`, where that
/// may raise.
unsafe fn push_results(
    scheduler: *mut Scheduler,
    l: *mut lua_State,
    id: Waiter,
    thread: *mut lua_State,
) -> c_int {
    // SAFETY: as `run_loop`. The job stays with the task until its results are pushed.
    unsafe {
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        lua::luaL_checkstack(l, lua::LUA_MINSTACK, std::ptr::null());
        let pushed = match &mut (*task).job {
            Some(job) => job.push(l),
            None => 0,
        };
        (*task).job = None;
        lua::lua_xmove(l, thread, pushed);
        pushed
    }
}

/// In the task, after a wait: pushes its results, or raises.
///
/// # Safety
///
/// `l` is the state of an entry that has waited.
pub unsafe fn go_on(l: *mut lua_State) -> c_int {
    // SAFETY: as the contract says; the job stays with the task until its results are
    // pushed.
    unsafe {
        let scheduler = RUNNING.get();
        let Some(id) = (*scheduler).current else {
            return 0;
        };
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        if (*task).raise && !std::mem::replace(&mut (*task).shield, false) {
            raise(l);
        }
        lua::luaL_checkstack(l, lua::LUA_MINSTACK, std::ptr::null());
        let pushed = match &mut (*task).job {
            Some(job) => job.push(l),
            None => 0,
        };
        (*task).job = None;
        pushed
    }
}

/// In the task: raises the error that waits in its handle.
///
/// # Safety
///
/// `l` is the state of an entry, or of a hook, in a task.
pub unsafe fn raise(l: *mut lua_State) -> ! {
    // SAFETY: as the contract says.
    unsafe {
        let scheduler = RUNNING.get();
        if let Some(id) = (*scheduler).current {
            let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
            (*task).raise = (*task).sticky;
            drop((*task).job.take());
            lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
            lua::lua_rawgeti(l, -1, lua::lua_Integer::from(id) + 1);
            lua::lua_getfield(l, -1, c"raise".as_ptr());
        } else {
            lua::lua_pushnil(l);
        }
        lua::lua_error(l)
    }
}

/// Tells the end of a task to the function that wants to know: its handle, whether it went
/// well, and its results, or the error and a traceback.
unsafe fn end(
    scheduler: *mut Scheduler,
    l: *mut lua_State,
    id: Waiter,
    well: bool,
    results: c_int,
) {
    // SAFETY: as `run_loop`.
    unsafe {
        let task = &raw mut *(&mut (*scheduler).tasks)[id as usize];
        let thread = (*task).thread;
        drop((*task).job.take());
        (*scheduler).live -= 1;
        (*scheduler).free.push(id);
        lua::luaL_checkstack(l, 8 + results, std::ptr::null());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).ended.into());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
        lua::lua_rawgeti(l, -1, lua::lua_Integer::from(id) + 1);
        lua::lua_pushnil(l);
        lua::lua_rawseti(l, -3, lua::lua_Integer::from(id) + 1);
        lua::lua_remove(l, -2);
        lua::lua_pushboolean(l, well.into());
        let passed = if well {
            lua::lua_xmove(thread, l, results);
            results
        } else {
            lua::luaL_traceback(l, thread, std::ptr::null(), 0);
            lua::lua_xmove(thread, l, 1);
            lua::lua_insert(l, -2);
            close_thread(thread);
            2
        };
        lua::lua_call(l, 2 + passed, 0);
    }
}

/// Closes the variables of an ended thread that are to be closed (5.4 on).
unsafe fn close_thread(_thread: *mut lua_State) {
    #[cfg(feature = "lua54")]
    // SAFETY: the thread has ended with an error.
    unsafe {
        lua::lua_resetthread(_thread);
    }
    #[cfg(feature = "lua55")]
    // SAFETY: as above.
    unsafe {
        lua::lua_closethread(_thread, std::ptr::null_mut());
    }
}

impl Scheduler {
    /// Has the loop go back to the program.
    pub fn stop(&mut self) {
        self.order = Order::Stop;
    }
}
