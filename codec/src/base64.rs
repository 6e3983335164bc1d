//! Base64 (RFC 4648), both ways, piece by piece.
//!
//! The bulk goes through a SIMD engine in one piece. Around it stands a small
//! machine that takes one character at a time: it completes a group begun in
//! the previous piece, and steps over whatever the engine refuses.

use base64_turbo::{Engine, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::Output;

/// Which characters stand for 62 and 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// `+` and `/`.
    #[default]
    Standard,
    /// `-` and `_`. When encoding, without padding; a decoder understands `+`
    /// and `/` as well.
    UrlSafe,
}

impl Alphabet {
    const fn engine(self) -> Engine {
        match self {
            Self::Standard => STANDARD_NO_PAD,
            Self::UrlSafe => URL_SAFE_NO_PAD,
        }
    }

    /// Whether `c` is one of its digits.
    fn has(self, c: u8) -> bool {
        match c {
            b'+' | b'/' => self == Self::Standard,
            b'-' | b'_' => self == Self::UrlSafe,
            _ => VALUES[usize::from(c)] != NONE,
        }
    }
}

/// Encodes; holds back up to two bytes that do not fill a group.
#[derive(Default)]
pub struct Encoder {
    alphabet: Alphabet,
    carry: [u8; 3],
    held: usize,
}

impl Encoder {
    /// An encoder at the start of its data.
    pub const fn new(alphabet: Alphabet) -> Self {
        Self {
            alphabet,
            carry: [0; 3],
            held: 0,
        }
    }

    /// Encodes all whole groups of three bytes.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        if self.held > 0 {
            let taken = input.len().min(3 - self.held);
            self.carry[self.held..self.held + taken].copy_from_slice(&input[..taken]);
            self.held += taken;
            input = &input[taken..];
            if self.held < 3 {
                return;
            }
            let group = self.carry;
            encode(self.alphabet, &group, out);
        }
        let whole = input.len() / 3 * 3;
        encode(self.alphabet, &input[..whole], out);
        self.held = input.len() - whole;
        self.carry[..self.held].copy_from_slice(&input[whole..]);
    }

    /// Encodes what was held back, with padding.
    pub fn finish(&mut self, out: &mut Output) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            encode(self.alphabet, &self.carry[..held], out);
            if self.alphabet == Alphabet::Standard {
                out.extend(&b"=="[..3 - held]);
            }
        }
    }

    /// The bytes that wait for more.
    pub fn carry(&self) -> &[u8] {
        &self.carry[..self.held]
    }
}

/// Decodes; holds back up to three characters of an incomplete group.
///
/// Characters that are neither digits nor `=` are skipped. `=` counts as a digit
/// of value 0; a group keeps one byte if its third character is `=`, else two if
/// its fourth is, else three. Decoding goes on after padding. An incomplete last
/// group gives the bytes it has in full.
///
/// A *strict* decoder skips nothing but white space, wants padding, and nothing
/// behind it.
#[derive(Default)]
pub struct Decoder {
    alphabet: Alphabet,
    strict: bool,
    /// Only of a strict decoder: the padding has been seen.
    ended: bool,
    carry: [u8; 4],
    held: usize,
}

