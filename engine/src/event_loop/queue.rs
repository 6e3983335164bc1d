//! A queue of which one can see what comes next.

/// First in, first out, in one piece.
pub struct Queue<T> {
    items: Vec<T>,
    /// Those before are gone.
    first: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            items: Vec::new(),
            first: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Adds an item at the end.
    #[inline]
    pub fn push(&mut self, item: T) {
        // Not before half of it is gone: so an item is moved once, on average.
        if self.items.len() == self.items.capacity() && self.first > self.items.len() / 2 {
            self.items.drain(..std::mem::take(&mut self.first));
        }
        self.items.push(item);
    }

    /// All items, the next first.
    #[inline]
    pub fn ahead(&self) -> &[T] {
        &self.items[self.first..]
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len() - self.first
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Copy> Queue<T> {
    /// The next item, taken out.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let item = self.ahead().first().copied()?;
        self.first += 1;
        if self.first == self.items.len() {
            self.items.clear();
            self.first = 0;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::Queue;

    proptest! {
        /// Pushes and pops in any order give what a deque gives.
        #[test]
        fn is_a_queue(pushes in prop::collection::vec(any::<bool>(), 0..400)) {
            let (mut queue, mut model) = (Queue::default(), VecDeque::new());
            for (number, push) in pushes.into_iter().enumerate() {
                if push {
                    queue.push(number);
                    model.push_back(number);
                } else {
                    prop_assert_eq!(queue.pop(), model.pop_front());
                }
                prop_assert_eq!(queue.ahead(), model.make_contiguous());
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}
