//! What is kept while a home is made anew of a backup: `/var/lib/homed/restoring/USER.json`, root's alone, for it has the hash of a
//! password. It goes when all is in the home.

use crate::classic::note::Kept;
use records::settings::RESTORING;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of a note.
const VERSION: u32 = 1;
/// Member of the record of a home that was made of a backup: which. By that the home is known for the one that is being filled.
pub const MADE_OF: &str = "restoredBackup";

/// The note of one home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restoring {
    version: u32,
    /// Whose.
    pub user: String,
    /// Which backup.
    pub backup: String,
    /// When that was made, as restic says.
    pub time: String,
    /// The record that the home is made of.
    pub record: Map<String, Value>,
    /// Whether all of it is in the home, and on disk: this note is to go.
    #[serde(default)]
    pub filled: bool,
}

impl Restoring {
    /// A new one.
    pub fn new(user: &str, (backup, time): (&str, &str), mut record: Map<String, Value>) -> Self {
        record.insert(MADE_OF.to_owned(), backup.into());
        let (user, backup, time) = (user.to_owned(), backup.to_owned(), time.to_owned());
        Self { version: VERSION, user, backup, time, record, filled: false }
    }

    /// The same when all of it is in the home.
    pub fn into_filled(self) -> Self {
        Self { filled: true, ..self }
    }
}

impl Kept for Restoring {
    const FOLDER: &'static str = RESTORING;

    fn user(&self) -> &str {
        &self.user
    }

    fn is_known(&self) -> bool {
        self.version == VERSION
    }
}
