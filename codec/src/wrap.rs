//! Breaking lines at a given length.

use crate::Output;

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
        out.spare(input.len() + input.len() / 32);
        while let Some(stop) = memchr::memchr2(b'\r', b'\n', input) {
            self.feed_line(&input[..stop], out);
            if input[stop] == b'\n' {
                out.extend(b"\r\n");
                self.left = self.length;
            }
            input = &input[stop + 1..];
        }
        self.feed_line(input, out);
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

    /// Breaks a piece without line ends.
    fn feed_line(&mut self, mut line: &[u8], out: &mut Output) {
        while !line.is_empty() {
            if self.left <= 0 {
                out.extend(b"\r\n");
                self.left = self.length;
            }
            let taken = room(self.left).min(line.len());
            out.extend(&line[..taken]);
            self.left = self.left.saturating_sub(taken as i64);
            line = &line[taken..];
        }
    }
}

impl SoftWrapper {
    /// Breaks the next piece.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        while let Some(stop) = memchr::memchr3(b'=', b'\r', b'\n', input) {
            self.feed_plain(&input[..stop], out);
            match input[stop] {
                b'=' => self.feed_escape(out),
                b'\n' => {
                    out.extend(b"\r\n");
                    self.left = self.length;
                }
                _ => {}
            }
            input = &input[stop + 1..];
        }
        self.feed_plain(input, out);
    }

    /// Ends the open line with a soft break. Returns whether there was one.
    pub fn finish(&mut self, out: &mut Output) -> bool {
        let open = self.left < self.length;
        if open {
            out.extend(SOFT_BREAK);
        }
        self.left = self.length;
        open
    }

    /// Writes a `=`; an escape needs two more places, the soft break one.
    fn feed_escape(&mut self, out: &mut Output) {
        if self.left <= 3 {
            out.extend(SOFT_BREAK);
            self.left = self.length;
        }
        out.push(b'=');
        self.left = self.left.saturating_sub(1);
    }

    fn feed_plain(&mut self, mut line: &[u8], out: &mut Output) {
        while !line.is_empty() {
            if self.left <= 1 {
                out.extend(SOFT_BREAK);
                self.left = self.length;
            }
            let taken = room(self.left.saturating_sub(1)).min(line.len());
            out.extend(&line[..taken]);
            self.left = self.left.saturating_sub(taken as i64);
            line = &line[taken..];
        }
    }
}

const SOFT_BREAK: &[u8] = b"=\r\n";

/// At least one byte is written after every break.
fn room(left: i64) -> usize {
    usize::try_from(left).unwrap_or(0).max(1)
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
