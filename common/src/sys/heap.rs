//! Memory that was freed and that the allocator keeps, given back to the system.
//!
//! glibc keeps what is freed in the heaps of its threads, page by page between what is still in use, and gives back only what lies at the
//! end of one. After a burst that can be more than all that is in use. musl gives memory back by itself and has no such call.

#[cfg(target_env = "gnu")]
use std::ffi::c_int;

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> c_int;
}

/// Gives back every whole page that is free. Takes some milliseconds for each hundred megabytes; others that allocate wait meanwhile.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time by any thread; it locks what it touches, and touches nothing that is in use.
    unsafe {
        malloc_trim(0);
    }
}
