//! The daemon's blocking neighbours behind one trait: account database, password checker, state folder.

use super::answers::Mounts;
use super::link::Staged;
use crate::home::effect::{Check, Failed, Findings};
use crate::home::facts::{Figures, Place};
use crate::statedir::Need;
use crate::storage::whereabouts::Found;
use crate::words::request::{KeyOperation, SigningKey};
use crate::words::seal::Seal;
use records::refusal::Refused;
use records::{Credentials, Record, UserName};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Into which mounts the names of a home's paths lead.
pub type MountsBelow = Arc<dyn Fn(&Place) -> Mounts + Send + Sync>;

/// Neighbours that may block; called on threads of their own.
pub trait Outside: Send + Sync + 'static {
    /// Whether a user or group that is not ours has that name.
    fn name_taken(&self, name: &str) -> bool;
    /// Whether anybody but this user has that UID or GID.
    fn uid_taken(&self, uid: u32, own: &UserName) -> Taken;
    /// Whether a former user of that number has left objects in memory, which a new one would own.
    fn has_objects(&self, _uid: u32) -> bool {
        false
    }
    /// Why the passwords are too weak.
    fn weakness(&self, user: &UserName, new: &Credentials, old: Option<&Credentials>) -> Option<String>;
    /// What is to be seen of a lock.
    fn seal(&self, place: &Place) -> Seal;
    /// Reads the keys again that records are judged by; [`crate::home::facts::Facts::signed_locally`] reads none.
    fn read_keys(&self) {}
    /// Tells, by the mounts as they are now, into which of them the names of a home's paths lead. No file system is asked.
    fn mounts_below(&self) -> MountsBelow {
        Arc::new(|_| [None; 2])
    }
    /// What file systems tell of a home.
    fn look(&self, place: &Place) -> Found;
    /// The same, and whether its storage can be read, for a verb that is about to.
    fn look_before_use(&self, place: &Place) -> Found {
        self.look(place)
    }
    /// How large a home is.
    fn figures(&self, place: &Place) -> Figures;
    /// All host records that may be used.
    fn load(&self) -> Vec<Record>;
    /// The host record of one home, if it may be used.
    fn load_one(&self, user: &UserName) -> Option<Record>;
    /// Why a verb that needs that of the folder for host records cannot be begun.
    fn unwritable(&self, _need: Need) -> Option<Refused> {
        None
    }
    /// Writes a host record, signed if it is not; gives what was written.
    fn save(&self, record: &Record) -> Result<Record, String>;
    /// Deletes host record and blobs.
    fn forget(&self, user: &UserName) -> Result<(), Failed>;
    /// Takes a user's pictures in.
    fn stage(&self, user: &UserName, blobs: Vec<(String, OwnedFd)>) -> Result<Staged, Failed>;
    /// Signing keys.
    fn keys(&self, operation: KeyOperation) -> Result<Vec<SigningKey>, Failed>;
}

/// Whether somebody has a UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nobody has it.
    No,
    /// Somebody has.
    Yes,
    /// A database gives no answer.
    Unknown,
}

/// Answers a check. A home keeps the UID it has when nobody can tell whose it is: a directory server that is away keeps
/// nobody out, and moves no home.
pub fn look_up(outside: &dyn Outside, check: &Check) -> Findings {
    let taken = check.names.iter().find(|name| outside.name_taken(name)).cloned();
    if taken.is_some() {
        return Findings { taken, ..Findings::default() };
    }
    let quality = check.quality.as_ref();
    // One that somebody asks for, or has already, is theirs with all there is.
    let is_clean = |uid: u32| check.keeps == Some(uid) || check.uids.len() == 1 || !outside.has_objects(uid);
    Findings {
        taken: None,
        weak: quality.and_then(|q| outside.weakness(&check.user, &q.new, q.old.as_ref())),
        uid: check.uids.iter().copied().find(|uid| match outside.uid_taken(*uid, &check.user) {
            Taken::No => is_clean(*uid),
            Taken::Yes => false,
            Taken::Unknown => check.keeps == Some(*uid),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::simulated::Simulated;
    use crate::home::effect::JobId;

    #[test]
    fn a_directory_server_that_is_away_moves_no_home_and_gives_no_new_number_away() {
        let user = UserName::parse("alice").expect("a name");
        let chosen = |machine: &Simulated, keeps| {
            let check = Check {
                user: user.clone(),
                id: JobId(1),
                names: Vec::new(),
                uids: vec![60_001, 60_002],
                keeps,
                quality: None,
            };
            look_up(machine, &check).uid
        };
        let machine = Simulated::default();
        machine.leave_objects(60_001);
        assert_eq!((chosen(&machine, None), chosen(&machine, Some(60_001))), (Some(60_002), Some(60_001)));
        let machine = Simulated::default();
        assert_eq!(chosen(&machine, None), Some(60_001));
        machine.take_account("bob", 60_001);
        assert_eq!(chosen(&machine, Some(60_001)), Some(60_002));
        let away = Simulated::default();
        away.lose_accounts();
        assert_eq!((chosen(&away, Some(60_001)), chosen(&away, None)), (Some(60_001), None));
    }
}
