//! The tasks of a Lua state: what each of them does, and which is next.
//!
//! Nothing here calls Lua. [`run`](mod@super::run) lets tasks run, [`wait`](mod@super::wait) is how
//! they stop.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use luasocket_engine::deadline::Limit;
use luasocket_engine::error::Result;
use luasocket_engine::event_loop::{EventLoop, Over};
use luasocket_engine::sys::cache::prefetch;
use luasocket_engine::timers::Waiter;
use mlua_sys::{lua_Integer, lua_State};

use super::fibers::{FiberId, Fibers};
use super::job::{Job, Room, Signal};
use super::places::Places;
use super::suspend::{self, Seal};

thread_local! {
    /// The scheduler whose loop runs in this thread.
    pub(super) static RUNNING: Cell<*mut Scheduler> = const { Cell::new(std::ptr::null_mut()) };
}

/// Where the handle of a task lies in the table of handles. After it comes its thread.
pub fn handle_key(id: Waiter) -> lua_Integer {
    2 * lua_Integer::from(id) + 1
}

/// How many operations a task may begin before others have a turn.
pub(super) const SHARE: u32 = 200;

/// How many tasks run at most before the kernel is asked again.
pub(super) const BATCH: usize = 61;

/// The budget outside of tasks.
pub(super) const NO_TASK: u32 = u32::MAX;

/// The tasks of a Lua state.
pub struct Scheduler {
    pub(super) events: EventLoop<Job>,
    tasks: Places<Task>,
    /// Where each task keeps what it waits for.
    rooms: Places<Room>,
    free: Vec<Waiter>,
    ready: VecDeque<Waiter>,
    /// Whose turn it is: the events', or that of the tasks that are ready.
    events_next: bool,
    pub(super) current: Option<Waiter>,
    /// How many operations the running task may begin before others have a turn; `NO_TASK`
    /// outside of tasks.
    pub(super) budget: u32,
    /// Whether the running task is leaving an entry to wait or to rest.
    pub(super) leaving: bool,
    /// The task that is about to go on, until it does: what precedes may fail.
    pub(super) resuming: Option<Waiter>,
    /// The task whose end is being told, until it is: that may fail.
    pub(super) telling: Option<Waiter>,
    /// Tasks whose end could not be told.
    pub(super) untold: Vec<Waiter>,
    /// Tasks that have not ended, but for those in the background.
    live: usize,
    /// Tasks in the background that can wake others.
    behind: usize,
    /// Of both, such that wait to be woken by others, without a deadline.
    asleep: usize,
    pub(super) fibers: Fibers,
    /// What the loop is to do.
    pub(super) order: Order,
    /// How many tasks may run before the kernel is asked again.
    pub(super) quota: usize,
    /// How many turns there were since tasks were looked for that are lost.
    pub(super) turns: usize,
    /// Why the loop stopped.
    pub(super) outcome: Result<()>,
    /// Whether the loop runs.
    pub(super) runs: bool,
    /// The registry of the Lua state, to know it by.
    pub(super) registry: *const c_void,
    /// Reference to the table of handles and threads, by task (see [`handle_key`]); service
    /// threads have negative keys.
    pub(super) handles: c_int,
    /// Reference to the function that is told of ended tasks.
    pub(super) ended: c_int,
    pub(super) run: Loop,
}

/// The loop in a fiber, which calls from a service thread.
#[derive(Clone, Copy)]
pub struct Loop {
    /// The bottom of the fiber.
    pub bottom: fn(scheduler: *mut Scheduler, service: *mut lua_State, fiber: FiberId),
    /// What it calls: the first value on the stack of the service thread.
    pub entry: unsafe extern "C-unwind" fn(l: *mut lua_State) -> c_int,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    /// Run until all tasks have ended.
    RunAll,
    /// Run what is ready, wait at most that long, run what then is ready.
    Turn(Option<Duration>),
    /// Run what is ready now.
    Last,
    /// Go back to the program.
    Stop,
}

