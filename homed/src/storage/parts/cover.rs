//! An empty file system over a home directory while its key is away: whoever comes to it gets an error at once. Without
//! it the process would wait in the kernel where no signal reaches it, and the machine could not sleep.

use crate::job::{Context, Failure};
use crate::sys::mount::{self, Attributes, Entry, Found, Number, Unmount};
use std::path::Path;

/// The source of a cover in the table of mounts.
const COVER: &str = "homed-locked";

/// Whether this mount is one.
pub fn is_one(mount: &Entry) -> bool {
    mount.kind == "tmpfs" && mount.source == Path::new(COVER)
}

/// Covers a directory, over whatever lies there.
pub fn put(target: &Path) -> Result<(), Failure> {
    let settings =
        [("mode", "000"), ("size", "4k")].map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    let attributes = Attributes::HARMLESS;
    let cover = mount::open_file_system("tmpfs", Path::new(COVER), &settings, attributes)
        .during("making a cover for the home directory")?;
    mount::attach(cover, target).during("covering the home directory")
}

/// Takes the topmost cover at a directory away.
pub fn take(target: &Path) -> Result<(), Failure> {
    mount::unmount(target, Unmount::Lazy).during("uncovering the home directory")
}

/// Covers all mounts of the file system on a device that can be reached.
pub fn put_over(device: Number) -> Result<(), Failure> {
    // Looked at anew each time: a cover of one mount may have come to others by itself.
    while let Some(found) = next(device, |found| !is_one(found.top()))? {
        put(&found.mount.target)?;
    }
    Ok(())
}

/// Takes the covers of all of them away.
pub fn take_from(device: Number) -> Result<(), Failure> {
    while let Some(found) = next(device, |found| is_one(found.top()))? {
        take(&found.mount.target)?;
    }
    Ok(())
}

fn next(device: Number, wanted: impl Fn(&Found) -> bool) -> Result<Option<Found>, Failure> {
    let all = mount::of_device(device).during("reading the table of mounts")?;
    Ok(all.into_iter().find(|found| found.reachable && wanted(found)))
}
