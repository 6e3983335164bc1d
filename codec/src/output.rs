use std::mem;

/// A growing buffer of bytes that is made once and used for many results.
///
/// Unlike a `Vec<u8>`, it keeps all of its memory initialised, so that a codec
/// can write into [`spare`](Self::spare) by index, without `unsafe` and without
/// clearing the same bytes again at every call.
#[derive(Default)]
pub struct Output {
    /// Invariant: `bytes[..len]` is the result; what follows is old junk.
    bytes: Vec<u8>,
    len: usize,
}

impl Output {
    /// An empty buffer. Does not allocate.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            len: 0,
        }
    }

    /// What has been written since the last [`clear`](Self::clear).
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The number of bytes written.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the contents, keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Shortens the contents to their first `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// [`clear`](Self::clear)s, and gives memory back beyond `limit` bytes.
    #[inline]
    pub fn reset(&mut self, limit: usize) {
        self.len = 0;
        if self.bytes.len() > limit {
            self.bytes = Vec::new();
        }
    }

    /// At least `room` bytes to write to; [`advance`](Self::advance) makes what
    /// was written part of the contents.
    #[inline]
    pub fn spare(&mut self, room: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < room {
            self.grow(room);
        }
        &mut self.bytes[self.len..]
    }

    /// Adds the first `count` bytes of the spare part to the contents.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.bytes.len() - self.len);
        self.len = (self.len + count).min(self.bytes.len());
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Makes the letters of ASCII small.
    pub fn make_lowercase(&mut self) {
        self.bytes[..self.len].make_ascii_lowercase();
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.spare(1)[0] = byte;
        self.len += 1;
    }

    /// Takes the contents out, as a `Vec`.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = mem::take(&mut self.bytes);
        bytes.truncate(mem::take(&mut self.len));
        bytes
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, room: usize) {
        let wanted = self.len + room;
        let size = wanted.max(self.bytes.len() * 2).max(MIN_SIZE);
        self.bytes.resize(size, 0);
    }
}

/// The first allocation; most results of stream filters fit.
const MIN_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_keeps_and_gives_back() {
        let mut out = Output::new();
        assert!(out.is_empty());
        out.extend(b"abc");
        out.spare(2)[..2].copy_from_slice(b"de");
        out.advance(2);
        out.push(b'f');
        assert_eq!(out.as_slice(), b"abcdef");
        out.truncate(2);
        assert_eq!(out.as_slice(), b"ab");
        out.reset(MIN_SIZE);
        assert!(out.is_empty());
        assert_eq!(out.bytes.len(), MIN_SIZE);
        out.extend(&[7; 3 * MIN_SIZE]);
        assert_eq!(out.len(), 3 * MIN_SIZE);
        assert_eq!(out.take(), [7; 3 * MIN_SIZE]);
        assert!(out.as_slice().is_empty());
        out.extend(&[7; 3 * MIN_SIZE]);
        out.reset(MIN_SIZE);
        assert_eq!(out.bytes.len(), 0);
    }
}
