//! Taking `.` and `..` out of paths.

use memchr::memmem;

use crate::Output;

/// What stands behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Nothing: the last segment may be a dot segment.
    Nothing,
    /// Text that belongs to the last segment, which thus is no dot segment.
    Text,
}

/// Appends `path` without its dot segments.
///
/// As RFC 3986, 5.2.4, with three differences that LuaSocket has. Empty segments
/// count as segments that a `..` removes. A path without leading slash is
/// reduced too, except for a `.` in front; and there a `..` that has nothing
/// above it stays, and is removed by the next `..` like any segment.
pub fn remove(path: &[u8], behind: Behind, out: &mut Output) {
    if memmem::find(path, b"/.").is_none() {
        return out.extend(path);
    }
    let mut stack = Stack::new(path.first() == Some(&b'/'), out);
    let mut next = Some(path);
    while let Some(text) = next {
        let slash = memchr::memchr(b'/', text).unwrap_or(text.len());
        let segment = &text[..slash];
        next = text.get(slash + 1..).map(skip_dots);
        let last = next.is_none() && behind == Behind::Nothing;
        let last_name = last || (next == Some(b"") && behind == Behind::Nothing);
        match segment {
            b".." if next.is_none() && behind == Behind::Text => stack.push(segment),
            b".." if stack.pop() => {
                if last_name {
                    return stack.push(b"");
                }
            }
            b".." if stack.is_root() => {
                if last {
                    stack.push(b"");
                }
            }
            b"." if last && stack.depth > 0 => stack.push(b""),
            _ => stack.push(segment),
        }
    }
}

/// Appends `text`, which stands behind a path, without segments `.` between
/// slashes. Leaves everything else alone.
pub fn collapse(mut text: &[u8], out: &mut Output) {
    while let Some(place) = memmem::find(text, b"/./") {
        out.extend(&text[..=place]);
        text = skip_dots(&text[place + 1..]);
    }
    out.extend(text);
}

/// The segments kept so far, joined by slashes at the end of `out`.
struct Stack<'o> {
    out: &'o mut Output,
    start: usize,
    depth: usize,
    /// The lowest segment is the empty one before a leading slash. It stays.
    rooted: bool,
}

impl<'o> Stack<'o> {
    fn new(rooted: bool, out: &'o mut Output) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            depth: 0,
            rooted,
        }
    }

    fn push(&mut self, segment: &[u8]) {
        if self.depth > 0 {
            self.out.push(b'/');
        }
        self.out.extend(segment);
        self.depth += 1;
    }

    /// Removes the top segment, if there is one to remove.
    fn pop(&mut self) -> bool {
        if self.depth == 0 || self.is_root() {
            return false;
        }
        let kept = &self.out.as_slice()[self.start..];
        let end = memchr::memrchr(b'/', kept).unwrap_or(0);
        self.out.truncate(self.start + end);
        self.depth -= 1;
        true
    }

    fn is_root(&self) -> bool {
        self.rooted && self.depth == 1
    }
}

/// Skips segments `.` that have a slash behind them.
fn skip_dots(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"./") {
        text = rest;
    }
    text
}

/// Against the naive twin; never longer, and stable.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(path: &[u8]) {
    let mut out = Output::new();
    remove(path, Behind::Nothing, &mut out);
    assert_eq!(out.as_slice(), crate::naive::reduce(path), "{path:?}");
    let mut text = Output::new();
    collapse(path, &mut text);
    assert!(memmem::find(text.as_slice(), b"/./").is_none());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_paths_take_linear_time() {
        let mut out = Output::new();
        for path in [
            "/../".repeat(1 << 18),
            "a/../".repeat(1 << 18),
            "/./".repeat(1 << 18),
        ] {
            remove(path.as_bytes(), Behind::Nothing, &mut out);
            collapse(path.as_bytes(), &mut out);
        }
        let deep = "a/".repeat(1 << 18) + &"../".repeat(1 << 18);
        remove(deep.as_bytes(), Behind::Nothing, &mut out);
    }

    proptest! {
        #[test]
        fn any_bytes(path: Vec<u8>) {
            fuzz(&path);
        }

        #[test]
        fn dots(path in "[./]{0,12}|[a./]{0,20}|(/?(\\.|\\.\\.|a|))*") {
            fuzz(path.as_bytes());
        }
    }
}
