//! Extended attributes, ACLs and capabilities among them (xattr(7)).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr, removexattr, setxattr,
};
use rustix::io::Errno;

use crate::look::place;

/// The longest list and the longest value that the kernel has.
const LONGEST: usize = 64 * 1024;

/// Name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// Whose attributes.
pub(crate) enum Of<'a> {
    /// Those of an open file or folder.
    Open(BorrowedFd<'a>),
    /// Those of what was only found, by its path in /proc.
    Found(String),
}

impl<'a> Of<'a> {
    /// What is open to be read or written.
    pub fn open(file: &'a impl AsFd) -> Self {
        Self::Open(file.as_fd())
    }

    /// What was found and not opened: a symbolic link, a FIFO, a device.
    pub fn found(file: &impl AsFd) -> Self {
        Self::Found(place(file))
    }

    fn list(&self, room: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(file) => flistxattr(file, room),
            Self::Found(path) => listxattr(path, room),
        }
    }

    fn get(&self, name: &[u8], room: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(file) => fgetxattr(file, name, room),
            Self::Found(path) => getxattr(path, name, room),
        }
    }

    /// One value.
    pub fn value(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let mut room = vec![0; LONGEST];
        match self.get(name, &mut room) {
            Ok(length) => Ok(Some(room[..length].to_vec())),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether there is one, of whatever length.
    pub fn has(&self, name: &[u8]) -> bool {
        self.get(name, &mut []).is_ok()
    }

    /// Sets one value.
    pub fn set(&self, (name, value): &Attribute) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fsetxattr(file, &**name, value, XattrFlags::empty()),
            Self::Found(path) => setxattr(path, &**name, value, XattrFlags::empty()),
        }
    }

    /// Takes one away.
    pub fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fremovexattr(file, name),
            Self::Found(path) => removexattr(path, name),
        }
    }
}

/// Reads attributes, with room for the longest of them.
pub(crate) struct Reader(Box<[u8]>);

impl Reader {
    pub fn new() -> Self {
        Self(vec![0; LONGEST].into())
    }

    /// All attributes, in the order of their names. One that goes meanwhile is none.
    pub fn all(&mut self, of: &Of) -> Result<Vec<Attribute>, Errno> {
        let length = match of.list(&mut self.0) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno),
        };
        let names: Vec<Vec<u8>> = self.0[..length]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            match of.get(&name, &mut self.0) {
                Ok(length) => all.push((name, self.0[..length].to_vec())),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno),
            }
        }
        all.sort();
        Ok(all)
    }
}

/// Whether an attribute that a target has by itself is left to it: labels and signatures of its own machine, and settings of its file system.
pub(crate) fn is_the_targets(name: &[u8]) -> bool {
    [&b"security.selinux"[..], b"security.ima", b"security.evm", b"security.SMACK64", b"btrfs."]
        .iter()
        .any(|own| name.starts_with(own))
}
