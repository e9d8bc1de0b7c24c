//! Looking for devices by what the kernel knows them by, whatever they are called.

use super::Device;
use super::request::{
    BUFFER_FULL, DEV_STATUS, DEVICE, LIST_DEVICES, NO_FLUSH, ROOM, Request, SECURE_DATA, STATUS_TABLE,
    TABLE_STATUS, UUID, UUID_ROOM, malformed,
};
use crate::sys::mount::Number;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The kernel's list of block devices.
const BLOCK: &str = "/sys/class/block";
/// Bytes for a list of hundreds of devices.
const MUCH: usize = 256 << 10;

/// All devices with the content of this LUKS header, whoever made them and whatever they are called: the home's own,
/// those of a check or a change of size, those that somebody opened by hand.
pub fn of_uuid(luks: Uuid) -> io::Result<Vec<Device>> {
    chosen(&listed()?, |listed| listed.luks_uuid() == Some(luks))
}

/// The device with this UUID, whatever it is called; `None`: there is none.
pub fn with_uuid(uuid: &str) -> io::Result<Option<Device>> {
    Ok(chosen(&listed()?, |listed| listed.uuid == uuid)?.into_iter().next())
}

/// All devices with the content of this LUKS header but the one of this name.
pub fn others_of_uuid(luks: Uuid, name: &str) -> io::Result<Vec<Device>> {
    chosen(&listed()?, |listed| listed.name != name && listed.luks_uuid() == Some(luks))
}

/// All devices whose name is accepted.
pub fn named(accept: impl Fn(&str) -> bool) -> io::Result<Vec<Device>> {
    chosen(&listed()?, |listed| accept(&listed.name))
}

/// A device, as the kernel lists it: one without a table, too, which is no block device yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, below `/dev/mapper`.
    pub name: String,
    uuid: String,
}

impl Listed {
    /// The UUID of the LUKS header whose content it has, where it is of one.
    pub fn luks_uuid(&self) -> Option<Uuid> {
        luks_uuid(&self.uuid)
    }
}

