//! Quoted-printable (RFC 2045), both ways, piece by piece.

use crate::Output;
use crate::carry::Carry;

/// Encodes text whose lines end in CR LF. Does not break lines.
///
/// A blank is quoted only where a line ends behind it, so the last two bytes of
/// a piece may have to wait.
pub struct Encoder<'m> {
    marker: &'m [u8],
    carry: Carry<6>,
}

impl<'m> Encoder<'m> {
    /// An encoder at the start of its data, which writes `marker` for CR LF.
    pub const fn new(marker: &'m [u8]) -> Self {
        Self {
            marker,
            carry: Carry::new(),
        }
    }

    /// Encodes all bytes that can be decided.
    pub fn feed(&mut self, input: &[u8], out: &mut Output) {
        let marker = self.marker;
        self.carry.feed(input, |text| encode(text, marker, out));
    }

    /// Encodes what was held back, and a soft line break behind it.
    pub fn finish(&mut self, out: &mut Output) {
        let held = self.carry.take();
        for &c in held.as_slice() {
            match CLASSES[c as usize] {
                PLAIN => out.push(c),
                _ => quote(c, out),
            }
        }
        if !held.as_slice().is_empty() {
            out.extend(b"=\r\n");
        }
    }

    /// The bytes that wait for more.
    pub fn carry(&self) -> &[u8] {
        self.carry.as_slice()
    }
}

/// Decodes, leniently.
///
/// Passes bytes from 128 up and bare line feeds through, drops other controls
/// (a lone CR among them). `=` and a line end, also with blanks between, joins
/// lines; any other `=` without two hexadecimal digits is copied with the two
/// bytes behind it. Blanks at the end of a line go, up to [`MAX_BLANKS`].
pub struct Decoder {
    carry: Carry<{ 2 * (MAX_BLANKS + 3) }>,
}

impl Decoder {
    /// A decoder at the start of its data.
    pub const fn new() -> Self {
        Self {
            carry: Carry::new(),
        }
    }

    /// Decodes all bytes that can be decided.
    pub fn feed(&mut self, input: &[u8], out: &mut Output) {
        self.carry.feed(input, |text| decode(text, out));
    }

    /// Decodes what was held back. `=` at the very end stays; an escape or a
    /// line end cut short goes.
    pub fn finish(&mut self, out: &mut Output) {
        match self.carry.take().as_slice() {
            [b'=', rest @ ..] if rest.iter().all(|&c| is_blank(c)) => out.push(b'='),
            [b'=', ..] => {}
            [blanks @ .., b'\r'] | blanks => out.extend(blanks),
        }
    }

