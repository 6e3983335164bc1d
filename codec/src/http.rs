//! Heads of HTTP messages: status lines and fields, bytes in, bytes out.

use memchr::{memchr, memchr2};

use crate::Output;

/// The longest line.
pub const MAX_LINE: usize = 64 * 1024;
/// The most fields of one head.
pub const MAX_FIELDS: usize = 1000;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A line without colon, or with blanks before it.
    Malformed,
    /// A line of more than [`MAX_LINE`] bytes.
    LineTooLong,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields,
}

impl Flaw {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Flaw::Malformed => "malformed response headers",
            Flaw::LineTooLong => "line too long",
            Flaw::TooManyFields => "too many header fields",
        }
    }
}

/// A status line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Three digits.
    pub code: u16,
    /// The connection stays open unless something else is said: version 1.1 or later.
    pub persistent: bool,
}

impl Status {
    /// Reads `HTTP/1.1 200 ...`; digits around the dot may be missing, what follows the
    /// code may be anything.
    pub fn parse(line: &[u8]) -> Option<Status> {
        let rest = line.strip_prefix(b"HTTP/")?;
        let (major, rest) = digits(rest);
        let (minor, rest) = digits(rest.strip_prefix(b".")?);
        let code = rest.strip_prefix(b" ")?.get(..3)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Status {
            code: code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')),
            persistent: major > 1 || major == 1 && minor >= 1,
        })
    }
}

/// The number at the beginning (0 where there is none, no matter how large), and the
/// rest.
fn digits(text: &[u8]) -> (u32, &[u8]) {
    let end = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let number = text[..end].iter().fold(0u32, |n, d| {
        n.saturating_mul(10).saturating_add(u32::from(d - b'0'))
    });
    (number, &text[end..])
}

/// Takes the fields of a head one by one.
#[derive(Clone, Copy)]
pub struct Fields {
    /// Where the next line begins.
    at: usize,
    count: usize,
}

impl Fields {
    /// Begins at the byte `at` of the head.
    pub fn from(at: usize) -> Fields {
        Fields { at, count: 0 }
    }

    /// Writes the next field's name in lower case, and returns its value without blanks around
    /// it and without CR: as it lies in the head, or put together in `whole`. Lines that begin
    /// with a blank continue a value, blank included. `None` at the empty line and at the end.
    #[inline]
    pub fn next<'a>(
        &mut self,
        head: &'a [u8],
        name: &mut Output,
        whole: &'a mut Output,
    ) -> Result<Option<&'a [u8]>, Flaw> {
        let (line, odd) = line(head, &mut self.at)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(Flaw::TooManyFields);
        }
        let colon = memchr(b':', line).ok_or(Flaw::Malformed)?;
        if colon > 0 && is_blank(line[colon - 1]) {
            return Err(Flaw::Malformed);
        }
        name.clear();
        match odd {
            true => add(&line[..colon], name),
            false => name.extend(&line[..colon]),
        }
        name.make_lowercase();
        let value = &line[colon + 1..];
        let value = &value[value.iter().take_while(|&&c| is_blank(c)).count()..];
        let continues = head.get(self.at).copied().is_some_and(is_blank);
        if continues || odd {
            self.put_together(head, value, whole)?;
            return Ok(Some(trimmed(whole.as_slice())));
        }
        Ok(Some(trimmed(value)))
    }

    /// Writes a value that begins with `first`.
    #[cold]
    fn put_together(&mut self, head: &[u8], first: &[u8], whole: &mut Output) -> Result<(), Flaw> {
        whole.clear();
        add(first, whole);
        while head.get(self.at).copied().is_some_and(is_blank) {
            add(line(head, &mut self.at)?.0, whole);
        }
        Ok(())
    }
}

/// What a head says of the length of the body.
#[derive(Clone, Copy, Default)]
pub struct Length {
    digits: Option<u64>,
    doubtful: bool,
}

impl Length {
    /// Takes notice of a field, whose name is in lower case.
    #[inline]
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"content-length" => {
                self.doubtful |= self.digits.is_some() || value.len() > 15;
                self.digits = decimal(value);
                self.doubtful |= self.digits.is_none();
            }
            b"transfer-encoding" => self.doubtful = true,
            _ => {}
        }
    }

    /// The length, if it is said once, in digits, and nothing is said against it.
    pub fn certain(self) -> Option<u64> {
        self.digits.filter(|_| !self.doubtful)
    }
}

/// The number that a text of nothing but digits stands for.
fn decimal(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let add = |n: u64, d: &u8| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0'));
    all.then(|| text.iter().fold(0, add))
}

/// The line at `at`, without its end, which is passed over; and whether there is another CR
/// in it.
fn line<'a>(head: &'a [u8], at: &mut usize) -> Result<(&'a [u8], bool), Flaw> {
    let rest = &head[*at..];
    let first = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    let (len, end, odd) = match &rest[first..] {
        [b'\r', b'\n', ..] => (first, first + 1, false),
        [] | [b'\n', ..] => (first, first, false),
        other => {
            let end = first + memchr(b'\n', other).unwrap_or(other.len());
            let line = &rest[..end];
            let len = line.strip_suffix(b"\r").unwrap_or(line).len();
            (len, end, first < len)
        }
    };
    *at += (end + 1).min(rest.len());
    match end > MAX_LINE {
        true => Err(Flaw::LineTooLong),
        false => Ok((&rest[..len], odd)),
    }
}

