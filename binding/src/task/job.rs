//! A parked operation, with what it needs to push its results later.

use std::ffi::c_int;
use std::mem::{MaybeUninit, needs_drop};
use std::ptr::NonNull;

use luasocket_engine::error::Error;
use luasocket_engine::event_loop::{Known, Parked, Since};
use luasocket_engine::operation::{Direction, Interest, Operation, Step};
use luasocket_engine::sys::Fd;
use luasocket_engine::sys::cache::prefetch;
use mlua_sys as lua;
use mlua_sys::lua_State;

use super::lost;
use super::suspend::Seal;
use crate::stack;
use crate::subject::{Finish, Subject};

/// What a task waits for.
pub enum Job {
    /// An operation.
    Operation(Held),
    /// To be woken by another task.
    Signal(Signal),
}

/// Where a task keeps the operation that it waits for: beside those of others, so that what many
/// tasks need lies in few pages of memory.
#[repr(align(64))]
pub struct Room {
    _bytes: MaybeUninit<[u8; 256]>,
}

impl Room {
    /// An empty one.
    pub const EMPTY: Room = Room {
        _bytes: MaybeUninit::uninit(),
    };
}

/// An operation in a room.
///
/// Invariant: the room lives as long, and nothing else was put into it.
pub struct Held(NonNull<dyn Typed>);

impl Held {
    #[inline(always)]
    fn get(&self) -> &dyn Typed {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn get_mut(&mut self) -> &mut dyn Typed {
        // SAFETY: the invariant.
        unsafe { self.0.as_mut() }
    }
}

/// Waiting to be woken by another task. It always comes back with a result, so that whoever
/// has stood in a line can leave it.
#[derive(Clone, Copy, PartialEq)]
pub enum Signal {
    /// It waits.
    Waiting,
    /// It waits, and cannot be interrupted.
    Shielded,
    /// It was woken.
    Woken,
    /// It has only let others run.
    Rested,
    /// It was interrupted.
    Interrupted,
}

impl Job {
    /// An operation that waits, and occupies its subject in `direction`, kept in `room`. What it
    /// works on lives as long as `seal` is unbroken.
    ///
    /// # Safety
    ///
    /// `room` lives as long as the job, and any former job in it is gone.
    pub unsafe fn new<S, O, C>(
        room: NonNull<Room>,
        seal: Seal,
        subject: *mut S,
        op: O,
        direction: Option<Direction>,
        finish: Finish<S, O::Output, C>,
        context: C,
    ) -> Job
    where
        S: Subject + 'static,
        O: Operation<S> + 'static,
        O::Output: Copy + 'static,
        C: Copy + 'static,
    {
        let mut kept = Kept {
            seal,
            subject,
            op,
            direction,
            finish,
            context,
            output: None,
        };
        kept.occupy(true);
        const {
            assert!(size_of::<Kept<S, O, C>>() <= size_of::<Room>());
            assert!(align_of::<Kept<S, O, C>>() <= align_of::<Room>());
            assert!(!needs_drop::<Kept<S, O, C>>());
        }
        let place = room.cast::<Kept<S, O, C>>();
        // SAFETY: it fits, and nobody uses what is there.
        unsafe { place.write(kept) };
        Job::Operation(Held(place))
    }

    /// Its subject is not occupied any more.
    pub fn release(&mut self) {
        if let Job::Operation(kept) = self {
            kept.get_mut().occupy(false);
        }
    }

    /// Its results are not wanted any more.
    pub fn abandon(&mut self) {
        if let Job::Operation(kept) = self {
            kept.get_mut().abandon();
        }
    }

    /// Has what it works on live as long as another seal is unbroken.
    pub fn seal(&mut self, seal: Seal) {
        if let Job::Operation(kept) = self {
            kept.get_mut().seal(seal);
        }
    }

    /// Pushes the results; may raise. Uses as many slots as an entry has.
    ///
    /// # Safety
    ///
    /// `l` is in protected mode, and what the operation works on is still alive.
    pub unsafe fn push(&mut self, l: *mut lua_State) -> c_int {
        // SAFETY: as the contract says.
        unsafe {
            match self {
                Job::Operation(kept) => kept.get_mut().push(l),
                Job::Signal(signal) => push_signal(l, *signal),
            }
        }
    }
}

/// Pushes what came of waiting: `true`, or `nil` and `"timeout"` or `"interrupted"`.
unsafe fn push_signal(l: *mut lua_State, signal: Signal) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        match signal {
            Signal::Woken => {
                lua::lua_pushboolean(l, 1);
                1
            }
            Signal::Rested => 0,
            Signal::Waiting | Signal::Shielded => stack::fail(l, Error::Timeout),
            Signal::Interrupted => {
                lua::lua_pushnil(l);
                stack::push_bytes(l, b"interrupted");
                2
            }
        }
    }
}

impl Parked for Job {
    fn step(&mut self, since: Since) -> bool {
        match self {
            Job::Operation(kept) => kept.get_mut().step(since),
            Job::Signal(signal) => *signal == Signal::Woken,
        }
    }

    fn interest(&mut self) -> (Interest<'_>, Known) {
        match self {
            Job::Operation(kept) => kept.get_mut().interest(),
            Job::Signal(_) => (Interest::Many(&mut [], None), Known::default()),
        }
    }

    fn watched(&mut self) {
        if let Job::Operation(kept) = self {
            kept.get_mut().watched();
        }
    }

    fn give_up(&mut self, why: Error) {
        if let Job::Operation(kept) = self {
            kept.get_mut().give_up(why);
        }
    }

