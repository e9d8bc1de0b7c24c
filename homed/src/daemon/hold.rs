//! The note that the machine is going to sleep: a daemon that is killed meanwhile and started again holds on, and asks whether
//! a sleep is still on its way when the first would have.

use crate::home::Sleep;
use crate::manager::sleep::LONGEST;
use nix::time::ClockId;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// Writes the note, or takes it away. Its text is when that is asked: CLOCK_MONOTONIC, which stands still in a sleep, in µs.
pub fn note(path: &Path, sleep: Sleep) -> io::Result<()> {
    match sleep {
        Sleep::Holding => std::fs::write(path, (awake() + LONGEST).as_micros().to_string()),
        Sleep::Awake => match std::fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        },
    }
}

/// For how long it goes on holding, where there is a note. One that cannot be read is taken for a new one.
pub fn left(path: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(path).ok()?;
    let until = text.trim().parse().map_or_else(|_| awake() + LONGEST, Duration::from_micros);
    Some(until.saturating_sub(awake()).min(LONGEST))
}

fn awake() -> Duration {
    // Kernels without this clock are older than any that is supported.
    ClockId::CLOCK_MONOTONIC.now().map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_lasts_no_longer_than_a_sleep_may_be_prepared() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hold");
        assert_eq!(left(&path), None);
        note(&path, Sleep::Holding).expect("written");
        assert!(left(&path).is_some_and(|left| left <= LONGEST && left + Duration::from_secs(60) > LONGEST));
        std::fs::write(&path, "torn\n").expect("written");
        assert!(left(&path).is_some_and(|left| left <= LONGEST));
        std::fs::write(&path, "1").expect("written");
        assert_eq!(left(&path), Some(Duration::ZERO));
        std::fs::write(&path, u64::MAX.to_string()).expect("written");
        assert_eq!(left(&path), Some(LONGEST));
        note(&path, Sleep::Awake).expect("gone");
        note(&path, Sleep::Awake).expect("gone");
        assert_eq!(left(&path), None);
    }
}
