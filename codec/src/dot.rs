//! The dots that SMTP puts before lines that begin with one (RFC 5321, 4.5.2).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::Output;

/// Puts a dot before each dot that begins a line.
#[derive(Clone, Copy, Debug)]
pub struct Stuffer {
    seen: i64,
}

/// Takes the dot off each line that begins with one.
#[derive(Clone, Copy, Debug)]
pub struct Unstuffer {
    seen: i64,
}

impl Stuffer {
    /// A stuffer that has just seen so many bytes of CR LF. Data begins with 2.
    pub const fn new(seen: i64) -> Self {
        Self { seen }
    }

    /// So many bytes of CR LF have just been seen.
    pub const fn seen(&self) -> i64 {
        self.seen
    }

    /// Stuffs the next piece.
    pub fn feed(&mut self, input: &[u8], out: &mut Output) {
        let mut copied = 0;
        each_first_dot(self.seen, input, |place| {
            out.extend(&input[copied..=place]);
            copied = place;
        });
        out.extend(&input[copied..]);
        self.seen = seen_after(self.seen, input);
    }
}

impl Unstuffer {
    /// An unstuffer that has just seen so many bytes of CR LF. Data begins with 2.
    pub const fn new(seen: i64) -> Self {
        Self { seen }
    }

    /// So many bytes of CR LF have just been seen.
    pub const fn seen(&self) -> i64 {
        self.seen
    }

    /// Unstuffs the next piece.
    pub fn feed(&mut self, input: &[u8], out: &mut Output) {
        let mut copied = 0;
        each_first_dot(self.seen, input, |place| {
            out.extend(&input[copied..place]);
            copied = place + 1;
        });
        out.extend(&input[copied..]);
        self.seen = seen_after(self.seen, input);
    }
}

/// Calls `found` with the place of each dot that begins a line.
fn each_first_dot(seen: i64, input: &[u8], mut found: impl FnMut(usize)) {
    /// Made once: a search that does not start is most of the work on short pieces.
    static LINE_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

    match (seen, input) {
        (2, [b'.', ..]) => found(0),
        (1, [b'\n', b'.', ..]) => found(1),
        _ => {}
    }
    for place in LINE_DOT.find_iter(input) {
        found(place + 2);
    }
}

/// How many bytes of CR LF stand at the end of `input`.
fn seen_after(seen: i64, input: &[u8]) -> i64 {
    match (seen, input) {
        (_, []) => seen,
        (_, [.., b'\r', b'\n']) | (1, [b'\n']) => 2,
        (_, [.., b'\r']) => 1,
        _ => 0,
    }
}

/// Against the naive twin, in pieces; and there and back.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let seen = i64::from(option & 3);
    let mut stuffer = Stuffer::new(seen);
    let mut out = Output::new();
    for piece in naive::pieces(input, seed) {
        stuffer.feed(piece, &mut out);
    }
    assert_eq!(
        (out.as_slice().to_vec(), stuffer.seen()),
        naive::dot(seen, input)
    );

    let mut unstuffer = Unstuffer::new(seen);
    let mut back = Output::new();
    for piece in naive::pieces(out.as_slice(), seed >> 1) {
        unstuffer.feed(piece, &mut back);
    }
    assert_eq!(back.as_slice(), input);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }

        #[test]
        fn dots(data in "[ -~]{3}[a.\r\n]{0,100}(\r\n\\.\\.?){0,9}") {
            fuzz(data.as_bytes());
        }
    }
}
