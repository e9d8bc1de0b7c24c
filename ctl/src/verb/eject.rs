//! `eject`: closes a home on a stick or disk, and says when that may be pulled out.

use super::{Outcome, deactivate, each};
use crate::bus::{Failure, Who};
use crate::context::Context;
use records::settings::HOME_ROOT;
use records::{Record, Refusal, Sections};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How often, and after which pauses, a file system is unmounted that somebody uses.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// `eject USER…`
pub fn run(ctx: &Context<'_>, names: &[&str]) -> Outcome {
    ctx.start_agent();
    each(ctx, names, |name| eject(ctx, name))
}

fn eject(ctx: &Context<'_>, name: &str) -> Result<(), Failure> {
    let reply = ctx.daemon.record(Who::Name(name))?;
    let record = Record::parse(&reply.json, Sections::OWNER).map_err(|e| Failure::say(e.to_string()))?;
    let image = record.of_home_on(&ctx.machine).effective_image_path().map(PathBuf::from).unwrap_or_default();
    // Nothing is closed in vain.
    let disk = Disk::under(&image).map_err(|why| {
        Failure::say(format!(
            "{}: {why}. Nothing was changed. To close it: homectl deactivate {name}",
            image.display()
        ))
    })?;
    match deactivate::deactivate(ctx, name) {
        Err(failure) if failure.is(Refusal::HomeNotActive) => {}
        other => other?,
    }
    let what = disk.let_go(ctx.pause).map_err(|why| {
        Failure::say(format!(
            "The home of {name} is closed, and all of it is on disk, but do not pull it out yet: {why}"
        ))
    })?;
    ctx.asker.notice(&format!(
        "The home of {name} is closed, and all of it is on disk. {what} may be pulled out now."
    ));
    Ok(())
}

/// What a home lies on that may be pulled out.
#[derive(Debug, PartialEq, Eq)]
enum Disk {
    /// It is the device, which other partitions may share the disk with.
    Device(PathBuf),
    /// A file system, mounted there.
    Mounted(PathBuf),
}

impl Disk {
    /// Under an image or a folder.
    fn under(image: &Path) -> Result<Self, String> {
        let found = image.canonicalize().map_err(|error| error.to_string())?;
        let facts = found.metadata().map_err(|error| error.to_string())?;
        if facts.file_type().is_block_device() {
            return Ok(Self::Device(found));
        }
        let mounts = mounts().map_err(|error| error.to_string())?;
        let point = mounts.iter().rev().map(|mount| &mount.point).filter(|point| found.starts_with(point));
        // The last of the deepest ones is what is seen there.
        let point = point.max_by_key(|point| point.components().count()).ok_or("it is mounted nowhere")?;
        let seen = |folder: &str| Path::new(folder).canonicalize().unwrap_or_else(|_| PathBuf::from(folder));
        let stays = [HOME_ROOT, "/usr", "/var"].iter().map(|folder| seen(folder));
        if stays.into_iter().any(|folder| folder.starts_with(point)) {
            return Err(format!(
                "it lies on a disk that stays in this machine (mounted at {})",
                point.display()
            ));
        }
        Ok(Self::Mounted(point.clone()))
    }

    /// Has the machine use it no more; what may be pulled out then, in words.
    fn let_go(&self, pause: &dyn Fn(Duration)) -> Result<String, String> {
        match self {
            Self::Device(device) => {
                let disk =
                    Numbers::of_disk(device).map_err(|error| format!("{}: {error}", device.display()))?;
                disk.is_used_no_more()?;
                Ok(format!("The disk of {}", device.display()))
            }
            Self::Mounted(point) => {
                let synced = File::open(point).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
                synced.map_err(|error| format!("{}: {error}", point.display()))?;
                let mounts = mounts().map_err(|error| error.to_string())?;
                // What is mounted from no device (a server's folder) shares none with others.
                let source =
                    mounts.iter().rev().find(|mount| mount.point == *point).map(|mount| &mount.source);
                let disk = source.and_then(|source| Numbers::of_disk(source).ok());
                unmount(point, pause)?;
                disk.map_or(Ok(()), |disk| disk.is_used_no_more())?;
                Ok(format!("What was mounted at {}", point.display()))
            }
        }
    }
}

