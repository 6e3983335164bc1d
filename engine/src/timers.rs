//! Deadlines of many waiters, set, changed and cleared without visible cost: most are cleared
//! long before they come.
//!
//! A binary heap that knows where each waiter stands in it. A deadline that is cleared, or put
//! off, stays there: what has become of it is looked at when it comes. So a waiter that sets one
//! for each of its waits moves in the heap once in the time that one lasts.

use std::time::Instant;

/// Who has a deadline. Small numbers: there is a place for each.
pub type Waiter = u32;

/// Deadlines.
#[derive(Default)]
pub struct Timers {
    /// Invariant: a heap by instant, smallest first.
    heap: Vec<(Instant, Waiter)>,
    /// By waiter.
    all: Vec<Timer>,
    /// How many waiters have a deadline.
    running: usize,
}

#[derive(Clone, Copy)]
struct Timer {
    /// The deadline, if there is one.
    at: Option<Instant>,
    /// Invariant: when the waiter stands in the heap, the instant there, which is not later
    /// than its deadline.
    alarm: Option<Instant>,
    /// Invariant: where it stands.
    place: u32,
}

const NONE: Timer = Timer {
    at: None,
    alarm: None,
    place: 0,
};

/// What has become of an alarm.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// The deadline of this waiter has come, and is cleared.
    Come(Waiter),
    /// The deadline was put off, or cleared.
    PutOff,
}

impl Timers {
    /// Sets the deadline of `waiter`, or clears it.
    pub fn set(&mut self, waiter: Waiter, at: Option<Instant>) {
        if waiter as usize >= self.all.len() {
            if at.is_none() {
                return;
            }
            self.all.resize(waiter as usize + 1, NONE);
        }
        let timer = &mut self.all[waiter as usize];
        let before = std::mem::replace(&mut timer.at, at);
        self.running += usize::from(at.is_some());
        self.running -= usize::from(before.is_some());
        let Some(at) = at else {
            return;
        };
        match timer.alarm {
            Some(alarm) if alarm <= at => {}
            Some(_) => {
                let place = timer.place as usize;
                timer.alarm = Some(at);
                self.heap[place].0 = at;
                self.up(place);
            }
            None => self.push(at, waiter),
        }
    }

    /// An instant before which no deadline comes.
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// The nearest deadline.
    pub fn nearest(&mut self) -> Option<Instant> {
        loop {
            let (alarm, waiter) = *self.heap.first()?;
            match self.all[waiter as usize].at {
                Some(at) if at == alarm => return Some(at),
                at => self.put_off(at),
            }
        }
    }

    /// What has become of the alarm that came first, if it has come at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let (alarm, waiter) = *self.heap.first()?;
        if alarm > now {
            return None;
        }
        match self.all[waiter as usize].at {
            Some(at) if at <= now => {
                self.set(waiter, None);
                self.put_off(None);
                Some(Due::Come(waiter))
            }
            at => {
                self.put_off(at);
                Some(Due::PutOff)
            }
        }
    }

    /// How many deadlines there are.
    pub fn len(&self) -> usize {
        self.running
    }

    /// Whether there is nothing to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Moves the first waiter in the heap to `at`, or takes it out.
    fn put_off(&mut self, at: Option<Instant>) {
        let waiter = self.heap[0].1;
        self.all[waiter as usize].alarm = at;
        match at {
            Some(at) => self.heap[0].0 = at,
            None => {
                self.heap.swap_remove(0);
                if self.heap.is_empty() {
                    return;
                }
            }
        }
        self.down(0);
    }

    fn push(&mut self, at: Instant, waiter: Waiter) {
        self.all[waiter as usize].alarm = Some(at);
        self.heap.push((at, waiter));
        self.up(self.heap.len() - 1);
    }

    /// Lets the entry at `place` rise.
    fn up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        self.note(place);
    }

    /// Lets the entry at `place` sink.
    fn down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            for child in [left, right] {
                if child < self.heap.len() && self.heap[child].0 < self.heap[least].0 {
                    least = child;
                }
            }
            if least == place {
                break;
            }
            self.swap(place, least);
            place = least;
        }
        self.note(place);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, place: usize) {
        let (_, waiter) = self.heap[place];
        self.all[waiter as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_come_in_order_whatever_was_changed() {
        let start = Instant::now();
        let at = |n: u64| start + Duration::from_millis(n);
        let mut timers = Timers::default();
        let mut naive = vec![None; 50];
        let mut seed = 12345u64;
        let mut now = start;
        for step in 0..20_000 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let (waiter, n) = ((seed >> 33) as usize % 50, (seed >> 40) % 1000);
            let deadline = (n % 3 > 0).then(|| at(step / 10 + n));
            timers.set(waiter as Waiter, deadline);
            naive[waiter] = deadline;
            let nearest = naive.iter().flatten().min().copied();
            assert!(
                timers
                    .next()
                    .is_none_or(|next| nearest.is_none_or(|at| next <= at))
            );
            assert_eq!(timers.len(), naive.iter().flatten().count());
            if n % 7 == 0 {
                assert_eq!(timers.nearest(), nearest);
            }
            now = now.max(at(step / 10));
            while let Some(due) = timers.due(now) {
                if let Due::Come(waiter) = due {
                    let due = naive[waiter as usize].take().expect("it had a deadline");
                    assert!(due <= now);
                }
            }
            assert!(naive.iter().flatten().all(|at| *at > now));
            assert!(timers.heap.len() <= 50);
        }
        let mut last = now;
        while let Some(nearest) = timers.nearest() {
            assert!(nearest >= last);
            last = nearest;
            assert!(matches!(timers.due(nearest), Some(Due::Come(_))));
        }
        assert!(timers.is_empty());
        assert_eq!(timers.len(), 0);
    }
}
