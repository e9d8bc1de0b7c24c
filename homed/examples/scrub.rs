//! How fast free memory is written over on this machine, beside memset(3) by all processors. Called by
//! `cargo xtask bench scrub`; prints "NAME VALUE" in KiB a second, and changes no setting of the kernel.
//!
//! The first argument is how many MiB are written over: half of the free memory at most.

use homed::sys::bounded::Deadline;
use homed::sys::reclaim;
use std::error::Error;
use std::time::{Duration, Instant};

/// How often each is measured, in turn.
const ROUNDS: usize = 5;
/// The longest that one may take.
const BOUND: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: u64 = std::env::args().nth(1).unwrap_or_default().parse()?;
    let most = (wanted << 20).min(free() / 2);
    // What a virtual machine has never used, its host has to find first, and that is not what is measured.
    reclaim::scrub(Deadline::after(BOUND), most)?;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let done = reclaim::scrub(Deadline::after(BOUND), most)?;
        tell("scrub", done.written, begun);
        if let Some(why) = done.cut_short {
            return Err(why.into());
        }
        memset(most)?;
    }
    Ok(())
}

/// The same amount of memory, taken fresh and written to by as many threads; then once more, when it is there.
fn memset(bytes: u64) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism()?.get();
    let each = usize::try_from(bytes)? / threads;
    let mut areas: Vec<Vec<u8>> = (0..threads).map(|_| vec![0; each]).collect();
    for (name, byte) in [("memset-fresh", 1), ("memset-resident", 2)] {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for area in &mut areas {
                scope.spawn(move || area.fill(byte));
            }
        });
        std::hint::black_box(&areas);
        tell(name, (each * threads) as u64, begun);
    }
    Ok(())
}

fn tell(name: &str, bytes: u64, begun: Instant) {
    let rate = (bytes >> 10) as f64 / begun.elapsed().as_secs_f64();
    println!("{name} {}", rate as u64);
}

fn free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram * u64::from(info.mem_unit)
}
