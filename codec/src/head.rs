//! Heads of HTTP requests, written in a defined order, with nothing in them that does not belong.

use std::io::Write;

use memchr::memchr3;

use crate::Output;

/// A field to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field<'a> {
    /// In lower case.
    pub name: &'a [u8],
    /// As it is written.
    pub spelled: &'a [u8],
    /// The value, unless it is a number.
    pub value: &'a [u8],
    /// The value, if it is one.
    pub number: Option<u64>,
    rank: u8,
}

impl<'a> Field<'a> {
    /// A field whose value is a text.
    pub fn new(name: &'a [u8], spelled: &'a [u8], value: &'a [u8]) -> Field<'a> {
        Field {
            name,
            spelled,
            value,
            number: None,
            rank: rank(name),
        }
    }

    /// The field whose name is `ORDER[rank]`.
    pub fn known(rank: usize, spelled: &'a [u8], value: &'a [u8]) -> Field<'a> {
        Field {
            name: ORDER[rank],
            spelled,
            value,
            number: None,
            rank: rank as u8,
        }
    }

    /// Where its name stands in `ORDER`, if it does.
    pub fn rank(&self) -> Option<usize> {
        (self.rank < UNKNOWN).then_some(self.rank.into())
    }

    fn is_clean(&self) -> bool {
        let named = self.rank < UNKNOWN
            || !self.name.is_empty() && self.name.iter().all(|&c| is_visible(c) && c != b':');
        named && memchr3(b'\r', b'\n', 0, self.value).is_none()
    }
}

/// Appends request line, fields and empty line. False, and something unusable appended, if anything in them does not
/// belong there.
pub fn write(method: &[u8], target: &[u8], fields: &mut [Field<'_>], out: &mut Output) -> bool {
    let visible = |text: &[u8]| text.iter().all(|&c| is_visible(c));
    if method.is_empty()
        || !visible(method)
        || !visible(target)
        || !fields.iter().all(Field::is_clean)
    {
        return false;
    }
    fields.sort_unstable_by(|a, b| (a.rank, a.name).cmp(&(b.rank, b.name)));
    for part in [method, b" ", target, b" HTTP/1.1\r\n"] {
        out.extend(part);
    }
    for field in fields.iter() {
        out.extend(field.spelled);
        out.extend(b": ");
        match field.number {
            Some(number) => write_number(number, out),
            None => out.extend(field.value),
        }
        out.extend(b"\r\n");
    }
    out.extend(b"\r\n");
    true
}

fn write_number(number: u64, out: &mut Output) {
    let mut digits = [0; 20];
    let mut room = &mut digits[..];
    let _ = write!(room, "{number}"); // there is room for all
    let rest = room.len();
    out.extend(&digits[..20 - rest]);
}

fn is_visible(c: u8) -> bool {
    c > b' ' && c != 127
}

fn rank(name: &[u8]) -> u8 {
    ORDER
        .iter()
        .position(|known| *known == name)
        .map_or(UNKNOWN, |at| at as u8)
}

/// What comes first, in this order; what is not named here comes last, by name.
pub const ORDER: [&[u8]; 13] = [
    b"host",
    b"user-agent",
    b"connection",
    b"te",
    b"accept",
    b"accept-encoding",
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"expect",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
];

const UNKNOWN: u8 = ORDER.len() as u8;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &[u8], target: &[u8], fields: &mut [Field<'_>]) -> Option<Vec<u8>> {
        let mut out = Output::new();
        write(method, target, fields, &mut out).then(|| out.take())
    }

    #[test]
    fn fields_have_an_order() {
        let mut fields = [
            Field::new(b"x-b", b"X-B", b"2"),
            Field::new(b"content-length", b"Content-Length", b""),
            Field::new(b"x-a", b"x-a", b""),
            Field::new(b"host", b"Host", b"h"),
        ];
        fields[1].number = Some(120);
        let text = head(b"GET", b"/", &mut fields).expect("clean");
        let expected =
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 120\r\nx-a: \r\nX-B: 2\r\n\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_gets_in() {
        assert_eq!(head(b"", b"/", &mut []), None);
        assert_eq!(head(b"GET /\r\n", b"/", &mut []), None);
        assert_eq!(head(b"GET", b"/ x", &mut []), None);
        assert_eq!(head(b"GET", b"/\0", &mut []), None);
        for (name, value) in [
            ("a", "b\r\nc"),
            ("a", "\n"),
            ("a", "\0"),
            ("a b", ""),
            ("a:", ""),
            ("", ""),
            ("\n", ""),
        ] {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            assert_eq!(
                head(b"GET", b"/", &mut [Field::new(name, name, value)]),
                None
            );
        }
    }
}
