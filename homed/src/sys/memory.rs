//! What keeps a process's memory to itself: locked, not dumpable, no core, gone with its parent.

use std::io;

/// Locks all memory, now and later, as it is touched.
pub fn lock_all() -> io::Result<()> {
    // SAFETY: takes flags only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

/// No core dumps, no ptrace by others, `/proc/PID` owned by root.
pub fn refuse_dumps() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the struct that lives for the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) })
}

/// The process dies when the thread that started it does; `EPIPE` where it is gone already.
pub fn die_with_parent(parent: i32) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // SAFETY: takes nothing.
    let now = unsafe { libc::getppid() };
    if now == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPIPE)) }
}

/// The parent's process id.
pub fn parent() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// This process's id.
pub fn own() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

/// Memory that can be had without swapping, in bytes (`MemAvailable`).
pub fn available() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no MemAvailable in /proc/meminfo"))
}

/// Gives back to the kernel what the allocator keeps for later: for who has just done much that is not done again.
pub fn give_back() {
    // SAFETY: takes an integer; the allocator is locked for as long as it takes, whichever thread calls.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
