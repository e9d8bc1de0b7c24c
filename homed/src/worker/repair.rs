//! Rebuilding what can be rebuilt.
//!
//! ```text
//! without a key:  devices of killed runs → the image, as its plan says (`storage/luks/plan/mend.rs`)
//! with one:       kept → (file system, if that was asked for →) key slots → records → mark
//! ```
//!
//! Each step leaves a home that opens as well as before, so a power cut in between costs nothing. What is written over is kept
//! first: of the image's layers before any of it is written (`Kept` shows it), a record when it is. Of what its own program
//! writes in a file system nothing is kept: that takes a wish of its own. Tokens are asked once, before anything else.

use super::activate::{Offered, Unlocked, proven_first, unlocked_with};
use super::check::{judge, look};
use super::heal::{self, Given};
use super::{Looked, state, state::Backups, steps::Reporter};
use crate::job::{Failure, Job, Known, Repair, Seen, Step, Steps, refuse};
use crate::storage::{self, Backend, Kept, Opening, Spec, Then, There};
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

const FITTING_TABLE: &str = "write the partition table anew, if the file system fits";

/// What is done for a finding: without a key, and with one.
fn mended_by(kind: Kind) -> Option<(Needs, &'static str)> {
    Some(match kind {
        Kind::ImageCutShort | Kind::BothTablesDamaged => (Needs::Key, FITTING_TABLE),
        Kind::FirstTableDamaged | Kind::SecondTableDamaged => {
            (Needs::Nothing, "write the partition table anew from its sound copy")
        }
        Kind::FirstHeaderDamaged | Kind::SecondHeaderDamaged | Kind::HeadersDiffer => {
            (Needs::Nothing, "write the encryption header anew from its sound copy")
        }
        Kind::ImageOpenElsewhere => (Needs::ClosedThere, "take away the mark of another machine"),
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
        Kind::ImageSound | Kind::ImageMissing | Kind::ImageNotAFile | Kind::ImageUnreadable => return None,
        Kind::ImageInUse | Kind::ImageInHoles | Kind::ImageCopiedOnWrite | Kind::ImageShared => return None,
        Kind::TablesSound | Kind::TableNotNeeded | Kind::TableOfAnother => return None,
        Kind::HeadersSound | Kind::HeadersDamaged | Kind::HeaderNewer | Kind::HeaderOfAnother => return None,
        Kind::SlotsSound | Kind::SlotsNone | Kind::SlotsDoNotFit => return None,
        Kind::PasswordNotGiven | Kind::PasswordSound => return None,
        Kind::PasswordOfSlotOnly | Kind::PasswordOfRecordOnly => return None,
        Kind::RecordsAgree | Kind::HeaderRecordUntrusted => return None,
        Kind::FileSystemSound | Kind::FileSystemOpen | Kind::FileSystemNotVouched => return None,
        Kind::FileSystemUnsettled | Kind::FileSystemNoChecker | Kind::FileSystemUnknown => return None,
        Kind::FileSystemOfAnother | Kind::FileSystemNoHome => return None,
    })
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Key,
    /// The explicit wish: it may throw damaged files away.
    Leave,
    /// Another one: nothing on this machine can tell whether the home is open there.
    ClosedThere,
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
    let there = if how.closed_elsewhere { There::Closed } else { There::Unknown };
    if let (Some(who), There::Unknown) = (&facts.examined.open_elsewhere, there) {
        return refuse(Refusal::HomeInUse, open_there(who));
    }
    drop(facts);
    let mut run = Run { known, backups: Backups::now(&job.record)?, kept: None, actions: Vec::new() };
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let is_without_key = |finding| matches!(needs(finding), Some(Needs::Nothing | Needs::ClosedThere));
    let without_key = before.iter().any(is_without_key);
    if let Some(mends) = backend.mends().filter(|_| without_key) {
        let mended = mends.mend(&run.backups.storage(&job.record), there, steps)?;
        run.actions.extend(mended.done);
        run.kept = mended.kept;
    }
    let (mut record, mut offered) = (None, offered);
    if !job.credentials.is_empty() {
        (record, offered) = run.with_key(job, (backend.as_ref(), how), offered, steps)?;
    }
    let host = record.as_ref().map_or(known, |_| Known::Yes);
    let job = match &record {
        Some(host) => Job { record: state::believed(job, host)?, host: Some(host.clone()), ..duplicate(job) },
        None => duplicate(job),
    };
    let after = judge::judge(&look(&job, (Seen::Closed, host), &offered, steps)?);
    run.actions.dedup();
    Ok((Report { findings: after, actions: run.actions }.sorted(), record))
}

/// What a repair has done so far.
struct Run {
    known: Known,
    backups: Backups,
    /// What it may write over of the storage's layers is kept.
    kept: Option<Kept>,
    /// In words.
    actions: Vec<String>,
}

