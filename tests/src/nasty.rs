//! A tree with everything that copies of trees get wrong, for tests of copies: on the host without root's rights, on the machine with
//! them. It says nothing of what a copy has to look like: that is compared.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, IFlags, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    ioctl_getflags, ioctl_setflags, lsetxattr, mkdirat, mknodat, openat, setxattr, utimensat,
};

/// What whoever builds the tree may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// What any user may with files of their own.
    Own,
    /// All: owners, devices, capabilities, attributes of the system, what nobody may change.
    Root,
}

/// How deep the deepest folder lies.
pub const DEEP: usize = 4000;

/// Builds the tree in an empty folder.
///
/// # Errors
/// What the kernel says.
pub fn build(top: &Path, rights: Rights) -> io::Result<()> {
    names(&top.join("names"))?;
    modes(&top.join("modes"))?;
    links(&top.join("links"))?;
    holes(&top.join("holes"))?;
    attributes(&top.join("attributes"))?;
    kinds(&top.join("kinds"))?;
    deep(&top.join("deep"))?;
    if rights == Rights::Root {
        owners(&top.join("owners"))?;
        held(&top.join("held"))?;
    }
    // Last, since all else changes them.
    times(&top.join("times"))?;
    fs::set_permissions(top, Permissions::from_mode(0o2751))?;
    stamp(top, 1_111_111_111, 111_111_111)
}

fn names(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    let odd: [&[u8]; 9] = [
        b"new\nline",
        b"-rf",
        b" ",
        b"\xff\xfe not UTF-8",
        b"back\\slash",
        b"\x1b[31mred",
        b"...",
        "Zo\u{eb}".as_bytes(),
        b".hidden",
    ];
    for (number, name) in odd.iter().enumerate() {
        fs::write(top.join(std::ffi::OsStr::from_bytes(name)), format!("{number}"))?;
    }
    fs::write(top.join("n".repeat(255)), "long")?;
    fs::create_dir(top.join("d".repeat(255)))?;
    fs::create_dir(top.join("empty"))
}

