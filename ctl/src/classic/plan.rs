//! Turning a classic account into a home, and back: which step is next.
//!
//! ```text
//! home:        note → home, made and compared by homed → lines out of /etc → the folder put away
//! account:     lines into /etc → the folder back → homed forgets the home → its storage put away → note away
//! forgotten:   note says so → the folder is no more → note away
//! ```
//!
//! A name with a home that homed knows is a home's, whatever /etc/passwd says (`pam_homed`, and homed's record is one file). So
//! making the home known is the one step that switches, and forgetting it the one that switches back: before the first
//! all of the account is as it was, before the second it is so again. A change that was cut short at any
//! point is finished, or taken back, by asking again.

use super::lines::Standing;

/// Where the folder of the account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// At its own place.
    AtHome,
    /// Put away.
    Away,
    /// Nowhere, or something of it is missing: it was to be forgotten.
    Gone,
}

/// What there is of the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// Nothing.
    Missing,
    /// Its storage, which homed does not know.
    Unknown,
    /// All of it: homed knows it.
    Known,
}

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// Nothing.
    Nothing,
    /// The account, whole.
    Account,
    /// That its folder is not wanted any more.
    Forgotten,
}

/// What stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The note.
    pub noted: Noted,
    /// How much of the account is in /etc.
    pub lines: Standing,
    /// Its folder.
    pub folder: Folder,
    /// The home.
    pub home: Home,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// A home.
    Home,
    /// The account as it was.
    Account,
    /// A home, and nothing of the account.
    Forget,
}

/// One step. All of them but [`Step::TakeLines`] and [`Step::PutLines`], which are one for each file, and
/// [`Step::RemoveFolder`] have happened or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Notes the account.
    WriteNote,
    /// Has homed make the home.
    MakeHome,
    /// Takes the account out of /etc.
    TakeLines,
    /// Puts the folder away.
    PutFolderAway,
    /// Puts the account into /etc.
    PutLines,
    /// Puts the folder back.
    PutFolderBack,
    /// Has homed forget the home.
    ForgetHome,
    /// Puts the home's storage away.
    PutStorageAway,
    /// Notes that the folder is not wanted any more.
    NoteForgotten,
    /// Deletes the folder.
    RemoveFolder,
    /// Removes the note.
    RemoveNote,
}

/// Why there is no way to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stuck {
    /// There is no account, and no home that was made of one.
    NothingToConvert,
    /// A home is there that was not made of the account.
    HomeOfAnother,
    /// Storage of a home is there that homed does not know.
    StorageInTheWay,
    /// The home has gone, and the account is not whole.
    HomeRemoved,
    /// Nothing of the account is kept.
    NothingKept,
    /// The folder is not where it was put.
    FolderMissing,
    /// The home is not whole yet.
    NotConverted,
}

/// The next step; `None`: it is as wanted.
pub fn next(stands: &Situation, wish: Wish) -> Result<Option<Step>, Stuck> {
    match wish {
        Wish::Home => to_home(stands),
        Wish::Account => to_account(stands),
        Wish::Forget => to_nothing(stands),
    }
}

fn to_home(stands: &Situation) -> Result<Option<Step>, Stuck> {
    match (stands.noted, stands.home) {
        (Noted::Nothing, Home::Known) if stands.lines == Standing::Whole => Err(Stuck::HomeOfAnother),
        (Noted::Nothing, Home::Known) | (Noted::Nothing, Home::Missing)
            if stands.lines != Standing::Whole =>
        {
            Err(Stuck::NothingToConvert)
        }
        (Noted::Nothing, Home::Unknown) => Err(Stuck::StorageInTheWay),
        (Noted::Nothing, _) if stands.folder != Folder::AtHome => Err(Stuck::FolderMissing),
        (Noted::Nothing, _) => Ok(Some(Step::WriteNote)),
        (Noted::Forgotten, Home::Known) => Ok(None),
        (Noted::Account, Home::Known) if stands.lines != Standing::Gone => Ok(Some(Step::TakeLines)),
        (Noted::Account, Home::Known) if stands.folder == Folder::AtHome => Ok(Some(Step::PutFolderAway)),
        (Noted::Account, Home::Known) => Ok(None),
        // Somebody has removed the home, or the account was being put back: that is done first.
        (Noted::Account, _) if stands.lines != Standing::Whole || stands.folder != Folder::AtHome => {
            Err(Stuck::HomeRemoved)
        }
        (Noted::Account, Home::Missing) => Ok(Some(Step::MakeHome)),
        (Noted::Account, Home::Unknown) => Ok(Some(Step::PutStorageAway)),
        (Noted::Forgotten, _) => Err(Stuck::NothingKept),
    }
}

