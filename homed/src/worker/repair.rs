//! Rebuilding what can be rebuilt.
//!
//! ```text
//! without a key:  devices of killed runs → the image, as its plan says (`storage/luks/plan/mend.rs`)
//! with one:       (file system, if that was asked for →) key slots → records → mark
//! ```
//!
//! Each step leaves a home that opens as well as before, so a power cut in between costs nothing. Tokens are asked once, before
//! anything else.

use super::activate::{Offered, Unlocked, proven_first, unlocked_with};
use super::check::{judge, look};
use super::heal::{self, Given};
use super::{Looked, state, steps::Reporter};
use crate::job::{Failure, Job, Known, Mounted, Repair, Seen, Step};
use crate::storage::{self, Opening, Spec, Then};
use records::health::{Finding, Kind, Report};
use records::reconcile::Rule;
use records::{Record, Refusal};
use serde_json::Map;
use std::io::Write;

const PLAN: &[Step] = &[
    Step::Check,
    Step::Backup,
    Step::SecondTable,
    Step::FirstTable,
    Step::RebuildHeader,
    Step::RepairFileSystem,
    Step::Unlock,
    Step::ReadCopies,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::Detach,
];

/// What is done for a finding: without a key, and with one.
fn mended_by(kind: Kind) -> Option<(Needs, &'static str)> {
    Some(match kind {
        Kind::ImageCutShort | Kind::BothTablesDamaged => {
            (Needs::Key, "write the partition table anew, if the file system fits")
        }
        Kind::FirstTableDamaged | Kind::SecondTableDamaged => {
            (Needs::Nothing, "write the partition table anew from its sound copy")
        }
        Kind::FirstHeaderDamaged | Kind::SecondHeaderDamaged | Kind::HeadersDiffer => {
            (Needs::Nothing, "write the encryption header anew from its sound copy")
        }
        Kind::ImageOpenElsewhere => (Needs::Nothing, "take away the mark of another machine"),
        Kind::StaleDevices => (Needs::Nothing, "close the devices of a killed run"),
        Kind::TemporaryImages => (Needs::Nothing, "delete unfinished images"),
        Kind::KeyChangeCutShort => (Needs::Key, "finish or take back the change of keys"),
        Kind::HeaderRecordMissing | Kind::HeaderRecordUnreadable | Kind::HeaderRecordOlder => {
            (Needs::Key, "write the record into the encryption header")
        }
        Kind::HomeRecordUnreadable | Kind::HomeRecordUntrusted | Kind::HomeRecordOlder => {
            (Needs::Key, "write the record into the home")
        }
        Kind::HostRecordMissing | Kind::HostRecordOlder => (Needs::Key, "write this machine's record"),
        Kind::MarkedDirty => (Needs::Key, "take away the mark that the home is open"),
        Kind::ResizeUnfinished => (Needs::Key, "finish or take back the change of size"),
        Kind::FileSystemErrors | Kind::FileSystemNotMounted => {
            (Needs::Leave, "have the file system repaired by its own program")
        }
        Kind::ImageSound
        | Kind::ImageMissing
        | Kind::ImageNotAFile
        | Kind::ImageUnreadable
        | Kind::ImageInUse
        | Kind::ImageInHoles
        | Kind::ImageCopiedOnWrite
        | Kind::TablesSound
        | Kind::TableNotNeeded
        | Kind::TableOfAnother
        | Kind::HeadersSound
        | Kind::HeadersDamaged
        | Kind::HeaderNewer
        | Kind::HeaderOfAnother
        | Kind::SlotsSound
        | Kind::SlotsNone
        | Kind::SlotsDoNotFit
        | Kind::PasswordNotGiven
        | Kind::PasswordSound
        | Kind::PasswordOfSlotOnly
        | Kind::PasswordOfRecordOnly
        | Kind::RecordsAgree
        | Kind::HeaderRecordUntrusted
        | Kind::FileSystemSound
        | Kind::FileSystemOpen
        | Kind::FileSystemNotVouched
        | Kind::FileSystemUnsettled
        | Kind::FileSystemNoChecker
        | Kind::FileSystemUnknown
        | Kind::FileSystemOfAnother
        | Kind::FileSystemNoHome => return None,
    })
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Key,
    /// The explicit wish: it may throw damaged files away.
    Leave,
}

