//! All sequences of wishes, cuts within each step, logins, and lines that another hand takes out: either the home or the account
//! works, and nothing is lost.

use super::*;
use std::collections::BTreeSet;

/// A machine, as far as steps change it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    noted: u8,
    /// Whether each file in /etc has what it is to have of the account, in the order in which it is taken out.
    files: [bool; 4],
    folder: Place,
    /// What the copy has of the home: nothing whole, what was there before it was used, or after.
    copied: u8,
    /// Whether storage is at its place, and put away.
    storage: (bool, bool),
    /// Whether homed knows the home.
    known: bool,
    /// Whether this run has compared.
    compared: bool,
    /// How often the home was used: never, or since.
    used: u8,
    /// Whether the copy is a folder that the account has written to.
    written: bool,
    /// Whether the home is being brought back: its lines are out before homed can know it.
    back: bool,
    /// Whether the account is none any more by another hand: nobody can be kept from that.
    by_hand: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Missing,
    Beside,
    AtHome,
}

impl Model {
    fn new() -> Self {
        Self {
            noted: 0,
            files: [false; 4],
            folder: Place::Missing,
            copied: 0,
            storage: (true, false),
            known: true,
            compared: false,
            used: 1,
            written: false,
            back: false,
            by_hand: false,
        }
    }

    fn look(&self) -> Situation {
        Situation {
            noted: [Noted::Nothing, Noted::Account, Noted::Forgotten][usize::from(self.noted)],
            lines: match self.files.iter().filter(|there| **there).count() {
                4 => Standing::Whole,
                0 => Standing::Gone,
                _ => Standing::Part,
            },
            folder: match self.folder {
                Place::Missing => Folder::Missing,
                Place::Beside => Folder::Beside,
                Place::AtHome => Folder::AtHome,
            },
            home: match (self.known, self.storage) {
                (true, (true, _)) => Home::Known,
                (true, (false, _)) => Home::HalfBack,
                (false, (true, _)) => Home::Unknown,
                (false, (false, true)) => Home::Away,
                (false, (false, false)) => Home::Missing,
            },
            is_compared: self.compared,
        }
    }

    /// All states that a step leads through; the last is that where it is done.
    fn through(&self, step: Step) -> Vec<Self> {
        let mut states = Vec::new();
        let mut now = self.clone();
        let removes = matches!(step, Step::Copy | Step::RemoveCopy);
        assert!(!(removes && self.written), "{step:?} removes what the account has written: {self:?}");
        match step {
            Step::WriteNote => now.noted = 1,
            Step::Copy => {
                (now.folder, now.copied, now.compared) = (Place::Beside, 0, false);
                states.push(now.clone());
                (now.copied, now.compared) = (now.used, true);
            }
            Step::TakeLines | Step::PutLines => {
                now.back |= step == Step::TakeLines && !now.known;
                for file in [[0, 1, 2, 3], [3, 2, 1, 0]][usize::from(step == Step::PutLines)] {
                    now.files[file] = step == Step::PutLines;
                    states.push(now.clone());
                }
            }
            Step::PutFolder => now.folder = Place::AtHome,
            Step::ForgetHome => now.known = false,
            Step::PutStorageAway => now.storage = (false, true),
            // homed refuses a name that /etc/passwd has.
            Step::BringHomeBack | Step::AdoptHome if now.files[0] => {}
            Step::BringHomeBack => {
                // A stranger's home stays unknown until it is adopted.
                states.push(Self { storage: (true, false), ..now.clone() });
                now.known = true;
                states.push(now.clone());
                now.storage = (true, false);
                (now.back, now.by_hand) = (false, false);
            }
            Step::AdoptHome => (now.known, now.back, now.by_hand) = (true, false, false),
            Step::PutFolderAway => {
                (now.folder, now.copied, now.compared) = (Place::Missing, 0, false);
                now.written = false;
            }
            Step::RemoveCopy => {
                (now.copied, now.compared) = (0, false);
                states.push(now.clone());
                now.folder = Place::Missing;
            }
            Step::NoteForgotten => now.noted = 2,
            Step::RemoveStorage => now.storage = (false, false),
            Step::RemoveNote => (now.noted, now.compared) = (0, false),
        }
        states.push(now);
        states
    }

    /// What the user finds: the home where homed knows one; else the account, which takes all of it.
    fn check(&self) {
        let has_account = self.files[0] && self.files[1] && self.folder == Place::AtHome;
        if !self.known && !self.back && !self.by_hand {
            assert!(has_account, "neither account nor home: {self:?}");
            assert_eq!(self.copied, self.used, "the account has not all of the home: {self:?}");
        }
        if self.known && !self.storage.0 {
            assert!(self.storage.1, "homed knows a home that is nowhere: {self:?}");
        }
        if self.noted == 1 {
            assert!(self.storage.0 || self.storage.1, "a home that can be asked for is there: {self:?}");
        }
        let is_there = self.folder == Place::AtHome;
        assert!(!self.written || is_there, "what the account has written is nowhere: {self:?}");
    }

    /// The user logs in and writes something. homectl sees in the end that the home was opened.
    fn used(&self) -> Self {
        let mut now = self.clone();
        // homed finds storage whose name nobody has.
        if now.storage.0 && !now.files[0] {
            (now.known, now.back, now.by_hand) = (true, false, false);
        }
        match now.known {
            true if now.storage.0 => (now.used, now.compared) = (2, false),
            true => {}
            false => now.written |= now.files[0] && now.folder == Place::AtHome,
        }
        now
    }