/// The input of a strict decoder is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Decoder {
    /// A decoder at the start of its data.
    pub const fn new(alphabet: Alphabet, strict: bool) -> Self {
        Self {
            alphabet,
            strict,
            ended: false,
            carry: [0; 4],
            held: 0,
        }
    }

    /// Takes the [`carry`](Self::carry) of another decoder. Any other bytes are
    /// decoded like input.
    pub fn resume(&mut self, carry: &[u8], out: &mut Output) -> Result<(), Malformed> {
        if self.strict && carry == PADDED {
            self.ended = true;
            return Ok(());
        }
        self.feed(carry, out)
    }

    /// Decodes all whole groups. Only a strict decoder fails.
    pub fn feed(&mut self, input: &[u8], out: &mut Output) -> Result<(), Malformed> {
        // Only a guess: whatever is skipped wrongly or copied in vain is sorted
        // out by `feed_solid`.
        let head = &input[..input.len().min(LONG_LINE)];
        match memchr::memchr2(b'\r', b'\n', head) {
            None => self.feed_solid(input, out),
            Some(_) => self.feed_lines(input, out),
        }
    }

    /// Decodes the last, incomplete group.
    pub fn finish(&mut self, out: &mut Output) -> Result<(), Malformed> {
        let held = std::mem::take(&mut self.held);
        if self.strict && held > 0 {
            return Err(Malformed);
        }
        let digits = self.carry[..held]
            .iter()
            .take_while(|&&c| c != b'=')
            .count();
        if digits >= 2 {
            self.carry[digits..].fill(b'=');
            self.group(out);
        }
        Ok(())
    }

    /// The characters that wait for more.
    pub fn carry(&self) -> &[u8] {
        if self.ended {
            PADDED
        } else {
            &self.carry[..self.held]
        }
    }

    /// Decodes text in lines: copies them together in blocks without their
    /// ends. A line is expected to be as long as the one before it, which saves
    /// looking for its end; if it is not, an end in its midst is skipped later.
    fn feed_lines(&mut self, mut input: &[u8], out: &mut Output) -> Result<(), Malformed> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        let mut length = 0;
        while !input.is_empty() {
            if !ends_at(input, length) {
                length = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
            }
            let taken = length.min(BLOCK - filled);
            block[filled..filled + taken].copy_from_slice(&input[..taken]);
            filled += taken;
            if filled == BLOCK {
                self.feed_solid(&block, out)?;
                filled = 0;
            }
            let rest = &input[taken..];
            input = match taken == length {
                true => rest
                    .strip_prefix(b"\r\n")
                    .unwrap_or(rest.get(1..).unwrap_or(rest)),
                false => rest,
            };
        }
        self.feed_solid(&block[..filled], out)
    }

    /// Decodes text in which line ends are rare.
    fn feed_solid(&mut self, mut input: &[u8], out: &mut Output) -> Result<(), Malformed> {
        loop {
            while self.held > 0 || self.ended {
                input = self.feed_group(input, out)?;
                if input.is_empty() {
                    return Ok(());
                }
            }
            let whole = input.len() / 4 * 4;
            let clean = match decode(self.alphabet, &input[..whole], out) {
                Ok(()) => whole,
                Err(place) => {
                    let clean = place / 4 * 4;
                    let _ = decode(self.alphabet, &input[..clean], out);
                    clean
                }
            };
            input = self.feed_group(&input[clean..], out)?;
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes characters until a group is complete; returns the rest.
    fn feed_group<'a>(&mut self, input: &'a [u8], out: &mut Output) -> Result<&'a [u8], Malformed> {
        for (i, &c) in input.iter().enumerate() {
            if !self.is_digit(c) {
                if self.strict && !matches!(c, b'\t' | b'\n' | b'\r' | b' ') {
                    return Err(Malformed);
                }
                continue;
            }
            if self.strict && !self.may_follow(c) {
                return Err(Malformed);
            }
            self.carry[self.held] = c;
            self.held += 1;
            if self.held == 4 {
                self.held = 0;
                self.ended = self.strict && c == b'=';
                self.group(out);
                return Ok(&input[i + 1..]);
            }
        }
        Ok(&[])
    }

    fn is_digit(&self, c: u8) -> bool {
        match VALUES[c as usize] {
            NONE => c == b'=',
            _ => self.alphabet == Alphabet::UrlSafe || !matches!(c, b'-' | b'_'),
        }
    }

    /// Whether `c` continues the group properly.
    fn may_follow(&self, c: u8) -> bool {
        match c {
            _ if self.ended => false,
            b'=' => self.held >= 2,
            _ => self.held < 3 || self.carry[2] != b'=',
        }
    }

    /// Decodes the four characters in `carry`.
    fn group(&self, out: &mut Output) {
        let mut bits = 0;
        for &c in &self.carry {
            // `=` has the value 0.
            bits = (bits << 6) + u32::from(VALUES[c as usize] & 63) * u32::from(c != b'=');
        }
        let kept = match self.carry {
            [_, _, b'=', _] => 1,
            [_, _, _, b'='] => 2,
            _ => 3,
        };
        out.extend(&bits.to_be_bytes()[1..=kept]);
    }
}

/// The carry of a strict decoder that has seen the padding.
const PADDED: &[u8] = b"=";

fn encode(alphabet: Alphabet, input: &[u8], out: &mut Output) {
    let engine = alphabet.engine();
    let written = engine.encode_slice(input, out.spare(engine.encoded_len(input.len())));
    // There is room for all of it.
    out.advance(written.unwrap_or(0));
}

/// Decodes whole groups of four digits. If there is something else among them,
/// writes nothing and returns its place.
fn decode(alphabet: Alphabet, input: &[u8], out: &mut Output) -> Result<(), usize> {
    let engine = alphabet.engine();
    match engine.decode_slice(input, out.spare(engine.decoded_len_estimate(input.len()))) {
        Ok(written) => {
            out.advance(written);
            Ok(())
        }
        Err(_) => Err(input.iter().position(|&c| !alphabet.has(c)).unwrap_or(0)),
    }
}

/// Whether a line end begins at `length`.
fn ends_at(input: &[u8], length: usize) -> bool {
    matches!(input.get(length), Some(b'\r' | b'\n'))
}

/// A line longer than this is not worth being copied.
const LONG_LINE: usize = 128;

/// How many characters of lines are put together; whole groups.
const BLOCK: usize = 1024;

const NONE: u8 = 255;

/// The value of each digit of either alphabet.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut i = 0;
    while i < 26 {
        values[b'A' as usize + i] = i as u8;
        values[b'a' as usize + i] = i as u8 + 26;
        i += 1;
    }
    i = 0;
    while i < 10 {
        values[b'0' as usize + i] = i as u8 + 52;
        i += 1;
    }
    values[b'+' as usize] = 62;
    values[b'-' as usize] = 62;
    values[b'/' as usize] = 63;
    values[b'_' as usize] = 63;
    values
};

