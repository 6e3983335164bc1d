//! The bytes between the kernel and a result.
//!
//! The buffer is also the place where a long result grows: what a call needs is
//! read behind what is there, and given to Lua from here in one piece. So a byte
//! is copied once on its way up. An idle object holds no memory: an emptied block
//! goes back to a small stock of the thread, from which the next read takes it.

use std::cell::RefCell;

/// Size of a block, and of a typical read ahead.
pub const BLOCK: usize = 64 * 1024;

/// Received bytes that nobody has taken yet.
#[derive(Default)]
pub struct Buffer {
    /// Invariant: `start <= bytes.len()`; empty means `start == bytes.len() == 0`
    /// and no capacity held.
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// An empty buffer, without memory.
    pub const fn new() -> Buffer {
        Buffer {
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// What was received and not taken.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// As [`Buffer::unread`], to edit in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// How much that is.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// Takes the first `n` unread bytes away. The last one gives the memory back.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.bytes.len());
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.start = 0;
        stock::give(std::mem::take(&mut self.bytes));
    }

    /// The memory of the unread bytes, if there are just `len` of them, at its
    /// beginning, with room for one more, and not much more memory than bytes. The
    /// buffer is empty afterwards.
    pub fn take_if_only(&mut self, len: usize) -> Option<Vec<u8>> {
        if self.start != 0 || self.bytes.len() != len {
            return None;
        }
        if self.bytes.capacity() / 2 > len {
            self.bytes.shrink_to(len + 1);
        }
        self.bytes.try_reserve_exact(1).ok()?;
        Some(std::mem::take(&mut self.bytes))
    }

    /// Undoes [`Buffer::take_if_only`], before anything else has come.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.is_empty());
        self.clear();
        self.bytes = bytes;
    }

    /// Lets `recv` append behind the unread bytes, and returns what it returns.
    ///
    /// It gets a vector with spare capacity for at least one byte, and for as much
    /// as makes a read worth its system call, and must only append to it. `want`
    /// is how many bytes the caller still misses (`usize::MAX`: unknown); a large
    /// want makes a large block, but grows with what has really come, so a peer
    /// cannot make us reserve what it does not send. `None` when memory is lacking.
    pub fn fill<T>(&mut self, want: usize, recv: impl FnOnce(&mut Vec<u8>) -> T) -> Option<T> {
        self.fill_ahead(want, BLOCK, recv)
    }

    /// As [`Buffer::fill`], with a block of `ahead` bytes at least.
    pub fn fill_ahead<T>(
        &mut self,
        want: usize,
        ahead: usize,
        recv: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Option<T> {
        if self.bytes.capacity() < ahead {
            if self.bytes.capacity() == 0 && !stock::put_into(&mut self.bytes) {
                return None;
            }
            let more = ahead.saturating_sub(self.bytes.len());
            self.bytes.try_reserve_exact(more).ok()?;
        }
        if self.spare() < want.min(BLOCK / 4) {
            self.compact();
        }
        if self.spare() < want.min(BLOCK / 4) {
            let grow = want.min(self.bytes.len().max(BLOCK));
            self.bytes.try_reserve(grow).ok()?;
        }
        let outcome = recv(&mut self.bytes);
        if self.is_empty() {
            self.clear();
        }
        Some(outcome)
    }

    /// As [`Buffer::fill`], for what comes in one piece of up to `size` bytes: all of
    /// them are reserved before.
    pub fn fill_whole<T>(
        &mut self,
        size: usize,
        recv: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Option<T> {
        if self.bytes.capacity() == 0 && !stock::put_into(&mut self.bytes) {
            return None;
        }
        self.bytes.try_reserve_exact(size).ok()?;
        Some(recv(&mut self.bytes))
    }

    /// Drops what lies behind the first `len` unread bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start + len);
    }

    fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Blocks that are not in use, for each thread. Bounded, so at most some hundred
/// kilobytes stay with a thread that once received something.
pub(crate) mod stock {
    use super::*;

    const KEEP: usize = 4;
    const LARGE: usize = 2 * 1024 * 1024;

    thread_local! {
        static BLOCKS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    /// A block, unless memory is lacking.
    pub fn take() -> Option<Vec<u8>> {
        let mut block = Vec::new();
        put_into(&mut block).then_some(block)
    }

    /// Gives a block to `place`, which has none; whether there was memory. Moved straight
    /// from place to place: a read of what has just been written in other portions takes
    /// some processors as long as all the rest.
    #[inline]
    pub fn put_into(place: &mut Vec<u8>) -> bool {
        let kept = BLOCKS.try_with(|blocks| match blocks.borrow_mut().pop() {
            Some(block) => {
                *place = block;
                true
            }
            None => false,
        });
        kept == Ok(true) || place.try_reserve_exact(BLOCK).is_ok()
    }

    #[inline]
    pub fn give(mut block: Vec<u8>) {
        if block.capacity() < BLOCK || block.capacity() > LARGE {
            return;
        }
        block.clear();
        // No stock while the thread ends: the block is simply freed.
        let _ = BLOCKS.try_with(|blocks| {
            let mut blocks = blocks.borrow_mut();
            if blocks.len() < KEEP {
                blocks.push(block);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer
            .fill(bytes.len(), |block| block.extend_from_slice(bytes))
            .expect("memory");
    }

    #[test]
    fn gives_back_what_was_put_in_order() {
        let mut buffer = Buffer::new();
        let mut expected = Vec::new();
        for i in 0..2000usize {
            let piece = vec![i as u8; i % 700];
            put(&mut buffer, &piece);
            expected.extend_from_slice(&piece);
            let take = (i * 7 % 600).min(buffer.len());
            assert_eq!(buffer.unread()[..take], expected[..take]);
            buffer.consume(take);
            expected.drain(..take);
        }
        assert_eq!(buffer.unread(), expected);
    }

    #[test]
    fn an_emptied_buffer_holds_no_memory() {
        let mut buffer = Buffer::new();
        put(&mut buffer, b"abc");
        buffer.consume(3);
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
