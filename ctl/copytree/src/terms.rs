//! On which terms a tree is copied: whose its files are in the copy, and which of their rights they keep.
//!
//! Whoever can write a file system's blocks can make any inode in it. Where such a tree is copied to a place that honours set-ID
//! bits, devices and capabilities, nothing of these is to be in the copy but what its user could have made there without help.

use rustix::fs::{FileType, Mode};

use crate::look::Look;
use crate::xattrs::Attribute;

/// What is otherwise in a copy than in its source. The default is nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What belongs to the first user belongs to the second in the copy; so do entries of ACLs.
    pub user: Option<(u32, u32)>,
    /// The same of a group.
    pub group: Option<(u32, u32)>,
    /// Nothing has more rights than this user could give it.
    pub no_more_than: Option<Maker>,
}

/// A user who makes files, by the numbers of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// The user ID.
    pub uid: u32,
    /// The IDs of all groups.
    pub groups: Vec<u32>,
}

/// Attributes that hold ACLs (acl(5)).
pub(crate) const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
/// linux/posix_acl_xattr.h: a version, then entries of a tag, permissions and an ID.
const ACL_HEADER: usize = 4;
const ACL_ENTRY: usize = 8;
/// Tags of entries for one user, and for one group.
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;
/// Capabilities, labels and signatures: rights that a machine gives, and no file system brings along.
const OF_THE_MACHINE: &[u8] = b"security.";

impl Terms {
    /// Whose it is in the copy.
    pub(crate) fn owner(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        (renumbered(self.user, uid), renumbered(self.group, gid))
    }

    /// Its mode in the copy.
    pub(crate) fn mode(&self, mode: Mode, (uid, gid): (u32, u32)) -> Mode {
        let Some(maker) = &self.no_more_than else { return mode };
        let mut mode = mode;
        if uid != maker.uid {
            mode.remove(Mode::SUID | Mode::SGID);
        }
        if !maker.groups.contains(&gid) {
            mode.remove(Mode::SGID);
        }
        mode
    }

    /// Whether it is in the copy at all: a device node is not, unless it stands for none, as overlayfs has it.
    pub(crate) fn takes(&self, look: &Look) -> bool {
        let is_device = match look.kind() {
            FileType::BlockDevice => true,
            FileType::CharacterDevice => look.device() != 0,
            _ => false,
        };
        self.no_more_than.is_none() || !is_device
    }

    /// The attributes that it has in the copy.
    pub(crate) fn attributes(&self, attributes: &mut Vec<Attribute>) {
        if self.no_more_than.is_some() {
            attributes.retain(|(name, _)| !name.starts_with(OF_THE_MACHINE));
        }
        if self.user.is_none() && self.group.is_none() {
            return;
        }
        for (_, rules) in attributes.iter_mut().filter(|(name, _)| ACLS.contains(&&**name)) {
            self.acl(rules);
        }
    }

    /// Whether it has capabilities that its copy will not have.
    pub(crate) fn takes_capabilities(&self, names: &[Attribute]) -> bool {
        self.no_more_than.is_some() && names.iter().any(|(name, _)| name == b"security.capability")
    }

    fn acl(&self, rules: &mut [u8]) {
        let Some(entries) = rules.get_mut(ACL_HEADER..) else { return };
        for entry in entries.chunks_exact_mut(ACL_ENTRY) {
            let which = match u16::from_le_bytes([entry[0], entry[1]]) {
                ACL_USER => self.user,
                ACL_GROUP => self.group,
                _ => continue,
            };
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            entry[4..].copy_from_slice(&renumbered(which, id).to_le_bytes());
        }
    }
}

fn renumbered(which: Option<(u32, u32)>, id: u32) -> u32 {
    match which {
        Some((from, to)) if id == from => to,
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let maker = Maker { uid: 60101, groups: vec![60101, 29] };
        Terms { user: Some((60101, 1001)), group: Some((60101, 1002)), no_more_than: Some(maker) }
    }

    #[test]
    fn set_id_bits_stay_where_the_user_could_set_them() {
        let all = Mode::from_raw_mode(0o6755);
        for (owner, expected) in [
            ((60101, 60101), 0o6755),
            ((60101, 29), 0o6755),
            ((60101, 42), 0o4755),
            ((0, 0), 0o755),
            ((0, 29), 0o755),
        ] {
            assert_eq!(terms().mode(all, owner).as_raw_mode(), expected, "{owner:?}");
            assert_eq!(Terms::default().mode(all, owner), all);
        }
    }

    #[test]
    fn owners_and_entries_of_acls_get_other_numbers() {
        assert_eq!(terms().owner((60101, 60101)), (1001, 1002));
        assert_eq!(terms().owner((0, 29)), (0, 29));
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[7, 0], &id.to_le_bytes()].concat();
        let acl = |user: u32, group: u32| {
            let entries =
                [entry(1, u32::MAX), entry(2, user), entry(2, 7), entry(8, group), entry(16, 60101)];
            [&2_u32.to_le_bytes()[..], &entries.concat()].concat()
        };
        let mut attributes = vec![
            (b"security.capability".to_vec(), vec![1]),
            (ACLS[0].to_vec(), acl(60101, 60101)),
            (b"user.note".to_vec(), acl(60101, 60101)),
            (ACLS[1].to_vec(), vec![2, 0, 0]),
        ];
        assert!(terms().takes_capabilities(&attributes));
        terms().attributes(&mut attributes);
        let expected = [
            (ACLS[0].to_vec(), acl(1001, 1002)),
            (b"user.note".to_vec(), acl(60101, 60101)),
            (ACLS[1].to_vec(), vec![2, 0, 0]),
        ];
        assert_eq!(attributes, expected);
    }
}