/// Whoever only looks at it (homed itself does) is gone in a moment.
fn unmount(point: &Path, pause: &dyn Fn(Duration)) -> Result<(), String> {
    let mut said = String::new();
    for _ in 0..TRIES {
        match Command::new("umount").arg("--").arg(point).output() {
            Ok(ended) if ended.status.success() => return Ok(()),
            Ok(ended) => said = String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
            Err(error) => return Err(format!("umount: {error}")),
        }
        pause(PAUSE);
    }
    Err(format!("{said}. Once nobody uses it: sudo umount {}", point.display()))
}

/// A line of the table of mounts.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// `MAJOR:MINOR`.
    number: String,
    point: PathBuf,
    /// The device, where there is one: file systems on several (btrfs) have no device's number.
    source: PathBuf,
}

fn mounts() -> io::Result<Vec<Mount>> {
    Ok(std::fs::read_to_string("/proc/self/mountinfo")?.lines().filter_map(mount).collect())
}

/// proc_pid_mountinfo(5).
fn mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(2);
    let (number, _root, point) = (fields.next()?.to_owned(), fields.next()?, fields.next()?);
    let source = fields.skip_while(|field| *field != "-").nth(2)?;
    Some(Mount { number, point: path(point), source: path(source) })
}

/// As tables of the kernel's write it.
fn path(text: &str) -> PathBuf {
    let spaces = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(spaces.iter().fold(text.to_owned(), |text, (code, sign)| text.replace(code, sign)))
}

/// `MAJOR:MINOR` of a disk, its partitions, and all devices that are made of them (dm-crypt, LVM, RAID).
struct Numbers(BTreeSet<String>);

impl Numbers {
    /// The disk that a device is on.
    fn of_disk(device: &Path) -> io::Result<Self> {
        let facts = device.metadata()?;
        if !facts.file_type().is_block_device() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let own = std::fs::canonicalize(format!("/sys/dev/block/{}", number(facts.rdev())))?;
        let disk = match own.parent().filter(|_| own.join("partition").exists()) {
            Some(disk) => disk.to_owned(),
            None => own,
        };
        let mut numbers = Self(BTreeSet::new());
        numbers.add(&disk)?;
        for part in std::fs::read_dir(&disk)?.flatten().map(|entry| entry.path()) {
            if part.join("partition").exists() {
                numbers.add(&part)?;
            }
        }
        Ok(numbers)
    }

    /// A device by its folder below `/sys`, and what holds it.
    fn add(&mut self, device: &Path) -> io::Result<()> {
        let is_new = self.0.insert(std::fs::read_to_string(device.join("dev"))?.trim().to_owned());
        if is_new {
            for holder in std::fs::read_dir(device.join("holders")).into_iter().flatten().flatten() {
                self.add(&holder.path().canonicalize()?)?;
            }
        }
        Ok(())
    }

    fn has(&self, device: &Path) -> bool {
        device
            .metadata()
            .is_ok_and(|facts| facts.file_type().is_block_device() && self.0.contains(&number(facts.rdev())))
    }

    /// Nothing on it is mounted or swapped to; else what is, and what to type.
    fn is_used_no_more(&self) -> Result<(), String> {
        let mounts = mounts().map_err(|error| error.to_string())?;
        if let Some(mount) =
            mounts.iter().find(|mount| self.0.contains(&mount.number) || self.has(&mount.source))
        {
            return Err(format!("{} is on the same disk. First: umount {0}", mount.point.display()));
        }
        // proc_swaps(5): the first line names the columns.
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        let mut devices = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(path);
        match devices.find(|device| self.has(device)) {
            Some(device) => {
                Err(format!("{} on the same disk is used for swap. First: swapoff {0}", device.display()))
            }
            None => Ok(()),
        }
    }
}

fn number(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_the_machine_is_not_ejected() {
        let said = Disk::under(Path::new("/usr/bin/env")).expect_err("/usr stays");
        assert!(said.contains("stays in this machine"), "{said}");
        assert!(Disk::under(Path::new("/nowhere/alice.home")).is_err());
    }

    #[test]
    fn a_line_of_the_table_of_mounts_is_read() {
        let line = "36 35 98:0 /mnt1 /media/my\\040stick\\134x rw,noatime master:1 - ext3 /dev/root rw";
        let expected =
            Mount { number: "98:0".into(), point: "/media/my stick\\x".into(), source: "/dev/root".into() };
        assert_eq!(mount(line), Some(expected));
        assert_eq!(mount("36 35"), None);
    }
}
