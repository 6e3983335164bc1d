//! gzip (RFC 1952), zlib (RFC 1950) and raw deflate (RFC 1951), piece by piece.
//!
//! A compressed kilobyte may hold a megabyte. A decoder therefore gives its
//! output in pieces of at most [`PIECE`] bytes, and fails when the output grows
//! out of all proportion to the input: see [`Limits`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::Output;

/// A container of compressed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HTTP's `gzip`. Several members may follow each other.
    Gzip,
    /// HTTP's `deflate`: zlib, and when decoding also what some servers send
    /// under that name, raw deflate.
    Deflate,
}

/// Compresses.
pub struct Encoder {
    inner: Compress,
    /// Everything has been written; the next call starts anew.
    ended: bool,
}

impl Encoder {
    /// A compressor; `level` goes from 0 (fast) to 9 (small).
    pub fn new(format: Format, level: u32) -> Self {
        let level = Compression::new(level.min(9));
        Self {
            inner: match format {
                Format::Gzip => Compress::new_gzip(level, WINDOW),
                Format::Deflate => Compress::new(level, true),
            },
            ended: false,
        }
    }

    /// Takes more data; appends what of the result is certain.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Output) {
        self.ended = false;
        while !input.is_empty() {
            let taken = self.step(input, FlushCompress::None, out).0;
            input = &input[taken..];
        }
    }

    /// Ends the data; appends the rest. Afterwards new data may begin. Returns
    /// whether there was any rest: ending twice gives nothing the second time.
    pub fn finish(&mut self, out: &mut Output) -> bool {
        if self.ended {
            return false;
        }
        while !self.step(&[], FlushCompress::Finish, out).1 {}
        self.inner.reset();
        self.ended = true;
        true
    }

    /// Returns how much was taken, and whether the end was written.
    fn step(&mut self, input: &[u8], flush: FlushCompress, out: &mut Output) -> (usize, bool) {
        let (read, written) = (self.inner.total_in(), self.inner.total_out());
        let status = self.inner.compress(input, out.spare(PIECE), flush);
        out.advance((self.inner.total_out() - written) as usize);
        let taken = (self.inner.total_in() - read) as usize;
        // An error would be a wrong use of the compressor; ending is the safe answer.
        let ended = !matches!(status, Ok(Status::Ok | Status::BufError));
        (if ended { input.len() } else { taken }, ended)
    }
}

/// Decompresses.
pub struct Decoder {
    format: Format,
    limits: Limits,
    inner: Decompress,
    state: State,
    /// Input that has not been used yet, from `used` on.
    pending: Vec<u8>,
    used: usize,
    total_in: u64,
    total_out: u64,
}

/// How far data may expand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many bytes out for each byte in, beyond the first [`ALLOWANCE`].
    pub ratio: u64,
    /// So many bytes altogether.
    pub total: u64,
}

impl Default for Limits {
    /// [`RATIO`], and no limit to the total.
    fn default() -> Self {
        Self {
            ratio: RATIO,
            total: u64::MAX,
        }
    }
}

/// Why compressed data cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is not what it should be, or damaged.
    Invalid,
    /// It ends too early.
    Truncated,
    /// It goes beyond its [`Limits`].
    TooLarge,
}

impl Error {
    /// The error in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid compressed data",
            Self::Truncated => "compressed data ends too early",
            Self::TooLarge => "compressed data expands too far",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte, or between two gzip members.
    Start {
        first: bool,
    },
    Inside,
    /// Behind the end; whatever follows is ignored.
    Ended,
    Failed(Error),
}

impl Decoder {
    /// A decompressor.
    pub fn new(format: Format, limits: Limits) -> Self {
        Self {
            format,
            limits,
            inner: inflater(format, true),
            state: State::Start { first: true },
            pending: Vec::new(),
            used: 0,
            total_in: 0,
            total_out: 0,
        }
    }

    /// Takes more data. It is decoded by [`pull`](Self::pull).
    pub fn feed(&mut self, input: &[u8]) {
        self.pending.drain(..self.used);
        self.used = 0;
        if !matches!(self.state, State::Ended | State::Failed(_)) {
            self.pending.extend_from_slice(input);
        }
    }