/// Both ways, against the naive twins, in pieces; and there and back.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let mut encoder = Encoder::default();
    let mut text = Output::new();
    for piece in naive::pieces(input, seed) {
        encoder.feed(piece, &mut text);
    }
    assert_eq!(
        (text.as_slice().to_vec(), encoder.carry().to_vec()),
        naive::b64(input)
    );
    encoder.finish(&mut text);

    for strict in [false, true] {
        let mut decoder = Decoder::new(Alphabet::Standard, strict);
        let mut back = Output::new();
        for piece in naive::pieces(text.as_slice(), seed >> 1) {
            assert_eq!(decoder.feed(piece, &mut back), Ok(()));
        }
        assert_eq!(decoder.finish(&mut back), Ok(()));
        assert_eq!(back.as_slice(), input);
    }

    let mut decoder = Decoder::default();
    let mut out = Output::new();
    for piece in naive::pieces(input, seed) {
        assert_eq!(decoder.feed(piece, &mut out), Ok(()));
    }
    assert_eq!(
        (out.as_slice().to_vec(), decoder.carry().to_vec()),
        naive::unb64(input)
    );
    assert_eq!(decoder.finish(&mut out), Ok(()));

    fuzz_cuts(seed, option, input);
}

/// The other kinds of decoders: the cuts must not show, nor the way a strict
/// one is resumed.
#[cfg(any(test, feature = "fuzz"))]
fn fuzz_cuts(seed: u64, option: u8, input: &[u8]) {
    let alphabet = if option & 1 == 0 {
        Alphabet::Standard
    } else {
        Alphabet::UrlSafe
    };
    let strict = option & 2 == 0;
    let mut whole = Output::new();
    let mut decoder = Decoder::new(alphabet, strict);
    let result = decoder
        .feed(input, &mut whole)
        .and_then(|()| decoder.finish(&mut whole));
    let mut cut = Output::new();
    let mut decoder = Decoder::new(alphabet, strict);
    let mut pieces = crate::naive::pieces(input, seed);
    let cut_result = pieces
        .try_for_each(|piece| {
            let carry = decoder.carry().to_vec();
            decoder = Decoder::new(alphabet, strict);
            decoder.resume(&carry, &mut cut)?;
            decoder.feed(piece, &mut cut)
        })
        .and_then(|()| decoder.finish(&mut cut));
    assert_eq!(result, cut_result);
    if result.is_ok() {
        assert_eq!(whole.as_slice(), cut.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(alphabet: Alphabet, strict: bool, input: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Output::new();
        let mut decoder = Decoder::new(alphabet, strict);
        decoder.feed(input, &mut out)?;
        decoder.finish(&mut out)?;
        Ok(out.take())
    }

    #[test]
    fn lenient() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"YQ==", b"a"),
            (b"YQ", b"a"),
            (b"YQ=", b"a"),
            (b"YWI", b"ab"),
            (b"YWJjZ", b"abc"),
            (b"YWJj=", b"abc"),
            (b"YWJj==", b"abc"),
            (b"YQ==YQ==", b"aa"),
            (b"====", b"\0"),
            (b"=WJj", b"\x01bc"),
            (b"YW=j", b"a"),
            (b" Y W\r\nJ*j", b"abc"),
            (b"-_-_", b""),
        ];
        for &(input, output) in cases {
            assert_eq!(
                decode_all(Alphabet::Standard, false, input).as_deref(),
                Ok(output),
                "{input:?}"
            );
        }
        assert_eq!(
            decode_all(Alphabet::UrlSafe, false, b"-_+/"),
            Ok(vec![0xfb, 0xff, 0xbf])
        );
    }

    #[test]
    fn strict() {
        let strict = |input| decode_all(Alphabet::Standard, true, input);
        assert_eq!(strict(b" YW\r\nI=\t\n"), Ok(b"ab".to_vec()));
        for bad in [
            &b"YQ"[..],
            b"YQ=",
            b"YWJjZ",
            b"YQ==YQ==",
            b"YQ=a",
            b"=",
            b"Y===",
            b"YW*I",
            b"YWI==",
        ] {
            assert_eq!(strict(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn url_safe() {
        let mut out = Output::new();
        let mut encoder = Encoder::new(Alphabet::UrlSafe);
        encoder.feed(&[0xfb, 0xff, 0xbf, 0xff], &mut out);
        encoder.finish(&mut out);
        assert_eq!(out.as_slice(), b"-_-__w");
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }

        #[test]
        fn nearly_base64(data in "[A-Za-z0-9+/]{0,300}[=\r\n *]{0,3}[A-Za-z0-9+/=\r\n_-]{0,200}") {
            fuzz(data.as_bytes());
        }

        #[test]
        fn lines(lines in prop::collection::vec("[A-Z]{60,64}\r?\n|[A-Z]{64}\r\n", 0..40)) {
            fuzz(lines.concat().as_bytes());
        }
    }
}