    /// Another hand takes lines out: that of /etc/passwd (`vipw`), or all (`userdel`).
    fn by_another_hand(&self) -> [Self; 2] {
        let by_hand = |files: [bool; 4]| {
            let was_there = self.files[0] && !self.known;
            Self { files, by_hand: self.by_hand || was_there, ..self.clone() }
        };
        let [_, shadow, group, gshadow] = self.files;
        [by_hand([false; 4]), by_hand([false, shadow, group, gshadow])]
    }
}

type Planner = fn(&Situation, Wish) -> Result<Option<Step>, Stuck>;

fn walk(planner: Planner) -> usize {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![Model::new()];
    while let Some(model) = waiting.pop() {
        if !seen.insert(model.clone()) {
            continue;
        }
        model.check();
        waiting.push(model.used());
        waiting.extend(model.by_another_hand());
        // The next run has compared nothing.
        waiting.push(Model { compared: false, ..model.clone() });
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
fn ends(model: &Model, wish: Wish, planner: Planner) {
    let mut now = model.clone();
    for step in 0..16 {
        match planner(&now.look(), wish) {
            Ok(Some(step)) => now = now.through(step).pop().expect("a state"),
            Ok(None) => return assert_eq!((now.files, now.known), ([true; 4], false), "{wish:?}: {now:?}"),
            // The note goes last, and then nothing is left to be said.
            Err(Stuck::NothingKept) if step > 0 => {
                return match wish {
                    Wish::Home => assert!(now.known && now.files == [false; 4], "{now:?}"),
                    Wish::Forget => {
                        assert_eq!(now.storage, (false, false));
                        assert!(now.by_hand || now.files == [true; 4], "{now:?}");
                    }
                    Wish::Account => panic!("{now:?}"),
                };
            }
            Err(stuck) => return assert_eq!(step, 0, "{wish:?} is {stuck:?} on its way: {now:?}"),
        }
    }
    panic!("{wish:?} does not end: {model:?}");
}

#[test]
fn cut_anywhere_either_the_home_or_the_account_works_and_nothing_is_lost() {
    let count = walk(next);
    assert!(count > 80, "{count}");
}

/// A planner with a fault is found out.
fn is_found(planner: Planner) -> bool {
    std::panic::catch_unwind(|| walk(planner)).is_err()
}

#[test]
fn the_walk_finds_each_rule_that_is_taken_out() {
    // A copy that an earlier run has made is believed.
    assert!(is_found(|stands, wish| {
        let is_compared = stands.is_compared || stands.folder != Folder::Missing;
        next(&Situation { is_compared, ..*stands }, wish)
    }));
    // The home is forgotten before the account is whole.
    assert!(is_found(|stands, wish| match (wish, stands.noted, stands.home) {
        (Wish::Account, Noted::Account, Home::Known) if stands.is_compared => Ok(Some(Step::ForgetHome)),
        _ => next(stands, wish),
    }));
    // Storage is put away while homed knows it.
    assert!(is_found(|stands, wish| match (wish, stands.is_compared, stands.folder) {
        (Wish::Account, true, Folder::AtHome) if stands.home == Home::Known => Ok(Some(Step::PutStorageAway)),
        _ => next(stands, wish),
    }));
    // A folder that the account had is taken for a copy.
    assert!(is_found(|stands, wish| match next(stands, wish) {
        Ok(Some(Step::PutFolderAway)) => Ok(Some(Step::BringHomeBack)),
        other => other,
    }));
    // A folder at the home's place is taken for a copy that nobody has used, where homed knows the home.
    assert!(is_found(|stands, wish| match next(stands, wish) {
        Ok(Some(Step::PutFolderAway)) if stands.home == Home::Known => Ok(Some(Step::RemoveCopy)),
        other => other,
    }));
    // The same, on the way to the account.
    assert!(is_found(|stands, wish| match next(stands, wish) {
        Ok(Some(Step::PutFolderAway)) if wish == Wish::Account => Ok(Some(Step::Copy)),
        other => other,
    }));
    // The storage goes without its note saying so.
    assert!(is_found(|stands, wish| match next(stands, wish) {
        Ok(Some(Step::NoteForgotten)) if stands.home == Home::Away => Ok(Some(Step::RemoveStorage)),
        other => other,
    }));
    // The home is brought back while /etc/passwd has its name.
    assert!(is_found(|stands, wish| match next(stands, wish) {
        Ok(Some(Step::TakeLines)) if wish == Wish::Home => Ok(Some(Step::BringHomeBack)),
        other => other,
    }));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let stands = Situation {
        noted: Noted::Nothing,
        lines: Standing::Gone,
        folder: Folder::Missing,
        home: Home::Known,
        is_compared: false,
    };
    assert_eq!(next(&stands, Wish::Account), Ok(Some(Step::WriteNote)));
    assert_eq!(next(&stands, Wish::Home), Err(Stuck::NothingKept));
    assert_eq!(next(&stands, Wish::Forget), Err(Stuck::NothingKept));
    let home = |home| next(&Situation { home, ..stands }, Wish::Account);
    assert_eq!(home(Home::Found), Err(Stuck::NeverOpened));
    assert_eq!(home(Home::Missing), Err(Stuck::NothingToRelease));
    let account = Situation { lines: Standing::Whole, ..stands };
    assert_eq!(next(&account, Wish::Account), Err(Stuck::AccountBeside));
    let only = Situation { home: Home::Missing, ..account };
    assert_eq!(next(&only, Wish::Account), Err(Stuck::IsAccount));
}
