//! What is known of descriptors: which are ready, who waits for that, and which were closed.

use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest as Interests, Poll, Token};

use crate::closings::Heard;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::operation::Direction;
use crate::sys::{self, Birth, Fd, PollFd};
use crate::timers::Waiter;

use super::Known;

/// One wait of an owner: no two waits of a loop share the ticket.
#[derive(Clone, Copy, PartialEq)]
pub struct Wait {
    pub owner: Waiter,
    pub ticket: NonZeroU64,
}

/// An edge of a descriptor; with `hangup`, there will be no other.
#[derive(Clone, Copy, PartialEq)]
pub struct Edge {
    pub fd: Fd,
    pub direction: Direction,
    pub hangup: bool,
}

/// What came of waiting for a descriptor.
pub enum Watched {
    /// It is waited for.
    Yes,
    /// It is, and was not before.
    Anew,
    /// It need not be: there was an edge already.
    Ready(Edge),
    /// It cannot be, because it is closed, or the system lacks memory, or it is of a kind
    /// that has no events.
    Not,
}

/// The kernel's side of a loop, and the descriptors that it is told of.
pub struct Readiness {
    /// Made when first needed.
    kernel: Option<Kernel>,
    events: Events,
    slots: Vec<Slot>,
    heard: Heard,
    /// Whether nothing is known any more, so that every operation must be looked at.
    lost: bool,
}

struct Kernel {
    poll: Poll,
    /// A forked child shares the set with its parent, and must not touch it.
    birth: Birth,
}

/// What is known of a descriptor number. In one line of the processor's cache.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    /// The descriptor in time that is registered; 0 if none is known to be.
    serial: u64,
    /// Who waits to read, and who to write. The wait may have ended otherwise since.
    first: [Option<Wait>; 2],
    /// Others that wait: there are seldom any.
    #[expect(clippy::box_collection, reason = "it is smaller")]
    more: Option<Box<Vec<(Direction, Wait)>>>,
    /// Whether there was an edge to read since somebody read.
    pending: bool,
    /// Whether the end of the stream was told.
    hangup: bool,
}

impl Readiness {
    /// Nothing is known yet.
    pub fn new() -> Readiness {
        Readiness {
            kernel: None,
            events: Events::with_capacity(512),
            slots: Vec::new(),
            heard: Heard::default(),
            lost: false,
        }
    }

    /// The descriptor of the set.
    pub fn fd(&mut self) -> Result<Fd> {
        self.open()?;
        let fd = |kernel: &Kernel| kernel.poll.as_raw_fd();
        Ok(self.kernel.as_ref().map_or(sys::INVALID, fd))
    }

    /// Makes sure that there is a set, and that it is this process's own.
    pub fn open(&mut self) -> Result<()> {
        match &self.kernel {
            Some(kernel) if kernel.is_ours() => Ok(()),
            _ => self.renew(),
        }
    }

    #[cold]
    fn renew(&mut self) -> Result<()> {
        let poll = Poll::new().map_err(io)?;
        let birth = Birth::new();
        if self.kernel.replace(Kernel { poll, birth }).is_some() {
            self.forget();
        }
        self.heard.listen(|_| {});
        Ok(())
    }

    fn forget(&mut self) {
        self.slots.clear();
        self.lost = true;
    }

