//! A record that is to be changed: what the other homes have to say about it.

use super::Manager;
use crate::home::Home;
use crate::job::RecordChange;
use crate::words::names;
use records::refusal::Refused;
use records::{Record, Refusal};

impl Manager {
    /// Why the record cannot be that of this home, as far as fields and names go.
    pub(super) fn unfit(&self, home: &Home, change: &RecordChange) -> Result<(), Refused> {
        super::create::check_fields(&change.record)?;
        self.refuse_names_of_others(home, &change.record)
    }

    /// A home answers to no name of another's.
    pub(super) fn refuse_names_of_others(&self, home: &Home, record: &Record) -> Result<(), Refused> {
        let is_others = |name: &&String| self.homes.index().called(name).any(|other| other != home.user());
        match names::all(record).iter().find(is_others) {
            Some(name) => Err(Refused::new(
                Refusal::UserNameExists,
                format!("Another home answers to {name} already: homectl inspect {name} shows it."),
            )),
            None => Ok(()),
        }
    }
}
