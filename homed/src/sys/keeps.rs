//! What kind of file system a folder is on: whether it keeps files beyond the next boot.

use rustix::fs::StatVfsMountFlags;
use std::io;
use std::path::Path;

/// What becomes of a file that is made there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// It is kept.
    Files,
    /// It is gone after a boot: the file system is in memory. Its name.
    UntilTheBoot(&'static str),
    /// None can be made: it is a view of the kernel, or of an archive. Its name.
    Nothing(&'static str),
    /// None can be made: it is mounted to be read only.
    ReadOnly,
}

/// linux/magic.h. What is not listed keeps files.
const KINDS: [(u32, Keeps); 24] = [
    // devtmpfs has the number of tmpfs, or of ramfs.
    (0x0102_1994, Keeps::UntilTheBoot("tmpfs")),
    (0x8584_58f6, Keeps::UntilTheBoot("ramfs")),
    (0x9584_58f6, Keeps::UntilTheBoot("hugetlbfs")),
    (0x0000_9fa0, Keeps::Nothing("proc")),
    (0x6265_6572, Keeps::Nothing("sysfs")),
    (0x0027_e0eb, Keeps::Nothing("cgroup")),
    (0x6367_7270, Keeps::Nothing("cgroup2")),
    (0x6462_6720, Keeps::Nothing("debugfs")),
    (0x7472_6163, Keeps::Nothing("tracefs")),
    (0x7363_6673, Keeps::Nothing("securityfs")),
    (0xf97c_ff8c, Keeps::Nothing("selinuxfs")),
    (0x6265_6570, Keeps::Nothing("configfs")),
    (0x6165_676c, Keeps::Nothing("pstore")),
    (0xcafe_4a11, Keeps::Nothing("bpf")),
    (0xde5e_81e4, Keeps::Nothing("efivarfs")),
    (0x0000_1cd1, Keeps::Nothing("devpts")),
    (0x1980_0202, Keeps::Nothing("mqueue")),
    (0x4249_4e4d, Keeps::Nothing("binfmt_misc")),
    (0x6573_5543, Keeps::Nothing("fusectl")),
    (0x0000_9660, Keeps::Nothing("isofs")),
    (0x7371_7368, Keeps::Nothing("squashfs")),
    (0xe0f5_e1e2, Keeps::Nothing("erofs")),
    (0x28cd_3d45, Keeps::Nothing("cramfs")),
    (0x6e73_6673, Keeps::Nothing("nsfs")),
];

/// Looks at the file system that an existing path is on.
pub fn at(path: &Path) -> io::Result<Keeps> {
    let kind = rustix::fs::statfs(path)?.f_type;
    // The field is signed, and as wide as a word: the magic number is in its lower half.
    let magic = (kind as u64 & u64::from(u32::MAX)) as u32;
    let is_read_only = rustix::fs::statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(match KINDS.iter().find(|row| row.0 == magic) {
        Some((_, keeps)) => *keeps,
        None if is_read_only => Keeps::ReadOnly,
        None => Keeps::Files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_the_kernel_and_memory_are_known() {
        assert_eq!(at(Path::new("/proc")).expect("looked"), Keeps::Nothing("proc"));
        assert_eq!(at(Path::new("/proc/self")).expect("looked"), Keeps::Nothing("proc"));
        assert_eq!(at(Path::new("/dev")).expect("looked"), Keeps::UntilTheBoot("tmpfs"));
        assert_eq!(at(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("looked"), Keeps::Files);
        assert!(at(Path::new("/no/such/folder")).is_err());
    }
}
