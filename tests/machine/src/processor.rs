//! The processor of the host that a machine runs on.
//!
//! User-Mode Linux is a process for its kernel and one for each of its own processes, and at each system call one wakes the other and
//! waits. Between two processors that is an interrupt and a processor that comes out of its rest, dear where the host is a virtual
//! machine itself: with all of a machine on one processor a test takes two thirds of the time. A machine has one processor of its own,
//! so it loses nothing.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::cache;

/// More machines than that for each processor are placed by the host.
const CROWD: usize = 64;

/// A processor, and the place on it: free again for others when this is dropped, and when its process ends.
pub struct Processor {
    number: usize,
    _place: File,
}

impl Processor {
    /// A processor of those that this process may use, of the least crowded with machines. None where nothing is to choose.
    pub fn choose() -> Result<Option<Self>> {
        let allowed = ours()?;
        let numbers: Vec<usize> =
            (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap_or_default()).collect();
        if numbers.len() < 2 {
            return Ok(None);
        }
        Self::among(&cache::folder()?.join("processors"), &numbers)
    }

    fn among(folder: &Path, numbers: &[usize]) -> Result<Option<Self>> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for place in 0..CROWD {
            for number in numbers {
                let file = File::create(folder.join(format!("{number}.{place}")))?;
                match file.try_lock() {
                    Ok(()) => return Ok(Some(Self { number: *number, _place: file })),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => return Err(error).context("cannot lock a place"),
                }
            }
        }
        Ok(None)
    }

    /// Does `start` there: processes that it starts stay there, and this thread comes back.
    pub fn there<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = ours()?;
        let mut this = CpuSet::new();
        this.set(self.number)?;
        sched_setaffinity(Pid::from_raw(0), &this).context("cannot choose a processor")?;
        let started = start();
        sched_setaffinity(Pid::from_raw(0), &before).context("cannot go back to all processors")?;
        started
    }
}

/// The processors that this thread may use.
fn ours() -> Result<CpuSet> {
    sched_getaffinity(Pid::from_raw(0)).context("cannot ask for the processors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_spread_over_the_processors_and_leave_their_places() {
        let folder = tempfile::tempdir().expect("a folder");
        let chosen = || Processor::among(folder.path(), &[4, 7]).expect("files").expect("a place");
        let (first, second, third) = (chosen(), chosen(), chosen());
        assert_eq!([first.number, second.number, third.number], [4, 7, 4]);
        drop(second);
        assert_eq!(chosen().number, 7);
    }

    #[test]
    fn what_is_started_there_stays_there_and_the_thread_does_not() {
        let before = ours().expect("processors");
        let last = (0..CpuSet::count()).rfind(|number| before.is_set(*number).expect("a number"));
        let folder = tempfile::tempdir().expect("a folder");
        let chosen = Processor::among(folder.path(), &[last.expect("one at least")]).expect("files");
        let chosen = chosen.expect("a place");
        let within = chosen.there(ours).expect("its processor");
        assert!(
            (0..CpuSet::count())
                .all(|number| within.is_set(number).expect("a number") == (number == chosen.number))
        );
        assert_eq!(ours().expect("processors"), before);
    }
}
