//! Files with several names: which have been copied, and as what.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::look::{Id, Look};
use crate::measure::MOST_LINKED;
use crate::names::Names;

/// The copy of a file with several names.
pub(crate) struct Group {
    /// The folder of its first name, from the top.
    pub folder: Box<[u8]>,
    /// Its first name.
    pub name: Box<[u8]>,
    /// Which inode of the target it is.
    pub copy: Id,
    /// How many names have not been met.
    left: u32,
}

/// All of them that still may have further names.
#[derive(Default)]
pub(crate) struct Links(HashMap<Id, Group>);

impl Links {
    /// The copy of a file that was met before.
    pub fn of(&self, file: &Look) -> Option<&Group> {
        self.0.get(&file.id())
    }

    /// A file was copied under its first name. Whether there is room to remember it.
    #[must_use]
    pub fn first(&mut self, file: &Look, at: (&[u8], &[u8]), copy: Id) -> bool {
        let (folder, name) = at;
        // Names of the same file that are left, where this one takes the place of a first name that has too many.
        let left = self.0.remove(&file.id()).map_or(file.names(), |group| group.left) - 1;
        if self.0.len() >= MOST_LINKED {
            return false;
        }
        if left > 0 {
            self.0.insert(file.id(), Group { folder: folder.into(), name: name.into(), copy, left });
        }
        true
    }

    /// A further name was met.
    pub fn met(&mut self, file: &Look) {
        if let Some(group) = self.0.get_mut(&file.id()) {
            group.left = group.left.saturating_sub(1);
            if group.left == 0 {
                self.0.remove(&file.id());
            }
        }
    }

    /// What has names elsewhere, when all of the tree has been walked through.
    pub fn outside(&self) -> Names {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let mut names = Names::default();
        for group in self.0.values() {
            names.add(&PathBuf::from(OsStr::from_bytes(&group.folder)).join(OsStr::from_bytes(&group.name)));
        }
        names.first.sort();
        names
    }
}
