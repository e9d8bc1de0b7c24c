//! Rebuilding what an image has twice, and opening what is left of it to be read only.
//!
//! ```text
//! backup of header area and tables → devices of killed runs → partition table → encryption header → leftovers
//! ```
//!
//! Each is whole before the next is begun, and none needs a key. What needs one (records, key slots, the mark) is
//! the worker's.

use super::header::{self, HeaderCopy, Health};
use super::opened::LuksOpened;
use super::perform::sweep::{refuse_what_is_open, sweep, sweep_all};
use super::plan::sweep::Reach;
use super::read_only::{Looking, Source};
use super::{header_copies, resize};
use crate::job::{Context, Failure, Mounted, Step, Steps, refuse};
use crate::storage::Opening;
use crate::storage::examined::Headers;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::{image, mark};
use crate::sys::cryptsetup::Luks;
use crate::sys::{blockdev, durable};
use records::signature::Vouched;
use records::{Refusal, Secret};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// How much of the image's beginning is kept: 1 MiB of table, 16 MiB of header.
const HEAD: u64 = 17 * MIB;
/// How much of its end.
const TAIL: u64 = MIB;

/// Rebuilds it.
pub fn mend(spec: &Spec, backup: &Path, steps: &mut dyn Steps) -> Result<Vec<String>, Failure> {
    let mut done = sweep_all(spec, Reach::BareLoopsOfOthers)?;
    let left = image::unfinished(&spec.image, &spec.machine.id);
    if !left.is_empty() {
        image::remove_unfinished(&spec.image, &spec.machine.id)?;
        done.push(format!("Unfinished images were deleted: {}.", left.join(", ")));
    }
    let file = image::open(&spec.image, image::Access::Write)?;
    let mut place = header::locate(&file, spec)?;
    if let Some(opener) = mark::another(&file, place.mark(), &spec.machine) {
        mark::forget(&file, place.mark())
            .and_then(|()| file.sync_all())
            .during("taking away the mark of another machine")?;
        done.push(format!(
            "The mark of another machine that has the home open was taken away: {}.",
            mark::words(&opener)
        ));
    }
    if resize::mend::file(&file, &place, steps)? == resize::mend::Left::FileSystem {
        place = header::locate(&file, spec)?;
        done.push("A change of size that was cut short is settled, but for the next login.".into());
    }
    let table = matches!(place.table, Some((_, Health::Damaged)));
    let headers = copies(&file, place.offset);
    let header = headers.first != headers.second;
    if !table && !header {
        return Ok(done);
    }
    steps.enter(Step::Backup)?;
    keep(&file, backup)?;
    done.push(format!(
        "What was there is kept in {}: as sparse as it is, it has the beginning and the end of the image. \
         Delete it once the home is well: old passwords open what it has.",
        backup.display()
    ));
    if table {
        steps.enter(Step::Partition)?;
        header::repair_table(&file, &place, header::Health::Damaged, steps)?;
        if matches!(header::locate(&file, spec)?.table, Some((_, Health::Sound))) {
            done.push("The partition table was written anew, both copies.".into());
        }
    }
    if header {
        steps.enter(Step::RebuildHeader)?;
        rebuild_header(&file, &place, spec)?;
        done.push("The encryption header was written anew, both copies.".into());
    }
    Ok(done)
}

fn copies(file: &File, offset: u64) -> Headers {
    header_copies::look(&mut |at, length| image::bytes(file, offset + at, length))
}

/// The library writes the copy that is damaged or older anew when it reads the header.
fn rebuild_header(file: &File, place: &header::Place, spec: &Spec) -> Result<(), Failure> {
    let header = HeaderCopy::read(file, place, spec)?;
    let device = Below::of(file, &spec.image, header.window(place))?;
    drop(Luks::load(device.path()).during("reading the encryption header")?);
    drop(device);
    file.sync_all().during("writing the header to disk")?;
    let now = copies(file, place.offset);
    if now.first.is_none() || now.first != now.second {
        return refuse(
            Refusal::HomeDamaged,
            "The encryption header could not be written anew. The home opens by the copy that is sound.",
        );
    }
    Ok(())
}

/// Keeps beginning and end of the image in a sparse file of the same size, durably. It has its name when it is whole: half a
/// backup would be taken for a whole one. What a cut leaves of it is collected when the daemon starts.
fn keep(file: &File, backup: &Path) -> Result<(), Failure> {
    let unfinished = durable::unfinished(backup);
    let kept = || -> io::Result<()> {
        // What is kept is of an image that a power cut does not take away.
        file.sync_all()?;
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let size = blockdev::length(file)?;
        copy.set_len(size)?;
        image::copy_range(file, &copy, 0..HEAD.min(size))?;
        image::copy_range(file, &copy, size.saturating_sub(TAIL)..size)?;
        copy.sync_all()?;
        durable::name(&unfinished, backup)
    };
    let kept = kept();
    if kept.is_err() {
        // Already failing: what matters is the first error.
        let _ = std::fs::remove_file(&unfinished);
    }
    kept.during(format!("keeping what was there in {}", backup.display()))
}

/// Shows what is left.
pub fn rescue(
    spec: &Spec,
    keys: &[Secret],
    (uid, target, vouched): (u32, Option<&Path>, Vouched),
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    steps.enter(Step::Unlock)?;
    sweep(spec)?;
    let file = image::hold(&spec.image)?;
    let place = header::locate(&file, spec)?;
    let mut header = HeaderCopy::read(&file, &place, spec)?;
    refuse_what_is_open(spec, header.luks.facts().during("reading the encryption header")?.uuid, None)?;
    let unlocked = header.unlock(keys, spec)?;
    let (image, name, key) = (&file, spec.mapper_name(), &unlocked.volume_key);
    let source = Source { spec, image, header: &header, place: &place, name, key, vouched };
    let mut looking = Looking::new(source, steps)?;
    looking.mount(steps)?;
    if !looking.without.is_empty() {
        steps.warn(format!("It is opened without {}.", looking.without));
    }
    looking.show(uid, target.unwrap_or(&spec.home_directory), steps)
}

/// Has the file system repaired.
pub fn repair_file_system(
    spec: &Spec,
    keys: &[Secret],
    vouched: Vouched,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    LuksOpened::new(spec, Opening::Change(Mounted::No), keys, steps)?.repair_file_system(vouched, steps)
}
