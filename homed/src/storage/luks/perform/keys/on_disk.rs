//! The header on disk, as what a plan of key slots is done on.

use super::{Keys, metadata};
use crate::job::{self, Context, Failure, Steps};
use crate::storage::luks::opened::{LuksOpened, NO_ROOM, Room};
use crate::storage::luks::plan::keys::{self as plan, Situation, Step};
use crate::storage::luks::stretching::Stretchings;
use crate::storage::{Vault, WriteCopies};
use crate::sys::cryptsetup::Priority;
use records::{Record, Secret, Sections};

/// The header on disk, and what a plan puts there.
pub struct OnDisk<'a, 'b> {
    /// The image.
    pub opened: &'a mut LuksOpened,
    /// The record that is to be in the header.
    pub record: &'b Record,
    /// Keys that get slots.
    pub added: Vec<&'b Secret>,
    /// Which of them are random.
    pub random: &'b [Secret],
    /// What a guess at them costs.
    pub stretching: Option<Stretchings>,
    /// How the other copies are written, until they are.
    pub copies: Option<WriteCopies<'b>>,
    /// Whether the record was reached: from there a change is not taken back.
    pub published: bool,
}

impl Keys for OnDisk<'_, '_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let header = match self.opened.record() {
            Some(Ok(record)) if record.only(Sections::EMBEDDED) == *self.record => {
                match self.opened.asks_for(self.record) {
                    true => plan::Header::Wanted,
                    false => plan::Header::Other,
                }
            }
            Some(Ok(_)) => plan::Header::Other,
            Some(Err(_)) | None => plan::Header::Unreadable,
        };
        let copies = if self.copies.is_some() { plan::Copies::Waiting } else { plan::Copies::Written };
        let (slots, marks) = metadata::situation(self.opened.header())?;
        Ok(Situation { slots, marks, header, copies })
    }

    fn perform(&mut self, step: &Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::Mark { token, mark } => {
                steps.enter(job::Step::MarkKeys)?;
                let mark = metadata::token(mark);
                let written = self.opened.write_header(|disk| disk.set_token(*token, &mark))?;
                written.during("marking a change of keys")?;
            }
            Step::Add { slot, key } => {
                steps.enter(job::Step::AddKeys)?;
                self.add(*slot, *key)?;
            }
            Step::Record => {
                steps.enter(job::Step::WriteHeader)?;
                self.published = true;
                if self.opened.put_record(self.record)? == Room::None {
                    steps.warn(NO_ROOM.into());
                }
            }
            Step::Copies => {
                if let Some(write) = self.copies.take() {
                    write(self.opened, steps)?;
                }
            }
            Step::Destroy { slot } => {
                steps.enter(job::Step::DropKeys)?;
                self.opened.forget_slot(*slot);
                self.opened.disk()?.destroy_slot(*slot).during("removing a key slot")?;
            }
            Step::Normal { slot } => {
                steps.enter(job::Step::SwitchKeys)?;
                let done = self.opened.disk()?.set_priority(*slot, Priority::Normal);
                done.during("unmarking a key slot")?;
            }
            Step::Forget { token } => {
                steps.enter(job::Step::ForgetMark)?;
                let done = self.opened.disk()?.remove_token(*token);
                done.during("removing the mark of a change of keys")?;
            }
        }
        self.opened.sync_header()
    }
}

impl OnDisk<'_, '_> {
    fn add(&mut self, slot: u32, key: usize) -> Result<(), Failure> {
        let (Some(key), Some(stretching)) = (self.added.get(key), &self.stretching) else {
            return Err(Failure::fault("a key slot is to be added for no key"));
        };
        let volume_key = self.opened.volume_key().duplicate();
        let stretching = stretching.of(key, self.random);
        let added = self.opened.write_header(|disk| disk.add_slot(slot, &volume_key, key, stretching))?;
        added.during("adding a key slot")?;
        self.opened.know_slot(slot, key);
        Ok(())
    }
}
