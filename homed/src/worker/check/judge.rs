//! What was seen, judged: facts in, findings out. No IO.

use crate::job::{Known, Seen};
use crate::storage::examined::{Beside, Examined, FileSystem, Headers, Image, Looked, Table};
use records::health::{Finding, Kind};
use records::signature::Vouched;

/// All that a check has seen.
pub struct Facts {
    /// Where the image is, or should be.
    pub image_path: String,
    /// The storage.
    pub examined: Examined,
    /// Whether the home is in use.
    pub seen: Seen,
    /// Whether this host has a record.
    pub known: Known,
    /// `lastChangeUSec` of the host's record.
    pub host: Option<u64>,
    /// The record in the header; `None`: not seen.
    pub header: Option<Copy>,
    /// The record in the home; `None`: not seen.
    pub home: Option<Copy>,
    /// How many passwords and keys the record in force has.
    pub keys: Option<usize>,
    /// Who vouches for the file system; `None`: nobody, or what may was not reached.
    pub vouched: Option<Vouched>,
    /// What the credentials fit; `None`: none were offered, or there is nothing to try them on.
    pub fit: Option<Fit>,
}

/// A copy of the record inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// It cannot be read, and why.
    Unreadable(String),
    /// Nobody who is trusted has signed it.
    Untrusted,
    /// It counts; its `lastChangeUSec`.
    Trusted(u64),
}

/// What the credentials fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The record, and this slot.
    Both(u32),
    /// This slot alone.
    SlotOnly(u32),
    /// The record alone.
    RecordOnly,
}

/// Judges.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut all = image(facts);
    let examined = &facts.examined;
    all.extend(examined.table.map(table));
    if examined.table != Some(Table::OfAnother) && matches!(examined.image, Image::There { .. }) {
        all.extend(header(facts));
    }
    all.extend(slots(facts));
    all.extend(copies(facts));
    all.extend(file_system(facts));
    all.extend(leftovers(facts));
    all
}

fn image(facts: &Facts) -> Vec<Finding> {
    let path = &facts.image_path;
    let mut all = match &facts.examined.image {
        Image::Missing => vec![Finding::with(Kind::ImageMissing, path)],
        Image::NotAFile => vec![Finding::with(Kind::ImageNotAFile, path)],
        Image::Unreadable(why) => vec![Finding::with(Kind::ImageUnreadable, format!("{path}: {why}"))],
        Image::Folder => vec![Finding::with(Kind::ImageSound, format!("{path}, a folder"))],
        Image::OnServer => vec![Finding::with(Kind::ImageSound, format!("{path}, on a server"))],
        Image::There { size, wanting, room, copied, shared } => {
            let mut all = vec![Finding::with(Kind::ImageSound, format!("{path}, {} MiB", size >> 20))];
            if *copied {
                all.push(Finding::plain(Kind::ImageCopiedOnWrite));
            }
            if *shared > 0 {
                all.push(Finding::with(Kind::ImageShared, format!("{} MiB", shared.div_ceil(1 << 20))));
            }
            if wanting > room {
                let detail = format!("{} MiB may be wanted, {} MiB are free", wanting >> 20, room >> 20);
                all.push(Finding::with(Kind::ImageInHoles, detail));
            }
            all
        }
    };
    if facts.examined.locked_elsewhere {
        all.push(Finding::with(Kind::ImageInUse, path));
    }
    if let Some(who) = &facts.examined.open_elsewhere {
        all.push(Finding::with(Kind::ImageOpenElsewhere, who));
    }
    all
}

fn table(table: Table) -> Finding {
    match table {
        Table::Sound => Finding::plain(Kind::TablesSound),
        Table::NotNeeded => Finding::plain(Kind::TableNotNeeded),
        Table::FirstDamaged => Finding::plain(Kind::FirstTableDamaged),
        Table::SecondDamaged => Finding::plain(Kind::SecondTableDamaged),
        Table::BothDamaged => Finding::plain(Kind::BothTablesDamaged),
        Table::OfAnother => Finding::plain(Kind::TableOfAnother),
        Table::CutShort(missing) => {
            Finding::with(Kind::ImageCutShort, format!("{} KiB are missing", missing.div_ceil(1024)))
        }
    }
}

fn header(facts: &Facts) -> Option<Finding> {
    let examined = &facts.examined;
    if examined.header.as_ref().is_some_and(|header| !header.is_ours) {
        return Some(Finding::plain(Kind::HeaderOfAnother));
    }
    if examined.header.as_ref().is_some_and(|header| header.is_newer) {
        return Some(Finding::plain(Kind::HeaderNewer));
    }
    let kind = match (examined.headers, &examined.header) {
        (None, _) | (Some(Headers { first: None, second: None }), _) | (_, None) => Kind::HeadersDamaged,
        (Some(Headers { first: None, .. }), _) => Kind::FirstHeaderDamaged,
        (Some(Headers { second: None, .. }), _) => Kind::SecondHeaderDamaged,
        (Some(Headers { first, second }), _) if first != second => Kind::HeadersDiffer,
        (Some(_), _) => Kind::HeadersSound,
    };
    Some(Finding::plain(kind))
}

