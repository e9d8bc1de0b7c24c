//! `eject`: closes a home on a stick or disk, and says when that may be pulled out.

use super::{Outcome, deactivate, each};
use crate::bus::{Failure, Who};
use crate::context::Context;
use records::settings::HOME_ROOT;
use records::{Record, Refusal, Sections};
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
        let stays = [HOME_ROOT, "/usr", "/var"].iter().any(|folder| Path::new(folder).starts_with(point));
        if stays {
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
                let used = used(device).map_err(|error| format!("{}: {error}", device.display()))?;
                match used.first() {
                    None => Ok(format!("The disk of {}", device.display())),
                    Some(point) => Err(format!("{} is on the same disk. First: umount {0}", point.display())),
                }
            }
            Self::Mounted(point) => {
                let synced = File::open(point).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
                synced.map_err(|error| format!("{}: {error}", point.display()))?;
                unmount(point, pause)?;
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
}

fn mounts() -> io::Result<Vec<Mount>> {
    Ok(std::fs::read_to_string("/proc/self/mountinfo")?.lines().filter_map(mount).collect())
}

/// proc_pid_mountinfo(5).
fn mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(2);
    let (number, _root, point) = (fields.next()?.to_owned(), fields.next()?, fields.next()?);
    let spaces = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let point = spaces.iter().fold(point.to_owned(), |point, (code, sign)| point.replace(code, sign));
    Some(Mount { number, point: PathBuf::from(point) })
}

/// Where partitions of the same disk are mounted.
fn used(device: &Path) -> io::Result<Vec<PathBuf>> {
    let number = device.metadata()?.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let own = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let disk = match own.parent().filter(|_| own.join("partition").exists()) {
        Some(disk) => disk.to_owned(),
        None => own,
    };
    let parts = std::fs::read_dir(&disk)?.flatten().map(|entry| entry.path());
    let parts = parts.filter(|part| part.join("partition").exists()).chain([disk.clone()]);
    let numbers: Vec<String> = parts
        .filter_map(|part| std::fs::read_to_string(part.join("dev")).ok())
        .map(|number| number.trim().to_owned())
        .collect();
    Ok(mounts()?
        .into_iter()
        .filter(|mount| numbers.contains(&mount.number))
        .map(|mount| mount.point)
        .collect())
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
        let expected = Mount { number: "98:0".into(), point: "/media/my stick\\x".into() };
        assert_eq!(mount(line), Some(expected));
        assert_eq!(mount("36 35"), None);
    }
}
