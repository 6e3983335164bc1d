//! Deadlines of many waiters: set, changed and cleared in O(log n), without allocation
//! once there was room for as many.
//!
//! A binary heap that knows where each waiter stands in it.

use std::time::Instant;

/// Who has a deadline. Small numbers: there is a place for each.
pub type Waiter = u32;

/// Deadlines.
#[derive(Default)]
pub struct Timers {
    /// Invariant: a heap by instant, smallest first.
    heap: Vec<(Instant, Waiter)>,
    /// Invariant: `place[w]` is where waiter `w` stands in the heap, or `NOWHERE`.
    place: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Timers {
    /// Sets the deadline of `waiter`, or clears it.
    pub fn set(&mut self, waiter: Waiter, at: Option<Instant>) {
        if waiter as usize >= self.place.len() {
            if at.is_none() {
                return;
            }
            self.place.resize(waiter as usize + 1, NOWHERE);
        }
        match (self.place[waiter as usize], at) {
            (NOWHERE, None) => {}
            (NOWHERE, Some(at)) => {
                self.heap.push((at, waiter));
                self.up(self.heap.len() - 1);
            }
            (place, None) => self.remove(place as usize),
            (place, Some(at)) => {
                self.heap[place as usize].0 = at;
                let place = self.up(place as usize);
                self.down(place);
            }
        }
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes out a waiter whose deadline has come at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Waiter> {
        let (at, waiter) = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(0);
        Some(waiter)
    }

    /// How many deadlines there are.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn remove(&mut self, place: usize) {
        let (_, waiter) = self.heap.swap_remove(place);
        self.place[waiter as usize] = NOWHERE;
        if place < self.heap.len() {
            let place = self.up(place);
            self.down(place);
        }
    }

    /// Lets the entry at `place` rise; where it comes to stand.
    fn up(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        self.note(place);
        place
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
        self.place[waiter as usize] = place as u32;
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
        for _ in 0..5000 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let (waiter, n) = ((seed >> 33) as usize % 50, (seed >> 40) % 1000);
            let deadline = (n % 3 > 0).then(|| at(n));
            timers.set(waiter as Waiter, deadline);
            naive[waiter] = deadline;
            assert_eq!(timers.next(), naive.iter().flatten().min().copied());
        }
        let mut last = start;
        while let Some(waiter) = timers.due(at(1000)) {
            let due = naive[waiter as usize].take().expect("it had a deadline");
            assert!(due >= last);
            last = due;
        }
        assert!(naive.iter().all(Option::is_none));
        assert!(timers.is_empty());
    }
}
