//! Native stacks, for tasks that wait where a coroutine cannot yield.
//!
//! A task that calls `receive` inside a `pcall` of PUC Lua 5.1, a `table.sort`, or a
//! coroutine of its own cannot be left by `lua_yield`: there are C frames, or frames of
//! another coroutine, between it and the loop. So it stays where it is, and the loop goes
//! on elsewhere: on another native stack. When the task can go on, the loop changes back
//! to the stack with its frames, and when these have returned to the loop that is below
//! them, that one is the loop again.
//!
//! A fiber is a native stack with a loop at its bottom. One of them runs; the others are
//! idle (in their loop) or occupied by a task. They are entered and left through the
//! stack of the program only (`Fibers::enter`), which is never occupied.

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// The size of a native stack; a page of it is used until more is needed. Lua allows 200
/// nested C calls, of which each may have a buffer of 8 KiB in 5.1.
const SIZE: usize = 2 * 1024 * 1024;

/// Which fiber.
pub type FiberId = u32;

/// What a fiber asks for when it stops.
#[derive(Clone, Copy)]
enum Next {
    Fiber(FiberId),
    /// To go on when this one has ended.
    AfterEnd(FiberId),
    Program,
}

struct Fiber {
    coroutine: Option<Coroutine<(), Next, ()>>,
    /// Set once the fiber runs.
    yielder: *const Yielder<(), Next>,
}

/// The fibers of a scheduler.
#[derive(Default)]
pub struct Fibers {
    // Boxed, because a fiber must stay in its place while it runs.
    #[expect(clippy::vec_box, reason = "a fiber must not move while it runs")]
    all: Vec<Box<Fiber>>,
    idle: Vec<FiberId>,
    /// Numbers of fibers that have ended.
    free: Vec<FiberId>,
    current: Option<FiberId>,
    /// Whether the running fiber is to end.
    ending: bool,
}

/// How many idle fibers are kept.
const SPARE: usize = 8;

impl Fibers {
    /// The fiber that runs.
    pub fn current(&self) -> Option<FiberId> {
        self.current
    }

    /// An idle fiber, if there is one.
    pub fn take_idle(&mut self) -> Option<FiberId> {
        self.idle.pop()
    }

    /// Says that a fiber is idle.
    pub fn put_idle(&mut self, id: FiberId) {
        self.idle.push(id);
    }

    /// The number of fibers.
    pub fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Whether the loop of the running fiber is to return, and the fiber to end.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// The number that the next new fiber will have.
    pub fn next_id(&self) -> FiberId {
        self.free
            .last()
            .copied()
            .unwrap_or(self.all.len() as FiberId)
    }

    /// Whether there are more idle fibers than are kept.
    pub fn has_surplus(&self) -> bool {
        self.idle.len() > SPARE
    }

    /// An idle fiber beyond those that are kept.
    fn take_surplus(&mut self) -> Option<FiberId> {
        self.has_surplus().then(|| self.idle.swap_remove(0))
    }

    /// A new fiber, whose loop is `body`, which must not return until it is told to. Fails
    /// when there is no memory for a stack.
    pub fn create(&mut self, body: impl FnOnce(FiberId) + 'static) -> std::io::Result<FiberId> {
        let id = self.next_id();
        let stack = DefaultStack::new(SIZE)?;
        if self.free.pop().is_none() {
            self.all.push(Box::new(Fiber {
                coroutine: None,
                yielder: std::ptr::null(),
            }));
        }
        let fiber = &mut *self.all[id as usize];
        let place: *mut Fiber = fiber;
        fiber.coroutine = Some(Coroutine::with_stack(stack, move |yielder, ()| {
            // SAFETY: the fiber lives in its box as long as its coroutine.
            unsafe { (*place).yielder = yielder };
            body(id);
        }));
        Ok(id)
    }
}

/// From the stack of the program: runs `id`, and whatever it changes to, until a fiber
/// calls [`leave`].
///
/// # Safety
///
/// `fibers` is valid; no fiber runs.
pub unsafe fn enter(fibers: *mut Fibers, id: FiberId) {
    let (mut next, mut after) = (id, None);
    loop {
        // SAFETY: `fibers` is valid; the borrow of the box ends before the fiber runs, and
        // the box does not move.
        unsafe {
            (*fibers).current = Some(next);
            let fiber: *mut Fiber = &mut *(&mut (*fibers).all)[next as usize];
            let Some(coroutine) = (*fiber).coroutine.as_mut() else {
                break;
            };
            match coroutine.resume(()) {
                CoroutineResult::Yield(Next::Fiber(other)) => next = other,
                CoroutineResult::Yield(Next::AfterEnd(other)) => {
                    (after, next) = (Some(next), other);
                }
                CoroutineResult::Yield(Next::Program) => break,
                CoroutineResult::Return(()) => {
                    (*fiber).coroutine = None;
                    (*fibers).free.push(next);
                    match after.take() {
                        Some(other) => next = other,
                        None => break,
                    }
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { (*fibers).current = None };
}

/// From the running fiber: changes to another one. Returns when somebody changes back.
///
/// # Safety
///
/// `fibers` is valid, and a fiber runs.
pub unsafe fn change(fibers: *mut Fibers, to: FiberId) {
    // SAFETY: as the contract says.
    unsafe { suspend(fibers, Next::Fiber(to)) }
}

/// From the running fiber: goes back to the program. Returns when the fiber is entered
/// again.
///
/// # Safety
///
/// `fibers` is valid, and a fiber runs.
pub unsafe fn leave(fibers: *mut Fibers) {
    // SAFETY: as the contract says.
    unsafe { suspend(fibers, Next::Program) }
}

/// Ends an idle fiber, if there are more than are kept; whether there were.
///
/// # Safety
///
/// `fibers` is valid, and the loop of an idle fiber returns when it finds that it is to end.
pub unsafe fn shed(fibers: *mut Fibers) -> bool {
    // SAFETY: as the contract says.
    unsafe {
        let Some(idle) = (*fibers).take_surplus() else {
            return false;
        };
        (*fibers).ending = true;
        match (*fibers).current {
            Some(_) => suspend(fibers, Next::AfterEnd(idle)),
            None => enter(fibers, idle),
        }
        (*fibers).ending = false;
    }
    true
}

unsafe fn suspend(fibers: *mut Fibers, next: Next) {
    // SAFETY: the running fiber has set its yielder.
    unsafe {
        let Some(current) = (*fibers).current else {
            return;
        };
        let yielder = (&(*fibers).all)[current as usize].yielder;
        (*yielder).suspend(next);
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        for fiber in &mut self.all {
            if let Some(coroutine) = &mut fiber.coroutine {
                // SAFETY: what is left on the stack is a loop, which owns nothing, or C
                // frames of Lua, which the end of the Lua state makes meaningless.
                unsafe { coroutine.force_reset() };
            }
        }
    }
}
