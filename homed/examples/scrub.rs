//! How fast free memory is written over on this machine, beside memset(3) by all processors. Called by
//! `cargo xtask bench scrub`; prints "NAME VALUE", and changes no setting of the kernel. The values are KiB a second, and KiB
//! for each second that processors have worked (`-work`): that does not change when others use them, too.
//!
//! The argument is how many MiB are written over. Without it, and at most, it is half of the free memory: a sleep has all of it
//! written over, and the parts that take the same time on any machine weigh less than in a small piece.

use homed::sys::bounded::Deadline;
use homed::sys::reclaim;
use std::error::Error;
use std::time::{Duration, Instant};

/// How often each is measured, in turn.
const ROUNDS: usize = 9;
/// The longest that one may take.
const BOUND: Duration = Duration::from_secs(60);
/// proc_pid_stat(5): in so many parts of a second the time of processors is told (`USER_HZ`, the same on all machines).
const TICKS: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1).map(|text| text.parse::<u64>()).transpose()?;
    let most = wanted.map_or(u64::MAX, |mib| mib << 20).min(free() / 2);
    // What a virtual machine has never used, its host has to find first, and that is not what is measured.
    reclaim::scrub(Deadline::after(BOUND), most)?;
    for _ in 0..ROUNDS {
        let begun = Begun::now()?;
        let done = reclaim::scrub(Deadline::after(BOUND), most)?;
        begun.tell("scrub", done.written)?;
        if let Some(why) = done.cut_short {
            return Err(why.into());
        }
        memset(most)?;
    }
    Ok(())
}

/// The same amount of memory, taken fresh, written to by as many threads and given back, as the scrub does; and what is there
/// already.
fn memset(bytes: u64) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism()?.get();
    let each = usize::try_from(bytes)? / threads;
    let fresh = Begun::now()?;
    drop(filled(threads, each));
    fresh.tell("memset-fresh", (each * threads) as u64)?;
    let mut areas = filled(threads, each);
    let resident = Begun::now()?;
    fill(&mut areas, 2);
    resident.tell("memset-resident", (each * threads) as u64)
}

fn filled(threads: usize, each: usize) -> Vec<Vec<u8>> {
    let mut areas = (0..threads).map(|_| vec![0; each]).collect::<Vec<_>>();
    fill(&mut areas, 1);
    areas
}

fn fill(areas: &mut [Vec<u8>], byte: u8) {
    std::thread::scope(|scope| {
        for area in &mut *areas {
            scope.spawn(move || area.fill(byte));
        }
    });
    std::hint::black_box(areas);
}

/// When something began, by the clock and by the work of this process and of those it has waited for.
struct Begun {
    clock: Instant,
    work: f64,
}

impl Begun {
    fn now() -> Result<Self, Box<dyn Error>> {
        Ok(Self { clock: Instant::now(), work: work()? })
    }

    fn tell(&self, name: &str, bytes: u64) -> Result<(), Box<dyn Error>> {
        let (clock, work) = (self.clock.elapsed().as_secs_f64(), work()? - self.work);
        let rate = |seconds: f64| ((bytes >> 10) as f64 / seconds.max(1.0 / TICKS)) as u64;
        println!("{name} {}\n{name}-work {}", rate(clock), rate(work));
        Ok(())
    }
}

/// In seconds, of all processors together.
fn work() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, numbers) = text.rsplit_once(") ").ok_or("what is /proc/self/stat?")?;
    // utime, stime, cutime, cstime
    let ticks: u64 = numbers.split(' ').skip(11).take(4).map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks as f64 / TICKS)
}

fn free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram * u64::from(info.mem_unit)
}
