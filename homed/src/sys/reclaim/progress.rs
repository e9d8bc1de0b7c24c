//! Who of the threads takes how much next, and when it is enough.

use super::super::{buddy, zones::Zones};
use super::kept_apart::Amount;
use super::memory_free;
use super::pages::{HUGE, Pages, has_huge};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Asked for at a time by all processors together, and no more than half of what can be had: others need memory in the
/// meantime.
const TOGETHER: u64 = 64 << 20;
/// The least that one processor asks for at a time, as long as there is that much.
const PIECE: u64 = 4 << 20;
/// A page of the largest kernel page size, in bytes: pieces are whole ones.
const SMALL: u64 = 64 << 10;
/// Left free, in bytes, over what the kernel keeps for itself.
const MARGIN: u64 = 2 << 20;
/// The most that is taken in the beginning to be exchanged in the end, by all processors together: a quarter of it is for what
/// is left, which on machines with 16 GiB is about as much.
const SPARE: u64 = 256 << 20;
/// How often, in a row, free memory may fall by less than half of what was asked for. It does fall less when another
/// program ends just then.
const PATIENCE: usize = 2;
/// How old an answer to what is out of reach may be: it is long on many processors.
const FRESH: Duration = Duration::from_millis(100);

/// What all threads know.
pub struct Progress<'a> {
    account: &'a File,
    threads: u64,
    most: u64,
    free: u64,
    written: u64,
    /// Asked for, and not there yet.
    claimed: u64,
    /// The same of what processors have put aside, which is no part of free memory.
    aside: u64,
    window: Window,
    look: Look,
    pub failed: Option<io::Error>,
}

/// What was seen of free memory, and when, in bytes.
struct Look {
    when: Instant,
    /// Nobody is given it.
    reserve: u64,
    /// Lies there in huge pages.
    huge: u64,
}

impl Look {
    fn at(zones: &Zones) -> Self {
        let reserve = kept(zones);
        // Which pages the reserve is of, nobody knows. A kernel that does not tell has none.
        let huge = match has_huge() {
            true => buddy::free_in_pieces_of(HUGE).unwrap_or(0).saturating_sub(reserve),
            false => 0,
        };
        Self { when: Instant::now(), reserve, huge }
    }
}

/// What one thread begins with, in bytes.
pub struct First {
    /// Comes of what the processor has put aside.
    aside: u64,
    /// All of it, and what of it is exchanged.
    pub amount: Amount,
}

impl First {
    /// What `MemFree` falls by.
    fn of_free(&self) -> u64 {
        self.amount.taken - self.aside
    }
}

/// Free memory at one time, and what was taken since.
struct Window {
    free: u64,
    taken: u64,
    idle: usize,
}

impl<'a> Progress<'a> {
    pub fn begin(account: &'a File, most: u64, processors: &[usize], zones: &Zones) -> io::Result<Self> {
        let free = memory_free();
        let aside: u64 = processors.iter().map(|processor| zones.aside(*processor)).sum();
        let begun = Self {
            account,
            threads: (processors.len() as u64).max(1),
            most,
            free: free + aside * rustix::param::page_size() as u64,
            written: 0,
            claimed: 0,
            aside: 0,
            window: Window { free, taken: 0, idle: 0 },
            look: Look::at(zones),
            failed: None,
        };
        begun.note()?;
        Ok(begun)
    }

    /// What is still wanted.
    fn left(&self) -> u64 {
        self.most.saturating_sub(self.written + self.claimed + self.aside)
    }

    /// What a thread takes first of all: what its processor has put aside, `aside` bytes, for that is what it is given first; and
    /// no less than is to be exchanged in the end for what nobody is given. That is twice as much, for among it is what was just
    /// given back; and twice that again, for only every second page is given back.
    pub fn claim_first(&mut self, room: u64, aside: u64) -> First {
        // A page for each of two ranges, whatever the page size.
        let unit = 2 * SMALL;
        let (left, quarter) = (self.left(), room / 4);
        let aside = aside.next_multiple_of(unit).min(quarter).min(left);
        let exchanged = (4 * self.look.reserve).min(SPARE).min(quarter) / self.threads;
        let taken = exchanged.max(aside).min(left) / unit * unit;
        let first = First { aside: aside.min(taken), amount: Amount { taken, exchanged } };
        self.claimed += first.of_free();
        self.aside += first.aside;
        first
    }

    /// What is put aside is no part of free memory, which does not fall by it.
    pub fn taken_first(&mut self, first: &First, is_taken: bool) {
        self.aside -= first.aside;
        if is_taken {
            self.written += first.aside;
            self.taken(first.of_free(), Ok(()));
        } else {
            self.claimed -= first.of_free();
        }
    }

    /// What can still be asked for.
    pub fn room(&mut self) -> u64 {
        if self.look.when.elapsed() > FRESH
            && let Ok(zones) = Zones::now()
        {
            self.look = Look::at(&zones);
            // Some of it is on its way to others, and is there no more, or will not be.
            self.look.huge = self.look.huge.saturating_sub(self.claimed);
        }
        memory_free().saturating_sub(self.look.reserve + self.claimed)
    }

    /// How much is to be taken next, and how; `None`: that was all.
    pub fn claim(&mut self) -> Option<(u64, Pages)> {
        let wanted = (self.room() / 2).min((TOGETHER / self.threads).max(PIECE)).min(self.left());
        let (length, pages) = piece(wanted, self.look.huge);
        if length == 0 || self.failed.is_some() || self.window.idle >= PATIENCE {
            return None;
        }
        if pages == Pages::Huge {
            self.look.huge -= length;
        }
        self.claimed += length;
        Some((length, pages))
    }

