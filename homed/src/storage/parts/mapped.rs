//! A dm-crypt device that goes when its last user goes, whatever becomes of this process.

use crate::job::{self, Context, Failure, Steps, refuse};
use crate::sys::devmapper::{self, Access, Volume};
use crate::sys::mount::{self, Number};
use crate::sys::{file, holders, waiting::wait_until};
use plan::{Device, Step};
use records::Refusal;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod plan;

/// How long the kernel may take to take a device down.
const GOING: Duration = Duration::from_secs(30);

/// An active device, held by an open file; the loop device below is held by the device.
pub struct Mapped {
    node: File,
    path: PathBuf,
}

/// What a device is to be.
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its UUID, as libcryptsetup would have it: what it is known by.
    pub uuid: &'a str,
    /// Its table, with the key.
    pub volume: Volume<'a>,
}

/// One that is being made. As long as the kernel does not take it away by itself, this does.
struct Making<'a> {
    new: &'a New<'a>,
    device: Option<Device>,
    number: Option<Number>,
    node: Option<File>,
}

impl Mapped {
    /// Makes `/dev/mapper/NAME`. Before it has a key the kernel is to remove it with its last user, which for now is this
    /// value.
    pub fn make(new: &New<'_>, steps: &mut dyn Steps) -> Result<Self, Failure> {
        let mut making = Making { new, device: None, number: None, node: None };
        while let Some(step) = plan::next(making.device) {
            steps.enter(name(step))?;
            making.perform(step)?;
            making.device = plan::after(making.device, step);
        }
        let path = node(new.name);
        let Some(node) = making.node.take() else { return Err(Failure::fault("the device was not opened")) };
        let mapped = Self { node, path };
        mapped.have_node()?;
        Ok(mapped)
    }

    /// A device that is active already: it goes with its last user as well.
    pub fn adopt(name: &str) -> Result<Self, Failure> {
        let number = number(name).during("looking for the encrypted device")?;
        let Some(number) = number else { return Err(Failure::fault("the encrypted device is gone")) };
        let mapped = Self { node: open(number, Access::Write)?, path: node(name) };
        devmapper::remove_when_unused(name).during("marking the encrypted device for removal")?;
        mapped.have_node()?;
        Ok(mapped)
    }

    /// Where no udev makes it, or took its time: the node, or another one that an earlier device has left.
    fn have_node(&self) -> Result<(), Failure> {
        let what = || format!("making {}", self.path.display());
        if file::is_same_device(&self.path, &self.node).during(what())? {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other.during(what())?,
        }
        match file::make_block_node(&self.path, &self.node) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.during(what()),
        }
    }

    /// `/dev/mapper/NAME`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written to the device is on disk.
    pub fn sync(&self) -> Result<(), Failure> {
        self.node.sync_all().during("writing the decrypted device to disk")
    }

    /// The first bytes of the device.
    pub fn head(&self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; length];
        self.node.read_exact_at(&mut bytes, 0).during("reading the decrypted device")?;
        Ok(bytes)
    }
}

impl Making<'_> {
    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        let New { name, uuid, volume } = self.new;
        match step {
            Step::Create => match devmapper::create(name, uuid) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => in_use(name),
                other => other.during("making the encrypted device"),
            },
            Step::Blank => {
                let number = devmapper::make_blank(name).during("preparing the encrypted device")?;
                self.number = Some(number);
                Ok(())
            }
            Step::Hold => {
                let Some(number) = self.number else {
                    return Err(Failure::fault("the device has no number"));
                };
                self.node = Some(open(number, volume.target.access)?);
                Ok(())
            }
            Step::Mark => {
                devmapper::remove_when_unused(name).during("marking the encrypted device for removal")
            }
            Step::GiveKey => {
                let cipher = &volume.target.cipher;
                devmapper::give_table(name, volume)
                    .during(format!("giving the encrypted device its key (the cipher is {cipher})"))
            }
            Step::Start => devmapper::start(name).during("starting the encrypted device"),
        }
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.device.is_some_and(|device| device.goes == plan::Goes::NotByItself) {
            self.node = None;
            // It has no key; the next sweep would take it away as well.
            let _ = devmapper::remove(self.new.name);
        }
    }
}

/// What progress bars and fault points call it.
fn name(step: Step) -> job::Step {
    match step {
        Step::Create => job::Step::MakeMapped,
        Step::Blank => job::Step::BlankMapped,
        Step::Hold => job::Step::HoldMapped,
        Step::Mark => job::Step::MarkMapped,
        Step::GiveKey => job::Step::KeyMapped,
        Step::Start => job::Step::StartMapped,
    }
}

/// The kernel's own node: others may be taken away, or not be made yet.
fn open(number: Number, access: Access) -> Result<File, Failure> {
    let node = format!("/dev/dm-{}", number.minor);
    let opened = OpenOptions::new().read(true).write(access == Access::Write).open(&node);
    opened.during(format!("opening {node}"))
}