    fn closing(&mut self, fd: Fd) {
        if let Job::Operation(kept) = self {
            kept.get_mut().closing(fd);
        }
    }

    #[inline]
    fn prefetch(&self) {
        if let Job::Operation(kept) = self {
            kept.get().prefetch();
        }
    }
}

/// An operation of any type.
pub trait Typed {
    /// See [`Parked::step`].
    fn step(&mut self, since: Since) -> bool;
    /// See [`Parked::interest`].
    fn interest(&mut self) -> (Interest<'_>, Known);
    /// See [`Parked::watched`].
    fn watched(&mut self);
    /// See [`Parked::give_up`].
    fn give_up(&mut self, why: Error);
    /// See [`Parked::closing`].
    fn closing(&mut self, fd: Fd);
    /// See [`Parked::prefetch`].
    fn prefetch(&self);
    /// Notes that its subject is occupied, or is not any more.
    fn occupy(&mut self, occupied: bool);
    /// See [`Job::abandon`].
    fn abandon(&mut self);
    /// See [`Job::seal`].
    fn seal(&mut self, seal: Seal);
    /// See [`Job::push`].
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn push(&mut self, l: *mut lua_State) -> c_int;
}

struct Kept<S, O: Operation<S>, C> {
    /// Whether the stack of the waiting task is still as the entry has left it.
    seal: Seal,
    /// Invariant: Lua owns it, and the stack of the waiting task keeps it, and what `op` points
    /// at, as long as `seal` is unbroken.
    subject: *mut S,
    op: O,
    direction: Option<Direction>,
    finish: Finish<S, O::Output, C>,
    context: C,
    output: Option<O::Output>,
}

impl<S, O: Operation<S>, C> Kept<S, O, C> {
    /// Whether what it works on may be gone, because the program has taken the coroutine of the
    /// task away from it.
    fn is_lost(&self) -> bool {
        // SAFETY: the task that waits keeps its thread.
        unsafe { self.seal.is_broken() }
    }
}

impl<S: Subject, O: Operation<S>, C> Kept<S, O, C> {
    fn note_edge(&mut self, since: Since) {
        // SAFETY: as in `step`.
        if let Some(socket) = unsafe { (*self.subject).socket() } {
            socket.edge.drained = false;
            socket.edge.hangup |= since == Since::Hangup;
        }
    }
}

impl<S, O, C> Typed for Kept<S, O, C>
where
    S: Subject,
    O: Operation<S>,
    O::Output: Copy,
    C: Copy,
{
    fn step(&mut self, since: Since) -> bool {
        if self.is_lost() {
            return true; // the task is found to have ended when it is to go on
        }
        if since != Since::Nothing {
            self.note_edge(since);
        }
        while self.output.is_none() {
            // SAFETY: the invariant of `subject`; the loop runs no Lua code meanwhile.
            match self.op.step(unsafe { &mut *self.subject }) {
                Step::Done(output) => self.output = Some(output),
                // An edge comes once: only when the kernel has said that there is nothing
                // will it tell when there is something.
                Step::Drained => {}
                Step::Wait => return false,
            }
        }
        true
    }

    fn interest(&mut self) -> (Interest<'_>, Known) {
        // SAFETY: the invariant of `subject`: this comes when the entry is left, or after `step`.
        let subject = unsafe { &mut *self.subject };
        let own = subject
            .socket()
            .map(|socket| (socket.fd(), socket.serial(), socket.edge.drained));
        let interest = self.op.interest(subject);
        let known = match (&interest, own) {
            (Interest::One(fd, direction), Some((own, serial, drained))) if *fd == own => Known {
                serial,
                unasked: drained && *direction == Direction::Read,
            },
            _ => Known::default(),
        };
        (interest, known)
    }

    fn watched(&mut self) {
        // SAFETY: as in `interest`.
        if let Some(socket) = unsafe { (*self.subject).socket() } {
            socket.edge.watched = true;
        }
    }

    fn give_up(&mut self, why: Error) {
        // SAFETY: as in `interest`.
        self.output = Some(self.op.give_up(unsafe { &mut *self.subject }, why));
    }

    fn closing(&mut self, fd: Fd) {
        if self.is_lost() {
            return;
        }
        // SAFETY: as in `step`.
        unsafe { (*self.subject).closing(fd) };
    }

    fn prefetch(&self) {
        prefetch(self.subject.cast_const());
        // What Lua knows of it lies before it.
        prefetch(self.subject.cast::<u8>().wrapping_sub(1));
    }

    fn occupy(&mut self, occupied: bool) {
        let Some(direction) = self.direction else {
            return;
        };
        if !occupied && self.is_lost() {
            return lost::add(self.subject.cast(), direction);
        }
        // SAFETY: as in `step`, or the entry is about to be left.
        if let Some(socket) = unsafe { (*self.subject).socket() } {
            socket.park(direction, occupied);
        }
        if occupied {
            lost::remove(self.subject.cast(), direction);
        }
    }

    fn abandon(&mut self) {
        if !self.is_lost() {
            // SAFETY: as in `step`.
            self.op.abandon(unsafe { &mut *self.subject });
        }
    }

    fn seal(&mut self, seal: Seal) {
        self.seal = seal;
    }

    unsafe fn push(&mut self, l: *mut lua_State) -> c_int {
        match self.output {
            // SAFETY: as the contract says.
            Some(output) => unsafe { (self.finish)(l, self.subject, output, self.context) },
            // Not pushed unless it is done.
            None => 0,
        }
    }
}
