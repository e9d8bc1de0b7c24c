//! What is in memory of a home besides its key.

use crate::job::{Context, Failure};
use crate::sys::mapped_files;
use crate::sys::reclaim::{self, Watermarks};
use crate::sys::slice::{self, Slice};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{Read, Seek, Write};

use std::path::Path;
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
/// it once: who finds that another has begun since has nothing to do.
pub fn scrub() -> Result<(), Failure> {
    let folder = Path::new(FOLDER);
    let asked = now();
    reclaim::drop_caches().during("dropping the caches")?;
    if reclaim::is_overwritten_when_freed() {
        return Ok(());
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
        return Ok(());
    }
    let watermarks = Watermarks::lower();
    let kept = folder.join("watermarks");
    std::fs::write(&kept, watermarks.to_text()).during("noting the kernel's settings")?;
    let begun = now();
    let done = reclaim::scrub(SCRUB).during("writing over free memory");
    drop(watermarks);
    // It is looked at once more, and changes nothing then.
    let _ = std::fs::remove_file(kept);
    done?;
    last.rewind()
        .and_then(|()| last.set_len(0))
        .and_then(|()| write!(last, "{begun}"))
        .during("noting the scrub")
}

/// Restores what a killed scrub has left changed.
pub fn settle() {
    let kept = Path::new(FOLDER).join("watermarks");
    if let Ok(text) = std::fs::read_to_string(&kept) {
        Watermarks::restore(&text);
        let _ = std::fs::remove_file(kept);
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
