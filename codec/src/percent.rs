//! Percent encoding of URLs (RFC 3986, 2.1).

use crate::Output;

/// Which bytes stay as they are, and how the others are written.
pub struct Escaper {
    keep: [bool; 256],
    digits: &'static [u8; 16],
}

impl Escaper {
    /// Keeps letters, digits and `_`; writes lower-case digits. For one value in a query.
    pub const VALUE: Self = Self::new(b"_", b"0123456789abcdef");

    /// Keeps what a path segment may hold; writes upper-case digits.
    pub const SEGMENT: Self = Self::new(b"-_.!~*'():@&=+$,", b"0123456789ABCDEF");

    const fn new(marks: &[u8], digits: &'static [u8; 16]) -> Self {
        let mut keep = [false; 256];
        let mut c = 0;
        while c < 128 {
            keep[c] = (c as u8).is_ascii_alphanumeric();
            c += 1;
        }
        let mut i = 0;
        while i < marks.len() {
            keep[marks[i] as usize] = true;
            i += 1;
        }
        Self { keep, digits }
    }

    /// Appends `text`, escaped.
    pub fn escape(&self, mut text: &[u8], out: &mut Output) {
        while let Some(stop) = text.iter().position(|&c| !self.keep[usize::from(c)]) {
            let c = text[stop];
            out.extend(&text[..stop]);
            let (high, low) = (usize::from(c >> 4), usize::from(c & 15));
            out.extend(&[b'%', self.digits[high], self.digits[low]]);
            text = &text[stop + 1..];
        }
        out.extend(text);
    }
}

/// Appends `text` with each `%` and two hexadecimal digits turned into a byte.
/// Everything else stays, `+` included.
pub fn unescape(mut text: &[u8], out: &mut Output) {
    while let Some(stop) = memchr::memchr(b'%', text) {
        out.extend(&text[..stop]);
        let length = match hex(&text[stop + 1..]) {
            Some(byte) => {
                out.push(byte);
                3
            }
            None => {
                out.push(b'%');
                1
            }
        };
        text = &text[stop + length..];
    }
    out.extend(text);
}

/// The value of the two hexadecimal digits at the start of `text`.
fn hex(text: &[u8]) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16);
    let &[high, low, ..] = text else { return None };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// There and back, and nothing else than asked for.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(text: &[u8]) {
    for escaper in [Escaper::VALUE, Escaper::SEGMENT] {
        let mut escaped = Output::new();
        escaper.escape(text, &mut escaped);
        let marks = escaped.as_slice().iter().filter(|&&c| c == b'%').count();
        assert_eq!(escaped.len(), text.len() + 2 * marks);
        assert!(
            escaped
                .as_slice()
                .iter()
                .all(|&c| c == b'%' || escaper.keep[usize::from(c)])
        );
        let mut back = Output::new();
        unescape(escaped.as_slice(), &mut back);
        assert_eq!(back.as_slice(), text);
    }
    let mut out = Output::new();
    unescape(text, &mut out);
    assert!(out.len() <= text.len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescaped(text: &str) -> Vec<u8> {
        let mut out = Output::new();
        unescape(text.as_bytes(), &mut out);
        out.take()
    }

    #[test]
    fn unescape_leaves_what_is_no_escape() {
        assert_eq!(unescaped("a%20b+c%2F%2f%41"), b"a b+c//A");
        assert_eq!(unescaped("%zz%4%"), b"%zz%4%");
        assert_eq!(unescaped("%%41"), b"%A");
        assert_eq!(unescaped("%25%32%35"), b"%25");
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>) {
            fuzz(&text);
        }

        #[test]
        fn escapes(text in "[%0-9a-gA-G]{0,50}") {
            fuzz(text.as_bytes());
        }
    }
}