    /// Appends the next bytes, [`PIECE`] at most; none if more input is needed.
    pub fn pull(&mut self, out: &mut Output) -> Result<(), Error> {
        let before = out.len();
        while out.len() == before && self.step(out)? {}
        Ok(())
    }

    /// Like [`pull`](Self::pull), when all the data has been taken. If nothing
    /// is appended, all has been decoded, and new data may begin.
    pub fn finish(&mut self, out: &mut Output) -> Result<(), Error> {
        let before = out.len();
        self.pull(out)?;
        if out.len() > before {
            return Ok(());
        }
        match self.state {
            State::Start { first: true } if self.pending.len() > self.used => {
                self.fail(Error::Truncated)
            }
            State::Inside => self.fail(Error::Truncated),
            _ => {
                *self = Self::new(self.format, self.limits);
                Ok(())
            }
        }
    }

    /// Goes on a little. Returns whether that could be repeated.
    fn step(&mut self, out: &mut Output) -> Result<bool, Error> {
        match self.state {
            State::Start { first } => Ok(self.start(first)),
            State::Inside => self.inflate(out),
            State::Ended => Ok(false),
            State::Failed(error) => Err(error),
        }
    }

    /// Looks at the first two bytes of a stream or a further member.
    fn start(&mut self, first: bool) -> bool {
        let [a, b, ..] = self.pending[self.used..] else {
            return false;
        };
        let zlib = a & 15 == 8 && u16::from_be_bytes([a, b]) % 31 == 0;
        self.state = match self.format {
            // Padding behind the last member is common, and harmless.
            Format::Gzip if !first && [a, b] != GZIP_MAGIC => State::Ended,
            _ => State::Inside,
        };
        if self.format == Format::Deflate && !zlib {
            self.inner = inflater(self.format, false);
        }
        true
    }

    fn inflate(&mut self, out: &mut Output) -> Result<bool, Error> {
        let (read, written) = (self.inner.total_in(), self.inner.total_out());
        let input = &self.pending[self.used..];
        let spare = &mut out.spare(PIECE)[..PIECE];
        let status = self.inner.decompress(input, spare, FlushDecompress::None);
        let taken = self.inner.total_in() - read;
        let given = self.inner.total_out() - written;
        self.used += taken as usize;
        self.total_in += taken;
        self.total_out += given;
        out.advance(given as usize);
        if self.total_out > self.limits.allowed(self.total_in) {
            return self.fail(Error::TooLarge).map(|()| false);
        }
        match status {
            Ok(Status::StreamEnd) => {
                self.end_member();
                Ok(true)
            }
            Ok(_) => Ok(taken > 0 || given > 0),
            Err(_) => self.fail(Error::Invalid).map(|()| false),
        }
    }

    fn end_member(&mut self) {
        self.state = match self.format {
            Format::Gzip => {
                self.inner = inflater(self.format, true);
                State::Start { first: false }
            }
            Format::Deflate => State::Ended,
        };
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.state = State::Failed(error);
        self.pending = Vec::new();
        self.used = 0;
        Err(error)
    }
}

impl Limits {
    fn allowed(self, total_in: u64) -> u64 {
        let ratio = total_in
            .saturating_mul(self.ratio)
            .saturating_add(ALLOWANCE);
        ratio.min(self.total)
    }
}

fn inflater(format: Format, header: bool) -> Decompress {
    match format {
        Format::Gzip => Decompress::new_gzip(WINDOW),
        Format::Deflate => Decompress::new(header),
    }
}

/// The largest piece of output that a decoder gives at once.
pub const PIECE: usize = 16384;

/// Text and logs seldom reach a tenth of this ratio. Deflate goes to 1032.
pub const RATIO: u64 = 200;

/// So many bytes of output are allowed whatever the ratio.
pub const ALLOWANCE: u64 = 1 << 20;

