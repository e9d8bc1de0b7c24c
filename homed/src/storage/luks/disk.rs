//! A home on a disk of its own: the table of partitions is written last, so that a disk half done has none, and the home is
//! known by the partition from then on.
//!
//! ```text
//! claim the disk → (the home is made through a loop device over it) → table → partition → /dev/disk/by-uuid/…
//! ```

use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::gpt::{self, Table};
use crate::storage::parts::image;
use crate::storage::plugged::BY_UUID;
use crate::sys::waiting::wait_until;
use crate::sys::{blockdev, process};
use records::Refusal;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// There while udev runs.
const UDEV: &str = "/run/udev/control";
/// How long udev may take for a new partition.
const NAMED: Duration = Duration::from_secs(10);

/// A disk that is to have a home. Nobody else can mount it or a part of it meanwhile.
pub struct NewDisk {
    disk: File,
    node: PathBuf,
    size: u64,
}

impl NewDisk {
    /// Whether this path is a block device.
    pub fn is_at(path: &Path) -> bool {
        blockdev::size_at(&blockdev::resolved(path)).is_ok()
    }

    /// Claims the disk at this path. Refuses one that has something on it: whoever named it may have meant another.
    pub fn begin(path: &Path) -> Result<Self, Failure> {
        let node = blockdev::resolved(path);
        let disk = match blockdev::claimed(&node) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                return no(path, "is in use: it is mounted, or another device lies on it (lsblk shows it)");
            }
            other => other.during(format!("opening {}", path.display()))?,
        };
        let told = blockdev::told(&disk).during(format!("looking at {}", path.display()))?;
        if told.is_partition {
            return no(
                path,
                "is a partition: name the whole disk, which gets a partition for the home, and no other",
            );
        }
        if told.is_read_only {
            return no(path, "is write-protected");
        }
        let size = blockdev::length(&disk).during(format!("looking at {}", path.display()))?;
        match on_it(&node)? {
            found if found.is_empty() && told.partitions.is_empty() => Ok(Self { disk, node, size }),
            found => no(
                path,
                &format!(
                    "has something on it ({}), which would be destroyed. If nobody needs that: wipefs --all {}",
                    if found.is_empty() { "partitions" } else { &found },
                    told.partitions
                        .iter()
                        .chain([&node])
                        .map(|one| one.display().to_string())
                        .collect::<Vec<_>>()
                        .join(" ")
                ),
            ),
        }
    }

    /// The disk.
    pub fn file(&self) -> &File {
        &self.disk
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of its sectors.
    pub fn sector(&self) -> Result<u32, Failure> {
        blockdev::sector(&self.disk).during(format!("looking at {}", self.node.display()))
    }

    /// Writes the table, durably. What the home is known by from now on comes back; where that fails, no home is found there.
    pub fn publish(self, table: &Table, luks: Uuid, steps: &mut dyn Steps) -> Result<PathBuf, Failure> {
        let partition = match self.partition(table) {
            Ok(partition) => partition,
            Err(failure) => {
                blank(&self.disk, table).during("taking the partition table back")?;
                return Err(failure);
            }
        };
        // udev looks at the disk when it is closed after a write.
        drop(self.disk);
        let named = Path::new(BY_UUID).join(luks.to_string());
        let is_named = || Ok::<bool, Failure>(blockdev::resolved(&named) == partition);
        if Path::new(UDEV).exists() && wait_until(NAMED, is_named)? {
            return Ok(named);
        }
        steps.warn(format!(
            "udev has given the home's partition no name: it is known as {}, which may be another device after the next boot.",
            partition.display()
        ));
        Ok(partition)
    }

    /// Writes the table, and has the kernel show the one partition that it has.
    fn partition(&self, table: &Table) -> Result<PathBuf, Failure> {
        write(&self.disk, &table.pieces()).during("writing the partition table")?;
        match blockdev::read_table_again(&self.disk) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                return no(&self.node, "can have no partitions (a loop device needs losetup --partscan)");
            }
            other => other.during("having the kernel read the partition table")?,
        }
        let told = blockdev::told(&self.disk).during(format!("looking at {}", self.node.display()))?;
        match told.partitions.as_slice() {
            [partition] => Ok(partition.clone()),
            _ => {
                Err(Failure::fault(format!("{} has not the one partition that it got", self.node.display())))
            }
        }
    }
}

/// What is known to be on a disk, in the words of wipefs(8); empty: nothing.
fn on_it(node: &Path) -> Result<String, Failure> {
    let arguments = ["--noheadings", "--output", "TYPE", &node.to_string_lossy()];
    let said = process::output("wipefs", &arguments).during("looking for what is on the disk")?;
    let mut kinds: Vec<&str> = said.split_whitespace().collect();
    kinds.dedup();
    Ok(kinds.join(", "))
}

fn no<T>(path: &Path, why: &str) -> Result<T, Failure> {
    refuse(Refusal::InvalidArgs, format!("{} {why}.", path.display()))
}

fn write(disk: &File, pieces: &[gpt::Piece]) -> std::io::Result<()> {
    for (offset, bytes) in pieces {
        disk.write_all_at(bytes, *offset)?;
    }
    disk.sync_all()
}

/// Writes nothing where a table was, durably.
fn blank(disk: &File, table: &Table) -> std::io::Result<()> {
    write(disk, &table.pieces().map(|(offset, bytes)| (offset, vec![0; bytes.len()])))
}

/// The home of a device is given up. Its content stays where it is, as with the original; of a disk that was just made, the
/// table goes, so that nothing is found there, if it has that partition alone.
pub fn give_up(device: &File, spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    let size = blockdev::length(device).during("looking at the device")?;
    let told = blockdev::told(device).during("looking at the device")?;
    let found = gpt::find(size, &mut |offset, length| image::bytes(device, offset, length));
    let is_its_own = |table: &Table| table.is_named(&spec.name) && told.partitions.len() <= 1;
    if let Some((table, _)) = found.filter(|(table, _)| is_its_own(table)) {
        blank(device, &table).during("removing the partition table")?;
        return blockdev::read_table_again(device).during("having the kernel read the partition table");
    }
    if told.is_partition {
        steps.warn(format!(
            "The partition {} is left as it is, and still opens with its password. To destroy it: cryptsetup erase {}",
            spec.image.display(),
            spec.image.display()
        ));
    }
    Ok(())
}
