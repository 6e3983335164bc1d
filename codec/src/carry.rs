/// Bytes of the input that cannot be decided before more is seen.
#[derive(Clone, Copy)]
pub(crate) struct Carry<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Carry<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Runs `decide` over the carried bytes and `input` as if they were one
    /// string. `decide` returns how many bytes it dealt with; the rest is carried.
    ///
    /// Invariant: `decide` leaves less than `N / 2` bytes of any string, and
    /// always the same bytes when more follow. So the carried bytes and as many
    /// of the new ones, joined, are enough to get rid of the former.
    pub(crate) fn feed(&mut self, mut input: &[u8], mut decide: impl FnMut(&[u8]) -> usize) {
        if self.len > 0 {
            let mut joined = self.bytes;
            let taken = input.len().min(N - self.len);
            joined[self.len..self.len + taken].copy_from_slice(&input[..taken]);
            let joined = &joined[..self.len + taken];
            let done = decide(joined);
            if done < self.len {
                self.hold(&joined[done..]);
                return;
            }
            input = &input[done - self.len..];
        }
        let done = decide(input);
        self.hold(&input[done..]);
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }

    fn hold(&mut self, rest: &[u8]) {
        self.len = rest.len();
        self.bytes[..rest.len()].copy_from_slice(rest);
    }
}
