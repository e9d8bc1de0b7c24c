//! A mounted home without its key.
//!
//! ```text
//! seal:   cover → sync → evict → freeze the file system → suspend the device, wipe the key
//! unseal: key back, device goes on → uncover → thaw
//! ```
//!
//! The cover is an empty file system over the home directory: who comes to it while the key is away gets an
//! error at once. Without it he would wait in the kernel where no signal reaches him, and the machine could
//! not sleep. The file system is frozen here and not left to device-mapper, which before Linux 7 does not
//! freeze btrfs. Each step is taken back by what stands below; after the wipe there is no way back but the key.

use super::resize;
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::parts::{barrier, cover, mapped, wash};
use crate::storage::spec::Spec;
use crate::storage::{Seal, Settled};
use crate::sys::bounded::{Deadline, Late, Unfinished, within};
use crate::sys::mount::{self, Mounted, Setting, Unmount};
use crate::sys::{cryptsetup, devmapper, durable, file, loopdev};
use records::{Refusal, Secret};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that the disk may take for what is not written yet. How much that is, the user's programs have decided;
/// without a lock the kernel would wait for it before a sleep, too.
const WRITING: Duration = Duration::from_secs(20);
/// The longest that compressors are washed: there must be time for what comes after.
const WASHING: Duration = Duration::from_secs(8);

pub fn seal(spec: &Spec, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let (target, name) = (&spec.home_directory, spec.mapper_name());
    let Some(home) = super::mounted_home(spec)? else {
        return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
    };
    refuse_what_needs_the_key(target)?;
    let directory = home.open().during("opening the home directory")?;
    let mounted = home.mount;
    steps.enter(Step::Cover)?;
    let cover = Cover::put(target)?;
    steps.enter(Step::Sync)?;
    in_time(Deadline::after(WRITING), Late::Leave, "writing the home to disk", || {
        durable::sync_file_system(&directory)
    })?;
    let deadline = Deadline::after(seal.bound);
    steps.enter(Step::Evict)?;
    wash_compressor((&directory, &mounted.options), deadline, steps);
    (seal.evict)(&mounted.device)?;
    steps.enter(Step::FreezeFileSystem)?;
    let unasked = Unasked::begin(&directory, spec, mounted, deadline)?;
    let frozen = Frozen::begin(directory, deadline)?;
    in_time(deadline, Late::Leave, "flushing the encrypted device", || {
        File::open(mapped::node(&name)).and_then(|device| device.sync_all())
    })?;
    steps.enter(Step::SuspendDevice)?;
    in_time(deadline, Late::Kill, "suspending the encrypted device", || cryptsetup::suspend(&name))?;
    unasked.keep();
    frozen.keep();
    cover.keep();
    resize::key::revoke(spec)
}

/// A full file system has no room for it; what stays then is told. Who is late must not go on: he would wait for what
/// is sealed by then, where no signal reaches him, and the machine could not sleep.
fn wash_compressor((directory, options): (&OwnedFd, &str), deadline: Deadline, steps: &mut dyn Steps) {
    if !wash::is_needed(directory, options) {
        return;
    }
    if let Err(error) = within(deadline.at_most(WASHING), Late::Kill, || wash::compressor(directory, options))
    {
        steps.warn(format!("Fragments of compressed files may be left in memory: {error}."));
    }
}

pub fn unseal(spec: &Spec, volume_key: &Secret, steps: &mut dyn Steps) -> Result<(), Failure> {
    steps.enter(Step::ResumeDevice)?;
    cryptsetup::resume(&spec.mapper_name(), volume_key).during("giving the encrypted device its key back")?;
    uncover_and_thaw(spec, steps)?;
    resize::key::keep(spec, volume_key, steps);
    Ok(())
}

pub fn settle(spec: &Spec, steps: &mut dyn Steps) -> Result<Settled, Failure> {
    let name = spec.mapper_name();
    let device = devmapper::device(&name).during("looking at the encrypted device")?;
    if let Some(device) = device.filter(|device| device.suspended) {
        if device.key != Some(devmapper::Key::Wiped) {
            devmapper::wipe_key(&name).during("taking the key out of memory")?;
        }
        resize::key::revoke(spec)?;
        return Ok(Settled::Sealed);
    }
    steps.enter(Step::Uncover)?;
    uncover(&spec.home_directory)?;
    if super::mounted_home(spec)?.is_none() {
        if let Err(failure) = mapped::remove_stale(&name) {
            steps.warn(format!("Of the closed home something stays open: {}.", failure.text()));
        }
        return Ok(Settled::Closed);
    }
    thaw_home(spec, steps)?;
    Ok(Settled::Open)
}

/// The frozen file system was whole on disk, so nothing is lost but what processes had in their memory.
pub fn give_up(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    steps.enter(Step::CutOff)?;
    devmapper::cut_off(&spec.mapper_name()).during("cutting the encrypted device off")?;
    uncover_and_thaw(spec, steps)
}

