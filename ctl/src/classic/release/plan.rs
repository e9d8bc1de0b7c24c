//! Turning a home into a classic account, and back: which step is next.
//!
//! ```text
//! account:    note → copied and compared, the home closed → lines into /etc → the copy in place → homed forgets the home → its storage put away
//! home:       lines out of /etc → the folder put away → homed knows the home, its storage back → note away
//!             (before the account was in force: lines out → the copy removed, or put away from its place → note away)
//! forgotten:  note says so → the storage is no more → note away
//! ```
//!
//! As long as homed knows the home it is the home's name (`pam_homed`), so forgetting it is what switches. A copy is believed in
//! the run alone that has made it: whoever goes on after a cut brings it up to date and compares it again, for the home
//! may have been used meanwhile. On the way back the account's folder goes before homed knows the home again. Lines may be taken out by
//! another hand (`userdel`), and then homed knows the home that it finds: so what stands at the home's place is never
//! removed and never written over, but put away.

use crate::classic::lines::Standing;

/// Where the copy is, which becomes the folder of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// Nowhere.
    Missing,
    /// Beside its place; perhaps not whole.
    Beside,
    /// At its place.
    AtHome,
}

/// What there is of the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// All of it.
    Known,
    /// Homed knows it, and its storage is still put away.
    HalfBack,
    /// Its storage, which homed has found, and which was not opened here yet.
    Found,
    /// Its storage, which homed does not know.
    Unknown,
    /// Its storage, put away.
    Away,
    /// Nothing.
    Missing,
}

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// Nothing.
    Nothing,
    /// The account that is to be.
    Account,
    /// That the home is not wanted any more.
    Forgotten,
}

/// What stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The note.
    pub noted: Noted,
    /// How much of the account is in /etc.
    pub lines: Standing,
    /// The copy.
    pub folder: Folder,
    /// The home.
    pub home: Home,
    /// Whether the copy is whole: this run has compared it, and nobody has opened the home since.
    pub is_compared: bool,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// An account.
    Account,
    /// The home.
    Home,
    /// An account, and nothing of the home.
    Forget,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Notes the account.
    WriteNote,
    /// Copies what is in the home, compares, and closes the home.
    Copy,
    /// Takes the account out of /etc.
    TakeLines,
    /// Puts the account into /etc.
    PutLines,
    /// Puts the copy into its place.
    PutFolder,
    /// Has homed forget the home.
    ForgetHome,
    /// Puts the home's storage away.
    PutStorageAway,
    /// Has homed know the home, and puts its storage back. A home that a stranger has signed is not known by that alone.
    BringHomeBack,
    /// Has homed know storage that is at its place.
    AdoptHome,
    /// Puts the folder away, which the account may have written to: it is kept, and where is told.
    PutFolderAway,
    /// Deletes a copy that nobody has used.
    RemoveCopy,
    /// Notes that the home is not wanted any more.
    NoteForgotten,
    /// Deletes the home's storage.
    RemoveStorage,
    /// Removes the note.
    RemoveNote,
}

/// Why there is no way to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stuck {
    /// There is no home.
    NothingToRelease,
    /// It is a classic account.
    IsAccount,
    /// The home was never opened on this machine.
    NeverOpened,
    /// There is a home, and a line of /etc/passwd beside it.
    AccountBeside,
    /// The copy is not where it was put.
    CopyMissing,
    /// The home is on its way back.
    BeingUndone,
    /// Something of the account has gone since.
    AccountBroken,
    /// The storage of the home is not where it was put.
    HomeMissing,
    /// Nothing of a home is kept.
    NothingKept,
    /// The account is not whole yet.
    NotReleased,
}

/// The next step; `None`: it is as wanted.
pub fn next(stands: &Situation, wish: Wish) -> Result<Option<Step>, Stuck> {
    match wish {
        Wish::Account => to_account(stands),
        Wish::Home => to_home(stands),
        Wish::Forget => to_nothing(stands),
    }
}

