//! Homes on partitions that are plugged in: a partition says itself that it is the home of a user, and udev has read that.
//!
//! Type "user home" of the Discoverable Partitions Specification, the name `user` or `user@realm`, LUKS inside. Anybody who
//! can plug something in can make one: it is shown, and is opened once its record is known to be signed by somebody who is
//! trusted here.

use super::luks;
use super::parts::gpt::USER_HOME;
use crate::sys::udev::{self, Properties};
use records::{FullName, Storage};
use std::path::PathBuf;
use uuid::Uuid;

/// Where udev has a name for each device with a UUID.
pub const BY_UUID: &str = "/dev/disk/by-uuid";

/// A partition that is a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// Where it is, whatever socket it is in.
    pub path: PathBuf,
    /// Whose it says it is.
    pub name: String,
    /// The kind of its storage.
    pub storage: Storage,
}

/// What udev knows at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The numbers of all block devices.
    pub devices: Vec<String>,
    /// Those that are homes.
    pub homes: Vec<Plugged>,
}

/// Asks udev's database.
pub fn seen() -> Seen {
    let all = udev::block_devices();
    let mut homes: Vec<Plugged> = all.values().filter_map(home).collect();
    homes.sort_by(|one, other| one.path.cmp(&other.path));
    // Two copies of one are known by the same name, which leads to one of them.
    homes.dedup_by(|one, other| one.path == other.path);
    Seen { devices: all.into_keys().collect(), homes }
}

fn home(device: &Properties) -> Option<Plugged> {
    let value = |name: &str| device.get(name).map(String::as_str);
    let kind = Uuid::try_parse(value("ID_PART_ENTRY_TYPE")?).ok()?;
    if kind != USER_HOME || value("ID_FS_TYPE") != Some("crypto_LUKS") {
        return None;
    }
    let name = FullName::parse(&udev::decoded(value("ID_PART_ENTRY_NAME")?)?).ok()?;
    // As it stands in the header: the name in the folder is the same.
    let uuid = value("ID_FS_UUID").filter(|text| Uuid::try_parse(text).is_ok() && text.len() == 36)?;
    Some(Plugged {
        path: PathBuf::from(BY_UUID).join(uuid),
        name: name.to_string(),
        storage: luks::KIND.storage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c";

    fn device(changes: &[(&str, Option<&str>)]) -> Properties {
        let mut all: Properties = [
            ("ID_PART_ENTRY_TYPE", "773f91ef-66d4-49b5-bd83-d683bf40ad16"),
            ("ID_PART_ENTRY_NAME", "alice@example.com"),
            ("ID_FS_TYPE", "crypto_LUKS"),
            ("ID_FS_UUID", UUID),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in changes {
            match value {
                Some(value) => all.insert((*name).to_owned(), (*value).to_owned()),
                None => all.remove(*name),
            };
        }
        all
    }

    #[test]
    fn a_partition_that_says_so_is_a_home() {
        let found = home(&device(&[])).expect("a home");
        assert_eq!(found.name, "alice@example.com");
        assert_eq!(found.path, PathBuf::from("/dev/disk/by-uuid/6f5a1b9c-8d3e-4f2a-9b7c-1d2e3f4a5b6c"));
    }

    #[test]
    fn what_lacks_anything_of_it_is_none() {
        for (name, value) in [
            ("ID_PART_ENTRY_TYPE", Some("0fc63daf-8483-4772-8e79-3d69d8477de4")),
            ("ID_PART_ENTRY_TYPE", None),
            ("ID_PART_ENTRY_NAME", Some("my\\x20data")),
            ("ID_PART_ENTRY_NAME", Some("root")),
            ("ID_PART_ENTRY_NAME", Some("")),
            ("ID_PART_ENTRY_NAME", None),
            ("ID_FS_TYPE", Some("ext4")),
            ("ID_FS_TYPE", None),
            ("ID_FS_UUID", Some("../../../etc/passwd")),
            ("ID_FS_UUID", Some("6f5a1b9c8d3e4f2a9b7c1d2e3f4a5b6c")),
            ("ID_FS_UUID", None),
        ] {
            assert_eq!(home(&device(&[(name, value)])), None, "{name} {value:?}");
        }
    }
}
