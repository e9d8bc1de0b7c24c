//! homed: the daemon of per-user encrypted homes, and its worker. Two programs are made of it: libraries that only jobs need
//! are in the worker's memory alone.
//!
//! ```text
//! front/  D-Bus, Varlink, polkit, hand-off socket   translate only
//! sleep/  run by systemd around a sleep, whether the daemon lives or not
//! removal  asked by the package before it goes
//! daemon/ the loop: Event in → core → Effect out    tokio, one thread, all of the daemon's IO
//! lookup/  ready answers for who only asks          never waits for the loop
//! manager/ home/                                    the core: pure
//! words/  what is asked and answered                  data below both
//! job/    Job, Progress, Outcome                    what crosses to the worker
//! worker/ token/ storage/                           one job, one process, then gone
//! statedir/                                         host records and signing keys under /var/lib
//! sys/                                              every system call and C library; the only unsafe
//! ```
//!
//! Arrows point down only; `tests/tests/layering.rs` holds the table.

pub mod daemon;
pub mod front;
pub mod home;
pub mod job;
pub mod lookup;
pub mod manager;
pub mod removal;
pub mod sleep;
pub mod statedir;
pub mod storage;
pub mod sys;
pub mod token;
pub mod words;
pub mod worker;

/// The daemon's program: the daemon, or what its first argument says: what is run around a sleep or before a removal.
pub fn run() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("before-sleep") => sleep::before(),
        Some("last-look") => sleep::last_look(),
        Some("before-hibernation") => sleep::before_hibernation(),
        Some("after-sleep") => sleep::after(),
        Some("before-removal") => removal::before(std::env::args().nth(2).as_deref()),
        _ => daemon::main(front::start),
    }
}
