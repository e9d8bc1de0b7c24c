//! Rebuilding what an image has twice, as [the plan](super::plan::mend) says, and opening what is left of it to be read only.
//!
//! What killed runs have left in the kernel goes first, by a plan of its own. None of it needs a key; what needs one
//! (records, key slots, the mark) is the worker's.

use super::header::{self, HeaderCopy};
use super::opened::LuksOpened;
use super::perform::mend::{Backup, OnImage, reach};
use super::perform::sweep::{refuse_what_is_open, sweep, sweep_all};
use super::plan::mend::Wish;
use super::plan::sweep::Reach;
use super::read_only::{Looking, Source};
use crate::job::{Context, Failure, Step, Steps};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::mark;
use crate::storage::parts::taken::{Anothers, Way};
use crate::storage::{Kept, Mended, Opening, There};
use crate::sys::file;
use records::Secret;
use records::signature::Vouched;
use std::fs::File;
use std::path::Path;

/// Rebuilds it.
pub fn mend(spec: &Spec, backup: &Path, there: There, steps: &mut dyn Steps) -> Result<Mended, Failure> {
    let mut done = sweep_all(spec, Reach::BareLoopsOfOthers)?;
    let anothers = if there == There::Closed { Anothers::Left } else { Anothers::Refused };
    let file = header::take(spec, Way::Write, anothers)?;
    let place = header::locate(&file, spec)?;
    let mut on_image = OnImage { there, ..OnImage::new(spec, &file, place, Backup::All(backup)) };
    let stands = reach(&mut on_image, Wish::Rebuilt, steps)?;
    done.append(&mut on_image.done);
    if stands.resizing {
        done.push("A change of size that was cut short is settled, but for the next login.".into());
    }
    if stands.has_odd_table() {
        steps.warn("The image's partition table does not fit its size; it was left alone.".into());
    }
    Ok(Mended { done, kept: stands.kept.then(Kept::new) })
}

/// Keeps what a repair may write over once it has a key.
pub fn keep(spec: &Spec, backup: &Path, steps: &mut dyn Steps) -> Result<Mended, Failure> {
    let mut done = sweep_all(spec, Reach::BareLoopsOfOthers)?;
    let file = header::take(spec, Way::Write, Anothers::Refused)?;
    let place = header::locate(&file, spec)?;
    let mut on_image = OnImage::new(spec, &file, place, Backup::All(backup));
    let stands = reach(&mut on_image, Wish::Kept, steps)?;
    done.append(&mut on_image.done);
    Ok(Mended { done, kept: stands.kept.then(Kept::new) })
}

/// Where what is left is shown, to whom, and who vouches for it.
pub struct Shown<'a> {
    /// Its user's.
    pub uid: u32,
    /// Instead of the home directory.
    pub target: Option<&'a Path>,
    /// Proof that it may be mounted.
    pub vouched: Vouched,
}

/// Shows what is left.
pub fn rescue(spec: &Spec, keys: &[Secret], shown: Shown<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let Shown { uid, target, vouched } = shown;
    steps.enter(Step::Unlock)?;
    sweep(spec)?;
    let file = take_to_show(spec, steps)?;
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

/// Takes an image that another machine has marked as open where the mark cannot be taken away, as on the disk of a machine that
/// has died, which can only be read: nothing is written here, and it is told.
fn take_to_show(spec: &Spec, steps: &mut dyn Steps) -> Result<File, Failure> {
    let file = header::take(spec, Way::Look, Anothers::Left)?;
    match mark::another(&file, header::spot(&file, spec), &spec.machine) {
        Some(opener) if !file::is_writable(&file) => steps.warn(format!(
            "Another machine has marked the home as open: {}. It is shown all the same, as its disk can only be read here; if it \
             is open there, what is shown may be wrong.",
            mark::words(&opener)
        )),
        Some(_) => mark::refuse_another(&file, header::spot(&file, spec), &spec.machine)?,
        None => {}
    }
    Ok(file)
}

/// Has the file system repaired.
pub fn repair_file_system(
    spec: &Spec,
    keys: &[Secret],
    (kept, vouched): (Kept, Vouched),
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    LuksOpened::new(spec, Opening::Repair(kept), keys, steps)?.repair_file_system(vouched, steps)
}
