//! Asking the kernel: for how long, and what is seen to before.

use std::time::{Duration, Instant};

use luasocket_engine::error::Result;
use luasocket_engine::timers::Waiter;

use super::scheduler::{BATCH, Next, Order, Scheduler};
use super::suspend;

/// After how many turns, or which time without an event, tasks are looked for that are lost.
const MANY: usize = 1024;
const A_WHILE: Duration = Duration::from_secs(1);

/// How long to wait for the kernel; `None` to go back to the program.
pub fn plan(scheduler: &mut Scheduler) -> Option<Option<Duration>> {
    let stops = matches!(scheduler.order, Order::Stop | Order::Last);
    if stops || scheduler.fibers.is_ending() {
        return None;
    }
    let idle = scheduler.can_run() == 0 && scheduler.is_asleep();
    if idle && (scheduler.is_over() || !find_lost(scheduler)) {
        return None;
    }
    let more = scheduler.can_run() > 0;
    match scheduler.order {
        Order::RunAll if scheduler.is_over() => None,
        Order::Turn(wait) => {
            scheduler.order = Order::Last;
            Some(if more { Some(Duration::ZERO) } else { wait })
        }
        _ => Some(more.then_some(Duration::ZERO)),
    }
}

/// One turn of the events. In between, tasks are looked for that are lost: when much has
/// happened since, and when nothing has for a while.
pub fn turn(scheduler: &mut Scheduler, wait: Option<Duration>) -> Result<()> {
    scheduler.turns += 1;
    if scheduler.turns > MANY.max(8 * scheduler.size()) && find_lost(scheduler) {
        return scheduler.events.turn(Some(Duration::ZERO));
    }
    if !suspend::CAN_BE_LOST || wait.is_some_and(|wait| wait <= A_WHILE) {
        return scheduler.events.turn(wait);
    }
    let begin = wait.map(|_| Instant::now());
    scheduler.events.turn(Some(A_WHILE))?;
    if scheduler.can_run() > 0 || find_lost(scheduler) {
        return Ok(());
    }
    let passed = begin.map_or(Duration::ZERO, |begin| begin.elapsed());
    scheduler
        .events
        .turn(wait.map(|wait| wait.saturating_sub(passed)))
}

/// Whether the loop would do nothing now but ask the kernel.
#[inline]
pub fn may_stay(scheduler: &Scheduler) -> bool {
    scheduler.can_run() == 0
        && scheduler.order == Order::RunAll
        && scheduler.untold.is_empty()
        && !scheduler.fibers.has_surplus()
}

/// Asks the kernel before the running task, which waits and [may stay](may_stay), has left its
/// entry; whether its wait is over. A task that is alone waits as cheaply as a program without
/// tasks.
pub fn stay(scheduler: &mut Scheduler, id: Waiter) -> bool {
    let Some(wait) = plan(scheduler) else {
        return false;
    };
    let turned = turn(scheduler, wait);
    scheduler.quota = BATCH;
    if turned.is_err() {
        // For the loop, as if it had asked.
        (scheduler.outcome, scheduler.order) = (turned, Order::Stop);
        return false;
    }
    match scheduler.next() {
        Some(next) if next == id => true,
        Some(next) => {
            scheduler.retry(next);
            false
        }
        None => false,
    }
}

/// Ends the waits of tasks that are lost; whether there were any.
fn find_lost(scheduler: &mut Scheduler) -> bool {
    scheduler.turns = 0;
    if !suspend::CAN_BE_LOST {
        return false;
    }
    let mut found = false;
    for id in 0..scheduler.size() as Waiter {
        // SAFETY: no task runs, but for one that has not left its entry.
        if scheduler.current != Some(id) && unsafe { is_lost(scheduler, id) } {
            scheduler.abandon(id);
            found = true;
        }
    }
    found
}

/// Whether the program has closed or resumed the coroutine of a waiting task.
///
/// # Safety
///
/// `id` is or was a task of the scheduler.
pub unsafe fn is_lost(scheduler: &mut Scheduler, id: Waiter) -> bool {
    let task = scheduler.task(id);
    let yielded = matches!(task.next, Next::Parked) && task.fiber.is_none();
    // SAFETY: a task that waits keeps its thread.
    suspend::CAN_BE_LOST && yielded && unsafe { !suspend::is_left(task.thread) }
}