    /// Whether every operation must be looked at; once.
    pub fn is_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Waits at most `timeout` (`None`: as long as it takes) for edges, and tells who waits for
    /// them.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut wake: impl FnMut(Wait, Edge),
    ) -> Result<()> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(());
        };
        match kernel.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(io(error)),
            Err(_) => self.events.clear(),
            Ok(()) => {}
        }
        for event in &self.events {
            let fd = event.token().0;
            if let Some(slot) = self.slots.get_mut(fd) {
                slot.on_event(fd as Fd, event, &mut wake);
            }
        }
        // Also where no wait was interrupted, because all tasks are busy.
        match interrupt::requested() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }

    /// Tells who waits for descriptors that were closed.
    pub fn hear(&mut self, mut closed: impl FnMut(Fd, Wait)) {
        let slots = &mut self.slots;
        let knows_all = self.heard.listen(|fd| {
            if let Some(slot) = slots.get_mut(fd as usize) {
                slot.serial = 0;
                slot.take(Direction::Read, |wait| closed(fd, wait));
                slot.take(Direction::Write, |wait| closed(fd, wait));
            }
        });
        if !knows_all {
            self.forget();
        }
    }

    /// Notes that `wait` is for `fd`.
    pub fn watch(&mut self, fd: Fd, known: Known, direction: Direction, wait: Wait) -> Watched {
        let Ok(number) = usize::try_from(fd) else {
            return Watched::Not;
        };
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, Slot::default);
        }
        let slot = &mut self.slots[number];
        if known.serial == 0 || slot.serial != known.serial {
            if !self.register(fd) {
                return Watched::Not;
            }
            let slot = &mut self.slots[number];
            (slot.serial, slot.pending, slot.hangup) = (known.serial, false, false);
            slot.add(direction, wait);
            return Watched::Anew;
        }
        if direction == Direction::Read {
            let hangup = slot.hangup;
            if known.unasked && (slot.pending || hangup) {
                return Watched::Ready(Edge {
                    fd,
                    direction,
                    hangup,
                });
            }
            slot.pending = false;
        }
        slot.add(direction, wait);
        Watched::Yes
    }

    /// Notes that `wait` is for all of `fds`, of which nothing is known.
    pub fn watch_all(&mut self, fds: &[PollFd], wait: Wait) -> Watched {
        let mut watched = Watched::Yes;
        for polled in fds.iter().filter(|polled| polled.fd() != sys::INVALID) {
            for direction in [Direction::Read, Direction::Write] {
                let wanted = polled.events() & direction.events() != 0;
                let known = Known::default();
                if wanted
                    && matches!(
                        self.watch(polled.fd(), known, direction, wait),
                        Watched::Not
                    )
                {
                    watched = Watched::Not;
                }
            }
        }
        watched
    }

    /// Registers `fd`, or again, which tells anew what is ready now.
    #[cold]
    fn register(&mut self, fd: Fd) -> bool {
        self.slots[fd as usize].serial = 0;
        if self.kernel.is_none() && self.open().is_err() {
            return false;
        }
        match &self.kernel {
            Some(kernel) if kernel.is_ours() => kernel.register(fd),
            // The next turn begins with another one.
            _ => false,
        }
    }

    /// Notes that whoever was told of `edge` looks now.
    #[inline]
    pub fn seen(&mut self, edge: Edge) {
        if edge.direction == Direction::Read
            && let Some(slot) = self.slots.get_mut(edge.fd as usize)
        {
            slot.pending = false;
        }
    }
}

impl Kernel {
    fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }

    fn register(&self, fd: Fd) -> bool {
        let registry = self.poll.registry();
        let (both, token) = (
            Interests::READABLE | Interests::WRITABLE,
            Token(fd as usize),
        );
        match registry.register(&mut SourceFd(&fd), token, both) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                registry.reregister(&mut SourceFd(&fd), token, both).is_ok()
            }
            registered => registered.is_ok(),
        }
    }
}

impl Slot {
    #[inline]
    fn on_event(&mut self, fd: Fd, event: &mio::event::Event, wake: &mut impl FnMut(Wait, Edge)) {
        let failed = event.is_error();
        let read_closed = event.is_read_closed();
        self.hangup |= failed || read_closed;
        let hangup = self.hangup;
        let mut tell = |direction| {
            if !self.is_awaited(direction) {
                return;
            }
            self.take(direction, |wait| {
                let edge = Edge {
                    fd,
                    direction,
                    hangup,
                };
                wake(wait, edge);
            });
        };
        let read = failed || read_closed || event.is_readable();
        if read {
            tell(Direction::Read);
        }
        if failed || event.is_writable() || event.is_write_closed() {
            tell(Direction::Write);
        }
        self.pending |= read;
    }

    #[inline]
    fn add(&mut self, direction: Direction, wait: Wait) {
        let first = &mut self.first[direction as usize];
        if first.is_none_or(|first| first.owner == wait.owner) {
            *first = Some(wait);
        } else {
            self.add_more(direction, wait);
        }
    }

    #[cold]
    fn add_more(&mut self, direction: Direction, wait: Wait) {
        let more = self.more.get_or_insert_default();
        match more
            .iter_mut()
            .find(|(other, known)| *other == direction && known.owner == wait.owner)
        {
            Some((_, known)) => *known = wait,
            None => more.push((direction, wait)),
        }
    }

    /// Whether somebody may wait in `direction`. Most edges tell that one can write, too, and seldom
    /// anybody waits for that.
    #[inline(always)]
    fn is_awaited(&self, direction: Direction) -> bool {
        self.first[direction as usize].is_some() || self.more.is_some()
    }

    /// Tells all who wait in `direction`, and forgets them.
    #[inline]
    fn take(&mut self, direction: Direction, mut tell: impl FnMut(Wait)) {
        if let Some(first) = self.first[direction as usize].take() {
            tell(first);
        }
        if let Some(more) = &mut self.more {
            more.retain(|&(other, wait)| {
                if other == direction {
                    tell(wait);
                }
                other != direction
            });
        }
    }
}

fn io(error: std::io::Error) -> Error {
    Error::Os(error.raw_os_error().unwrap_or(sys::EINVAL))
}