impl Run {
    /// What needs a key.
    fn with_key<'a, W: Write>(
        &mut self,
        job: &'a Job,
        (backend, how): (&dyn Backend, Repair),
        offered: Offered<'a>,
        steps: &mut Reporter<W>,
    ) -> Result<(Option<Record>, Offered<'a>), Failure> {
        // What the layers above hid is seen now.
        let facts = look(job, (Seen::Closed, self.known), &offered, steps)?;
        let now = judge::judge(&facts);
        let broken = how.file_system && now.iter().any(|finding| needs(finding) == Some(Needs::Leave));
        // The look has mounted it: somebody vouches for it.
        let vouched = if broken { Some(facts.vouched.ok_or(Refusal::BadSignature)?) } else { None };
        drop(facts);
        if !broken && now.iter().all(|finding| needs(finding) != Some(Needs::Key)) {
            return Ok((None, offered));
        }
        let kept = self.keep(job, backend, steps)?;
        if let (Some(vouched), Some(mends)) = (vouched, backend.mends()) {
            mends.repair_file_system(&offered.keys, (kept, vouched), steps)?;
            self.actions.push("The file system was repaired by its own program.".into());
        }
        // A repair of the file system is a use of the home too: its mark goes with the rest.
        let done = self.level(job, kept, offered, steps)?;
        self.actions.extend(now.iter().filter(|finding| needs(finding) == Some(Needs::Key)).map(done_for));
        Ok(done)
    }

    /// What may be written over with a key is kept first, if it is not.
    fn keep(&mut self, job: &Job, backend: &dyn Backend, steps: &mut dyn Steps) -> Result<Kept, Failure> {
        if let (None, Some(mends)) = (self.kept, backend.mends()) {
            let mended = mends.keep(&self.backups.storage(&job.record), steps)?;
            self.actions.extend(mended.done);
            self.kept = mended.kept;
        }
        let kept = self.kept.or_else(|| Kept::of_no_layers(backend));
        kept.ok_or_else(|| Failure::fault("what the repair would write over is not kept"))
    }

    /// Records, key slots and mark, as a login does it, without showing the home to anybody.
    fn level<'a, W: Write>(
        &mut self,
        job: &'a Job,
        kept: Kept,
        offered: Offered<'a>,
        steps: &mut Reporter<W>,
    ) -> Result<(Option<Record>, Offered<'a>), Failure> {
        let how = Opening::Repair(kept);
        let Unlocked { offer, keys, mut copies, mut opened } =
            unlocked_with(job, offered, (self.known, Rule::Any), how, steps)?;
        copies.keep(self.backups);
        proven_first(&copies, opened.as_mut(), &offer)?;
        let home = opened.home(steps)?;
        copies.see_identity(home, steps)?;
        let proven = copies.prove(&offer)?;
        let given = Given { tried: &keys, proven: &proven, offer: &offer };
        heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps)?;
        copies.write_identity(opened.as_mut(), steps)?;
        let binding = if self.known == Known::Yes { Map::new() } else { opened.binding() };
        let host = copies.write_host(job, binding, steps)?;
        opened.finish(steps)?;
        self.actions.append(&mut copies.kept);
        Ok((host, Offered { offer, keys }))
    }
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

fn done_for(finding: &Finding) -> String {
    let what = mended_by(finding.kind).map_or("", |(_, what)| what);
    format!("Done: {what}.")
}

/// Why nothing is repaired.
fn open_there(who: &str) -> String {
    format!(
        "Another machine has the home open: {who}. Changed here meanwhile, it would be destroyed, so nothing was done. Close \
         it there. If it is not open there any more (that machine was cut off, or this is a copy), add --closed-elsewhere: \
         its mark is taken away then."
    )
}

/// In words, what a repair of these findings would do.
fn planned(findings: &[Finding], how: Repair, has_key: bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let is_marked = findings.iter().any(|finding| needs(finding) == Some(Needs::ClosedThere));
    if is_marked && !how.closed_elsewhere {
        let what = mended_by(Kind::ImageOpenElsewhere).map_or("", |(_, what)| what);
        all.push(format!(
            "With --closed-elsewhere it would {what}, and do the rest. That is for a home that is not open there any more: \
             nothing is done before."
        ));
        return all;
    }
    for (needs, what) in findings.iter().filter_map(|finding| mended_by(finding.kind)) {
        let line = match needs {
            Needs::Nothing | Needs::ClosedThere => format!("It will {what}."),
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
    let done = |finding: &&Finding| match needs(finding) {
        Some(Needs::Nothing) => !matches!(finding.kind, Kind::StaleDevices | Kind::TemporaryImages),
        Some(Needs::ClosedThere) => true,
        Some(Needs::Key) => has_key,
        Some(Needs::Leave) => has_key && how.file_system,
        None => false,
    };
    if findings.iter().any(|finding| done(&finding)) {
        all.insert(0, "It will keep what it writes over first.".into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_says_what_it_takes() {
        let findings =
            [Kind::FirstTableDamaged, Kind::HeaderRecordMissing, Kind::FileSystemErrors, Kind::ImageSound]
                .map(Finding::plain);
        let how = |file_system| Repair { dry_run: true, file_system, closed_elsewhere: false };
        let plan = |file_system, has_key| planned(&findings, how(file_system), has_key);
        let will = |plan: Vec<String>| plan.iter().filter(|line| line.starts_with("It will")).count();
        assert_eq!([plan(true, true), plan(false, true), plan(true, false)].map(will), [4, 3, 2]);
        assert!(plan(true, false)[0].contains("keep what it writes over first"));
        // Nothing is written over where devices are closed, or unfinished images deleted.
        let swept = [Kind::StaleDevices, Kind::TemporaryImages].map(Finding::plain);
        assert_eq!(planned(&swept, how(true), true).len(), 2);
    }

    #[test]
    fn what_another_machine_has_open_is_a_wish_of_its_own() {
        let findings = [Kind::ImageOpenElsewhere, Kind::FirstTableDamaged].map(Finding::plain);
        let how = |closed_elsewhere| Repair { dry_run: true, file_system: true, closed_elsewhere };
        let refused = planned(&findings, how(false), true);
        assert!(refused.len() == 1 && refused[0].contains("--closed-elsewhere it would"), "{refused:?}");
        assert_eq!(planned(&findings, how(true), true).len(), 3);
        assert!(open_there("box").contains("open: box") && open_there("box").contains("--closed-elsewhere"));
    }
}
