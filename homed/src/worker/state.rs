//! The host's side of a home: its record, the keys it is judged and signed by.

use crate::job::{Context, Failure};
use crate::statedir;
use records::Record;
use records::signature::{PrivateKey, Trust};

/// Whose signatures count on this machine.
pub fn trust() -> Result<Trust, Failure> {
    statedir::keys::trust().during("reading the keys this machine trusts")
}

/// The key this machine signs with.
pub fn private_key() -> Result<PrivateKey, Failure> {
    statedir::keys::private().during("reading this machine's private key")
}

/// Writes the host's record, durably.
pub fn save(record: &Record) -> Result<(), Failure> {
    statedir::records::save(record).during("writing the record of this machine")
}

/// Removes the host's record, durably; one that is not there is removed already.
pub fn remove(record: &Record) -> Result<(), Failure> {
    statedir::records::remove(record.user()).during("removing the record of this machine")
}
