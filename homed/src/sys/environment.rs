//! The process's own environment.

/// Sets a variable for this process and its C libraries. For the very start of the program only.
///
/// # Panics
/// Where a second thread runs already: it might be reading the environment.
pub fn set_before_threads(name: &str, value: &str) {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert!(threads <= 1, "the environment is changed before any thread starts");
    // SAFETY: no other thread exists, so nobody reads or writes the environment at the same time.
    unsafe { std::env::set_var(name, value) };
}
