//! Memory, as far as the kernel knows more of it than the allocator.

/// Gives the pages that lie wholly within `memory` back to the system: they read as zeros
/// from then on. Does nothing where that is not so.
pub fn release(memory: &mut [u8]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = memory.as_mut_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_ptr().addr() + memory.len()) / PAGE * PAGE;
        if start < end {
            let at = memory.as_mut_ptr().with_addr(start).cast();
            // SAFETY: pages within `memory`, which is ours alone; a refusal (of larger
            // pages, say) changes nothing.
            unsafe { libc::madvise(at, end - start, libc::MADV_DONTNEED) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
