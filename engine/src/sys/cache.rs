//! The processor's caches.
#![allow(unsafe_code)]

const LINE: usize = 64;

/// Has `what` come nearer, for a use soon. Costs next to nothing, whatever the address.
#[inline(always)]
pub fn prefetch<T>(what: *const T) {
    let (start, size) = (what.cast::<u8>(), size_of::<T>());
    for offset in (0..size).step_by(LINE) {
        fetch(start.wrapping_add(offset));
    }
    if align_of::<T>() < LINE && size > 1 {
        fetch(start.wrapping_add(size - 1));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: it does nothing that a program could notice.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn fetch(_: *const u8) {}
