//! A walk: users at both ends write, delete and move, before and while the homes are made the same, and both ends are cut off anywhere.
//!
//! What must hold: whatever somebody has written, and nobody has written over or deleted, is there, at every moment in one of the two, and
//! at the end in both, under the same paths.

use super::*;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A number from 0 to below, by xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("few")]
    }
}

const PATHS: [&str; 8] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f/a"];

/// What was written, and nobody has done away with.
#[derive(Default)]
struct Ledger {
    next: u64,
    alive: BTreeSet<String>,
}

/// All texts under a path.
fn texts(path: &Path) -> Vec<String> {
    let Ok(meta) = path.symlink_metadata() else { return Vec::new() };
    if meta.is_dir() {
        let entries = fs::read_dir(path).expect("listed");
        return entries.flat_map(|entry| texts(&entry.expect("an entry").path())).collect();
    }
    fs::read_to_string(path).into_iter().collect()
}

impl Ledger {
    /// One user does one thing.
    fn act(&mut self, home: &Path, dice: &mut Dice) {
        let path = home.join(dice.of(&PATHS));
        match dice.below(10) {
            0..5 => {
                let _ = path.parent().map(fs::create_dir_all);
                if path.is_dir() || !path.parent().is_some_and(Path::is_dir) {
                    return;
                }
                let gone = texts(&path);
                self.next += 1;
                let text = format!("{:0>width$}", self.next, width = 3 + dice.below(3) as usize);
                // Half of all programs write into the file, half put a new one in its place.
                if dice.below(2) == 0 {
                    fs::write(home.join("new"), &text).expect("written");
                    fs::rename(home.join("new"), &path).expect("renamed");
                } else {
                    fs::write(&path, &text).expect("written");
                }
                self.alive.retain(|text| !gone.contains(text));
                self.alive.insert(text);
            }
            5..7 => {
                let gone = texts(&path);
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                self.alive.retain(|text| !gone.contains(text));
            }
            7..9 => {
                let to = home.join(dice.of(&PATHS));
                if to.symlink_metadata().is_err() {
                    let _ = fs::rename(&path, &to);
                }
            }
            _ => {
                let mode = 0o600 + dice.below(64) as u32;
                let mode = if path.is_dir() { mode | 0o700 } else { mode };
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            }
        }
    }

    fn is_kept(&self, homes: &[&Path], when: &str) {
        for home in homes {
            let there: BTreeSet<String> = texts(home).into_iter().collect();
            let lost: Vec<_> = self.alive.difference(&there).collect();
            assert!(lost.is_empty(), "{when}: lost {lost:?} in {}: {:?}", home.display(), listing(home));
        }
    }

    fn is_somewhere(&self, two: &Two, when: &str) {
        let there: BTreeSet<String> =
            [&two.first, &two.second].into_iter().flat_map(|home| texts(home)).collect();
        let lost: Vec<_> = self.alive.difference(&there).collect();
        assert!(lost.is_empty(), "{when}: lost {lost:?}");
    }
}

fn walk(seed: u64) {
    let two = Two::new();
    let ledger = Mutex::new(Ledger::default());
    let mut dice = Dice(seed * 2 + 0x9e37_79b9_7f4a_7c15);
    for round in 0..8 {
        let when = format!("seed {seed}, round {round}");
        for _ in 0..dice.below(6) {
            let end = if dice.below(2) == 0 { End::First } else { End::Second };
            ledger.lock().expect("no panic").act(two.home(end), &mut dice);
        }
        // Each end is cut off after so many events, and its user does something every few of them.
        let mut watches = [End::First, End::Second].map(|end| {
            let (two, ledger) = (&two, &ledger);
            let mut left = if dice.below(3) > 0 { dice.below(60) } else { u64::MAX };
            let every = if dice.below(2) == 0 { dice.below(20) + 1 } else { u64::MAX };
            let (mut count, mut own) = (0, Dice(dice.below(u64::MAX) | 1));
            move |_: Event| {
                count += 1;
                if count % every == 0 {
                    ledger.lock().expect("no panic").act(two.home(end), &mut own);
                }
                left = left.saturating_sub(1);
                if left == 0 { Err(Failure::Stopped) } else { Ok(()) }
            }
        });
        let [first, second] = &mut watches;
        let _ = two.sync_with(first, second);
        ledger.lock().expect("no panic").is_somewhere(&two, &when);
    }
    for _ in 0..3 {
        two.sync();
    }
    let ledger = ledger.into_inner().expect("no panic");
    ledger.is_kept(&[&two.first, &two.second], &format!("seed {seed}"));
    assert_eq!(listing(&two.first), listing(&two.second), "seed {seed}");
    let (outcome, _) = two.sync();
    assert_eq!((outcome.here, outcome.there), (0, 0), "seed {seed}: {outcome:?}");
}

#[test]
fn nothing_that_was_written_is_lost() {
    let from: u64 = std::env::var("TWIN_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in from..from + 300 {
        walk(seed);
    }
}
