//! Naive twins of the codecs: byte by byte, from the specification, on whole
//! strings. Tests and fuzz targets compare the real ones with them.

use crate::quoted_printable::MAX_BLANKS;

/// The same input in pieces, whose sizes stem from `seed`.
pub fn pieces(mut input: &[u8], mut seed: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let size = match seed >> 61 {
            0..=4 => seed >> 33 & 7,
            5 | 6 => seed >> 33 & 127,
            _ => seed >> 33 & 4095,
        };
        let (piece, rest) = input.split_at(input.len().min(size as usize));
        input = rest;
        Some(piece)
    })
}

/// Splits fuzz data into a seed, an option and the input.
pub fn deal(data: &[u8]) -> (u64, u8, &[u8]) {
    match data {
        [a, b, option, input @ ..] => (u64::from(*a) << 8 | u64::from(*b), *option, input),
        _ => (0, 0, data),
    }
}

/// Base64 digits.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Output and carry of `mime.b64(input, "")`.
pub fn b64(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::new();
    let groups = input.chunks_exact(3);
    let rest = groups.remainder().to_vec();
    for group in groups {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        out.extend([18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]));
    }
    (out, rest)
}

/// Output and carry of `mime.unb64(input, "")`.
pub fn unb64(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let value = |c| DIGITS.iter().position(|&digit| digit == c);
    let digits: Vec<u8> = input
        .iter()
        .copied()
        .filter(|&c| c == b'=' || value(c).is_some())
        .collect();
    let groups = digits.chunks_exact(4);
    let rest = groups.remainder().to_vec();
    let mut out = Vec::new();
    for group in groups {
        let bits = group
            .iter()
            .fold(0, |bits, &c| bits << 6 | value(c).unwrap_or(0));
        let kept = match (group[2], group[3]) {
            (b'=', _) => 1,
            (_, b'=') => 2,
            _ => 3,
        };
        out.extend(&(bits as u32).to_be_bytes()[1..=kept]);
    }
    (out, rest)
}

/// Output and carry of `mime.qp(input, "", marker)`.
pub fn qp(input: &[u8], marker: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::new();
    let mut rest = input;
    loop {
        let taken = match *rest {
            [] | [b'\r'] | [b'\t' | b' '] | [b'\t' | b' ', _] => return (out, rest.to_vec()),
            [b'\r', b'\n', ..] => {
                out.extend(marker);
                2
            }
            [blank @ (b'\t' | b' '), b'\r', b'\n', ..] => {
                out.extend(format!("={blank:02X}").bytes());
                out.extend(marker);
                3
            }
            [c @ (b'\t' | b' ' | 33..=60 | 62..=126), ..] => {
                out.push(c);
                1
            }
            [c, ..] => {
                out.extend(format!("={c:02X}").bytes());
                1
            }
        };
        rest = &rest[taken..];
    }
}

/// Output and carry of `mime.unqp(input, "")`.
pub fn unqp(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let hex = |c: u8| char::from(c).to_digit(16);
    let mut out = Vec::new();
    let mut rest = input;
    loop {
        let blanks = rest
            .iter()
            .take_while(|&&c| c == b' ' || c == b'\t')
            .count();
        let few = blanks <= MAX_BLANKS;
        let soft = rest
            .iter()
            .skip(1)
            .take_while(|&&c| c == b' ' || c == b'\t')
            .count();
        let taken = match (rest, &rest[blanks..]) {
            (_, [] | [b'\r']) if few => return (out, rest.to_vec()),
            (_, [b'\r', b'\n', ..] | [b'\n', ..]) if few && blanks > 0 => blanks,
            ([b'=', after @ ..], _) => match &after[soft..] {
                [] | [b'\r'] if soft <= MAX_BLANKS => return (out, rest.to_vec()),
                [b'\r', b'\n', ..] if soft <= MAX_BLANKS => soft + 3,
                [b'\n', ..] if soft <= MAX_BLANKS => soft + 2,
                _ => match after {
                    [] | [_] => return (out, rest.to_vec()),
                    [a, b, ..] => {
                        match (hex(*a), hex(*b)) {
                            (Some(a), Some(b)) => out.push((a * 16 + b) as u8),
                            _ => out.extend([b'=', *a, *b]),
                        }
                        3
                    }
                },
            },
            ([b'\r', b'\n', ..], _) => {
                out.extend(b"\r\n");
                2
            }
            ([c @ (b'\t' | b'\n' | 32..=126 | 128..), ..], _) => {
                out.push(*c);
                1
            }
            _ => 1,
        };
        rest = &rest[taken..];
    }
}

