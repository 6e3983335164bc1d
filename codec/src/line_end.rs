//! Line ends of all kinds, made one.

use crate::Output;
use crate::block::{Block, SIZE, copy_until};

/// Writes a marker for each line end: CR, LF, CR LF or LF CR.
#[derive(Clone, Copy, Debug)]
pub struct Normalizer<'m> {
    marker: &'m [u8],
    /// A CR or LF that has been answered, and may have a partner; else 0.
    candidate: u8,
}

impl<'m> Normalizer<'m> {
    /// A normalizer whose previous byte was `candidate`, if that is CR or LF
    /// and had no partner yet.
    pub const fn new(candidate: u8, marker: &'m [u8]) -> Self {
        Self { marker, candidate }
    }

    /// What the next piece is to begin with.
    pub const fn candidate(&self) -> u8 {
        self.candidate
    }

    /// Converts the next piece.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        while !input.is_empty() {
            let stop = copy_until(input, out.spare(input.len() + SIZE), is_end);
            if stop > 0 {
                out.advance(stop);
                self.candidate = 0;
            }
            let Some(&c) = input.get(stop) else { return };
            input = &input[stop + 1..];
            if self.end_line(c) {
                self.write_marker(out);
            }
            // The usual pair at once.
            if self.candidate == b'\r' && input.first() == Some(&b'\n') {
                self.candidate = 0;
                input = &input[1..];
            }
        }
    }

    /// Whether `c` begins a line end, rather than being the partner of the byte before.
    fn end_line(&mut self, c: u8) -> bool {
        let paired = matches!(self.candidate, b'\r' | b'\n');
        let begins = !paired || c == self.candidate;
        self.candidate = if paired { 0 } else { c };
        begins
    }

    /// Appends the marker; nearly always two bytes, which is one store.
    fn write_marker(&self, out: &mut Output) {
        match self.marker {
            [a, b] => out.extend(&[*a, *b]),
            marker => out.extend(marker),
        }
    }
}

fn is_end(block: Block) -> u32 {
    block.is(b'\r') | block.is(b'\n')
}

/// Against the naive twin, in pieces.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let marker: &[u8] = if option & 1 == 0 { b"\r\n" } else { b"" };
    let candidate = [0, b'\r', b'\n', b'x'][usize::from(option >> 1 & 3)];
    let mut normalizer = Normalizer::new(candidate, marker);
    let mut out = Output::new();
    for piece in naive::pieces(input, seed) {
        normalizer.feed(piece, &mut out);
    }
    let (expected, state) = naive::eol(candidate, input, marker);
    assert_eq!((out.take(), normalizer.candidate()), (expected, state));
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
        fn lines(data in "[ -~]{3}[a\r\n]{0,300}") {
            fuzz(data.as_bytes());
        }
    }
}
