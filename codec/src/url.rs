//! URLs: taking them apart, putting them together, resolving references.

use memchr::{memchr, memchr2, memchr3, memrchr};

use crate::Output;
use crate::dot_segments::{self, Behind};

/// The parts of a URL, as the text has them: nothing is decoded or checked.
///
/// ```text
/// scheme://authority/path;params?query#fragment
/// authority = userinfo@host:port     userinfo = user:password
/// ```
///
/// A part that is absent is `None`; one that is there but empty is `Some(b"")`,
/// except path and host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Parts<'a> {
    pub scheme: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub userinfo: Option<&'a [u8]>,
    pub user: Option<&'a [u8]>,
    pub password: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
    pub port: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
    pub params: Option<&'a [u8]>,
    pub query: Option<&'a [u8]>,
    pub fragment: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Takes `url` apart completely.
    pub fn parse(url: &'a [u8]) -> Self {
        let mut parts = Self::split(url);
        parts.split_authority();
        parts.split_userinfo();
        parts
    }

    /// Takes `url` apart, except for the authority.
    pub fn split(url: &'a [u8]) -> Self {
        let mut parts = Self::default();
        let mut rest = url;
        if let Some(colon) = scheme_end(rest) {
            parts.scheme = Some(&rest[..colon]);
            rest = &rest[colon + 1..];
        }
        if let Some(text) = rest.strip_prefix(b"//") {
            let end = authority_end(text);
            parts.authority = Some(&text[..end]);
            rest = &text[end..];
        }
        (rest, parts.fragment) = cut(rest, b'#');
        (rest, parts.query) = cut(rest, b'?');
        (rest, parts.params) = cut(rest, b';');
        parts.path = Some(rest).filter(|path| !path.is_empty());
        parts
    }

    /// Fills in what `authority` consists of. What it lacks stays as it is.
    pub fn split_authority(&mut self) {
        let Some(mut rest) = self.authority else {
            return;
        };
        if let Some(at) = memrchr(b'@', rest) {
            self.userinfo = Some(&rest[..at]);
            rest = &rest[at + 1..];
        }
        if let Some(colon) = memrchr(b':', rest)
            && memchr(b']', &rest[colon..]).is_none()
        {
            self.port = Some(&rest[colon + 1..]);
            rest = &rest[..colon];
        }
        if !rest.is_empty() {
            self.host = Some(without_brackets(rest).unwrap_or(rest));
        }
    }

    /// Fills in what `userinfo` consists of.
    pub fn split_userinfo(&mut self) {
        if let Some(userinfo) = self.userinfo {
            let (user, password) = cut(userinfo, b':');
            self.user = Some(user);
            self.password = password.or(self.password);
        }
    }

    /// Whether the authority could be one: no blanks or controls, one `@`,
    /// brackets only around a whole host, colons only in brackets, a port from
    /// 0 to 65535.
    pub fn is_strict(&self) -> bool {
        let Some(authority) = self.authority else {
            return true;
        };
        let clean = authority.iter().all(|&c| c > b' ' && c != 127);
        let host = authority
            .get(self.userinfo.map_or(0, |u| u.len() + 1)..)
            .unwrap_or(b"");
        let (name, after) = match memchr(b']', host) {
            Some(end) => (without_brackets(&host[..=end]), &host[end + 1..]),
            None => {
                let colon = memchr(b':', host).unwrap_or(host.len());
                (Some(&host[..colon]), &host[colon..])
            }
        };
        clean
            && self
                .userinfo
                .is_none_or(|userinfo| memchr(b'@', userinfo).is_none())
            && name.is_some_and(|name| memchr2(b'[', b']', name).is_none())
            && (after.is_empty() || after.strip_prefix(b":").is_some_and(is_port))
    }

    /// Appends the parts, put together. Checks and escapes nothing, but puts a
    /// slash where the authority would otherwise run into what follows.
    pub fn build(&self, out: &mut Output) {
        if let Some(scheme) = self.scheme {
            out.extend(scheme);
            out.push(b':');
        }
        let start = out.len();
        self.build_authority(out);
        let end = out.len();
        self.build_rest(out);
        if end > start && start + 2 + authority_end(&out.as_slice()[start + 2..]) > end {
            out.truncate(end);
            out.push(b'/');
            self.build_rest(out);
        }
    }

    /// Appends `//` and the authority, if there is one: made from its parts if
    /// there is a host, else as it is.
    fn build_authority(&self, out: &mut Output) {
        let Some(host) = self.host else {
            if let Some(authority) = self.authority {
                out.extend(b"//");
                out.extend(authority);
            }
            return;
        };
        out.extend(b"//");
        if let Some(user) = self.user {
            out.extend(user);
            extend_with(b':', self.password, out);
            out.push(b'@');
        } else if let Some(userinfo) = self.userinfo {
            out.extend(userinfo);
            out.push(b'@');
        }
        if memchr(b':', host).is_some() && without_brackets(host).is_none() {
            out.push(b'[');
            out.extend(host);
            out.push(b']');
        } else {
            out.extend(host);
        }
        extend_with(b':', self.port, out);
    }

    fn build_rest(&self, out: &mut Output) {
        out.extend(self.path.unwrap_or(b""));
        self.build_tail(out);
    }

    fn build_tail(&self, out: &mut Output) {
        extend_with(b';', self.params, out);
        extend_with(b'?', self.query, out);
        extend_with(b'#', self.fragment, out);
    }
}