fn uncover_and_thaw(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    steps.enter(Step::Uncover)?;
    uncover(&spec.home_directory)?;
    thaw_home(spec, steps)
}

fn thaw_home(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    steps.enter(Step::ThawFileSystem)?;
    let Some(home) = super::mounted_home(spec)? else { return Ok(()) };
    let directory = home.open().during("opening the home directory")?;
    let mounted = home.mount;
    thaw(&directory)?;
    // It compresses more slowly at worst.
    let _ = wash::settle(&directory, &mounted.options, &spec.extra);
    if let Err(error) = barrier::restore(&directory, &mounted, &spec.extra) {
        steps.warn(format!(
            "Until it is closed, the home does without barriers, which keep it whole: {error}."
        ));
    }
    Ok(())
}

fn thaw(directory: impl AsFd) -> Result<(), Failure> {
    match file::thaw(directory) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => {
            Err(error).during("thawing the file system of the home")
        }
        // It was not frozen.
        _ => Ok(()),
    }
}

fn uncover(target: &Path) -> Result<(), Failure> {
    let covered = || mount::at(target).map(|top| top.is_some_and(|top| cover::is_one(&top)));
    while covered().during("reading the table of mounts")? {
        mount::unmount(target, Unmount::Lazy).during("uncovering the home directory")?;
    }
    Ok(())
}

/// The kernel itself reads and writes swap files and images without regard to a frozen user.
fn refuse_what_needs_the_key(home: &Path) -> Result<(), Failure> {
    let swaps = std::fs::read_to_string("/proc/swaps").during("reading the table of swap space")?;
    let swap = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let loops = loopdev::attached().during("looking for loop devices")?;
    let inside = |path: &&Path| path.starts_with(home);
    let found = swap.map(Path::new).chain(loops.iter().map(PathBuf::as_path)).find(inside);
    match found {
        None => Ok(()),
        Some(path) => refuse(
            Refusal::HomeBusy,
            format!(
                "The home cannot be locked: {} is swap space or an attached image. Detach it and try again.",
                path.display()
            ),
        ),
    }
}

/// Something bounded, with its name in the error.
fn in_time<E: std::fmt::Display>(
    deadline: Deadline,
    late: Late,
    what: &str,
    act: impl FnOnce() -> Result<(), E>,
) -> Result<(), Failure> {
    match within(deadline, late, act) {
        Err(Unfinished::Late) => Err(Failure::fault(format!("{what} takes too long"))),
        other => other.during(what),
    }
}

/// An empty file system over the home directory; taken away again unless it is kept.
struct Cover(Option<PathBuf>);

impl Cover {
    fn put(target: &Path) -> Result<Self, Failure> {
        cover::put(target)?;
        Ok(Self(Some(target.to_owned())))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Cover {
    fn drop(&mut self) {
        if let Some(target) = &self.0 {
            // What stays is taken away when the daemon settles it.
            let _ = uncover(target);
        }
    }
}

/// A file system that does not have its device flushed; it does again unless this is kept.
struct Unasked<'a> {
    directory: Option<OwnedFd>,
    mounted: Mounted,
    wished: &'a [Setting],
}

impl<'a> Unasked<'a> {
    fn begin(
        directory: &OwnedFd,
        spec: &'a Spec,
        mut mounted: Mounted,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let another = || directory.try_clone().during("opening the home directory again");
        if barrier::asks(&mounted) {
            // Frozen and thawed it is clean on disk.
            drop(Frozen::begin(another()?, deadline)?);
        }
        let again = another()?;
        barrier::leave_out(directory, &mounted)
            .during("having the file system ask its device for nothing")?;
        mounted.options.push_str(",nobarrier");
        Ok(Self { directory: Some(again), mounted, wished: &spec.extra })
    }

    fn keep(mut self) {
        self.directory = None;
    }
}

impl Drop for Unasked<'_> {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // What stays is put right when the daemon settles it.
            let _ = barrier::restore(directory, &self.mounted, self.wished);
        }
    }
}

/// A frozen file system; thawed again unless it is kept.
struct Frozen(Option<OwnedFd>);

impl Frozen {
    fn begin(directory: OwnedFd, deadline: Deadline) -> Result<Self, Failure> {
        let frozen = Self(Some(directory));
        let begin = || {
            let Some(directory) = &frozen.0 else { return Ok(()) };
            file::freeze(directory)?;
            if deadline.left().is_zero() {
                // Nobody waits any more: nobody would thaw it.
                file::thaw(directory)?;
            }
            Ok::<(), std::io::Error>(())
        };
        in_time(deadline, Late::Leave, "freezing the file system of the home", begin)?;
        Ok(frozen)
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(directory) = self.0.take() {
            // What stays is thawed when the daemon settles it.
            let _ = thaw(File::from(directory));
        }
    }
}