/// All devices.
pub fn listed() -> io::Result<Vec<Listed>> {
    match listed_in::<ROOM>() {
        Ok(Some(all)) => Ok(all),
        Ok(None) => listed_in::<MUCH>()?.ok_or_else(malformed),
        Err(error) if has_no_driver(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The node is there and nothing behind it: the kernel has no device-mapper, and could not load one, so there is no device.
/// Where the node is not there, or is not let be opened, nothing is known.
fn has_no_driver(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

/// The state of those that are accepted.
pub fn chosen(listed: &[Listed], accept: impl Fn(&Listed) -> bool) -> io::Result<Vec<Device>> {
    // One that is gone by now has no state any more.
    let found = listed.iter().filter(|one| accept(one)).map(|one| super::device(&one.name));
    found.filter_map(io::Result::transpose).collect()
}

/// All devices; `None`: there is not room enough for them.
fn listed_in<const SPACE: usize>() -> io::Result<Option<Vec<Listed>>> {
    let mut request = Request::<SPACE>::with_room("", 0)?;
    request.send(LIST_DEVICES)?;
    if request.flags() & BUFFER_FULL != 0 {
        return Ok(None);
    }
    let data = request.data().ok_or_else(malformed)?;
    let all = entries(data).ok_or_else(malformed)?.into_iter();
    let known = all.map(|(name, uuid)| match uuid {
        Some(uuid) => Ok(Listed { name, uuid }),
        // Kernels before 5.14 do not list it.
        None => uuid_of(&name).map(|uuid| Listed { name, uuid }),
    });
    known.collect::<io::Result<_>>().map(Some)
}

/// struct dm_name_list: number of the device (8 bytes), where the next begins (4), the name; aligned to 8 again, a number
/// of events (4), flags (4) and the UUID.
fn entries(data: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    const HAS_UUID: u32 = 1;
    let word = |at: usize| Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let text = |at: usize| {
        let bytes = data.get(at..)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let (mut at, mut all) = (0, Vec::new());
    // An empty list is one entry without a number.
    if data.get(..8)?.iter().all(|byte| *byte == 0) {
        return Some(all);
    }
    loop {
        let name = text(at + 12)?;
        let tail = (at + 12 + name.len() + 1).next_multiple_of(8);
        let uuid = if word(tail + 4)? & HAS_UUID != 0 { Some(text(tail + 8)?) } else { None };
        all.push((name, uuid));
        match usize::try_from(word(at + 8)?).ok()? {
            0 => return Some(all),
            next => at += next,
        }
    }
}

fn uuid_of(name: &str) -> io::Result<String> {
    let mut request = Request::new(name, NO_FLUSH)?;
    match request.send(DEV_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(String::new()),
        other => other.map(|()| request.text(UUID, UUID_ROOM)),
    }
}

/// The UUID of the LUKS header whose content a device has. libcryptsetup's UUID of a device is `CRYPT-LUKS2-`, that UUID
/// without dashes, `-` and the name.
pub fn luks_uuid(text: &str) -> Option<Uuid> {
    let mut parts = text.splitn(4, '-');
    if parts.next() != Some("CRYPT") || parts.next()? == "PLAIN" {
        return None;
    }
    let uuid = parts.next().filter(|part| part.len() == 32)?;
    Uuid::try_parse(uuid).ok()
}

/// All devices that lie on a block device (`loop0`), directly or on something in between.
pub fn above(block: &str) -> io::Result<Vec<Device>> {
    numbers_above(&Path::new(BLOCK).join(block))?
        .into_iter()
        .filter_map(|number| status(number).transpose())
        .collect()
}

/// Whether another device lies on a block device (`loop0`) or on a partition of it.
pub fn is_below(block: &str) -> io::Result<bool> {
    let folder = Path::new(BLOCK).join(block);
    let partitions = list(&folder)?.into_iter().filter(|below| below.join("partition").exists());
    let mut folders = partitions.chain([folder.clone()]);
    folders.try_fold(false, |found, folder| Ok(found || !list(&folder.join("holders"))?.is_empty()))
}

/// The numbers of the mapped devices that a block device has above it; its partitions count as itself.
fn numbers_above(folder: &Path) -> io::Result<Vec<Number>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in children(&folder)? {
            if child.join("dm").is_dir()
                && let Some(number) = number(&child)
                && !found.contains(&number)
            {
                found.push(number);
            }
            folders.push(child);
        }
    }
    Ok(found)
}

/// What lies on a device: its holders and its partitions.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let holders = list(&folder.join("holders"))?;
    let partitions = list(folder)?.into_iter().filter(|below| below.join("partition").exists());
    Ok(holders.into_iter().filter_map(|link| std::fs::canonicalize(link).ok()).chain(partitions).collect())
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn number(folder: &Path) -> Option<Number> {
    let text = word(folder, "dev");
    let (major, minor) = text.split_once(':')?;
    Some(Number { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

fn word(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_default().trim_end().to_owned()
}

fn status(number: Number) -> io::Result<Option<Device>> {
    let mut request = Request::new("", STATUS_TABLE | NO_FLUSH | SECURE_DATA)?;
    request.header[DEVICE..DEVICE + 8]
        .copy_from_slice(&rustix::fs::makedev(number.major, number.minor).to_ne_bytes());
    match request.send(TABLE_STATUS) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        other => other.and_then(|()| super::read(&request).ok_or_else(malformed)).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_device_is_known_by_the_uuid_in_its_uuid() {
        let luks: Uuid = "5a1f0b1c-0001-4002-8003-0123456789ab".parse().expect("a UUID");
        for text in [
            "CRYPT-LUKS2-5a1f0b1c0001400280030123456789ab-home-alice",
            "CRYPT-LUKS2-5A1F0B1C0001400280030123456789AB-home-alice+check",
            "CRYPT-SUBDEV-5a1f0b1c0001400280030123456789ab-by-hand",
        ] {
            assert_eq!(luks_uuid(text), Some(luks), "{text}");
        }
        for text in
            ["", "CRYPT-PLAIN-home-alice", "LVM-5a1f0b1c0001400280030123456789ab-x", "CRYPT-LUKS2-5a1f-x"]
        {
            assert_eq!(luks_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn a_kernel_without_device_mapper_has_no_device_and_one_that_does_not_tell_may_have_some() {
        assert!(has_no_driver(&io::Error::from_raw_os_error(libc::ENODEV)));
        for number in [libc::ENOENT, libc::EACCES, libc::EPERM, libc::EMFILE, libc::ENOMEM, libc::ENXIO] {
            assert!(!has_no_driver(&io::Error::from_raw_os_error(number)), "{number}");
        }
    }

    #[test]
    fn the_kernel_s_list_is_read() {
        let entry = |name: &str, uuid: &str, is_last: bool| {
            let mut bytes = vec![1u8; 8];
            bytes.extend([0; 4]);
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend(3u32.to_ne_bytes());
            bytes.extend(1u32.to_ne_bytes());
            bytes.extend(uuid.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let next = if is_last { 0 } else { u32::try_from(bytes.len()).expect("small") };
            bytes[8..12].copy_from_slice(&next.to_ne_bytes());
            bytes
        };
        let two = [entry("home-alice", "CRYPT-LUKS2-x-home-alice", false), entry("bob", "", true)].concat();
        let read = entries(&two).expect("read");
        let told: Vec<_> = read.iter().map(|(name, uuid)| (name.as_str(), uuid.as_deref())).collect();
        assert_eq!(told, [("home-alice", Some("CRYPT-LUKS2-x-home-alice")), ("bob", Some(""))]);
        assert_eq!(entries(&[0; 16]).expect("read").len(), 0);
        for cut in 1..two.len() - 16 {
            let _ = entries(&two[..cut]);
        }
    }

    #[test]
    fn what_lies_on_a_device_is_found_through_partitions_and_others() {
        let tree = tempfile::tempdir().expect("a folder");
        let at = |path: &str| tree.path().join(path);
        for folder in
            ["loop0/loop0p1/holders", "loop0/holders", "dm-0/holders", "dm-0/dm", "dm-1/holders", "dm-1/dm"]
        {
            std::fs::create_dir_all(at(folder)).expect("made");
        }
        std::fs::write(at("loop0/loop0p1/partition"), "1\n").expect("written");
        std::fs::write(at("dm-0/dev"), "253:0\n").expect("written");
        std::fs::write(at("dm-1/dev"), "253:1\n").expect("written");
        symlink(at("dm-0"), at("loop0/loop0p1/holders/dm-0")).expect("linked");
        symlink(at("dm-1"), at("dm-0/holders/dm-1")).expect("linked");
        assert_eq!(
            numbers_above(&at("loop0")).expect("read"),
            [0, 1].map(|minor| Number { major: 253, minor })
        );
        assert_eq!(numbers_above(&at("loop7")).expect("read"), []);
    }
}