/// Looks, rebuilds, and looks again.
pub fn repair<W: Write>(job: &Job, how: Repair, known: Known, steps: &mut Reporter<W>) -> Looked {
    steps.plan(PLAN);
    let offered = Offered::if_any(job, steps)?;
    let facts = look(job, (Seen::Closed, known), &offered, steps)?;
    let before = judge::judge(&facts);
    if facts.examined.locked_elsewhere {
        return Err(Refusal::HomeInUse.into());
    }
    if how.dry_run {
        let actions = planned(&before, how, facts.fit.is_some());
        return Ok((Report { findings: before, actions }.sorted(), None));
    }
    drop(facts);
    let mut actions = Vec::new();
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let without_key = before.iter().any(|finding| needs(finding) == Some(Needs::Nothing));
    if let Some(mends) = backend.mends().filter(|_| without_key) {
        actions.extend(mends.mend(&state::backup_path(&job.record)?, steps)?);
    }
    let (mut record, mut offered) = (None, offered);
    if !job.credentials.is_empty() {
        // What the layers above hid is seen now.
        let facts = look(job, (Seen::Closed, known), &offered, steps)?;
        let now = judge::judge(&facts);
        let broken = how.file_system && now.iter().any(|finding| needs(finding) == Some(Needs::Leave));
        if broken {
            // The look before has mounted it: somebody vouches for it.
            let vouched = facts.vouched.ok_or(Refusal::BadSignature)?;
            if let Some(mends) = backend.mends() {
                mends.repair_file_system(&offered.keys, vouched, steps)?;
                actions.push("The file system was repaired by its own program.".into());
            }
        }
        // A repair of the file system is a use of the home too: its mark goes with the rest.
        if broken || now.iter().any(|finding| needs(finding) == Some(Needs::Key)) {
            (record, offered) = with_key(job, known, offered, steps)?;
            actions.extend(now.iter().filter(|finding| needs(finding) == Some(Needs::Key)).map(done));
        }
    }
    let host = record.as_ref().map_or(known, |_| Known::Yes);
    let job = match &record {
        Some(host) => Job { record: state::believed(job, host)?, host: Some(host.clone()), ..duplicate(job) },
        None => duplicate(job),
    };
    let after = judge::judge(&look(&job, (Seen::Closed, host), &offered, steps)?);
    actions.dedup();
    Ok((Report { findings: after, actions }.sorted(), record))
}

fn duplicate(job: &Job) -> Job {
    Job {
        home: job.home.clone(),
        machine: job.machine.clone(),
        record: job.record.clone(),
        host: job.host.clone(),
        strangers: job.strangers,
        removal: job.removal,
        credentials: job.credentials.duplicate(),
        task: crate::job::Task::Remove,
    }
}

fn needs(finding: &Finding) -> Option<Needs> {
    mended_by(finding.kind).map(|(needs, _)| needs)
}

fn done(finding: &Finding) -> String {
    let what = mended_by(finding.kind).map_or("", |(_, what)| what);
    format!("Done: {what}.")
}

/// In words, what a repair of these findings would do.
fn planned(findings: &[Finding], how: Repair, has_key: bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (needs, what) in findings.iter().filter_map(|finding| mended_by(finding.kind)) {
        let line = match needs {
            Needs::Nothing => format!("It will {what}."),
            Needs::Key if has_key => format!("It will {what}."),
            Needs::Key => format!("With the password it would {what}."),
            Needs::Leave if how.file_system && has_key => {
                format!("It will {what}; damaged files may be lost.")
            }
            Needs::Leave => format!("With --file-system and the password it would {what}."),
        };
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all
}

/// Records, key slots and mark, as a login does it, without showing the home to anybody.
fn with_key<'a, W: Write>(
    job: &'a Job,
    known: Known,
    offered: Offered<'a>,
    steps: &mut Reporter<W>,
) -> Result<(Option<Record>, Offered<'a>), Failure> {
    let how = Opening::Change(Mounted::No);
    let Unlocked { offer, keys, mut copies, mut opened } =
        unlocked_with(job, offered, (known, Rule::Any), how, steps)?;
    proven_first(&copies, opened.as_mut(), &offer)?;
    let home = opened.home(steps)?;
    copies.see_identity(home, steps)?;
    let proven = copies.prove(&offer)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps)?;
    copies.write_identity(opened.as_mut(), steps)?;
    let binding = if known == Known::Yes { Map::new() } else { opened.binding() };
    let host = copies.write_host(job, binding, steps)?;
    opened.finish(steps)?;
    Ok((host, Offered { offer, keys }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_says_what_it_takes() {
        let findings =
            [Kind::FirstTableDamaged, Kind::HeaderRecordMissing, Kind::FileSystemErrors, Kind::ImageSound]
                .map(Finding::plain);
        let plan = |file_system, has_key| planned(&findings, Repair { dry_run: true, file_system }, has_key);
        assert_eq!(plan(true, true).iter().filter(|line| line.starts_with("It will")).count(), 3);
        assert_eq!(plan(false, true).iter().filter(|line| line.starts_with("It will")).count(), 2);
        assert_eq!(plan(true, false).iter().filter(|line| line.starts_with("It will")).count(), 1);
    }
}
