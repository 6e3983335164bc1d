//! Breaking lines at a given length.

use crate::Output;
use crate::block::{Block, SIZE, copy_until};

/// Breaks text into lines of `length` bytes. Drops CR, writes CR LF for LF.
///
/// Counts bytes and knows nothing of words. A length below 1 acts as 1.
#[derive(Clone, Copy, Debug)]
pub struct Wrapper {
    /// How many bytes the current line still takes.
    pub left: i64,
    /// How many bytes a line takes.
    pub length: i64,
}

/// Breaks quoted-printable text with soft line breaks, which never fall into an
/// escape. A line holds `length` bytes, the `=` of its soft break among them.
#[derive(Clone, Copy, Debug)]
pub struct SoftWrapper {
    /// As in [`Wrapper`].
    pub left: i64,
    /// As in [`Wrapper`].
    pub length: i64,
}

impl Wrapper {
    /// Breaks the next piece.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        while !input.is_empty() {
            let stop = copy_up_to(self.left, input, out, is_end);
            self.left -= stop as i64;
            input = &input[stop..];
            input = match *input {
                [b'\r', b'\n', ref rest @ ..] | [b'\n', ref rest @ ..] => {
                    self.end_line(out);
                    rest
                }
                [b'\r', ref rest @ ..] => rest,
                [] => return,
                [c, ref rest @ ..] => {
                    self.end_line(out);
                    if self.left > 0 {
                        continue;
                    }
                    // At least one byte goes behind every break.
                    out.push(c);
                    self.left = self.left.saturating_sub(1);
                    rest
                }
            };
        }
    }

    /// Ends the open line. Returns whether there was one.
    pub fn finish(&mut self, out: &mut Output) -> bool {
        let open = self.left < self.length;
        if open {
            out.extend(b"\r\n");
        }
        self.left = self.length;
        open
    }

    fn end_line(&mut self, out: &mut Output) {
        out.extend(b"\r\n");
        self.left = self.length;
    }
}

impl SoftWrapper {
    /// Breaks the next piece.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        while !input.is_empty() {
            // The soft break needs one place.
            let room = self.left.saturating_sub(1);
            let stop = copy_up_to(room, input, out, |block| is_end(block) | block.is(b'='));
            self.left -= stop as i64;
            input = &input[stop..];
            input = match *input {
                [b'\r', b'\n', ref rest @ ..] | [b'\n', ref rest @ ..] => {
                    out.extend(b"\r\n");
                    self.left = self.length;
                    rest
                }
                [b'\r', ref rest @ ..] => rest,
                [] => return,
                [b'=', ref rest @ ..] => {
                    // An escape has two more characters.
                    if self.left <= 3 {
                        self.break_line(out);
                    }
                    self.push(b'=', out);
                    rest
                }
                [c, ref rest @ ..] => {
                    self.break_line(out);
                    if self.left > 1 {
                        continue;
                    }
                    // At least one byte goes behind every break.
                    self.push(c, out);
                    rest
                }
            };
        }
    }

    /// Ends the open line with a soft break. Returns whether there was one.
    pub fn finish(&mut self, out: &mut Output) -> bool {
        let open = self.left < self.length;
        if open {
            out.extend(b"=\r\n");
        }
        self.left = self.length;
        open
    }

    fn break_line(&mut self, out: &mut Output) {
        out.extend(b"=\r\n");
        self.left = self.length;
    }

    fn push(&mut self, c: u8, out: &mut Output) {
        out.push(c);
        self.left = self.left.saturating_sub(1);
    }
}

/// Appends the start of `input`: `room` bytes, or less if one of them `stops`.
/// Returns how many.
#[inline]
fn copy_up_to(room: i64, input: &[u8], out: &mut Output, stops: impl Fn(Block) -> u32) -> usize {
    let Ok(room @ 1..) = usize::try_from(room) else {
        return 0;
    };
    // Whole blocks are faster, and what is copied too much is overwritten.
    let near = room.saturating_add(SIZE - 1) / SIZE * SIZE;
    let near = &input[..input.len().min(near)];
    let stop = copy_until(near, out.spare(near.len() + SIZE), stops).min(room);
    out.advance(stop);
    stop
}

fn is_end(block: Block) -> u32 {
    block.is(b'\r') | block.is(b'\n')
}

/// Against the naive twins, in pieces.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let length = i64::from(option as i8);
    let left = length - (seed & 3) as i64;
    let mut wrapper = Wrapper { left, length };
    let mut soft = SoftWrapper { left, length };
    let (mut out, mut soft_out) = (Output::new(), Output::new());
    for piece in naive::pieces(input, seed) {
        wrapper.feed(piece, &mut out);
        soft.feed(piece, &mut soft_out);
    }
    assert_eq!((out.take(), wrapper.left), naive::wrp(left, input, length));
    assert_eq!(
        (soft_out.take(), soft.left),
        naive::qpwrp(left, input, length)
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extreme_lengths() {
        for (left, length) in [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX), (0, i64::MIN)] {
            let mut out = Output::new();
            Wrapper { left, length }.feed(b"ab=41\nc", &mut out);
            SoftWrapper { left, length }.feed(b"ab=41\nc", &mut out);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }

        #[test]
        fn lines(data in "[ -~]{3}[a=\r\n]{0,300}") {
            fuzz(data.as_bytes());
        }
    }
}