/// Output and left of `mime.wrp(left, input, length)`.
pub fn wrp(mut left: i64, input: &[u8], length: i64) -> (Vec<u8>, i64) {
    let mut out = Vec::new();
    for &c in input {
        match c {
            b'\r' => {}
            b'\n' => {
                out.extend(b"\r\n");
                left = length;
            }
            _ => {
                if left <= 0 {
                    out.extend(b"\r\n");
                    left = length;
                }
                out.push(c);
                left -= 1;
            }
        }
    }
    (out, left)
}

/// Output and left of `mime.qpwrp(left, input, length)`.
pub fn qpwrp(mut left: i64, input: &[u8], length: i64) -> (Vec<u8>, i64) {
    let mut out = Vec::new();
    for &c in input {
        match c {
            b'\r' => {}
            b'\n' => {
                out.extend(b"\r\n");
                left = length;
            }
            _ => {
                if left <= if c == b'=' { 3 } else { 1 } {
                    out.extend(b"=\r\n");
                    left = length;
                }
                out.push(c);
                left -= 1;
            }
        }
    }
    (out, left)
}

/// Output and context of `mime.eol(candidate, input, marker)`.
pub fn eol(mut candidate: u8, input: &[u8], marker: &[u8]) -> (Vec<u8>, u8) {
    let is_end = |c| c == b'\r' || c == b'\n';
    let mut out = Vec::new();
    for &c in input {
        if !is_end(c) {
            out.push(c);
            candidate = 0;
        } else if is_end(candidate) {
            if c == candidate {
                out.extend(marker);
            }
            candidate = 0;
        } else {
            out.extend(marker);
            candidate = c;
        }
    }
    (out, candidate)
}

/// Output and context of `mime.dot(seen, input)`.
pub fn dot(mut seen: i64, input: &[u8]) -> (Vec<u8>, i64) {
    let mut out = Vec::new();
    for &c in input {
        out.push(c);
        seen = match c {
            b'\r' => 1,
            b'\n' if seen == 1 => 2,
            b'.' if seen == 2 => {
                out.push(b'.');
                0
            }
            _ => 0,
        };
    }
    (out, seen)
}

/// The reduction of `dot_segments::remove`, piece by piece, as its steps read.
pub fn reduce(path: &[u8]) -> Vec<u8> {
    #[derive(Clone, PartialEq)]
    enum Piece<'a> {
        /// Before a leading or behind a closing slash.
        Edge,
        Name(&'a [u8]),
    }
    use Piece::{Edge, Name};
    let split: Vec<&[u8]> = path.split(|&c| c == b'/').collect();
    let end = split.len() - 1;
    let mut pieces: Vec<Piece> = Vec::new();
    for (i, &piece) in split.iter().enumerate() {
        let edge = i == 0 || i == end;
        match piece {
            b"" if edge => pieces.push(Edge),
            b"." if !edge => {}
            _ => pieces.push(Name(piece)),
        }
    }
    let dots = Name(b"..");
    while let Some(i) = pieces
        .windows(3)
        .position(|w| w[0] != Edge && w[1] == dots && w[2] != Edge)
    {
        pieces.drain(i..i + 2);
    }
    let closed = match &pieces[..] {
        [.., Name(_), Name(b".."), Edge] => 3,
        [.., Name(_), Name(b"..")] => 2,
        _ => 0,
    };
    if closed > 0 {
        pieces.truncate(pieces.len() - closed);
        pieces.push(Edge);
    }
    if pieces.len() > 1 && matches!(pieces.last(), Some(Name(b".." | b"."))) {
        pieces.pop();
        pieces.push(Edge);
    }
    if let [Edge, Name(b".."), _, ..] = pieces[..] {
        pieces.remove(1);
    }
    let names: Vec<&[u8]> = pieces
        .iter()
        .map(|piece| match piece {
            Edge => b"",
            Name(name) => *name,
        })
        .collect();
    names.join(&b'/')
}
