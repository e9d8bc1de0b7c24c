//! `iorate FILE KIND WAY MIB SECONDS`: how fast a file or a device is read and written, for the measurements of
//! `cargo xtask bench`. Prints bytes and nanoseconds.
//!
//! KIND is `seq-write`, `seq-read`, `rand-write` or `rand-read`: pieces of 1 MiB in order, or of 4 KiB at random
//! places. WAY is `cached` (through the page cache, a write's time with the fsync at its end) or `direct`. It ends
//! after one pass over MIB mebibytes, or after SECONDS. What is written cannot be compressed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// fcntl.h, the same on all architectures of the test machine.
const O_DIRECT: i32 = 0o40000;
/// What direct I/O wants addresses and sizes to be a multiple of.
const ALIGNMENT: usize = 4096;
const MIB: usize = 1 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok((bytes, time)) => {
            println!("{bytes} {}", time.as_nanos());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("iorate {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> io::Result<(u64, Duration)> {
    let [path, kind, way, mebibytes, seconds] = words else {
        return Err(io::Error::other("usage: iorate FILE KIND WAY MIB SECONDS"));
    };
    let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
    let writes = kind.ends_with("write");
    let flags = if way == "direct" { O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).write(writes).create(writes).custom_flags(flags).open(path)?;
    let length = number(mebibytes)? * MIB as u64;
    let piece = if kind.starts_with("seq") { MIB } else { ALIGNMENT };
    let run =
        Run { length, piece, bound: Duration::from_secs(number(seconds)?), random: !kind.starts_with("seq") };
    run.go(&file, writes)
}

/// One measurement.
struct Run {
    length: u64,
    piece: usize,
    bound: Duration,
    random: bool,
}

impl Run {
    fn go(&self, file: &File, writes: bool) -> io::Result<(u64, Duration)> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut room = vec![0; MIB + ALIGNMENT];
        let start = room.as_ptr().align_offset(ALIGNMENT);
        let buffer = &mut room[start..start + self.piece];
        buffer.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
        let (begin, mut done) = (Instant::now(), 0);
        let pieces = self.length / self.piece as u64;
        while done < self.length && begin.elapsed() < self.bound {
            let place = if self.random { random.next() % pieces * self.piece as u64 } else { done };
            if writes {
                // No two pieces are alike.
                buffer[..8].copy_from_slice(&random.next().to_le_bytes());
                file.write_all_at(buffer, place)?;
            } else {
                file.read_exact_at(buffer, place)?;
            }
            done += self.piece as u64;
        }
        if writes {
            file.sync_all()?;
        }
        Ok((done, begin.elapsed()))
    }
}

/// Numbers without a pattern (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