/// In one line of the processor's cache.
#[repr(align(64))]
pub(super) struct Task {
    pub(super) thread: *mut lua_State,
    pub(super) next: Next,
    /// When whatever it waits for ends.
    until: Option<Instant>,
    /// Whether all its waits end, by the error that is in field `raise` of its handle.
    interrupted: bool,
    /// Whether its wait counts among those asleep.
    asleep: bool,
    standing: Standing,
    /// The fiber that its frames occupy.
    pub(super) fiber: Option<FiberId>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Task>() == 64);

/// What a task is to the loop.
#[derive(Clone, Copy, PartialEq)]
pub enum Standing {
    /// The loop goes on until it has ended.
    Awaited,
    /// The loop ends without it.
    Background,
    /// The same, and it is not expected to wake others.
    Aside,
    /// It has ended, though its end may not be told yet.
    Ended,
}

/// How a task goes on.
pub(super) enum Next {
    /// With so many values that lie on its stack.
    Values(c_int),
    /// It waits in the event loop.
    Parked,
    /// With the results of what it has waited for.
    Results(Job),
    /// With an error.
    Raise,
}

/// The scheduler whose loop runs in this thread, if one does.
#[inline]
pub fn running() -> Option<*mut Scheduler> {
    let scheduler = RUNNING.get();
    (!scheduler.is_null()).then_some(scheduler)
}

/// Counts an operation that begins; whether the running task has had its share.
#[inline]
pub fn budget_is_spent(running: Option<*mut Scheduler>) -> bool {
    let Some(scheduler) = running else {
        return false;
    };
    // SAFETY: it is set only while the scheduler's loop runs, and is not borrowed while a task
    // does.
    unsafe {
        match (*scheduler).budget {
            NO_TASK => false,
            0 => true,
            left => {
                (*scheduler).budget = left - 1;
                false
            }
        }
    }
}

impl Scheduler {
    /// A scheduler without tasks.
    pub fn new(registry: *const c_void, handles: c_int, ended: c_int, run: Loop) -> Scheduler {
        Scheduler {
            events: EventLoop::new(),
            tasks: Places::new(),
            rooms: Places::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            events_next: false,
            current: None,
            budget: NO_TASK,
            leaving: false,
            resuming: None,
            telling: None,
            untold: Vec::new(),
            live: 0,
            behind: 0,
            asleep: 0,
            fibers: Fibers::default(),
            order: Order::Stop,
            quota: 0,
            turns: 0,
            outcome: Ok(()),
            runs: false,
            registry,
            handles,
            ended,
            run,
        }
    }