fn to_account(stands: &Situation) -> Result<Option<Step>, Stuck> {
    let is_account = stands.lines == Standing::Whole && stands.folder == Folder::AtHome;
    match (stands.noted, stands.home) {
        (Noted::Nothing, Home::Known) if stands.lines != Standing::Gone => Err(Stuck::AccountBeside),
        (Noted::Nothing, Home::Known) => Ok(Some(Step::WriteNote)),
        (Noted::Nothing, Home::Found) => Err(Stuck::NeverOpened),
        (Noted::Nothing, _) if stands.lines == Standing::Whole => Err(Stuck::IsAccount),
        (Noted::Nothing, _) => Err(Stuck::NothingToRelease),
        (Noted::Account, Home::Known) => Ok(Some(from_home(stands)?)),
        (Noted::Account, Home::Found | Home::Unknown) if is_account => Ok(Some(Step::PutStorageAway)),
        (Noted::Account, Home::Found | Home::Unknown | Home::HalfBack) => Err(Stuck::BeingUndone),
        (Noted::Account, Home::Away) if is_account => Ok(None),
        (Noted::Account, Home::Away) => Err(Stuck::AccountBroken),
        (Noted::Account, Home::Missing) => Err(Stuck::HomeMissing),
        (Noted::Forgotten, _) if is_account => Ok(None),
        (Noted::Forgotten, _) => Err(Stuck::NothingKept),
    }
}

/// The home is there, and whose the name is.
fn from_home(stands: &Situation) -> Result<Step, Stuck> {
    match (stands.is_compared, stands.folder) {
        // A line with another number would keep its user from the home.
        (false, _) if stands.lines != Standing::Gone => Ok(Step::TakeLines),
        // Its lines may have been taken out by another hand: it may be the account's, and have what nothing else has.
        (false, Folder::AtHome) => Ok(Step::PutFolderAway),
        (false, _) => Ok(Step::Copy),
        (true, Folder::Missing) => Err(Stuck::CopyMissing),
        (true, _) if stands.lines != Standing::Whole => Ok(Step::PutLines),
        (true, Folder::Beside) => Ok(Step::PutFolder),
        (true, Folder::AtHome) => Ok(Step::ForgetHome),
    }
}

fn to_home(stands: &Situation) -> Result<Option<Step>, Stuck> {
    match (stands.noted, stands.home) {
        (Noted::Nothing | Noted::Forgotten, _) => Err(Stuck::NothingKept),
        (Noted::Account, Home::Missing) => Err(Stuck::HomeMissing),
        // As soon as the lines are out homed would find the storage, and its user would log in over the account's folder.
        (Noted::Account, Home::Unknown | Home::Found) if stands.lines != Standing::Gone => {
            Ok(Some(Step::PutStorageAway))
        }
        // No home can be known by a name that /etc/passwd has.
        (Noted::Account, _) if stands.lines != Standing::Gone => Ok(Some(Step::TakeLines)),
        // Whatever there is of the home: what stands at its place may be the account's.
        (Noted::Account, _) if stands.folder == Folder::AtHome => Ok(Some(Step::PutFolderAway)),
        (Noted::Account, Home::Away | Home::HalfBack) => Ok(Some(Step::BringHomeBack)),
        (Noted::Account, Home::Unknown) => Ok(Some(Step::AdoptHome)),
        (Noted::Account, Home::Known | Home::Found) => Ok(Some(match stands.folder {
            Folder::Beside => Step::RemoveCopy,
            Folder::AtHome | Folder::Missing => Step::RemoveNote,
        })),
    }
}

fn to_nothing(stands: &Situation) -> Result<Option<Step>, Stuck> {
    let is_account = stands.lines == Standing::Whole && stands.folder == Folder::AtHome;
    match (stands.noted, stands.home) {
        (Noted::Nothing, _) => Err(Stuck::NothingKept),
        (Noted::Account, Home::Away | Home::Missing) if is_account => Ok(Some(Step::NoteForgotten)),
        (Noted::Account, _) => Err(Stuck::NotReleased),
        (Noted::Forgotten, Home::Away) => Ok(Some(Step::RemoveStorage)),
        (Noted::Forgotten, _) => Ok(Some(Step::RemoveNote)),
    }
}

#[cfg(test)]
mod walk;
