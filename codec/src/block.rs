//! Sixteen bytes, looked at together.
//!
//! `memchr` is made for bytes that are far away, and costs the same as copying a
//! line when they are near. Here copying and looking are one.

use wide::u8x16;

/// Copies `input` to `out` up to the first byte that `stops`, and returns where that
/// is, or the length of `input`. Writes a few bytes beyond; `out` must be longer
/// than `input` by [`SIZE`] at least.
#[inline(always)]
pub(crate) fn copy_until(input: &[u8], out: &mut [u8], stops: impl Fn(Block) -> u32) -> usize {
    let mut at = 0;
    while let Some(bytes) = input[at..].first_chunk::<SIZE>()
        && let Some(place) = out[at..].first_chunk_mut::<SIZE>()
    {
        *place = *bytes;
        let mask = stops(Block::load(bytes));
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += SIZE;
    }
    let rest = &input[at..];
    if rest.is_empty() {
        return at;
    }
    let mut bytes = [0; SIZE];
    bytes[..rest.len()].copy_from_slice(rest);
    if let Some(place) = out[at..].first_chunk_mut::<SIZE>() {
        *place = bytes;
    }
    let mask = stops(Block::load(&bytes)) | 1 << rest.len();
    at + mask.trailing_zeros() as usize
}

pub(crate) const SIZE: usize = 16;

/// Comparing gives one bit for each byte, the first byte the lowest.
#[derive(Clone, Copy)]
pub(crate) struct Block(u8x16);

impl Block {
    #[inline(always)]
    pub(crate) fn load(bytes: &[u8; SIZE]) -> Self {
        Self(u8x16::new(*bytes))
    }

    /// Which bytes are `c`.
    #[inline(always)]
    pub(crate) fn is(self, c: u8) -> u32 {
        self.0.simd_eq(u8x16::splat(c)).to_bitmask()
    }

    /// Which bytes are `c` at most.
    #[inline(always)]
    pub(crate) fn is_up_to(self, c: u8) -> u32 {
        self.0.min(u8x16::splat(c)).simd_eq(self.0).to_bitmask()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_one_by_one(input in "[a-c]{0,80}", bytes: [u8; SIZE], c: u8) {
            let input = input.as_bytes();
            let mut out = [0; 100];
            let end = copy_until(input, &mut out, |block| block.is(b'c'));
            assert_eq!(end, input.iter().position(|&c| c == b'c').unwrap_or(input.len()));
            assert_eq!(out[..end], input[..end]);
            let block = Block::load(&bytes);
            for (i, &byte) in bytes.iter().enumerate() {
                assert_eq!(block.is(c) >> i & 1 == 1, byte == c);
                assert_eq!(block.is_up_to(c) >> i & 1 == 1, byte <= c);
            }
        }
    }
}