/// The first line, and where the next begins.
pub fn first_line(head: &[u8]) -> Result<(&[u8], usize), Flaw> {
    let mut at = 0;
    Ok((line(head, &mut at)?.0, at))
}

/// The parts of a URL as plain as most are, for a request: no credentials, no brackets,
/// no fragment, a scheme in lower case, and no port where it is the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Place<'a> {
    pub scheme: &'a [u8],
    pub host: &'a [u8],
    /// In digits, and as a number.
    pub port: Option<(&'a [u8], u64)>,
    /// Host and port.
    pub authority: &'a [u8],
    /// Path, params and query.
    pub target: &'a [u8],
}

impl<'a> Place<'a> {
    /// The parts, if the URL is so plain.
    pub fn parse(url: &'a [u8]) -> Option<Place<'a>> {
        let (scheme, usual, rest) = match url {
            [b'h', b't', b't', b'p', b':', b'/', b'/', rest @ ..] => (&url[..4], 80, rest),
            [b'h', b't', b't', b'p', b's', b':', b'/', b'/', rest @ ..] => (&url[..5], 443, rest),
            _ => return None,
        };
        let slash = memchr(b'/', rest)?;
        let (authority, target) = rest.split_at(slash);
        let (host, port) = match memchr(b':', authority) {
            Some(colon) => {
                let digits = &authority[colon + 1..];
                let number = decimal(digits).filter(|&port| port != usual)?;
                (&authority[..colon], Some((digits, number)))
            }
            None => (authority, None),
        };
        let is_name = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        let plain = !host.is_empty()
            && host.iter().all(is_name)
            && target.iter().all(|&c| c > b' ' && c != b'#' && c != 127);
        plain.then_some(Place {
            scheme,
            host,
            port,
            authority,
            target,
        })
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without blanks at the end.
fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&c| !is_blank(c));
    &text[..end.map_or(0, |at| at + 1)]
}

/// Adds what is no CR.
fn add(text: &[u8], out: &mut Output) {
    for piece in text.split(|&c| c == b'\r') {
        out.extend(piece);
    }
}

/// The fields of a head, from the specification: by whole lines.
#[cfg(any(test, feature = "fuzz"))]
fn naive(head: &[u8]) -> Listed {
    let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in head.split_inclusive(|&c| c == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > MAX_LINE {
            return (list, Some(Flaw::LineTooLong));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let (Some(last), true) = (list.last_mut(), line.first().copied().is_some_and(is_blank)) {
            last.1.extend(without_returns(line));
            continue;
        }
        if let Some(last) = list.last_mut() {
            last.1.truncate(trimmed(&last.1).len());
        }
        if line.is_empty() {
            return (list, None);
        }
        let Some(colon) = line.iter().position(|&c| c == b':') else {
            return (list, Some(Flaw::Malformed));
        };
        if colon > 0 && is_blank(line[colon - 1]) {
            return (list, Some(Flaw::Malformed));
        }
        if list.len() == MAX_FIELDS {
            return (list, Some(Flaw::TooManyFields));
        }
        let name = without_returns(&line[..colon]).to_ascii_lowercase();
        let start = line[colon + 1..]
            .iter()
            .take_while(|&&c| is_blank(c))
            .count();
        list.push((name, without_returns(&line[colon + 1 + start..])));
    }
    if let Some(last) = list.last_mut() {
        last.1.truncate(trimmed(&last.1).len());
    }
    (list, None)
}

#[cfg(any(test, feature = "fuzz"))]
type Listed = (Vec<(Vec<u8>, Vec<u8>)>, Option<Flaw>);

#[cfg(any(test, feature = "fuzz"))]
fn without_returns(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|&c| c != b'\r').collect()
}

/// Takes a head apart in both ways; and the other readers must not panic.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    let (mut name, mut value) = (Output::new(), Output::new());
    let (mut list, mut fields) = (Vec::new(), Fields::from(0));
    let flaw = loop {
        match fields.next(data, &mut name, &mut value) {
            Ok(Some(value)) => list.push((name.as_slice().to_vec(), value.to_vec())),
            Ok(None) => break None,
            Err(flaw) => break Some(flaw),
        }
    };
    let (wanted, flaw_wanted) = naive(data);
    assert_eq!(flaw, flaw_wanted);
    // A flaw in a continuation comes before the field that it continues is complete.
    if flaw != Some(Flaw::LineTooLong) {
        assert_eq!(list, wanted);
    }
    let _ = first_line(data).map(|(line, _)| Status::parse(line));
    if let Some(place) = Place::parse(data) {
        assert!(!place.host.is_empty() && place.target.starts_with(b"/"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields as text, `name=value` each, and the flaw that ended them.
    fn fields(head: &str) -> (Vec<String>, Option<Flaw>) {
        let (mut name, mut value) = (Output::new(), Output::new());
        let mut list = Vec::new();
        let mut fields = Fields::from(0);
        loop {
            match fields.next(head.as_bytes(), &mut name, &mut value) {
                Ok(Some(value)) => list.push(format!("{}={}", text(name.as_slice()), text(value))),
                Ok(None) => return (list, None),
                Err(flaw) => return (list, Some(flaw)),
            }
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    #[test]
    fn takes_fields_apart() {
        let head =
            "A: b\r\nX-Y:z \t\nE:\r\nF: one\r\n two \r\n\tthree \r\n: n\n a: b\r\n\r\nBody: x\r\n";
        let expected = ["a=b", "x-y=z", "e=", "f=one two \tthree", "=n a: b"];
        assert_eq!(fields(head), (expected.map(String::from).to_vec(), None));
        assert_eq!(fields(" a: b\r\n"), (vec![" a=b".to_string()], None));
        assert_eq!(fields("a\r: b\rc\r\r\n"), (vec!["a=bc".to_string()], None));
        assert_eq!(fields(""), (vec![], None));
        assert_eq!(fields("a: b"), (vec!["a=b".to_string()], None));
    }

    #[test]
    fn tells_flaws() {
        assert_eq!(fields("a\r\n"), (vec![], Some(Flaw::Malformed)));
        assert_eq!(fields("a : b\r\n"), (vec![], Some(Flaw::Malformed)));
        let long = format!("a: {}\r\n", "x".repeat(MAX_LINE));
        assert_eq!(fields(&long), (vec![], Some(Flaw::LineTooLong)));
        let many = "a: b\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(fields(&many).1, Some(Flaw::TooManyFields));
        assert_eq!(fields(&many[6..]).1, None);
    }

    #[test]
    fn knows_plain_urls() {
        let parse = |url: &'static str| {
            Place::parse(url.as_bytes()).map(|place| {
                let text = |bytes| std::str::from_utf8(bytes).expect("text");
                (
                    text(place.scheme),
                    text(place.host),
                    place.port.map(|(port, _)| text(port)),
                    text(place.target),
                )
            })
        };
        assert_eq!(parse("http://h.test/"), Some(("http", "h.test", None, "/")));
        let whole = Some(("https", "10.0.0.1", Some("81"), "/a;b?c=/d"));
        assert_eq!(parse("https://10.0.0.1:81/a;b?c=/d"), whole);
        for url in [
            "",
            "http://",
            "http:///",
            "http://h.test",
            "HTTP://h/",
            "ftp://h/",
            "http://u@h/",
            "http://[::1]/",
            "http://h:/",
            "http://h:80/",
            "http://h:080/",
            "https://h:443/",
            "http://h:x/",
            "http://h:1:2/",
            "http://h/#",
            "http://h/ ",
            "http://h/\r",
            "http://h?q/",
            "http://h\n/",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
    }

    #[test]
    fn is_certain_of_lengths() {
        let certain = |fields: &[(&str, &str)]| {
            let mut length = Length::default();
            for (name, value) in fields {
                length.note(name.as_bytes(), value.as_bytes());
            }
            length.certain()
        };
        assert_eq!(certain(&[]), None);
        assert_eq!(certain(&[("content-length", "120")]), Some(120));
        assert_eq!(certain(&[("a", "b"), ("content-length", "0")]), Some(0));
        for value in ["", "1 ", "-1", "1, 1", "0x1", "1234567890123456"] {
            assert_eq!(certain(&[("content-length", value)]), None, "{value}");
            let good = ("content-length", "5");
            assert_eq!(certain(&[("content-length", value), good]), None, "{value}");
        }
        let (once, coded) = (("content-length", "5"), ("transfer-encoding", "identity"));
        assert_eq!(certain(&[once, once]), None);
        assert_eq!(certain(&[once, coded]), None);
        assert_eq!(certain(&[coded, once]), None);
    }

    #[test]
    fn reads_status_lines() {
        let parse = |line: &str| Status::parse(line.as_bytes()).map(|s| (s.code, s.persistent));
        assert_eq!(parse("HTTP/1.1 200 OK"), Some((200, true)));
        assert_eq!(parse("HTTP/1.0 404"), Some((404, false)));
        assert_eq!(parse("HTTP/2.0 2000"), Some((200, true)));
        assert_eq!(parse("HTTP/. 000"), Some((0, false)));
        assert_eq!(parse("HTTP/99999999999.1 100"), Some((100, true)));
        for line in [
            "",
            "HTTP/",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.1 20",
            "HTTP/1.1  200",
            "HTTP/2 200",
            "http/1.1 200",
            "HTTP/1.x 200",
            "HTTP/1.1 2x0",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
    proptest! {
        #[test]
        fn agrees_with_its_naive_twin(data in "([ \t\ra:b]|\n|\r\n|: |\r\n\r\n){0,60}") {
            fuzz(data.as_bytes());
        }

        #[test]
        fn takes_anything(data: Vec<u8>) {
            fuzz(&data);
        }
    }
}
