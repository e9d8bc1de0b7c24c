//! What stands of a home on this machine, and the steps on it.

use super::plan::{Is, Life, Situation, Step as Part};
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::statedir::Folders;
use crate::storage::Backend;
use crate::sys::{durable, mount};
use crate::worker::state;
use records::{Record, Refusal};
use std::path::{Path, PathBuf};

/// What a run makes of a home, step by step.
pub trait Makes {
    /// Makes the storage.
    fn storage(&mut self, backend: &dyn Backend, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Writes the host's record.
    fn record(&mut self) -> Result<(), Failure>;

    /// Whether those on this machine are of an earlier home.
    fn has_others_pictures(&self) -> bool;

    /// Whether pictures wait.
    fn has_pictures(&self) -> bool;

    /// Puts them in place.
    fn pictures(&mut self) -> Result<(), Failure>;
}

/// A home on this machine.
pub struct Here<'a> {
    /// Its record.
    pub record: &'a Record,
    /// Its storage.
    pub backend: &'a dyn Backend,
    /// Where it is mounted.
    pub home_directory: PathBuf,
    /// Who makes it; `None`: nobody, it is removed.
    pub makes: Option<&'a mut dyn Makes>,
    /// Whether the storage is there, as far as this run knows: the storage itself tells whether it was there.
    pub storage: Is,
    /// Whether the host's record is this run's business already: before, one that is there is not that of this home.
    pub wrote_record: Is,
    /// Whether what stands is on disk.
    pub flushed: Is,
    /// The mount point cannot be removed, which is no reason to keep the home.
    pub leaves_mount_point: bool,
    /// Hears of each step.
    pub steps: &'a mut dyn Steps,
}

/// Steps that nobody need hear of.
struct Unheard<'a>(&'a mut dyn Steps);

impl Steps for Unheard<'_> {
    fn enter(&mut self, step: Step) -> Result<(), Failure> {
        // The daemon may be gone, and the work goes on.
        let _ = self.0.enter(step);
        Ok(())
    }

    fn warn(&mut self, text: String) {
        self.0.warn(text);
    }
}

impl Here<'_> {
    fn make(&mut self, part: Part) -> Result<(), Failure> {
        let Some(makes) = &mut self.makes else { return Err(Failure::fault("nothing is to be made")) };
        match part {
            Part::MakeStorage => {
                makes.storage(self.backend, self.steps)?;
                self.storage = Is::There;
                Ok(())
            }
            Part::WriteRecord => {
                self.steps.enter(Step::WriteHost)?;
                self.wrote_record = Is::There;
                makes.record()
            }
            _ => {
                self.steps.enter(Step::PublishBlobs)?;
                makes.pictures()
            }
        }
    }
}

impl Life for Here<'_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let user = self.record.user();
        let folders = Folders::default();
        let kept = folders.backups(user).during("looking for what a repair has kept of the home")?;
        let has_record = folders.has_record(user).during("looking for the record of this machine")?;
        let pictures = folders.has_blobs(user).during("looking for pictures on this machine")?;
        let waits = self.makes.as_ref().is_some_and(|makes| makes.has_pictures());
        Ok(Situation {
            storage: self.storage,
            record: if self.wrote_record == Is::There { Is::from(has_record) } else { Is::Missing },
            pictures: Is::from(
                pictures && self.makes.as_ref().is_none_or(|makes| makes.has_others_pictures()),
            ),
            flushed: self.flushed,
            waiting: Is::from(waits),
            kept: Is::from(!kept.is_empty()),
            mount_point: Is::from(!self.leaves_mount_point && is_mount_point(&self.home_directory)),
        })
    }

    fn perform(&mut self, part: Part) -> Result<(), Failure> {
        let user = self.record.user();
        match part {
            Part::MakeStorage | Part::WriteRecord | Part::PutPictures => self.make(part),
            Part::RemoveStorage => {
                // What is taken back is taken back, whoever still listens.
                match self.makes {
                    Some(_) => self.backend.remove(&mut Unheard(self.steps))?,
                    None => self.backend.remove(self.steps)?,
                }
                self.storage = Is::Missing;
                Ok(())
            }
            Part::RemoveMountPoint => {
                self.steps.enter(Step::RemoveMountPoint)?;
                if let Err(failure) = remove_mount_point(&self.home_directory) {
                    self.steps.warn(format!("It was left: {}", failure.text()));
                    self.leaves_mount_point = true;
                }
                Ok(())
            }
            Part::RemovePictures => {
                self.steps.enter(Step::RemoveBlobs)?;
                state::forget_blobs(self.record)
            }
            Part::RemoveKept => {
                self.steps.enter(Step::RemoveBackups)?;
                let removed = Folders::default().forget_backups(user);
                removed.map(drop).during("removing what a repair has kept of the home")
            }
            Part::Flush => {
                self.flushed = Is::There;
                Folders::default().flush().during("writing to disk what stands")?;
                // A folder that is not there has nothing in it.
                let around = self.home_directory.parent().and_then(|folder| durable::folder(folder).ok());
                around.map_or(Ok(()), durable::sync_directory).during("writing to disk what stands")
            }
            Part::RemoveRecord => {
                if self.makes.is_none() {
                    self.steps.enter(Step::RemoveHost)?;
                }
                Folders::default().forget(user).map(drop).during("removing the record of this machine")
            }
        }
    }
}

/// Refuses to remove a home that is mounted.
pub fn refuse_mounted(home: &Path) -> Result<(), Failure> {
    match mount::at(home).during("reading the table of mounts")? {
        Some(_) => {
            refuse(Refusal::HomeBusy, "The home is active: log its user out first; nothing was deleted.")
        }
        None => Ok(()),
    }
}

/// Whether the directory is there and empty. Files that were put there while the home was not mounted are not this home's
/// to delete, and a link is somebody else's.
fn is_mount_point(home: &Path) -> bool {
    let is_folder = home.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    is_folder && std::fs::read_dir(home).is_ok_and(|mut entries| entries.next().is_none())
}

fn remove_mount_point(home: &Path) -> Result<(), Failure> {
    std::fs::remove_dir(home).during(format!("removing {}", home.display()))?;
    match home.parent() {
        Some(folder) => durable::folder(folder).and_then(durable::sync_directory).during("writing to disk"),
        None => Ok(()),
    }
}
