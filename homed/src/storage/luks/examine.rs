//! Looking at an image without changing anything, as far as a key reaches.

use super::header::{self, HeaderCopy, Place};
use super::opened::{is_ours, read_record};
use super::read_only::{Looking, Source};
use super::{file_system, header_copies, perform, record_token};
use crate::job::{Failure, Seen, Step, Steps};
use crate::storage::examined::{
    Beside, Examination, Examined, FileSystem, Header, Image, Inside, Looked, Table, Unlocked,
};
use crate::storage::luks::spec::Spec;
use crate::storage::luks::whereabouts::helper_name;
use crate::storage::parts::gpt::{self, Copies};
use crate::storage::parts::taken::{Anothers, Way};
use crate::storage::parts::{image, mapped, mark, superblock};
use crate::sys::{blockdev, extents, file, loopdev, mount};
use records::Refusal;
use records::signature::Vouched;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// Looks at everything.
pub fn examine(spec: &Spec, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure> {
    steps.enter(Step::Check)?;
    let mut found =
        Examined { leftovers: image::unfinished(&spec.image, &spec.machine.id), ..Examined::default() };
    let mut held = None;
    if wish.seen == Seen::Closed {
        found.stale = stale(spec);
        // Held until the end, so that nobody begins to write while it is looked at. What is attached is another open
        // file: a loop device that goes a moment later than this process keeps nobody out.
        held = found.stale.is_empty().then(|| header::take(spec, Way::Look, Anothers::Left));
        found.locked_elsewhere = held.as_ref().is_some_and(is_in_use);
    }
    let file = match image::open(&spec.image, image::Access::Read) {
        Ok(file) => file,
        Err(failure) => {
            found.image = unopened(failure);
            return Ok(found);
        }
    };
    found.image = facts(&file);
    found.dirty = image::is_dirty(&file);
    found.unfinished_resize = unfinished_resize(&file);
    let Some(place) = place(&file, spec, &mut found) else { return Ok(found) };
    found.open_elsewhere = mark::another(&file, place.mark(), &spec.machine).as_ref().map(mark::words);
    let held = held.filter(|_| found.open_elsewhere.is_none());
    let at = |offset: u64, length: usize| image::bytes(&file, place.offset + offset, length);
    found.headers = Some(header_copies::look(&mut { at }));
    let Ok(mut header) = HeaderCopy::read(&file, &place, spec) else { return Ok(found) };
    found.header = described(&mut header, spec);
    if wish.keys.is_empty() || !found.header.as_ref().is_some_and(is_known) {
        return Ok(found);
    }
    steps.enter(Step::Unlock)?;
    let Some(unlocked) = unlocked(&mut header, spec, wish)? else { return Ok(found) };
    let facts = header.luks.facts().map_err(|error| Failure::fault(error.to_string()))?;
    let record = read_record(&mut header.luks, &facts, &unlocked.volume_key);
    let inside = match ((wish.vouch)(record.as_ref().ok()), held) {
        (Some(vouched), Some(Ok(_held))) => {
            let name = helper_name(&spec.user, "check");
            let (image, key) = (&file, &unlocked.volume_key);
            let source = Source { spec, image, header: &header, place: &place, name, key, vouched };
            Looked::At(inside(Looking::new(source, steps)?, spec, (found.dirty, vouched), steps)?)
        }
        (None, Some(Ok(_))) => Looked::NotVouched,
        (_, Some(Err(_)) | None) => Looked::InUse,
    };
    found.unlocked = Some(Unlocked { key: unlocked.key, slot: unlocked.slot, record });
    found.inside = Some(inside);
    Ok(found)
}

fn unfinished_resize(file: &File) -> Option<String> {
    let intent = image::unfinished_resize(file)?;
    Some(format!("from {} to {} MiB", intent.from >> 20, intent.to >> 20))
}

fn is_known(header: &Header) -> bool {
    header.is_ours && !header.is_newer
}

/// `None`: no key fits.
fn unlocked(
    header: &mut HeaderCopy,
    spec: &Spec,
    wish: &Examination<'_>,
) -> Result<Option<super::tries::Unlocked>, Failure> {
    match header.unlock(wish.keys, spec) {
        Ok(unlocked) => Ok(Some(unlocked)),
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn is_in_use(held: &Result<File, Failure>) -> bool {
    matches!(held, Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeInUse)
}

fn unopened(failure: Failure) -> Image {
    match failure {
        Failure::Refused(refused) if refused.refusal == Refusal::HomeAbsent => Image::Missing,
        Failure::Refused(refused) if refused.refusal == Refusal::NotSupported => Image::NotAFile,
        other => Image::Unreadable(other.text().to_owned()),
    }
}

fn facts(file: &File) -> Image {
    if let Ok(true) = blockdev::is_one(file) {
        let size = blockdev::length(file).unwrap_or_default();
        return Image::There { size, wanting: 0, room: u64::MAX, copied: false, shared: 0 };
    }
    match file.metadata() {
        Ok(facts) => Image::There {
            size: facts.len(),
            wanting: facts.len().saturating_sub(facts.blocks() * 512),
            room: file::space(file).map_or(u64::MAX, |space| space.free),
            copied: file::is_copied_on_write(file),
            shared: extents::shared(file).unwrap_or(0),
        },
        Err(error) => Image::Unreadable(error.to_string()),
    }
}

/// What a killed run may have left in the kernel, of a home that is not open.
fn stale(spec: &Spec) -> Vec<String> {
    let mut all = Vec::new();
    let node = mapped::node(&spec.mapper_name());
    if mapped::number(&spec.mapper_name()).is_ok_and(|number| number.is_some()) {
        all.push(node.display().to_string());
    }
    if loopdev::is_attached(&spec.image).unwrap_or(false) {
        all.push(format!("a loop device of {}", spec.image.display()));
    }
    if let Ok(Some(device)) = mapped::number(&spec.mapper_name()) {
        let mounts = mount::of_device(device).unwrap_or_default();
        all.extend(mounts.iter().map(|found| format!("a mount at {}", found.mount.target.display())));
    }
    all
}

/// How much an image was cut short by, as its first table says.
fn missing(file: &File, size: u64) -> u64 {
    let whole = gpt::find(u64::MAX, &mut |offset, length| image::bytes(file, offset, length));
    whole.map_or(0, |(table, _)| table.size.saturating_sub(size))
}

/// Where the encrypted part is, and what the partition table is like.
fn place(file: &File, spec: &Spec, found: &mut Examined) -> Option<Place> {
    let size = blockdev::length(file).ok()?;
    match header::locate(file, spec) {
        Ok(place) => {
            found.table = Some(match place.table.as_ref().map(|(_, copies)| copies) {
                None => Table::NotNeeded,
                Some(Copies::CutShort | Copies::CutToFormer) => Table::CutShort(missing(file, size)),
                Some(Copies::Both) => Table::Sound,
                Some(Copies::SecondOnly) => Table::FirstDamaged,
                Some(Copies::FirstOnly) => Table::SecondDamaged,
                Some(Copies::Neither) => Table::BothDamaged,
            });
            Some(place)
        }
        Err(_) => {
            let table = gpt::find(size, &mut |offset, length| image::bytes(file, offset, length));
            found.table = table.map(|_| Table::OfAnother);
            None
        }
    }
}

fn described(header: &mut HeaderCopy, spec: &Spec) -> Option<Header> {
    let facts = header.luks.facts().ok()?;
    let slots = header.luks.slots().ok()?;
    Some(Header {
        is_ours: is_ours(spec, &facts),
        is_newer: header.is_newer(),
        marked: perform::keys::is_cut_short(&mut header.luks).ok()?,
        slots: slots.len(),
        record: match header.luks.tokens(record_token::KIND).is_empty() {
            true => Beside::Missing,
            false => Beside::There,
        },
    })
}

/// The file system, checked by its own program and mounted to be read only.
fn inside(
    mut looking: Looking<'_>,
    spec: &Spec,
    (dirty, vouched): (bool, Vouched),
    steps: &mut dyn Steps,
) -> Result<Inside, Failure> {
    let bad = |file_system| Ok(Inside { file_system, record: Err("it was not reached".into()) });
    let Some(found) = looking.probe() else { return bad(FileSystem::Unknown) };
    if spec.uuids.file_system.is_some_and(|uuid| uuid != found.uuid) {
        return bad(FileSystem::OfAnother);
    }
    steps.enter(Step::CheckFileSystem)?;
    let named = format!("{} labelled {:?}", found.kind, found.label);
    // A journal that has not been replayed looks like damage to who may not replay it.
    let unsettled = dirty && found.kind != superblock::Kind::Btrfs;
    let checked = if unsettled {
        FileSystem::Unsettled(named)
    } else {
        file_system::look(found.kind, looking.path()?, named, vouched)
    };
    if let Err(failure) = looking.mount(steps) {
        return bad(FileSystem::NotMounted(failure.text().to_owned()));
    }
    match looking.home() {
        Ok(home) => {
            let record = home.read_record().map_err(|failure| failure.text().to_owned());
            Ok(Inside { file_system: checked, record })
        }
        Err(_) => bad(FileSystem::NoHome),
    }
}
