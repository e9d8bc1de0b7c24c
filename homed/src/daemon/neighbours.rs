//! The real neighbours: account database, password checker, state folder.

use super::outside::Outside;
use super::quality;
use crate::home::effect::Failed;
use crate::home::facts::SignedLocally;
use crate::manager::request::{KeyOperation, SigningKey};
use records::{Credentials, Machine, Record, UserName};

/// The neighbours of this machine.
pub struct Neighbours {
    /// This machine.
    pub machine: Machine,
}

impl Neighbours {
    /// Who signed a record.
    pub fn signed_locally(&self, _record: &Record) -> Option<SignedLocally> {
        None
    }
}

impl Outside for Neighbours {
    fn name_taken(&self, name: &str) -> bool {
        // A database that cannot answer may know the name.
        !matches!(nix::unistd::User::from_name(name), Ok(None))
            || !matches!(nix::unistd::Group::from_name(name), Ok(None))
    }

    fn uid_taken(&self, uid: u32) -> bool {
        !matches!(nix::unistd::User::from_uid(uid.into()), Ok(None))
            || !matches!(nix::unistd::Group::from_gid(uid.into()), Ok(None))
    }

    fn weakness(&self, user: &UserName, new: &Credentials, old: Option<&Credentials>) -> Option<String> {
        quality::weakness(user, new, old)
    }

    fn load(&self) -> Vec<Record> {
        Vec::new()
    }

    fn save(&self, _record: &Record) -> Result<(), String> {
        Err("there is no state folder yet".into())
    }

    fn forget(&self, _user: &UserName) -> Result<(), String> {
        Err("there is no state folder yet".into())
    }

    fn keys(&self, _operation: KeyOperation) -> Result<Vec<SigningKey>, Failed> {
        Err(records::Refusal::NotSupported.into())
    }
}
