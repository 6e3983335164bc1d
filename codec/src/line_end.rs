//! Line ends of all kinds, made one.

use crate::Output;

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
        while let Some(stop) = memchr::memchr2(b'\r', b'\n', input) {
            if stop > 0 {
                out.extend(&input[..stop]);
                self.candidate = 0;
            }
            self.end_line(input[stop], out);
            input = &input[stop + 1..];
        }
        if !input.is_empty() {
            out.extend(input);
            self.candidate = 0;
        }
    }

    fn end_line(&mut self, c: u8, out: &mut Output) {
        let paired = matches!(self.candidate, b'\r' | b'\n');
        if !paired || c == self.candidate {
            out.extend(self.marker);
        }
        self.candidate = if paired { 0 } else { c };
    }
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
