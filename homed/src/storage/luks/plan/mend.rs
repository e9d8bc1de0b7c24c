//! Rebuilding what an image has twice, and bringing its file in line with its table: which step is next. No IO.
//!
//! ```text
//! rebuilt:  unfinished images away → kept → another machine's mark away → file as its table → table → encryption header
//! kept:                              kept
//! opened:                            kept, before a table that was guessed │ file as its table → table
//! ```
//!
//! Each step is on disk before the next, and none needs a key; what needs one (key slots, records, the file system) has
//! plans of its own. A run that was cut short is finished by asking again. Four rules hold:
//!
//! * Of an image that somebody has open nothing is changed; nor of one that another machine has marked, unless whoever
//!   has it repaired says that it is not open there. That is a wish of its own: nothing on this machine can tell.
//! * Of a table one copy is written at a time, and only one that is not sound: a power cut within leaves the other.
//! * Whatever a repair writes over is kept first, whole and under a name of its own; also before it goes on with a key. So are
//!   the places of a table that a login has guessed: what lies there may be part of a table that somebody can still read. (Of
//!   a table that is sound once a login keeps nothing: it writes over the copy that is not.)
//! * The table of an image that was cut short tells how much is missing, and where there is none, nothing tells whether
//!   something is. It is written once the file system is known to fit what is there.

use super::without::{Mend, has};
use crate::storage::There;
use crate::storage::examined::Headers;
use crate::storage::parts::gpt::Copies;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// It is to be opened to write to it: what is in the way, and what costs nothing.
    Opened,
    /// The same, and its file system is known to fit what is there.
    OpenedAndFits,
    /// A repair goes on with a key: what it may write over is kept, and nothing else is done.
    Kept,
    /// All is to be there twice again.
    Rebuilt,
}

/// Whether somebody has the image open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// Nobody, as far as the kernel knows.
    No,
    /// An encrypted device, or another device, lies on it.
    Yes,
}

/// The partition table that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table {
    /// Bytes of the image that it is for.
    pub size: u64,
    /// Bytes in one of its sectors.
    pub sector: u64,
    /// Where it was found.
    pub copies: Copies,
}

/// What stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// Whether somebody has it open.
    pub used: Used,
    /// There are unfinished images of the home, which nobody works on.
    pub unfinished: bool,
    /// The image says that another machine has it open, and whether it has; `None`: it does not say so.
    pub elsewhere: Option<There>,
    /// Bytes of the image.
    pub length: u64,
    /// A change of size has begun, and not ended.
    pub resizing: bool,
    /// The partition table; `None`: it has none, and needs none.
    pub table: Option<Table>,
    /// The copies of the encryption header; `None`: nobody has looked.
    pub headers: Option<Headers>,
    /// What was there has been kept.
    pub kept: bool,
}

/// A copy of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one at the beginning.
    First,
    /// The one at the end.
    Second,
}

/// One step; it is on disk before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Deletes unfinished images.
    RemoveUnfinished,
    /// Takes the mark of another machine away.
    ForgetElsewhere,
    /// Cuts the file off where its table ends: finishes a shrink, takes a growth back.
    CutFile,
    /// Keeps the places of tables, marks and headers in a file.
    Keep,
    /// Writes one copy of the table.
    WriteTable(Which),
    /// Writes the encryption header's copy that is damaged or older.
    WriteHeader,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// This step.
    Do(Step),
    /// Nothing: it is as wanted, as far as it can be.
    Done,
    /// Nothing: somebody has it open.
    InUse,
}

impl Situation {
    /// Whether the file ends where its table says, in whole sectors.
    fn fits(&self, table: Table) -> bool {
        table.size / table.sector == self.length / table.sector
    }

    /// The copy of the table that is to be written.
    fn table_due(&self, wish: Wish) -> Option<Which> {
        let table = self.table?;
        let inside_fits = wish == Wish::OpenedAndFits || !has(Mend::FitsFirst);
        match table.copies {
            Copies::Both => None,
            Copies::CutShort | Copies::Neither if inside_fits => Some(Which::Second),
            Copies::CutToFormer if inside_fits => Some(Which::First),
            Copies::CutShort | Copies::CutToFormer | Copies::Neither => None,
            Copies::FirstOnly if self.fits(table) => Some(Which::Second),
            Copies::SecondOnly if self.fits(table) => Some(Which::First),
            Copies::FirstOnly | Copies::SecondOnly => None,
        }
    }

    /// Whether a table was left alone that is not for an image of this size.
    pub fn has_odd_table(&self) -> bool {
        let damaged = |table: &Table| table.copies != Copies::Both && !table.copies.is_doubtful();
        self.table.filter(damaged).is_some_and(|table| !self.fits(table))
    }

    /// Whether the header's copies differ, and one is sound.
    fn header_due(&self) -> bool {
        self.headers.as_ref().is_some_and(|found| found.first != found.second)
    }

    /// A change of size has left more of the file than its table has.
    pub fn is_longer(&self) -> bool {
        self.resizing && self.table.is_some_and(|table| self.length > table.size)
    }
}

/// The next step. Those that have `failed` are not tried again.
pub fn next(stands: &Situation, wish: Wish, failed: &[Step]) -> Next {
    if stands.used == Used::Yes && has(Mend::NobodyUses) {
        return Next::InUse;
    }
    if stands.elsewhere == Some(There::Unknown) && has(Mend::Anothers) {
        return Next::InUse;
    }
    let (rebuilds, changes) = (wish == Wish::Rebuilt, wish != Wish::Kept);
    let table = stands.table_due(wish).filter(|_| changes).map(Step::WriteTable);
    let header = rebuilds && stands.header_due();
    let elsewhere = rebuilds && stands.elsewhere.is_some();
    let cuts = changes && stands.is_longer();
    let writes = table.is_some() || header || elsewhere || cuts;
    let guesses = table.is_some() && stands.table.is_some_and(|table| table.copies.is_doubtful());
    let keeps = !stands.kept && (!changes || rebuilds && writes || guesses) && has(Mend::KeptFirst);
    // Where it cannot be kept, it is not written either.
    let table = table.filter(|_| !(guesses && keeps));
    let due = |is: bool, step: Step| is.then_some(step);
    [
        due(rebuilds && stands.unfinished, Step::RemoveUnfinished),
        due(keeps, Step::Keep),
        due(elsewhere, Step::ForgetElsewhere),
        due(cuts, Step::CutFile),
        table,
        due(header, Step::WriteHeader),
    ]
    .into_iter()
    .flatten()
    .find(|step| !failed.contains(step))
    .map_or(Next::Done, Next::Do)
}