    /// The bytes that wait for more.
    pub fn carry(&self) -> &[u8] {
        self.carry.as_slice()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// So many blanks before a line end are taken for padding. An encoded line has
/// no more than 76 characters.
pub const MAX_BLANKS: usize = 76;

/// Encodes `text` as far as it can be decided; returns how far that is.
fn encode(text: &[u8], marker: &[u8], out: &mut Output) -> usize {
    let mut i = 0;
    loop {
        let run = &text[i..];
        let stop = i + run
            .iter()
            .position(|&c| CLASSES[c as usize] >= CR)
            .unwrap_or(run.len());
        // A blank is decided by the two bytes behind it.
        let blank = stop > i && is_blank(text[stop - 1]);
        match text[stop..] {
            [] => {
                let before = stop >= i + 2 && is_blank(text[stop - 2]);
                let end = stop - if before { 2 } else { usize::from(blank) };
                out.extend(&text[i..end]);
                return end;
            }
            [_] if blank => {
                out.extend(&text[i..stop - 1]);
                return stop - 1;
            }
            [b'\r'] => {
                out.extend(&text[i..stop]);
                return stop;
            }
            [b'\r', b'\n', ..] => {
                out.extend(&text[i..stop - usize::from(blank)]);
                if blank {
                    quote(text[stop - 1], out);
                }
                out.extend(marker);
                i = stop + 2;
            }
            [c, ..] => {
                out.extend(&text[i..stop]);
                quote(c, out);
                i = stop + 1;
            }
        }
    }
}

fn quote(c: u8, out: &mut Output) {
    out.extend(&[b'=', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
}

/// Decodes `text` as far as it can be decided; returns how far that is.
fn decode(text: &[u8], out: &mut Output) -> usize {
    let mut i = 0;
    loop {
        let run = &text[i..];
        let run = &run[..run
            .iter()
            .position(|&c| DROPS[c as usize])
            .unwrap_or(run.len())];
        let stop = i + run.len();
        match text[stop..] {
            [] | [b'\r'] => {
                let kept = without_blanks(run);
                out.extend(kept);
                return i + kept.len();
            }
            [b'\r', b'\n', ..] => {
                out.extend(without_blanks(run));
                out.extend(b"\r\n");
                i = stop + 2;
            }
            [b'\n', ..] => {
                out.extend(without_blanks(run));
                out.push(b'\n');
                i = stop + 1;
            }
            [b'=', ref rest @ ..] => {
                out.extend(run);
                match unescape(rest, out) {
                    Some(length) => i = stop + 1 + length,
                    None => return stop,
                }
            }
            [_, ..] => {
                out.extend(run);
                i = stop + 1;
            }
        }
    }
}

/// Decodes what stands behind a `=` and returns its length, or nothing if it
/// cannot be decided.
fn unescape(rest: &[u8], out: &mut Output) -> Option<usize> {
    if let [a, b, ..] = *rest {
        let (high, low) = (DIGITS[a as usize], DIGITS[b as usize]);
        if high | low < 16 {
            out.push(high << 4 | low);
            return Some(2);
        }
    }
    let blanks = rest
        .iter()
        .take(MAX_BLANKS)
        .take_while(|&&c| is_blank(c))
        .count();
    match rest[blanks..] {
        [b'\n', ..] => Some(blanks + 1),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [] | [b'\r'] => None,
        _ if rest.len() < 2 => None,
        _ => {
            out.extend(&[b'=', rest[0], rest[1]]);
            Some(2)
        }
    }
}

/// `run` without the blanks at its end.
fn without_blanks(run: &[u8]) -> &[u8] {
    let blanks = run
        .iter()
        .rev()
        .take(MAX_BLANKS)
        .take_while(|&&c| is_blank(c))
        .count();
    &run[..run.len() - blanks]
}

fn is_blank(c: u8) -> bool {
    matches!(c, b'\t' | b' ')
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Classes of bytes for the encoder.
const PLAIN: u8 = 0;
const BLANK: u8 = 1;
const CR: u8 = 2;
const QUOTED: u8 = 3;

const CLASSES: [u8; 256] = {
    let mut classes = [QUOTED; 256];
    let mut c = 33;
    while c < 127 {
        classes[c] = PLAIN;
        c += 1;
    }
    classes[b'=' as usize] = QUOTED;
    classes[b'\t' as usize] = BLANK;
    classes[b' ' as usize] = BLANK;
    classes[b'\r' as usize] = CR;
    classes
};

/// What the decoder does not simply copy.
const DROPS: [bool; 256] = {
    let mut drops = [false; 256];
    let mut c = 0;
    while c < 32 {
        drops[c] = c != b'\t' as usize;
        c += 1;
    }
    drops[127] = true;
    drops[b'=' as usize] = true;
    drops
};

/// The value of each hexadecimal digit of either case; 255 for all else.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut i = 0;
    while i < 16 {
        digits[HEX[i] as usize] = i as u8;
        digits[HEX[i].to_ascii_lowercase() as usize] = i as u8;
        i += 1;
    }
    digits
};

/// Both ways, against the naive twins, in pieces; and there and back.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let marker: &[u8] = if option & 1 == 0 { b"\r\n" } else { b"=0D=0A" };
    let mut encoder = Encoder::new(marker);
    let mut text = Output::new();
    for piece in naive::pieces(input, seed) {
        encoder.feed(piece, &mut text);
    }
    assert_eq!(
        (text.as_slice().to_vec(), encoder.carry().to_vec()),
        naive::qp(input, marker)
    );
    encoder.finish(&mut text);

    let mut decoder = Decoder::new();
    let mut back = Output::new();
    for piece in naive::pieces(text.as_slice(), seed >> 1) {
        decoder.feed(piece, &mut back);
    }
    decoder.finish(&mut back);
    assert_eq!(back.as_slice(), input);

    let mut decoder = Decoder::new();
    let mut out = Output::new();
    for piece in naive::pieces(input, seed) {
        decoder.feed(piece, &mut out);
    }
    assert_eq!(
        (out.as_slice().to_vec(), decoder.carry().to_vec()),
        naive::unqp(input)
    );
    decoder.finish(&mut out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(input: &[u8]) -> Vec<u8> {
        let mut out = Output::new();
        let mut decoder = Decoder::new();
        decoder.feed(input, &mut out);
        decoder.finish(&mut out);
        out.take()
    }

    #[test]
    fn decoder() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"=e9=E9", b"\xe9\xe9"),
            (b"a=eG=Zz", b"a=eG=Zz"),
            (b"==41", b"==41"),
            (b"a=\r\nb", b"ab"),
            (b"a=\nb", b"ab"),
            (b"a = \t\r\nb", b"a b"),
            (b"a= b", b"a= b"),
            (b"a \t\r\nb \nc ", b"a\r\nb\nc "),
            (b"a=20\r\n", b"a \r\n"),
            (b"\rab", b"ab"),
            (b"\r\r\n", b"\r\n"),
            (b"\x00\x01\x7f\x80\xff\t", b"\x80\xff\t"),
            (b"=00", b"\0"),
            (b"a=", b"a="),
            (b"a= ", b"a="),
            (b"a=4", b"a"),
            (b"a=\r", b"a"),
            (b"a \r", b"a "),
        ];
        for &(input, output) in cases {
            assert_eq!(decode_all(input), output, "{input:?}");
        }
    }

    #[test]
    fn many_blanks() {
        let blanks = " ".repeat(MAX_BLANKS);
        assert_eq!(decode_all(format!("a{blanks}\r\n").as_bytes()), b"a\r\n");
        assert_eq!(decode_all(format!("a {blanks}\r\n").as_bytes()), b"a \r\n");
        assert_eq!(decode_all(format!("a={blanks}\r\nb").as_bytes()), b"ab");
        let mut decoder = Decoder::new();
        let mut out = Output::new();
        for _ in 0..1000 {
            decoder.feed(b" ", &mut out);
            assert!(decoder.carry().len() <= MAX_BLANKS);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }

        #[test]
        fn nearly_text(data in "[a-f4= \t\r\n\u{e9}]{0,300}| {70,90}=? {70,90}\r?\n?[a= ]{0,3}") {
            fuzz(data.as_bytes());
        }
    }
}