fn slots(facts: &Facts) -> Vec<Finding> {
    let Some(header) = facts.examined.header.as_ref().filter(|header| header.is_ours) else {
        return Vec::new();
    };
    if header.slots == 0 {
        return vec![Finding::plain(Kind::SlotsNone)];
    }
    let mut all = Vec::new();
    if header.marked {
        all.push(Finding::plain(Kind::KeyChangeCutShort));
    } else if let Some(keys) = facts.keys {
        let detail = format!("{} slots, {keys} passwords and keys", header.slots);
        let kind = if keys == header.slots { Kind::SlotsSound } else { Kind::SlotsDoNotFit };
        all.push(Finding::with(kind, detail));
    }
    all.push(match facts.fit {
        None => Finding::plain(Kind::PasswordNotGiven),
        Some(Fit::Both(slot)) => Finding::with(Kind::PasswordSound, format!("slot {slot}")),
        Some(Fit::SlotOnly(slot)) => Finding::with(Kind::PasswordOfSlotOnly, format!("slot {slot}")),
        Some(Fit::RecordOnly) => Finding::plain(Kind::PasswordOfRecordOnly),
    });
    all
}

fn copies(facts: &Facts) -> Vec<Finding> {
    let date = |copy: &Option<Copy>| match copy {
        Some(Copy::Trusted(date)) => Some(*date),
        Some(Copy::Unreadable(_) | Copy::Untrusted) | None => None,
    };
    let newest = [facts.host, date(&facts.header), date(&facts.home)].into_iter().flatten().max();
    let is_older = |date: Option<u64>| date.is_some() && date < newest;
    let mut all = Vec::new();
    if facts.known == Known::No {
        all.push(Finding::plain(Kind::HostRecordMissing));
    } else if is_older(facts.host) {
        all.push(Finding::plain(Kind::HostRecordOlder));
    }
    let readable = facts.examined.header.as_ref().filter(|header| header.is_ours);
    if readable.is_some_and(|header| header.record == Beside::Missing) {
        all.push(Finding::plain(Kind::HeaderRecordMissing));
    }
    match &facts.header {
        Some(Copy::Unreadable(why)) => all.push(Finding::with(Kind::HeaderRecordUnreadable, why)),
        Some(Copy::Untrusted) => all.push(Finding::plain(Kind::HeaderRecordUntrusted)),
        Some(Copy::Trusted(date)) if is_older(Some(*date)) => {
            all.push(Finding::plain(Kind::HeaderRecordOlder));
        }
        Some(Copy::Trusted(_)) | None => {}
    }
    match facts.home.as_ref().filter(|_| was_reached(facts)) {
        Some(Copy::Unreadable(why)) => all.push(Finding::with(Kind::HomeRecordUnreadable, why)),
        Some(Copy::Untrusted) => all.push(Finding::plain(Kind::HomeRecordUntrusted)),
        Some(Copy::Trusted(date)) if is_older(Some(*date)) => all.push(Finding::plain(Kind::HomeRecordOlder)),
        Some(Copy::Trusted(_)) | None => {}
    }
    if all.is_empty() {
        let seen = [
            facts.host.map(|_| "machine"),
            date(&facts.header).map(|_| "header"),
            date(&facts.home).map(|_| "home"),
        ];
        all.push(Finding::with(
            Kind::RecordsAgree,
            seen.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ));
    }
    all
}

/// Whether the home itself was looked into.
fn was_reached(facts: &Facts) -> bool {
    let unknown = |file_system: &FileSystem| {
        matches!(
            file_system,
            FileSystem::Unknown | FileSystem::OfAnother | FileSystem::NotMounted(_) | FileSystem::NoHome
        )
    };
    let seen = facts.examined.inside.as_ref().and_then(Looked::seen);
    facts.seen == Seen::Open || seen.is_some_and(|inside| !unknown(&inside.file_system))
}

fn file_system(facts: &Facts) -> Option<Finding> {
    if facts.seen != Seen::Closed && !matches!(facts.examined.image, Image::Folder | Image::OnServer) {
        return Some(Finding::plain(Kind::FileSystemOpen));
    }
    let inside = match facts.examined.inside.as_ref()? {
        Looked::At(inside) => inside,
        Looked::NotVouched => return Some(Finding::plain(Kind::FileSystemNotVouched)),
        Looked::InUse => return None,
    };
    Some(match &inside.file_system {
        FileSystem::Sound(named) => Finding::with(Kind::FileSystemSound, named),
        FileSystem::Unknown => Finding::plain(Kind::FileSystemUnknown),
        FileSystem::OfAnother => Finding::plain(Kind::FileSystemOfAnother),
        FileSystem::NoChecker(program) => Finding::with(Kind::FileSystemNoChecker, program),
        FileSystem::Unsettled(named) => Finding::with(Kind::FileSystemUnsettled, named),
        FileSystem::Errors(said) => Finding::with(Kind::FileSystemErrors, said),
        FileSystem::NotMounted(why) => Finding::with(Kind::FileSystemNotMounted, why),
        FileSystem::NoHome => Finding::plain(Kind::FileSystemNoHome),
        FileSystem::OfTheMachine => return None,
    })
}

fn leftovers(facts: &Facts) -> Vec<Finding> {
    let examined = &facts.examined;
    let mut all = Vec::new();
    if examined.dirty && facts.seen == Seen::Closed {
        all.push(Finding::plain(Kind::MarkedDirty));
    }
    if !examined.stale.is_empty() {
        all.push(Finding::with(Kind::StaleDevices, examined.stale.join(", ")));
    }
    if !examined.leftovers.is_empty() {
        all.push(Finding::with(Kind::TemporaryImages, examined.leftovers.join(", ")));
    }
    if let Some(what) = &examined.unfinished_resize {
        all.push(Finding::with(Kind::ResizeUnfinished, what));
    }
    all
}

#[cfg(test)]
mod tests;
