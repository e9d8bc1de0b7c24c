//! Facts of this machine, for the core.

use super::answers::Answers;
use crate::home::facts::{Facts, Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::storage::kind;
use crate::storage::whereabouts::{self, Clues, Kernel, Standing, Walk};
use records::Record;
use std::cell::RefCell;
use std::path::Path;

/// Tells who signed a record.
pub type Signed = Box<dyn Fn(&Record) -> Option<SignedLocally>>;

/// Facts of this machine. Nothing here waits: file systems were asked before, and the kernel answers at once.
pub struct System {
    signed: Signed,
    answers: Answers,
    /// What the kernel has shown in this turn.
    kernel: RefCell<Kernel>,
}

impl System {
    /// Who signed a record, by the keys of this machine; and what file systems have told.
    pub fn new(signed: Signed, answers: Answers) -> Self {
        Self { signed, answers, kernel: RefCell::default() }
    }
}

impl Facts for System {
    fn begin_turn(&self) {
        self.kernel.replace(Kernel::default());
    }

    fn whereabouts(&self, place: &Place) -> Whereabouts {
        let found = self.answers.of(place);
        let walked = self.answers.spot_of(place);
        let walk = Walk::Before(walked.as_ref());
        let mount = mount(&Clues { walk, ..clues(place) }, &self.kernel.borrow());
        let storage = match found.map(|found| found.storage) {
            None => Storage::Unanswered,
            Some(whereabouts::Storage::Missing) => Storage::Missing,
            Some(whereabouts::Storage::There) => Storage::There,
            Some(whereabouts::Storage::Dirty) => Storage::Dirty,
        };
        Whereabouts { storage, mount }
    }

    fn parts(&self, place: &Place) -> Option<Parts> {
        let parts = kind::of(place.kind)?.parts;
        let kind::Parts { keyed, locks, resizes, tends } = parts;
        Some(Parts { keyed, locks, resizes, tends })
    }

    fn signed_locally(&self, record: &Record) -> Option<SignedLocally> {
        (self.signed)(record)
    }
}

/// What the kernel knows the parts of a home by.
pub(super) fn clues(place: &Place) -> Clues<'_> {
    Clues {
        kind: place.kind,
        user: place.user.as_str(),
        image: Path::new(&place.image),
        home_directory: Path::new(&place.home_directory),
        luks: None,
        walk: Walk::Now,
    }
    .with_luks(place.luks_uuid.as_deref())
}

pub(super) fn mount(clues: &Clues<'_>, kernel: &Kernel) -> Mount {
    match whereabouts::standing_in(clues, kernel) {
        Ok(Standing::Closed) => Mount::None,
        Ok(Standing::Mounted) => Mount::Usable,
        Ok(Standing::Suspended) => Mount::Suspended,
        // What cannot be told must not count as closed: whoever locks it looks again, and says what is wrong.
        Ok(Standing::Open) | Err(_) => Mount::Open,
    }
}