/// What a reference is resolved against.
#[derive(Clone, Copy, Debug)]
pub enum Base<'a> {
    /// A URL. The empty one resolves nothing.
    Text(&'a [u8]),
    /// Its parts.
    Parts(Parts<'a>),
}

/// How far dot segments are removed behind the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// In query and fragment, `/./` becomes `/`.
    Collapse,
    /// Query and fragment are left alone, as RFC 3986 asks.
    Keep,
}

/// Resolves `reference` against `base` and removes dot segments from the result,
/// whose scheme and authority they never touch. Uses `out` and `scratch`, and
/// leaves the result in `out`.
pub fn resolve(base: Base, reference: &[u8], tail: Tail, scratch: &mut Output, out: &mut Output) {
    let parts = match base {
        Base::Text(b"") => return reduce(reference, tail, out),
        Base::Text(text) if reference.is_empty() => return reduce(text, tail, out),
        Base::Text(text) => Parts::split(text),
        Base::Parts(parts) if reference.is_empty() => {
            parts.build(scratch);
            return reduce(scratch.as_slice(), tail, out);
        }
        Base::Parts(parts) => parts,
    };
    let target = Parts::split(reference);
    if target.scheme.is_some() {
        return reduce(reference, tail, out);
    }
    join(&parts, target, scratch, out);
    out.clear();
    reduce(scratch.as_slice(), tail, out);
}

/// Puts `target` together in `out`, with what it lacks taken from `base`.
fn join<'a>(base: &Parts<'a>, mut target: Parts<'a>, out: &mut Output, scratch: &mut Output) {
    target.scheme = base.scheme;
    if target.authority.is_some() {
        return target.build(out);
    }
    if let Some(path) = target.path {
        merge(base, path, scratch);
        let start = Parts {
            path: None,
            params: None,
            query: None,
            fragment: None,
            ..*base
        };
        start.build(out);
        dot_segments::remove(scratch.as_slice(), Behind::Nothing, out);
        return target.build_tail(out);
    }
    let inherit_query = target.params.is_none() && target.query.is_none();
    let whole = Parts {
        params: target.params.or(base.params),
        query: if inherit_query {
            base.query
        } else {
            target.query
        },
        fragment: target.fragment,
        ..*base
    };
    whole.build(out);
}

/// Appends the path of a reference, with the folder of the base in front.
fn merge(base: &Parts, path: &[u8], out: &mut Output) {
    if path[0] != b'/' {
        let folder = base.path.unwrap_or(b"");
        match memrchr(b'/', folder) {
            Some(slash) => out.extend(&folder[..=slash]),
            None if base.scheme.is_some() || base.authority.is_some() || base.host.is_some() => {
                out.push(b'/');
            }
            None => {}
        }
    }
    out.extend(path);
}

/// Appends `url` with the dot segments of its path removed.
fn reduce(url: &[u8], tail: Tail, out: &mut Output) {
    let mut start = scheme_end(url).map_or(0, |colon| colon + 1);
    if let Some(text) = url[start..].strip_prefix(b"//") {
        start += 2 + authority_end(text);
    }
    let (front, rest) = url.split_at(start);
    let (path, behind) = rest.split_at(memchr2(b'?', b'#', rest).unwrap_or(rest.len()));
    out.extend(front);
    match tail {
        Tail::Keep => {
            dot_segments::remove(path, Behind::Nothing, out);
            out.extend(behind);
        }
        Tail::Collapse => {
            let followed = if behind.is_empty() {
                Behind::Nothing
            } else {
                Behind::Text
            };
            dot_segments::remove(path, followed, out);
            dot_segments::collapse(behind, out);
        }
    }
}

/// Where the `:` behind a scheme is, if there is one. A scheme begins with a
/// letter or a digit.
fn scheme_end(url: &[u8]) -> Option<usize> {
    let is_inner = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.');
    let end = url.iter().position(|c| !is_inner(c))?;
    (url[end] == b':' && end > 0 && url[0].is_ascii_alphanumeric()).then_some(end)
}

/// Where the authority at the start of `text` ends: at the first `/`, `?` or `#`.
///
/// Except that a `?` or `#` may stand in a password. That it does is sure only
/// where `text:rest` before it cannot be a host and its port, and an `@` follows
/// before the next slash.
fn authority_end(text: &[u8]) -> usize {
    let end = memchr3(b'/', b'?', b'#', text).unwrap_or(text.len());
    if end == text.len() || text[end] == b'/' || !begins_login(&text[..end]) {
        return end;
    }
    let rest = &text[end..];
    let rest = &rest[..memchr(b'/', rest).unwrap_or(rest.len())];
    match memchr(b'@', rest) {
        Some(at) => {
            let host = end + at + 1;
            host + memchr3(b'/', b'?', b'#', &text[host..]).unwrap_or(text.len() - host)
        }
        None => end,
    }
}