    /// The account is kept as it goes: this process may be ended.
    pub fn taken(&mut self, length: u64, how: io::Result<()>) {
        self.claimed -= length;
        if let Err(error) = how {
            self.failed = Some(error);
            return;
        }
        self.written += length;
        self.window.add(length, length * self.threads, memory_free());
        if let Err(error) = self.note() {
            self.failed = Some(error);
        }
    }

    fn note(&self) -> io::Result<()> {
        let numbers = [self.free.to_ne_bytes(), self.written.to_ne_bytes()];
        self.account.write_all_at(numbers.as_flattened(), 0)
    }
}

impl Window {
    /// What others are on their way to, `at_work` bytes at most, is gone from free memory before it is counted here, or
    /// after: so it is looked at when four times as much was taken.
    fn add(&mut self, length: u64, at_work: u64, free: u64) {
        self.taken += length;
        if self.taken < 4 * at_work {
            return;
        }
        let fell = self.free.saturating_sub(free);
        let idle = if fell < self.taken / 2 { self.idle + 1 } else { 0 };
        *self = Self { free, taken: 0, idle };
    }
}

/// What is taken of so many bytes that are wanted, where so many lie there in huge pages.
fn piece(wanted: u64, huge: u64) -> (u64, Pages) {
    match wanted.min(huge) / HUGE * HUGE {
        0 => (wanted / SMALL * SMALL, Pages::Small),
        length => (length, Pages::Huge),
    }
}

/// What nobody is given without taking from others, in bytes.
fn kept(zones: &Zones) -> u64 {
    zones.out_of_reach() * rustix::param::page_size() as u64 + MARGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine with two processors, 1,000 MiB free, 50 MiB of them out of reach.
    fn progress(account: &File, most: u64) -> Progress<'_> {
        Progress {
            account,
            threads: 2,
            most,
            free: 1000 * MIB,
            written: 0,
            claimed: 0,
            aside: 0,
            window: Window { free: 1000 * MIB, taken: 0, idle: 0 },
            look: Look { when: Instant::now(), reserve: 50 * MIB, huge: 0 },
            failed: None,
        }
    }

    #[test]
    fn what_is_put_aside_is_spare_and_is_counted() {
        let account = tempfile::tempfile().expect("a file");
        let mut progress = progress(&account, 4096 * MIB);
        let first = progress.claim_first(950 * MIB, 0);
        let amount = |taken| Amount { taken: taken * MIB, exchanged: 100 * MIB };
        assert_eq!((first.aside, first.amount, progress.claimed), (0, amount(100), 100 * MIB));
        progress.taken_first(&first, true);
        let first = progress.claim_first(950 * MIB, 30 * MIB);
        assert_eq!((first.aside, first.amount, progress.claimed), (30 * MIB, amount(100), 70 * MIB));
        progress.taken_first(&first, true);
        assert_eq!((progress.written, progress.claimed), (200 * MIB, 0));
        let first = progress.claim_first(950 * MIB, 120 * MIB);
        assert_eq!((first.aside, first.amount, progress.claimed), (120 * MIB, amount(120), 0));
        progress.taken_first(&first, false);
        assert_eq!((progress.written, progress.claimed), (200 * MIB, 0));
    }

    #[test]
    fn no_more_is_taken_than_is_wanted_by_all_threads_together() {
        let account = tempfile::tempfile().expect("a file");
        let mut progress = progress(&account, 16 * MIB);
        let one = progress.claim_first(950 * MIB, 4 * MIB);
        let other = progress.claim_first(950 * MIB, 4 * MIB);
        assert_eq!((one.amount.taken, other.amount.taken), (16 * MIB, 0));
        assert_eq!(progress.claim().map(|(length, _)| length), None);
        progress.taken_first(&one, true);
        progress.taken_first(&other, true);
        assert_eq!((progress.written, progress.left()), (16 * MIB, 0));
    }

    #[test]
    fn huge_pages_are_taken_where_they_lie_there_and_none_is_made() {
        assert_eq!(piece(64 * MIB, 1 << 30), (64 * MIB, Pages::Huge));
        assert_eq!(piece(64 * MIB, 7 * MIB), (6 * MIB, Pages::Huge));
        assert_eq!(piece(64 * MIB, MIB), (64 * MIB, Pages::Small));
        assert_eq!(piece(MIB + 1, 64 * MIB), (MIB, Pages::Small));
        assert_eq!(piece(SMALL - 1, 64 * MIB).0, 0);
    }

    #[test]
    fn it_ends_where_free_memory_does_not_fall() {
        // Two processors, 4 MiB each at a time; every piece comes from what others had.
        let mut window = Window { free: 1000 * MIB, taken: 0, idle: 0 };
        let pieces = (1..).take_while(|_| {
            window.add(4 * MIB, 8 * MIB, 1000 * MIB);
            window.idle < PATIENCE
        });
        assert_eq!(pieces.count() + 1, 16);
    }

    #[test]
    fn it_goes_on_where_free_memory_falls_by_what_is_taken() {
        let mut window = Window { free: 1000 * MIB, taken: 0, idle: 0 };
        for pieces in 1..200 {
            // The other processor is always ahead by a piece, or behind.
            let other = if pieces % 2 == 0 { 4 * MIB } else { 0 };
            window.add(4 * MIB, 8 * MIB, 1000 * MIB - (pieces * 4 * MIB + other));
            assert_eq!(window.idle, 0);
        }
    }
}
