//! Paths to tell of: all are counted, some are named.

use std::path::{Path, PathBuf};

/// Paths within a tree, of which no more than [`Names::MOST`] are kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    /// The first of them.
    pub first: Vec<PathBuf>,
    /// How many there are.
    pub count: u64,
}

impl Names {
    /// How many are named.
    pub const MOST: usize = 1000;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, path: &Path) {
        self.count += 1;
        if self.first.len() < Self::MOST {
            self.first.push(path.to_owned());
        }
    }
}
