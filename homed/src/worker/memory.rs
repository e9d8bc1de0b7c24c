//! What is in memory of a home besides its key.

use crate::job::{Context, Failure};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::mapped_files;
use crate::sys::reclaim::{self, Scrubbed, Settings};
use crate::sys::slice::{self, Slice};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Notes about what goes on, until the next boot.
const FOLDER: &str = "/run/homed";
/// The kernel spares pages that were used a moment ago, the first time.
const ROUNDS: usize = 3;
/// The longest that free memory is written over: 2 GiB a second are slow.
const SCRUB: Duration = Duration::from_secs(15);

/// Throws out what is in memory of the home's files: the pages that its processes have mapped, then all that
/// nobody uses. Gives how many mapped pages are left.
pub fn evict(uid: u32, device: &str) -> Result<usize, Failure> {
    if let Some(slice) = Slice::of(uid) {
        slice::drop_file_pages(slice.folder());
    }
    let mut mapped = mapped_files::of_user(uid, device);
    for _ in 0..ROUNDS {
        if mapped.pages == 0 {
            break;
        }
        mapped_files::folders(&mapped.groups).iter().for_each(|group| slice::drop_file_pages(group));
        mapped = mapped_files::of_user(uid, device);
    }
    reclaim::drop_caches().during("dropping the caches")?;
    Ok(mapped.pages)
}

/// Writes over free memory, unless the kernel has done so already. Several homes that are locked together need
/// it once: who finds that another has begun since has nothing to do. Gives how much was written over.
pub fn scrub() -> Result<Option<Scrubbed>, Failure> {
    let folder = Path::new(FOLDER);
    let asked = now();
    reclaim::drop_caches().during("dropping the caches")?;
    if reclaim::is_overwritten_when_freed() {
        return Ok(None);
    }
    let mut last =
        File::options().create(true).truncate(false).read(true).write(true).open(folder.join("scrub"));
    let last =
        last.as_mut().map_err(|error| Failure::fault(format!("the note about the last scrub: {error}")))?;
    rustix::fs::flock(&*last, FlockOperation::LockExclusive)
        .map_err(std::io::Error::from)
        .during("waiting for another scrub")?;
    let mut begun = String::new();
    last.read_to_string(&mut begun).during("reading about the last scrub")?;
    if begun.trim().parse::<u128>().is_ok_and(|begun| begun > asked) {
        return Ok(None);
    }
    let settings = Changed::begin("scrub", reclaim::FOR_SCRUB)?;
    let begun = now();
    let done = reclaim::scrub(SCRUB).during("writing over free memory");
    drop(settings);
    let done = done?;
    last.rewind()
        .and_then(|()| last.set_len(0))
        .and_then(|()| write!(last, "{begun}"))
        .during("noting the scrub")?;
    Ok(Some(done))
}

/// Nobody writes over free memory as long as this is open: it makes memory short, and what is short of memory goes to
/// swap.
pub fn alone(deadline: Deadline) -> Result<File, Failure> {
    let file = File::options().create(true).append(true).open(Path::new(FOLDER).join("scrub"));
    let file = file.during("opening the note about the last scrub")?;
    let wait = || rustix::fs::flock(&file, FlockOperation::LockExclusive);
    within(deadline, Late::Kill, wait).during("waiting for another home that is being locked")?;
    Ok(file)
}

/// Settings of the kernel that are others while this lives. A note tells them to who settles what was killed.
pub struct Changed {
    settings: Option<Settings>,
    note: PathBuf,
}

impl Changed {
    /// Changes them.
    pub fn begin(name: &str, settings: &[(&'static str, &'static str)]) -> Result<Self, Failure> {
        let note = noted(name);
        let settings = Some(Settings::change(settings));
        let changed = Self { settings, note };
        let text = changed.settings.as_ref().map(Settings::to_text).unwrap_or_default();
        std::fs::write(&changed.note, text).during("noting the kernel's settings")?;
        Ok(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        drop(self.settings.take());
        // It is looked at once more, and changes nothing then.
        let _ = std::fs::remove_file(&self.note);
    }
}

/// Changes settings until [`restore`]; a second time nothing is changed.
pub fn hold(name: &str, settings: &[(&'static str, &'static str)]) -> Result<(), Failure> {
    if noted(name).exists() {
        return Ok(());
    }
    let settings = Settings::change(settings);
    std::fs::write(noted(name), settings.to_text()).during("noting the kernel's settings")?;
    settings.keep();
    Ok(())
}

/// Restores what a killed lock has left changed.
pub fn settle() {
    ["scrub", "swap"].into_iter().for_each(restore);
}

/// Restores what a note tells.
pub fn restore(name: &str) {
    if let Ok(text) = std::fs::read_to_string(noted(name)) {
        Settings::restore(&text);
        let _ = std::fs::remove_file(noted(name));
    }
}

fn noted(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("settings-{name}"))
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