const WINDOW: u8 = 15;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// There and back in pieces; and any bytes as compressed data.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    use crate::naive;

    let (seed, option, input) = naive::deal(data);
    let format = if option & 1 == 0 {
        Format::Gzip
    } else {
        Format::Deflate
    };
    let mut encoder = Encoder::new(format, u32::from(option >> 1) % 10);
    let mut packed = Output::new();
    for piece in naive::pieces(input, seed) {
        encoder.feed(piece, &mut packed);
    }
    assert!(encoder.finish(&mut packed));
    let back = decode_all(format, packed.as_slice(), seed >> 1);
    assert_eq!(back.as_deref(), Ok(input));
    let _ = decode_all(format, input, seed);
}

#[cfg(any(test, feature = "fuzz"))]
fn decode_all(format: Format, input: &[u8], seed: u64) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::new(format, Limits::default());
    let mut all = Vec::new();
    let mut out = Output::new();
    for piece in crate::naive::pieces(input, seed) {
        decoder.feed(piece);
        loop {
            out.clear();
            decoder.pull(&mut out)?;
            assert!(out.len() <= PIECE);
            if out.is_empty() {
                break;
            }
            all.extend_from_slice(out.as_slice());
        }
    }
    loop {
        out.clear();
        decoder.finish(&mut out)?;
        if out.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(out.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(format: Format, input: &[u8]) -> Vec<u8> {
        let mut out = Output::new();
        let mut encoder = Encoder::new(format, 6);
        encoder.feed(input, &mut out);
        assert!(encoder.finish(&mut out));
        assert!(!encoder.finish(&mut out));
        out.take()
    }

    #[test]
    fn encoders_can_be_used_again() {
        for format in [Format::Gzip, Format::Deflate] {
            let mut encoder = Encoder::new(format, 6);
            for text in [&b"one"[..], b"", b"two"] {
                let mut out = Output::new();
                encoder.feed(text, &mut out);
                // Nothing at all is nothing compressed, unless it is the first.
                if encoder.finish(&mut out) {
                    assert_eq!(decode_all(format, out.as_slice(), 0).as_deref(), Ok(text));
                }
            }
        }
    }

    #[test]
    fn members_and_padding() {
        let mut packed = encode(Format::Gzip, b"one");
        packed.extend(encode(Format::Gzip, b" two"));
        packed.extend([0; 100]);
        for seed in 0..50 {
            assert_eq!(
                decode_all(Format::Gzip, &packed, seed).as_deref(),
                Ok(&b"one two"[..])
            );
        }
    }

    #[test]
    fn raw_deflate() {
        let packed = encode(Format::Deflate, b"some text, some text");
        let raw = &packed[2..packed.len() - 4];
        assert_eq!(
            decode_all(Format::Deflate, raw, 7).as_deref(),
            Ok(&b"some text, some text"[..])
        );
    }

    #[test]
    fn bad_input() {
        assert_eq!(decode_all(Format::Gzip, b"", 1), Ok(vec![]));
        assert_eq!(
            decode_all(Format::Gzip, b"no gzip at all", 1),
            Err(Error::Invalid)
        );
        assert_eq!(
            decode_all(Format::Deflate, b"\xff\xff\xff\xff", 1),
            Err(Error::Invalid)
        );
        for format in [Format::Gzip, Format::Deflate] {
            let packed = encode(format, b"some text");
            for end in 1..packed.len() {
                assert_eq!(
                    decode_all(format, &packed[..end], 1),
                    Err(Error::Truncated),
                    "{end}"
                );
            }
            let mut damaged = packed.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert_eq!(decode_all(format, &damaged, 1), Err(Error::Invalid));
        }
    }

    #[test]
    fn bombs() {
        let bomb = encode(Format::Gzip, &vec![0; 8 << 20]);
        assert_eq!(decode_all(Format::Gzip, &bomb, 1), Err(Error::TooLarge));
        let small = encode(Format::Gzip, &vec![0; 1 << 20]);
        assert!(decode_all(Format::Gzip, &small, 1).is_ok());
        let mut decoder = Decoder::new(
            Format::Gzip,
            Limits {
                ratio: 2000,
                total: 1 << 20,
            },
        );
        decoder.feed(&bomb);
        let mut out = Output::new();
        let result = loop {
            out.clear();
            if let Err(error) = decoder.pull(&mut out) {
                break error;
            }
        };
        assert_eq!(result, Error::TooLarge);
        assert_eq!(decoder.pull(&mut out), Err(Error::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }
    }
}
