//! The folder of a classic account that becomes a home.

use serde::{Deserialize, Serialize};

/// Where the content of a new home is copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    /// The folder, as /etc/passwd names it.
    pub folder: String,
    /// The group that is the user's own on its files; in a home that is the one with the number of the user.
    pub gid: u32,
}