/// Where the nodes are.
pub const NODES: &str = "/dev/mapper";

/// Where the device of a name is.
pub fn node(name: &str) -> PathBuf {
    Path::new(NODES).join(name)
}

/// What the UUID of a device begins with that libcryptsetup, or this program, has made without a header of its own; the name
/// follows.
const PLAIN: &str = "CRYPT-PLAIN-";

/// The UUID of a device of this name without a LUKS header.
pub fn plain_uuid(name: &str) -> String {
    format!("{PLAIN}{name}")
}

/// Whether a device of this name is one of encryption. The name alone says nothing: the volume `data` of an LVM group `home`
/// is called `home-data`.
fn is_encrypted(name: &str, uuid: &str) -> bool {
    devmapper::luks_uuid(uuid).is_some() || uuid == plain_uuid(name)
}

/// The encrypted device of a name; `None`: there is none, whatever else has that name.
pub fn device(name: &str) -> io::Result<Option<devmapper::Device>> {
    Ok(devmapper::device(name)?.filter(|device| is_encrypted(name, &device.uuid)))
}

/// Its number.
pub fn number(name: &str) -> io::Result<Option<Number>> {
    let found = devmapper::identity(name)?.filter(|found| is_encrypted(name, &found.uuid));
    Ok(found.map(|found| found.number))
}

/// Whether there is such a device, and its first page cannot be read: from the disk, not from memory.
pub fn is_dead(name: &str) -> bool {
    const PAGE: usize = 4096;
    // One that is suspended would never answer.
    let found = device(name).ok().flatten();
    if found.is_none_or(|device| device.suspended) {
        return false;
    }
    let mut options = File::options();
    let device = match options.read(true).custom_flags(libc::O_DIRECT).open(node(name)) {
        Ok(device) => device,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    let mut buffer = vec![0; 2 * PAGE];
    let start = buffer.as_ptr().align_offset(PAGE);
    device.read_exact_at(&mut buffer[start..start + PAGE], 0).is_err()
}

/// Waits until the kernel has taken down a device that nobody uses any more.
pub fn wait_until_gone(name: &str) -> Result<(), Failure> {
    let is_gone = || number(name).map(|number| number.is_none());
    if !wait_until(GOING, is_gone).during("looking for the encrypted device")? {
        return remove_stale(name);
    }
    forget_node(name);
    Ok(())
}

/// Removes the node of a device that is gone, where no udev does it.
pub fn forget_node(name: &str) {
    if devmapper::identity(name).is_ok_and(|found| found.is_some()) {
        return;
    }
    // A node that is not there, or that udev is just removing, is as good.
    let _ = std::fs::remove_file(node(name));
}

/// Removes a device that a killed process left: one that is there though the home is not active.
pub fn remove_stale(name: &str) -> Result<(), Failure> {
    if number(name).during("looking for the encrypted device")?.is_some() {
        // Else it would be tried for seconds.
        if is_held_elsewhere(name)? || devmapper::remove(name).is_err() {
            return in_use(name);
        }
    }
    forget_node(name);
    Ok(())
}

/// Whether a mount namespace other than ours has the file system of a device mounted.
pub fn is_held_elsewhere(name: &str) -> Result<bool, Failure> {
    let Some(device) = number(name).during("looking for the encrypted device")? else {
        return Ok(false);
    };
    let elsewhere = mount::elsewhere(device).during("looking into other mount namespaces")?;
    Ok(!elsewhere.is_empty())
}

fn in_use(name: &str) -> Result<(), Failure> {
    let taken = devmapper::identity(name).during("looking for the encrypted device")?;
    if taken.is_some_and(|found| !is_encrypted(name, &found.uuid)) {
        return refuse(
            Refusal::HomeBusy,
            format!(
                "The home's encrypted device would be called {}, and another program (LVM?) has a device of that name. \
                 Nothing was done. Give that one another name (lvrename, dmsetup rename), and try again.",
                node(name).display()
            ),
        );
    }
    let holding = holders::of_device(&node(name));
    let by = if holding.is_empty() { String::new() } else { format!(" by {}", holders::names(&holding)) };
    refuse(Refusal::HomeBusy, format!("The home's encrypted device is still in use{by}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_a_group_called_home_is_no_home() {
        let luks = "CRYPT-LUKS2-5a1f0b1c0001400280030123456789ab-home-data";
        for uuid in [luks, "CRYPT-LUKS1-5a1f0b1c0001400280030123456789ab-home-data"] {
            assert!(is_encrypted("home-data", uuid), "{uuid}");
        }
        for uuid in ["", "LVM-pqGKyZRJSYXGRHrZP2zYzcCDzTcIaB8Fx", "CRYPT-PLAIN-other"] {
            assert!(!is_encrypted("home-data", uuid), "{uuid}");
        }
        assert!(is_encrypted("homed-swap-alice", &plain_uuid("homed-swap-alice")));
    }
}
