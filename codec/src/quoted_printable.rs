//! Quoted-printable (RFC 2045), both ways, piece by piece.

use crate::Output;
use crate::block::{Block, SIZE, copy_until};
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
            match is_plain(c) {
                true => out.push(c),
                false => quote(c, out),
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
        let line = &text[i..];
        let line = &line[..memchr::memchr(b'\r', line).unwrap_or(line.len())];
        let end = i + line.len();
        // A blank is decided by the two bytes behind it.
        let blank = usize::from(line.last().is_some_and(|&c| is_blank(c)));
        match text[end..] {
            [] => {
                let before = line.len() >= 2 && is_blank(line[line.len() - 2]);
                let held = if before { 2 } else { blank };
                escape(&line[..line.len() - held], out);
                return end - held;
            }
            [b'\r'] => {
                escape(&line[..line.len() - blank], out);
                return end - blank;
            }
            [b'\r', b'\n', ..] => {
                escape(line, out);
                if blank > 0 {
                    out.truncate(out.len() - 1);
                    quote(line[line.len() - 1], out);
                }
                out.extend(marker);
                i = end + 2;
            }
            _ => {
                escape(line, out);
                quote(b'\r', out);
                i = end + 1;
            }
        }
    }
}

/// Appends `text` with blanks as they are, and each other byte plain or quoted.
///
/// Four bytes are written for each, of which one or three count: no branch
/// depends on what they are.
fn escape(text: &[u8], out: &mut Output) {
    for piece in text.chunks(1024) {
        let spare = out.spare(3 * piece.len() + 4);
        let mut length = 0;
        for &c in piece {
            let written = ENCODED[usize::from(c)];
            if let Some(place) = spare[length..].first_chunk_mut() {
                *place = written.to_le_bytes();
            }
            length += (written >> 24) as usize;
        }
        out.advance(length);
    }
}

fn quote(c: u8, out: &mut Output) {
    out.extend(&[b'=', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
}

/// Decodes `text` as far as it can be decided; returns how far that is.
fn decode(text: &[u8], out: &mut Output) -> usize {
    let mut i = 0;
    loop {
        let rest = &text[i..];
        let length = copy_until(rest, out.spare(rest.len() + SIZE), is_special);
        out.advance(length);
        let stop = i + length;
        // Where the blanks at the end of what was copied begin.
        let kept = out.len() - blanks_at_end(&text[i..stop]);
        match text[stop..] {
            [] | [b'\r'] => {
                let end = stop - (out.len() - kept);
                out.truncate(kept);
                return end;
            }
            [b'\r', b'\n', ..] => {
                out.truncate(kept);
                out.extend(b"\r\n");
                i = stop + 2;
            }
            [b'\n', ..] => {
                out.truncate(kept);
                out.push(b'\n');
                i = stop + 1;
            }
            [b'=', ref behind @ ..] => match unescape(behind, out) {
                Some(length) => i = stop + 1 + length,
                None => return stop,
            },
            [_, ..] => i = stop + 1,
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

/// How many blanks stand at the end of `run`.
fn blanks_at_end(run: &[u8]) -> usize {
    let blanks = run.iter().rev().take(MAX_BLANKS);
    blanks.take_while(|&&c| is_blank(c)).count()
}

/// What the decoder does not simply copy: controls but for TAB, and `=`.
#[inline(always)]
fn is_special(block: Block) -> u32 {
    block.is_up_to(31) & !block.is(b'\t') | block.is(127) | block.is(b'=')
}

const fn is_plain(c: u8) -> bool {
    matches!(c, 33..=60 | 62..=126)
}

const fn is_blank(c: u8) -> bool {
    matches!(c, b'\t' | b' ')
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Each byte as the encoder writes it, plain or quoted, with its length in the
/// highest byte. Blanks are plain here.
const ENCODED: [u32; 256] = {
    let mut encoded = [0; 256];
    let mut c = 0;
    while c < 256 {
        encoded[c] = match is_plain(c as u8) || is_blank(c as u8) {
            true => u32::from_le_bytes([c as u8, 0, 0, 1]),
            false => u32::from_le_bytes([b'=', HEX[c >> 4], HEX[c & 15], 3]),
        };
        c += 1;
    }
    encoded
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