fn to_account(stands: &Situation) -> Result<Option<Step>, Stuck> {
    match stands.noted {
        Noted::Nothing if stands.lines == Standing::Whole && stands.home != Home::Known => Ok(None),
        Noted::Nothing | Noted::Forgotten => Err(Stuck::NothingKept),
        Noted::Account if stands.folder == Folder::Gone => Err(Stuck::FolderMissing),
        Noted::Account if stands.lines != Standing::Whole => Ok(Some(Step::PutLines)),
        Noted::Account if stands.folder == Folder::Away => Ok(Some(Step::PutFolderBack)),
        Noted::Account => Ok(Some(match stands.home {
            Home::Known => Step::ForgetHome,
            Home::Unknown => Step::PutStorageAway,
            Home::Missing => Step::RemoveNote,
        })),
    }
}

fn to_nothing(stands: &Situation) -> Result<Option<Step>, Stuck> {
    let is_converted = stands.home == Home::Known && stands.lines == Standing::Gone;
    match (stands.noted, stands.folder) {
        (Noted::Nothing, _) if is_converted => Ok(None),
        (Noted::Nothing, _) => Err(Stuck::NothingKept),
        (Noted::Account, Folder::AtHome) => Err(Stuck::NotConverted),
        (Noted::Account, _) if !is_converted => Err(Stuck::NotConverted),
        (Noted::Account, _) => Ok(Some(Step::NoteForgotten)),
        (Noted::Forgotten, Folder::Away) => Ok(Some(Step::RemoveFolder)),
        (Noted::Forgotten, _) => Ok(Some(Step::RemoveNote)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A machine, as far as steps change it.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Model {
        noted: u8,
        /// Whether each file in /etc has what it had of the account, in the order in which it is taken out.
        files: [bool; 4],
        /// Where the folder is, and whether it is whole.
        folder: (u8, bool),
        /// Whether storage is there, whether homed knows it.
        home: (bool, bool),
        /// Storage that was put away.
        away: u8,
        /// What the user has written: into the home, and into the account's folder.
        written: (bool, bool),
    }

    impl Model {
        fn new() -> Self {
            let (noted, files) = (0, [true; 4]);
            Self { noted, files, folder: (0, true), home: (false, false), away: 0, written: (false, false) }
        }

        fn look(&self) -> Situation {
            Situation {
                noted: [Noted::Nothing, Noted::Account, Noted::Forgotten][usize::from(self.noted)],
                lines: match self.files.iter().filter(|there| **there).count() {
                    4 => Standing::Whole,
                    0 => Standing::Gone,
                    _ => Standing::Part,
                },
                folder: [Folder::AtHome, Folder::Away, Folder::Gone][usize::from(self.folder.0)],
                home: match self.home {
                    (_, true) => Home::Known,
                    (true, false) => Home::Unknown,
                    (false, false) => Home::Missing,
                },
            }
        }

        /// All states that a step leads through; the last is that where it is done.
        fn through(&self, step: Step) -> Vec<Self> {
            let mut states = Vec::new();
            let mut now = self.clone();
            match step {
                Step::WriteNote => now.noted = 1,
                Step::MakeHome => {
                    now.home.0 = true;
                    states.push(now.clone());
                    now.home.1 = true;
                }
                Step::TakeLines | Step::PutLines => {
                    let order = [[0, 1, 2, 3], [3, 2, 1, 0]][usize::from(step == Step::PutLines)];
                    for file in order {
                        now.files[file] = step == Step::PutLines;
                        states.push(now.clone());
                    }
                }
                Step::PutFolderAway => now.folder.0 = 1,
                Step::PutFolderBack => now.folder.0 = 0,
                Step::ForgetHome => now.home.1 = false,
                Step::PutStorageAway => {
                    now.home.0 = false;
                    now.away = 1;
                }
                Step::NoteForgotten => now.noted = 2,
                Step::RemoveFolder => {
                    now.folder.1 = false;
                    states.push(now.clone());
                    now.folder.0 = 2;
                }
                Step::RemoveNote => now.noted = 0,
            }
            states.push(now);
            states
        }

        /// What the user finds: the home where homed knows one; else the account, which takes all of it.
        fn check(&self) {
            match self.home {
                (storage, true) => assert!(storage, "homed knows a home that is not there: {self:?}"),
                (_, false) => {
                    assert!(self.files[0] && self.files[1], "neither account nor home: {self:?}");
                    assert_eq!(self.folder, (0, true), "the account has no folder: {self:?}");
                }
            }
            if self.noted == 1 {
                assert!(self.folder.1, "a folder that can be asked for is whole: {self:?}");
            }
            // What was written is somewhere.
            assert!(!self.written.0 || self.home.0 || self.away > 0, "{self:?}");
        }

        /// The user logs in and writes something.
        fn used(&self) -> Self {
            let mut now = self.clone();
            match now.home.1 {
                true => now.written.0 = true,
                false => now.written.1 = true,
            }
            now
        }
    }

    fn walk(planner: fn(&Situation, Wish) -> Result<Option<Step>, Stuck>) -> usize {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![Model::new()];
        while let Some(model) = waiting.pop() {
            if !seen.insert(model.clone()) {
                continue;
            }
            model.check();
            waiting.push(model.used());
            for wish in [Wish::Home, Wish::Account, Wish::Forget] {
                if let Ok(Some(step)) = planner(&model.look(), wish) {
                    waiting.extend(model.through(step));
                }
                ends(&model, wish, planner);
            }
        }
        seen.len()
    }

    /// Nothing goes round in circles, and what is wanted comes true or is refused before anything is done.
    fn ends(model: &Model, wish: Wish, planner: fn(&Situation, Wish) -> Result<Option<Step>, Stuck>) {
        let mut now = model.clone();
        for step in 0..12 {
            match planner(&now.look(), wish) {
                Ok(Some(step)) => now = now.through(step).pop().expect("a state"),
                Ok(None) => {
                    return match wish {
                        Wish::Home => assert!(now.home.1, "{now:?}"),
                        Wish::Account => assert_eq!((now.files, now.home.1), ([true; 4], false)),
                        Wish::Forget => assert_eq!((now.noted, now.home.1), (0, true)),
                    };
                }
                Err(stuck) => return assert_eq!(step, 0, "{wish:?} is {stuck:?} on its way: {now:?}"),
            }
        }
        panic!("{wish:?} does not end: {model:?}");
    }

    #[test]
    fn cut_anywhere_either_the_account_or_the_home_works_and_nothing_is_lost() {
        assert!(walk(next) > 40);
    }

    /// A planner with a fault is found out.
    fn is_found(planner: fn(&Situation, Wish) -> Result<Option<Step>, Stuck>) -> bool {
        std::panic::catch_unwind(|| walk(planner)).is_err()
    }

    #[test]
    fn the_walk_finds_each_rule_that_is_taken_out() {
        // The account goes before the home is known.
        assert!(is_found(|stands, wish| match (wish, stands.noted, stands.lines) {
            (Wish::Home, Noted::Account, Standing::Whole) => Ok(Some(Step::TakeLines)),
            _ => next(stands, wish),
        }));
        // The folder is put away before.
        assert!(is_found(|stands, wish| match (wish, stands.noted, stands.folder) {
            (Wish::Home, Noted::Account, Folder::AtHome) => Ok(Some(Step::PutFolderAway)),
            _ => next(stands, wish),
        }));
        // The home is forgotten before the account is back.
        assert!(is_found(|stands, wish| match (wish, stands.noted, stands.home) {
            (Wish::Account, Noted::Account, Home::Known) => Ok(Some(Step::ForgetHome)),
            _ => next(stands, wish),
        }));
        // Storage is put away while homed knows it.
        assert!(is_found(|stands, wish| match (wish, stands.noted, stands.home) {
            (Wish::Account, Noted::Account, Home::Known) => Ok(Some(Step::PutStorageAway)),
            _ => next(stands, wish),
        }));
        // The folder goes without its note saying so.
        assert!(is_found(|stands, wish| match (wish, stands.noted, stands.folder) {
            (Wish::Forget, Noted::Account, Folder::Away) => Ok(Some(Step::RemoveFolder)),
            _ => next(stands, wish),
        }));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let stands = Situation {
            noted: Noted::Nothing,
            lines: Standing::Whole,
            folder: Folder::AtHome,
            home: Home::Missing,
        };
        assert_eq!(next(&stands, Wish::Home), Ok(Some(Step::WriteNote)));
        assert_eq!(next(&stands, Wish::Account), Ok(None));
        assert_eq!(next(&stands, Wish::Forget), Err(Stuck::NothingKept));
        let home = |home| next(&Situation { home, ..stands }, Wish::Home);
        assert_eq!(home(Home::Known), Err(Stuck::HomeOfAnother));
        assert_eq!(home(Home::Unknown), Err(Stuck::StorageInTheWay));
        let gone = Situation { lines: Standing::Gone, ..stands };
        assert_eq!(next(&gone, Wish::Home), Err(Stuck::NothingToConvert));
    }
}