/// Whether `text` can only be a user and the beginning of a password.
fn begins_login(text: &[u8]) -> bool {
    let (user, password) = cut(text, b':');
    let plain = !user.is_empty() && user[0] != b'[' && memchr(b'@', text).is_none();
    plain && password.is_some_and(|word| word.iter().any(|c| !c.is_ascii_digit()))
}

/// What is before the first `mark`, and behind it.
fn cut(text: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(mark, text) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

/// The text in the brackets around `host`, if there is any.
fn without_brackets(host: &[u8]) -> Option<&[u8]> {
    let inner = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    (!inner.is_empty()).then_some(inner)
}

fn is_port(port: &[u8]) -> bool {
    let digits = port.iter().all(u8::is_ascii_digit);
    let value = port.iter().fold(0u32, |value, &c| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(c.wrapping_sub(b'0')))
    });
    digits && value <= 65535
}

fn extend_with(mark: u8, part: Option<&[u8]>, out: &mut Output) {
    if let Some(part) = part {
        out.push(mark);
        out.extend(part);
    }
}

/// Taking apart and putting together is stable; resolving never touches the
/// authority that counts.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    let middle = data.first().map_or(0, |&c| usize::from(c) % data.len());
    let (base, reference) = data.split_at(middle);
    for url in [base, reference, data] {
        fuzz_build(url);
    }
    let (mut scratch, mut out) = (Output::new(), Output::new());
    resolve(
        Base::Text(base),
        reference,
        Tail::Collapse,
        &mut scratch,
        &mut out,
    );
    if base.is_empty() {
        return;
    }
    let (from, to) = (Parts::split(base), Parts::split(reference));
    if to.scheme.is_some() || (from.scheme.is_some() && from.authority.or(to.authority).is_some()) {
        let result = Parts::split(out.as_slice());
        assert_eq!(result.scheme, to.scheme.or(from.scheme));
        let kept = if to.scheme.is_some() {
            None
        } else {
            from.authority
        };
        if let Some(authority) = to.authority.or(kept) {
            assert_eq!(result.authority, Some(authority));
        }
    }
}

#[cfg(any(test, feature = "fuzz"))]
fn fuzz_build(url: &[u8]) {
    let split = Parts::split(url);
    let mut out = Output::new();
    split.build(&mut out);
    assert_eq!(out.as_slice(), url);
    let mut once = Output::new();
    Parts::parse(url).build(&mut once);
    let mut twice = Output::new();
    Parts::parse(once.as_slice()).build(&mut twice);
    if Parts::parse(url).is_strict() {
        assert_eq!(once.as_slice(), twice.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn authority(url: &str) -> Option<&str> {
        Parts::split(url.as_bytes())
            .authority
            .map(|text| str::from_utf8(text).unwrap())
    }

    #[test]
    fn where_the_authority_ends() {
        for (url, expected) in [
            ("http://h.test?q=1", "h.test"),
            ("http://h.test#f", "h.test"),
            ("http://h.test:81?q@x/", "h.test:81"),
            ("http://h.test?u=a@b", "h.test"),
            ("http://good.test?x@other.test/", "good.test"),
            ("http://h.test#a@b/c", "h.test"),
            ("http://ana:s?c#t@h.test:81/x", "ana:s?c#t@h.test:81"),
            ("http://ana:s?c#t@h.test:81?x@y", "ana:s?c#t@h.test:81"),
            ("http://u:p@good.test?x@other.test/", "u:p@good.test"),
            ("http://u:p?x/@y", "u:p"),
            ("http://[::1]?x@y/", "[::1]"),
            ("http://h.test:?x@y/", "h.test:"),
        ] {
            assert_eq!(authority(url), Some(expected), "{url}");
        }
    }

    #[test]
    fn strictness() {
        for url in [
            "http://h",
            "/x y",
            "http://u:p@[::1]:8/",
            "http://h:/",
            "http://:80/",
            "//",
        ] {
            assert!(Parts::parse(url.as_bytes()).is_strict(), "{url}");
        }
        for url in [
            "http://h:80:90/",
            "http://[::1",
            "http://::1/",
            "http://[]/",
            "http://[::1]x/",
            "http://h:http/",
            "http://h:65536/",
            "http://u@v@h/",
            "http://h h/",
            "http://h\n/",
            "http://h]/",
            "http://[[::1]]/",
        ] {
            assert!(!Parts::parse(url.as_bytes()).is_strict(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            fuzz(&data);
        }

        #[test]
        fn nearly_urls(data in "[#-~](ht:)?(//)?[h:@.0?#\\[\\]]{0,8}[a./;?#:@]{0,16}(//)?[./a?#:;@]{0,12}") {
            fuzz(data.as_bytes());
        }
    }
}
