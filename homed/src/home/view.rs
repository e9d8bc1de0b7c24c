//! One home as the fronts see it.

use super::facts::Place;
use super::state::{Resting, State};
use records::{Packed, UserName};

/// What `getpwnam` would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixRecord {
    /// Login name.
    pub name: UserName,
    /// UID on this machine.
    pub uid: u32,
    /// GID on this machine.
    pub gid: u32,
    /// Full name, or the login name where the record has none.
    pub real_name: String,
    /// Home directory.
    pub home_directory: String,
    /// Shell: the record's own, in every state.
    pub shell: String,
}

/// One home, looked at now.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeView {
    /// The record with the live `status` section. Holds `privileged`: a front strips it for callers
    /// who are neither root nor [`UnixRecord::uid`] (`record.only(Sections::STRANGER)`).
    pub record: Packed,
    /// What its user is called besides: aliases, and names with the realm.
    pub others: Vec<String>,
    /// The groups its user is in.
    pub groups: Vec<String>,
    /// What kind of user that is, as the record says it.
    pub disposition: String,
    /// Where its parts are.
    pub place: Place,
    /// What `getpwnam` would say.
    pub unix: UnixRecord,
    /// State, with [`State::name`] for the bus.
    pub state: State,
    /// Its user is to be logged in without a question where the machine starts.
    pub auto_login: bool,
}

impl HomeView {
    /// Whether there is anything that has a size.
    pub fn has_sizes(&self) -> bool {
        self.state.resting != Resting::Absent
    }

    /// Whether a caller with that UID may see the `privileged` section.
    pub fn shows_all_to(&self, uid: u32) -> bool {
        uid == 0 || uid == self.unix.uid
    }
}
