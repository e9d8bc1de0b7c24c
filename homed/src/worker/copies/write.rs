//! Writing the copies that do not say what the record in force says.

use super::{Copies, Staleness};
use crate::job::{Failure, Job, Step, Steps};
use crate::storage::{InOrder, Opened};
use crate::worker::state::{self, Backups};
use records::{Record, Sections};

impl Copies {
    /// Puts another record (a changed one) in force; all copies are stale then.
    pub fn replace(&mut self, record: Record) {
        self.force.replace(record.only(Sections::EMBEDDED));
        self.stale_header = self.stale_header.changed();
        self.stale_identity = Staleness::Stale;
    }

    /// The header's copy is the record in force.
    pub fn header_is_written(&mut self) {
        self.stale_header = self.stale_header.written();
    }

    /// New keys open the storage, and the header's copy was written with them. Where there is none, that in the home has to be:
    /// elsewhere it alone tells whose they are. It has failed before anything else was written then, and they are taken back.
    pub fn keys_are_added(&mut self, opened: &mut dyn Opened, steps: &mut dyn Steps) -> Result<(), Failure> {
        if self.stale_header == Staleness::Nowhere {
            return self.write_identity(opened, steps);
        }
        self.header_is_written();
        Ok(())
    }

    /// Writes the header's copy, if it is stale.
    pub fn write_header(
        &mut self,
        opened: &mut dyn Opened,
        in_order: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        if self.stale_header == Staleness::Stale {
            steps.enter(Step::WriteHeader)?;
            if let Some(vault) = opened.vault() {
                vault.write_record(self.winner()?, in_order)?;
            }
            self.stale_header = Staleness::Current;
        }
        Ok(())
    }

    /// Writes the home's copy, if it is stale.
    pub fn write_identity(&mut self, opened: &mut dyn Opened, steps: &mut dyn Steps) -> Result<(), Failure> {
        if self.stale_identity == Staleness::Stale {
            steps.enter(Step::WriteIdentity)?;
            let home = opened.home(steps)?;
            if let Some(name) = self.keeps.map(Backups::identity)
                && home.keep_record(&name)?
            {
                self.kept.push(format!("The home's record as it was is kept beside it, as {name}."));
            }
            home.write_record(self.winner()?)?;
            self.stale_identity = Staleness::Current;
        }
        Ok(())
    }

    /// Writes the copies in the home and on this machine. Where the header's has been written, the change was made with
    /// it, and these can wait for the next use; where there is none, one of them has to be written.
    pub fn write_others(
        &mut self,
        job: &Job,
        opened: &mut dyn Opened,
        steps: &mut dyn Steps,
    ) -> Result<Option<Record>, Failure> {
        let written = self.write_identity(opened, steps);
        let is_made = written.is_ok() || self.stale_header == Staleness::Current;
        if let Err(failure) = written {
            steps.warn(format!("The record in the home is written at the next login: {}", failure.text()));
        }
        self.write_host(job, serde_json::Map::new(), steps).or_else(|failure| {
            if !is_made {
                return Err(failure);
            }
            steps
                .warn(format!("The record of this machine is written at the next login: {}", failure.text()));
            Ok(None)
        })
    }

    /// Writes the host's copy with this machine's binding, if that changes it; the new one.
    pub fn write_host(
        &mut self,
        job: &Job,
        mut binding: serde_json::Map<String, serde_json::Value>,
        steps: &mut dyn Steps,
    ) -> Result<Option<Record>, Failure> {
        if self.winner()?.members().contains_key("blobManifest") {
            binding.insert("blobDirectory".into(), state::blob_folder(self.winner()?).into());
        }
        let host = host_record(self.winner()?, &job.record).with_binding(&job.machine.id, binding);
        if self.host.as_ref() == Some(&host) {
            // A run that was killed may have given it its name, and not waited for the disk.
            state::flush()?;
            return Ok(None);
        }
        steps.enter(Step::WriteHost)?;
        if let Some(backups) = self.keeps
            && let Some(kept) = backups.keep_host(&job.record)?
        {
            self.kept.push(format!("This machine's record as it was is kept in {}.", kept.display()));
        }
        state::save(job, &host)?;
        self.host = Some(host.clone());
        Ok(Some(host))
    }
}

/// The record in force with what this host alone knows: bindings and status.
fn host_record(winner: &Record, known: &Record) -> Record {
    let mut host = winner.clone();
    for section in ["binding", "status"] {
        if let Some(value) = known.members().get(section) {
            host = host.with_member(section, value.clone());
        }
    }
    host
}
