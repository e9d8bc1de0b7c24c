//! A record that is to be changed: what the other homes have to say about it.

use super::Manager;
use crate::home::Home;
use crate::job::RecordChange;
use crate::words::names;
use records::Refusal;
use records::refusal::Refused;

impl Manager {
    /// Why the record cannot be that of this home, as far as fields and names go.
    pub(super) fn unfit(&self, home: &Home, change: &RecordChange) -> Result<(), Refused> {
        super::create::check_fields(&change.record)?;
        let wanted = names::all(&change.record);
        let others = self.homes.values().filter(|other| other.user() != home.user());
        match others.flat_map(Home::names).find(|name| wanted.contains(name)) {
            Some(name) => Err(Refused::new(
                Refusal::UserNameExists,
                format!("Another home answers to {name} already: homectl inspect {name} shows it."),
            )),
            None => Ok(()),
        }
    }
}
