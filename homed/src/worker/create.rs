//! Making a home.

use super::blobs::Claimed;
use super::life::here::{Here, Makes};
use super::life::plan::{self, Is, Made};
use super::original::Content;
use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Original, Step, Steps};
use crate::storage::{self, Backend, HomeDirectory, NewHome, Spec, site};
use crate::token::{self, Offer};
use records::signature::{self, Vouched, Worth};
use records::{Record, Secret, Sections};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;

const PLAN: &[Step] = &[
    Step::Check,
    Step::Allocate,
    Step::Partition,
    Step::Attach,
    Step::Format,
    Step::AddKeys,
    Step::MakeFileSystem,
    Step::Mount,
    Step::Populate,
    Step::Sync,
    Step::Publish,
    Step::WriteHost,
    Step::PublishBlobs,
];

/// What a new home is made from beside its record.
pub struct Sources<'a> {
    /// Folder with its pictures.
    pub staged: Option<&'a str>,
    /// The classic account that it is made of.
    pub original: Option<&'a Original>,
}

/// Makes a home for the job's record, in the order of [`plan`].
pub fn create<W: Write>(
    job: &Job,
    (uid, overcommit): (u32, u32),
    from: Sources<'_>,
    steps: &mut Reporter<W>,
) -> Done {
    steps.plan(PLAN);
    let claimed = Claimed::new(from.staged)?;
    let offer = Offer::new(&job.credentials);
    let record = token::filled(&job.record, &offer)?;
    let keys = token::all_keys(&record, &offer)?;
    let embedded = signed(job, &record.only(Sections::EMBEDDED))?;
    let spec = Spec::of(&job.record, &job.machine)?;
    steps.enter(Step::Check)?;
    let original = from.original.map(|original| Content::of(original, job, uid)).transpose()?;
    site::examine(&spec, &state::neighbours(job)?, mount_point(original.as_ref(), &spec))?;
    let vouched = state::trust(job)?.vouch(&embedded).ok_or(records::Refusal::BadSignature)?;
    let (home_directory, skeleton) = (spec.home_directory.clone(), spec.skeleton.clone());
    let place = format!("{} and {}", spec.image.display(), home_directory.display());
    let backend = storage::backend(spec)?;
    backend.accept(&job.record)?;
    let mut new = New {
        job,
        embedded,
        keys,
        random: offer.random(),
        vouched,
        uid,
        overcommit,
        claimed,
        skeleton,
        original,
        binding: None,
        host: None,
    };
    let record = new.embedded.clone();
    let mut here = Here {
        record: &record,
        backend: backend.as_ref(),
        home_directory,
        makes: Some(&mut new),
        storage: Is::Missing,
        wrote_record: Is::Missing,
        flushed: Is::Missing,
        leaves_mount_point: false,
        steps,
    };
    let made = plan::make(&mut here, plan::next);
    told(made, &place, steps).map(|()| new.host)
}

/// What came of it, in words where it is not all or nothing.
fn told<W: Write>(made: Made, place: &str, steps: &mut Reporter<W>) -> Result<(), Failure> {
    match made {
        Made::Whole => Ok(()),
        Made::WithoutPictures(failure) => {
            steps.warn(format!("The pictures are put in place at the next login: {}", failure.text()));
            Ok(())
        }
        Made::TakenBack(failure) => Err(failure),
        Made::Left(failure, left) => {
            let what = format!("What was made could not be taken back ({}): look at {place}.", left.text());
            Err(failure.and(what))
        }
    }
}

/// The original may be where the home will be mounted.
fn mount_point(original: Option<&Content>, spec: &Spec) -> site::MountPoint {
    match original {
        Some(original) if original.folder() == spec.home_directory => site::MountPoint::Original,
        Some(_) | None => site::MountPoint::Empty,
    }
}

/// A home that is being made.
struct New<'a> {
    job: &'a Job,
    /// The record to put inside, signed.
    embedded: Record,
    keys: Vec<Secret>,
    random: Vec<Secret>,
    vouched: Vouched,
    uid: u32,
    overcommit: u32,
    claimed: Claimed,
    skeleton: PathBuf,
    /// What it is filled with in the place of a skeleton.
    original: Option<Content>,
    /// What the storage has to say of itself, once it is there.
    binding: Option<Map<String, Value>>,
    host: Option<Record>,
}

impl Makes for New<'_> {
    fn storage(&mut self, backend: &dyn Backend, steps: &mut dyn Steps) -> Result<(), Failure> {
        let Self { embedded, keys, random, claimed, skeleton, original, .. } = &*self;
        let mut fill = |home: &HomeDirectory, steps: &mut dyn Steps| {
            match original {
                Some(original) => original.copy_into(home, steps)?,
                None => home.copy_skeleton(skeleton)?,
            }
            home.write_record(embedded)?;
            claimed.copy_into(embedded, home)
        };
        let (vouched, uid, overcommit) = (self.vouched, self.uid, self.overcommit);
        let filled_from = original.as_ref().map_or(skeleton.as_path(), Content::folder);
        let mut request = NewHome {
            record: embedded,
            keys,
            random,
            vouched,
            uid,
            overcommit,
            filled_from,
            fill: &mut fill,
        };
        self.binding = Some(backend.create(&mut request, steps)?);
        Ok(())
    }

    fn record(&mut self) -> Result<(), Failure> {
        if let Some(original) = &self.original {
            original.refuse_changed()?;
        }
        let mut binding = self.binding.clone().unwrap_or_default();
        if self.embedded.members().contains_key("blobManifest") {
            binding.insert("blobDirectory".into(), json!(state::blob_folder(&self.embedded)));
        }
        binding.insert("uid".into(), json!(self.uid));
        binding.insert("gid".into(), json!(self.uid));
        let mut host = self.embedded.clone();
        if let Some(status) = self.job.record.members().get("status") {
            host = host.with_member("status", status.clone());
        }
        let host = host.with_binding(&self.job.machine.id, binding);
        state::save(self.job, &host)?;
        self.host = Some(host);
        Ok(())
    }

    fn has_others_pictures(&self) -> bool {
        self.claimed.is_waiting() || !self.embedded.members().contains_key("blobManifest")
    }

    fn has_pictures(&self) -> bool {
        self.claimed.is_waiting()
    }

    fn pictures(&mut self) -> Result<(), Failure> {
        self.claimed.publish(self.embedded.user())
    }
}

/// Signs a record that nobody has signed.
fn signed(job: &Job, record: &Record) -> Result<Record, Failure> {
    match state::trust(job)?.worth(record) {
        Worth::Unsigned => signature::sign(record, &state::private_key()?).during("signing the record"),
        Worth::Local | Worth::LocalAmongOthers | Worth::Foreign => Ok(record.clone()),
        Worth::Stranger | Worth::Rejected => Err(records::Refusal::BadSignature.into()),
    }
}
