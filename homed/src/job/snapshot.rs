//! What may be wanted of the snapshots of a home.

use serde::{Deserialize, Serialize};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Snapshots {
    /// Keep what the home is like now; empty: without a label.
    Make {
        /// What its maker calls it.
        label: String,
    },
    /// Tell which there are.
    #[default]
    List,
    /// Tell what has changed since.
    Show {
        /// Its name, its moment, or its label.
        name: String,
        /// Only there; empty: in all of it.
        path: String,
    },
    /// Have files be as they were.
    Restore {
        /// Its name, its moment, or its label.
        name: String,
        /// The file or folder; empty: all of it.
        path: String,
    },
    /// Take one away.
    Delete {
        /// Its name, its moment, or its label.
        name: String,
    },
    /// Show what the home is like now, inside of it, to be read only and for as long as somebody holds it.
    View,
    /// Take that away, if nobody holds it any more.
    EndView,
}

impl Snapshots {
    /// Whether it may be begun again after it was broken off, which may have been when it was done already. All of a home is
    /// put back once: begun again behind a login it would put back what has been worked on since.
    pub fn may_begin_again(&self) -> bool {
        !matches!(self, Self::Restore { path, .. } if path.is_empty())
    }
}