fn modes(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    for mode in [0o000, 0o400, 0o777, 0o4755, 0o2755, 0o6711, 0o1644] {
        let file = top.join(format!("file-{mode:o}"));
        fs::write(&file, "mode")?;
        fs::set_permissions(&file, Permissions::from_mode(mode))?;
    }
    for mode in [0o500, 0o1777, 0o2775] {
        let folder = top.join(format!("folder-{mode:o}"));
        fs::create_dir(&folder)?;
        fs::write(folder.join("inside"), "inside")?;
        fs::set_permissions(&folder, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn links(top: &Path) -> io::Result<()> {
    fs::create_dir_all(top.join("far/away"))?;
    fs::write(top.join("a"), "one file, four names")?;
    fs::hard_link(top.join("a"), top.join("b"))?;
    fs::hard_link(top.join("a"), top.join("far/c"))?;
    fs::hard_link(top.join("a"), top.join("far/away/d"))?;
    // The same in all but being another file.
    fs::write(top.join("twin"), "one file, four names")?;
    for (leads_to, name) in [
        ("a", "to-file"),
        ("far", "to-folder"),
        ("nowhere", "to-nothing"),
        ("/etc/passwd", "out"),
        (".", "loop"),
    ] {
        symlink(leads_to, top.join(name))?;
    }
    symlink("x".repeat(4000), top.join("to-far"))?;
    fs::hard_link(top.join("loop"), top.join("loop-again"))
}

fn holes(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    File::create(top.join("nothing-but-a-hole"))?.set_len(8 << 20)?;
    let mut sparse = File::create(top.join("data-in-the-middle"))?;
    sparse.seek(SeekFrom::Start(5 << 20))?;
    sparse.write_all(&[7; 10_000])?;
    sparse.set_len(9 << 20)?;
    let islands = File::create(top.join("islands"))?;
    for number in 0..8_u64 {
        islands.write_all_at(&[number as u8 + 1; 4096], number << 20)?;
    }
    let dense: Vec<u8> =
        (0..1_500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(top.join("dense"), dense)?;
    fs::write(top.join("empty"), "")
}

fn attributes(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    let file = top.join("file");
    fs::write(&file, "with attributes")?;
    let set = |path: &Path, name: &str, value: &[u8]| setxattr(path, name, value, XattrFlags::empty());
    set(&file, "user.plain", b"value")?;
    set(&file, "user.empty", b"")?;
    set(&file, "user.bytes", &[0, 255, 10])?;
    set(&file, "user.long", &[b'x'; 2000])?;
    // What may not be written to has attributes, too.
    set(
        &file,
        "system.posix_acl_access",
        &acl(&[
            (0x01, 6, NOBODY),
            (0x02, 4, 12_345),
            (0x04, 4, NOBODY),
            (0x10, 4, NOBODY),
            (0x20, 0, NOBODY),
        ]),
    )?;
    fs::set_permissions(&file, Permissions::from_mode(0o440))?;
    let folder = top.join("folder");
    fs::create_dir(&folder)?;
    set(&folder, "user.folder", b"too")?;
    fs::write(folder.join("made-before-the-default"), "no ACL")?;
    let rules =
        [(0x01, 7, NOBODY), (0x04, 5, NOBODY), (0x08, 7, 23_456), (0x10, 7, NOBODY), (0x20, 1, NOBODY)];
    set(&folder, "system.posix_acl_default", &acl(&rules))?;
    fs::write(folder.join("made-after-the-default"), "an ACL")
}

/// The ID of entries that are nobody's by name.
pub const NOBODY: u32 = u32::MAX;

/// An ACL in the kernel's form for attributes: version 2, then tag, permissions and ID of each entry.
pub fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn kinds(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    mknodat(CWD, top.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0)?;
    UnixListener::bind(top.join("socket")).map(drop)
}

/// Folder in folder: no path leads to the last one at once.
fn deep(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, top, folder, Mode::empty())?;
    for _ in 0..DEEP {
        mkdirat(&here, "down", Mode::RWXU)?;
        here = openat(&here, "down", folder, Mode::empty())?;
    }
    let bottom = openat(
        &here,
        "bottom",
        OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    )?;
    File::from(bottom).write_all(b"reached")
}

/// What only root can make.
fn owners(top: &Path) -> io::Result<()> {
    fs::create_dir(top)?;
    let own = |name: &str, user: u32, group: u32| {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        chownat(CWD, top.join(name), user, group, AtFlags::SYMLINK_NOFOLLOW)
    };
    for (name, user, group) in [("bobs", 1000, 1000), ("roots", 0, 0), ("far", 3_000_000_000, 3_000_000_001)]
    {
        fs::write(top.join(name), name)?;
        own(name, user, group)?;
    }
    fs::write(top.join("set-id"), "owner first, then the mode")?;
    own("set-id", 1000, 1000)?;
    fs::set_permissions(top.join("set-id"), Permissions::from_mode(0o6755))?;
    symlink("bobs", top.join("link"))?;
    own("link", 1001, 1002)?;
    lsetxattr(top.join("link"), "trusted.of-a-link", b"yes", XattrFlags::empty())?;
    fs::write(top.join("capable"), "may bind to low ports")?;
    own("capable", 1000, 1000)?;
    // Version 2, effective; CAP_NET_BIND_SERVICE permitted (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    setxattr(top.join("capable"), "security.capability", &capability, XattrFlags::empty())?;
    setxattr(top.join("capable"), "trusted.hidden", b"from users", XattrFlags::empty())?;
    mknodat(
        CWD,
        top.join("null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    )?;
    mknodat(
        CWD,
        top.join("loop"),
        FileType::BlockDevice,
        Mode::from_raw_mode(0o660),
        rustix::fs::makedev(7, 300),
    )?;
    Ok(own("null", 1000, 5)?)
}

/// What nobody may change.
fn held(top: &Path) -> io::Result<()> {
    fs::create_dir_all(top.join("folder"))?;
    fs::write(top.join("folder/inside"), "inside")?;
    for name in ["immutable", "append", "nodump"] {
        fs::write(top.join(name), name)?;
    }
    fs::hard_link(top.join("immutable"), top.join("immutable-too"))?;
    fs::hard_link(top.join("immutable"), top.join("folder/immutable-three"))?;
    for name in ["immutable", "append", "nodump", "folder"] {
        stamp(&top.join(name), 1_200_000_000, 5)?;
    }
    flag(&top.join("immutable"), IFlags::IMMUTABLE)?;
    flag(&top.join("append"), IFlags::APPEND)?;
    flag(&top.join("nodump"), IFlags::NODUMP)?;
    flag(&top.join("folder"), IFlags::IMMUTABLE)
}

/// Gives a file or folder inode flags beside those it has.
///
/// # Errors
/// What the kernel says.
pub fn flag(path: &Path, flags: IFlags) -> io::Result<()> {
    let file = File::open(path)?;
    Ok(ioctl_setflags(&file, ioctl_getflags(&file)? | flags)?)
}

fn times(top: &Path) -> io::Result<()> {
    fs::create_dir_all(top.join("folder"))?;
    fs::write(top.join("folder/inside"), "younger than its folder")?;
    fs::write(top.join("file"), "old")?;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_001, 123_456_789);
    OpenOptions::new()
        .write(true)
        .open(top.join("file"))?
        .set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
    symlink("file", top.join("link"))?;
    for (name, seconds, nanoseconds) in [("link", 987_654_321, 1), ("folder", 999_999_999, 999_999_999)] {
        stamp(&top.join(name), seconds, nanoseconds)?;
    }
    fs::write(top.join("before-1970"), "older")?;
    stamp(&top.join("before-1970"), -1, 500)
}

/// Gives a name a time, not what it leads to.
fn stamp(path: &Path, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
