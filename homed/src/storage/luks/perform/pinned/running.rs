//! The file system of a home that is not mounted at its directory: where it runs, and a directory of it to freeze it by.

use crate::job::{Context, Failure, refuse};
use crate::storage::parts::mapped::{Mapped, node};
use crate::sys::devmapper::{self, Device};
use crate::sys::filesystem::{self, Kind};
use crate::sys::mount::{self, Attributes, Entry, Number, Setting};
use crate::sys::{durable, loopdev};
use records::Refusal;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The file system on a device that this machine's tree does not show: as another mount namespace has it mounted, or as the
/// kernel has it running where no table of mounts shows it (unmounted lazily, or held by a descriptor alone). `None`: none.
pub fn running(device: &Device) -> Result<Option<Entry>, Failure> {
    let found = mount::elsewhere(device.number).during("looking into other mount namespaces")?;
    let mut mounts = found.into_iter().flat_map(|one| one.mounts).map(|found| found.mount);
    match mounts.next() {
        Some(mounted) => Ok(Some(mounted)),
        None => unseen(device).during("looking for file systems that are mounted nowhere"),
    }
}

/// What no table of mounts shows.
fn unseen(device: &Device) -> io::Result<Option<Entry>> {
    let Some(kind) = filesystem::running_on(device.number)? else { return Ok(None) };
    let options = match kind {
        Kind::Ext4 => filesystem::options_of_ext4(device.number)?,
        Kind::Btrfs | Kind::Xfs => String::new(),
    };
    Ok(Some(Entry {
        id: 0,
        parent: 0,
        root: "/".into(),
        target: PathBuf::new(),
        attributes: String::new(),
        device: number_shown(kind, device.number),
        kind: kind.name().to_owned(),
        source: node(&device.name),
        options,
    }))
}

/// The number that its files have among what processes have mapped. btrfs has one of its own, which only a mount shows.
fn number_shown(kind: Kind, Number { major, minor }: Number) -> String {
    match kind {
        Kind::Btrfs => String::new(),
        Kind::Ext4 | Kind::Xfs => format!("{major}:{minor}"),
    }
}

/// A second mount of the same file system, which is nowhere in the tree.
pub fn open_root(device: &Device, mounted: &Entry) -> Result<OwnedFd, Failure> {
    let mapped = Mapped::adopt(&device.name)?;
    let open = |settings: &[Setting]| {
        let mount = mount::open_file_system(&mounted.kind, mapped.path(), settings, Attributes::HARMLESS)?;
        durable::directory_at(&mount, ".")
    };
    let to_read = [("ro".to_owned(), None)];
    let is_unknown = mounted.options.is_empty();
    let opened = match mounted.is_read_only() || is_unknown {
        // The kernel has one file system on a device: it is as whoever mounted it wanted it, or busy.
        true => match open(&to_read) {
            Err(error) if is_unknown && error.kind() == ErrorKind::ResourceBusy => open(&[]),
            other => other,
        },
        false => open(&[]),
    };
    opened.during("opening the file system")
}

/// Whether another block device lies on it.
pub fn carries(device: &Device) -> Result<bool, Failure> {
    let block = format!("dm-{}", device.number.minor);
    let above = devmapper::is_below(&block)
        .and_then(|above| if above { Ok(true) } else { loopdev::is_attached(&node(&device.name)) });
    above.during("looking for what lies on the encrypted device")
}

/// What is said of one that does.
pub fn named_for_carrying(device: &Device) -> Failure {
    let text = format!(
        "Another block device lies on the home's encrypted device {}: what is used there could lose what was written last, so \
         the home was not locked, and its key stays in memory. Nothing was lost. Close what lies on it (lsblk shows it), and \
         try again.",
        node(&device.name).display()
    );
    let refused: Result<(), Failure> = refuse(Refusal::HomeBusy, text);
    refused.err().unwrap_or_else(|| Refusal::HomeBusy.into())
}
