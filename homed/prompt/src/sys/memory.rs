//! What keeps passwords in memory from others: the memory is locked, not dumpable, and zeroed as it is given back.
//!
//! A living process's memory is no free memory, which a lock writes over: what a text that was let go of has left in it would sleep
//! with the machine.

use rustix::process::{Resource, Rlimit};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io;

/// No core dumps, no debuggers without root's rights, and nothing in swap space.
pub fn keep_to_itself() -> io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    // SAFETY: takes flags only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An allocator whose memory holds nothing any more when it goes back to the one below.
pub struct Wiping<A = System>(pub A);

// SAFETY: what is asked of it is asked of the one below, with the same sizes; a piece of another size is a new one, to which
// the old one's bytes are copied by the trait's own `realloc`.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    // SAFETY: the caller's promises are the ones that are wanted below.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc(layout) }
    }

    // SAFETY: the caller's promises are the ones that are wanted below.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the piece is the caller's, that long, and nobody reads it any more; this is no store that a compiler leaves out.
        unsafe { libc::explicit_bzero(pointer.cast(), layout.size()) };
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Keeps what was in the pieces that it got back.
    #[derive(Default)]
    struct Below(RefCell<Vec<Vec<u8>>>);

    // SAFETY: the system's, which is asked the same.
    unsafe impl GlobalAlloc for Below {
        // SAFETY: the caller's promises are the ones that are wanted below.
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as above.
            unsafe { System.alloc(layout) }
        }

        // SAFETY: the caller's promises are the ones that are wanted below.
        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the piece is that long, and was written to the end.
            let left = unsafe { std::slice::from_raw_parts(pointer, layout.size()) }.to_vec();
            self.0.borrow_mut().push(left);
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) };
        }
    }

    #[test]
    fn nothing_is_left_in_what_goes_back_also_where_it_moves() {
        let allocator = Wiping(Below::default());
        let layout = Layout::array::<u8>(8).expect("small");
        // SAFETY: the layouts are those that the pieces have, and only what is theirs is written.
        unsafe {
            let pointer = allocator.alloc(layout);
            pointer.copy_from_nonoverlapping(b"password".as_ptr(), 8);
            let longer = allocator.realloc(pointer, layout, 16);
            longer.add(8).copy_from_nonoverlapping(b"password".as_ptr(), 8);
            assert_eq!(std::slice::from_raw_parts(longer, 16), b"passwordpassword");
            allocator.dealloc(longer, Layout::array::<u8>(16).expect("small"));
        }
        assert_eq!(*allocator.0.0.borrow(), [vec![0; 8], vec![0; 16]]);
    }
}
