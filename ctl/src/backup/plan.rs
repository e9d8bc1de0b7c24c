//! A home made anew of a backup: which step is next. Pure.
//!
//! ```text
//! note: which backup, and the record in it → the home, empty → what is in the backup → note away
//! ```
//!
//! While there is a note the home is not whole, whoever was killed where; asked again, it goes on.

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// Nothing.
    Nothing,
    /// A backup, by somebody before.
    Before,
    /// The one that is wanted now.
    Now,
}

/// What there is of the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// Nothing.
    Missing,
    /// One that was made of the backup that is noted.
    OfBackup,
    /// Another one.
    Other,
}

/// What stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The note.
    pub noted: Noted,
    /// The home.
    pub home: Home,
    /// Whether all of the backup was brought into it, by this program.
    pub filled: bool,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Note the backup.
    Note,
    /// Make the home.
    Make,
    /// Bring into it what is in the backup.
    Fill,
    /// Take the note away.
    Forget,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// This.
    Do(Step),
    /// Nothing more: it is whole.
    Done,
    /// Nothing: there is another home of that name.
    IsThere,
}

/// The next step.
pub fn next(situation: Situation) -> Next {
    match (situation.noted, situation.home, situation.filled) {
        (Noted::Nothing, Home::OfBackup, true) => Next::Done,
        (Noted::Nothing, Home::OfBackup | Home::Other, _) => Next::IsThere,
        // What was noted by somebody before may be of a backup that is not wanted.
        (Noted::Nothing | Noted::Before, Home::Missing, _) => Next::Do(Step::Note),
        (Noted::Now, Home::Missing, _) => Next::Do(Step::Make),
        (Noted::Before | Noted::Now, Home::OfBackup, false) => Next::Do(Step::Fill),
        (Noted::Before | Noted::Now, Home::OfBackup, true) => Next::Do(Step::Forget),
        // It was removed and made again: the note is of nothing.
        (Noted::Before | Noted::Now, Home::Other, _) => Next::Do(Step::Forget),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct World {
        noted: bool,
        home: Home,
        /// Whether all of the backup is in the home.
        whole: bool,
    }

    /// Runs the plan, cut before the step with that number. Whether it got to its end.
    fn run(world: &mut World, cut: usize) -> Option<Next> {
        let (mut noted_now, mut filled) = (false, false);
        for step in 0..20 {
            let noted = match (world.noted, noted_now) {
                (false, _) => Noted::Nothing,
                (true, false) => Noted::Before,
                (true, true) => Noted::Now,
            };
            let Next::Do(wanted) = next(Situation { noted, home: world.home, filled }) else {
                return Some(next(Situation { noted, home: world.home, filled }));
            };
            if step == cut {
                return None;
            }
            match wanted {
                Step::Note => (world.noted, noted_now) = (true, true),
                Step::Make => (world.home, world.whole) = (Home::OfBackup, false),
                Step::Fill => (world.whole, filled) = (true, true),
                Step::Forget => world.noted = false,
            }
            let is_half = world.home == Home::OfBackup && !world.whole;
            assert!(!is_half || world.noted, "a home that is not whole is noted: {world:?}");
        }
        panic!("it has no end: {world:?}");
    }

    #[test]
    fn cut_anywhere_any_number_of_times_the_home_gets_whole() {
        let start = World { noted: false, home: Home::Missing, whole: false };
        for first in 0..6 {
            for second in 0..6 {
                let mut world = start;
                for cut in [first, second] {
                    run(&mut world, cut);
                }
                run(&mut world, usize::MAX);
                assert!(
                    world.whole && !world.noted && world.home == Home::OfBackup,
                    "{first} {second}: {world:?}"
                );
            }
        }
    }

    #[test]
    fn another_home_of_that_name_is_never_filled() {
        for noted in [false, true] {
            let mut world = World { noted, home: Home::Other, whole: true };
            assert_eq!(run(&mut world, usize::MAX), Some(Next::IsThere));
            assert_eq!(world, World { noted: false, home: Home::Other, whole: true });
        }
        // One that was made of a backup before, and is in use.
        let mut world = World { noted: false, home: Home::OfBackup, whole: true };
        assert_eq!(run(&mut world, usize::MAX), Some(Next::IsThere));
    }
}