    /// Adds a task: `thread` holds a function and `arguments` arguments of it.
    pub fn add(&mut self, thread: *mut lua_State, arguments: c_int) -> Waiter {
        let task = Task {
            thread,
            next: Next::Values(arguments),
            until: None,
            interrupted: false,
            asleep: false,
            standing: Standing::Awaited,
            fiber: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                *self.task(id) = task;
                id
            }
            None => {
                self.tasks.push(task);
                self.rooms.push(Room::EMPTY);
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

    /// Counts a task as ended, once. Its number stays taken until [`Scheduler::forget`].
    pub(super) fn end(&mut self, id: Waiter) {
        self.set_standing(id, Standing::Ended);
        self.task(id).next = Next::Values(0);
    }

    /// Changes what a task is to the loop. None that is asleep is set aside.
    pub fn set_standing(&mut self, id: Waiter, standing: Standing) {
        let former = self.task(id).standing;
        if former != Standing::Ended {
            self.task(id).standing = standing;
            self.count(former, false);
            self.count(standing, true);
        }
    }

    fn count(&mut self, standing: Standing, more: bool) {
        let count = match standing {
            Standing::Awaited => &mut self.live,
            Standing::Background => &mut self.behind,
            Standing::Aside | Standing::Ended => return,
        };
        *count = if more { *count + 1 } else { *count - 1 };
    }

    /// Gives the number of a task away.
    pub(super) fn forget(&mut self, id: Waiter) {
        self.free.push(id);
    }

    /// How many tasks there have been at once.
    pub(super) fn size(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn task(&mut self, id: Waiter) -> &mut Task {
        // SAFETY: nobody else uses the task while the scheduler is borrowed.
        unsafe { self.tasks.at(id as usize).as_mut() }
    }

    /// Where the running task keeps what it waits for.
    #[inline]
    pub fn room(&self) -> Option<NonNull<Room>> {
        self.current.map(|id| self.rooms.at(id as usize))
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
    pub fn fd(&mut self) -> Result<i32> {
        self.events.fd()
    }

    /// How long nothing will happen unless the descriptor becomes readable: `None`, for
    /// ever.
    pub fn patience(&mut self) -> Option<Duration> {
        if self.can_run() > 0 {
            return Some(Duration::ZERO);
        }
        let deadline = self.events.next_deadline()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// How many tasks may be able to run.
    pub(super) fn can_run(&self) -> usize {
        self.ready.len() + self.events.woken()
    }

    /// Whether all tasks have ended, and that was told.
    pub(super) fn is_over(&self) -> bool {
        self.live == 0 && self.untold.is_empty()
    }

    /// Whether all tasks wait for each other.
    pub(super) fn is_asleep(&self) -> bool {
        self.live + self.behind == self.asleep
    }

    /// Sets when whatever the running task waits for ends; the former instant.
    pub fn set_until(&mut self, until: Option<Instant>) -> Option<Instant> {
        let id = self.current?;
        std::mem::replace(&mut self.task(id).until, until)
    }

    /// Whether the running task may not wait: it is interrupted, or its deadline has come.
    pub fn is_interrupted(&mut self) -> bool {
        let Some(id) = self.current else {
            return false;
        };
        let task = self.task(id);
        task.interrupted || task.until.is_some_and(|until| until <= Instant::now())
    }

    /// Wakes a task that waits to be; whether it did.
    pub fn wake(&mut self, id: Waiter) -> bool {
        let Some(Job::Signal(signal @ (Signal::Waiting | Signal::Shielded))) = self.events.job(id)
        else {
            return false;
        };
        *signal = Signal::Woken;
        self.end_wait(id, Next::Results);
        self.ready.push_back(id);
        true
    }

    /// Has all waits of a task end by the error in its handle, from the present one on, until
    /// [`Scheduler::calm`]. What it has waited for until now, it gets.
    pub fn interrupt(&mut self, id: Waiter) {
        self.task(id).interrupted = true;
        let shielded = matches!(self.events.job(id), Some(Job::Signal(Signal::Shielded)));
        if matches!(self.task(id).next, Next::Parked) && !shielded {
            self.end_wait(id, interrupted);
            self.ready.push_back(id);
        }
    }

    /// Ends the wait of a task that cannot go on with it.
    pub(super) fn abandon(&mut self, id: Waiter) {
        self.end_wait(id, Next::Results);
        self.ready.push_back(id);
    }

    /// Lets a task wait again.
    pub fn calm(&mut self, id: Waiter) {
        self.task(id).interrupted = false;
    }

    /// Whether a task waits.
    pub fn waits(&mut self, id: Waiter) -> bool {
        matches!(self.task(id).next, Next::Parked)
    }

    /// Puts the job of a task, of which the last step waits, into the event loop.
    pub(super) fn park(&mut self, id: Waiter, job: Job, limit: Limit) {
        let until = self.begin_wait(id, &job, limit);
        self.events.park(id, job, limit, until);
    }

    /// As [`Scheduler::park`], for a job that was not stepped yet.
    pub(super) fn queue(&mut self, id: Waiter, job: Job, limit: Limit) {
        let until = self.begin_wait(id, &job, limit);
        self.events.queue(id, job, limit, until);
    }

    fn begin_wait(&mut self, id: Waiter, job: &Job, limit: Limit) -> Option<Instant> {
        let task = self.task(id);
        task.next = Next::Parked;
        let (idle, until) = match job {
            Job::Signal(Signal::Shielded) => (true, None),
            Job::Signal(_) => (true, task.until),
            Job::Operation(_) => (false, task.until),
        };
        task.asleep =
            idle && limit == Limit::None && until.is_none() && task.standing != Standing::Aside;
        self.asleep += usize::from(task.asleep);
        until
    }

    /// Seals the job of a task anew, if it waits.
    pub(super) fn seal(&mut self, id: Waiter, seal: Seal) {
        if let Some(job) = self.events.job(id) {
            job.seal(seal);
        }
    }

    /// Takes the job of a task out of the event loop.
    fn end_wait(&mut self, id: Waiter, next: fn(Job) -> Next) {
        if let Some(job) = self.events.take(id) {
            self.wait_ended(id, job, next);
        }
    }

    fn wait_ended(&mut self, id: Waiter, mut job: Job, next: fn(Job) -> Next) {
        let task = self.task(id);
        job.release();
        task.next = next(job);
        if std::mem::replace(&mut task.asleep, false) {
            self.asleep -= 1;
        }
    }

    /// Lets others run before a task goes on.
    pub(super) fn rest(&mut self, id: Waiter, next: Next) {
        self.task(id).next = next;
        self.ready.push_back(id);
    }

    /// Lets a task run next that could not.
    pub(super) fn retry(&mut self, id: Waiter) {
        self.ready.push_front(id);
        self.events_next = true; // now it was their turn
    }

    /// The next task to run: one that is ready, or one whose wait is found to be over. They
    /// take turns, so that neither can keep the other waiting.
    pub(super) fn next(&mut self) -> Option<Waiter> {
        self.events_next = !self.events_next;
        if self.events_next {
            self.next_over().or_else(|| self.ready.pop_front())
        } else {
            let ready = self.ready.pop_front();
            ready.or_else(|| self.next_over())
        }
    }

    fn next_over(&mut self) -> Option<Waiter> {
        let (id, job, why) = self.events.next_over()?;
        self.look_ahead();
        self.wait_ended(
            id,
            job,
            match why {
                Over::Done => Next::Results,
                Over::Until => interrupted,
            },
        );
        Some(id)
    }

    /// Has the tasks that come next come from memory, while this one runs.
    #[inline]
    fn look_ahead(&self) {
        let Some([next, second, third]) = self.events.upcoming() else {
            return;
        };
        prefetch(self.rooms.at(third as usize).as_ptr());
        prefetch(self.tasks.at(third as usize).as_ptr());
        // SAFETY: neither is borrowed.
        let (next, second) = unsafe {
            let [next, second] = [next, second].map(|id| self.tasks.at(id as usize));
            (next.as_ref(), second.as_ref())
        };
        suspend::prefetch_thread(second.thread);
        // It may have ended, and its thread with it.
        if matches!(next.next, Next::Parked) {
            // SAFETY: a task that waits keeps its thread.
            unsafe { suspend::prefetch_frames(next.thread) };
        }
    }

    /// Has the loop go back to the program.
    pub fn stop(&mut self) {
        self.order = Order::Stop;
    }
}

/// How a task goes on whose wait for `job` was ended.
fn interrupted(mut job: Job) -> Next {
    job.abandon();
    match job {
        Job::Operation(_) => Next::Raise,
        Job::Signal(_) => Next::Results(Job::Signal(Signal::Interrupted)),
    }
}

impl Drop for Scheduler {
    /// The state is being closed. If one of its tasks does that, the fiber that runs is our
    /// own: it cannot go away.
    fn drop(&mut self) {
        if std::ptr::eq(RUNNING.get(), self) {
            RUNNING.set(std::ptr::null_mut());
        }
        if self.fibers.current().is_some() {
            std::mem::forget(std::mem::take(&mut self.fibers));
        }
    }
}
