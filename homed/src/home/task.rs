//! A job's task for its worker: what is wanted, with what was chosen for it.

use super::running::Running;
use super::state::{Resting, Work};
use super::verdict::Verb;
use crate::job::{Force, Known, Remember, Size, Task};
use records::LockLevel;

/// What is chosen when a job begins.
pub(super) struct Chosen {
    pub uid: u32,
    pub known: Known,
    pub level: LockLevel,
    pub size: Size,
    pub remember: Remember,
    pub resting: Resting,
    /// Percent of its size that an image takes at once.
    pub overcommit: u32,
}

impl Running {
    /// The task; what belongs to it is taken out of what is wanted.
    pub(super) fn task(&mut self, chosen: Chosen) -> Task {
        let Chosen { uid, known, level, size, remember, resting, overcommit } = chosen;
        let (wanted, mounted) = (&mut self.wanted, resting.mounted());
        match self.work {
            Work::Creating => {
                let (blobs, original) = (wanted.blobs.take(), wanted.original.take());
                Task::Create { uid, overcommit, blobs, original }
            }
            Work::Activating(_) | Work::Fixating(_) => Task::Activate { uid, known },
            Work::Deactivating => Task::Deactivate { force: force(wanted.verb) },
            Work::Removing => Task::Remove,
            Work::Authenticating(_) => Task::Authenticate { known },
            Work::ChangingPassword => {
                Task::ChangePassword { new: wanted.new.take().unwrap_or_default(), resting: mounted }
            }
            Work::Updating => match wanted.change.take() {
                Some(change) => Task::Update { change, resting: mounted },
                // Nothing starts this work without one.
                None => Task::Authenticate { known },
            },
            Work::Checking => Task::Check { seen: super::look::seen(resting), known },
            Work::Repairing => Task::Repair { how: wanted.repair, known },
            Work::Rescuing => Task::Rescue { uid, directory: wanted.directory.take() },
            Work::Resizing => Task::Resize { size, resting: mounted, remember },
            Work::Locking => Task::Lock { uid, level },
            Work::Unlocking(_) => Task::Unlock { uid },
            Work::Settling => Task::Settle { uid },
            Work::GivingUp => Task::GiveUp { uid },
            // Nothing starts this work without a wish.
            Work::Snapshotting => Task::Snapshot { wish: wanted.snapshots.clone().unwrap_or_default() },
            Work::Tending(care) => Task::Tend { care },
        }
    }
}

fn force(verb: Verb) -> Force {
    if verb == Verb::StorageGone { Force::Yes } else { Force::No }
}
