//! What is in a new home because it is somebody's already: the folder of a classic account.
//!
//! ```text
//! somebody waits → nobody runs as the user → copied → compared, whole → nothing was changed since, nobody runs → (the record)
//! ```
//!
//! Whoever asked holds the lock of a file while they wait; when they have gone, the copying stops, and what was made is taken
//! back. The folder is the user's, who may change it meanwhile: the copy is made by descriptors that follow nothing, and a
//! folder that is not what was copied at the end is no home.

use crate::job::{self, Context, Copied, Failure, Job, Step, Steps, refuse};
use crate::storage::{HomeDirectory, Own};
use crate::sys::{durable, file, holders};
use copytree::{Continue, Copy, Error, Progress, Terms};
use records::{Refusal, UserName};
use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files that say by their locks who waits for a conversion.
const WAITING: &str = "/run/homed/converting";
/// So many differences are named.
const NAMED: usize = 5;
/// How often it is told how far the copying is, and looked whether somebody waits for it: there may be a million names.
const PACE: Duration = Duration::from_millis(100);

/// A folder that a home is filled with.
pub struct Content {
    user: UserName,
    folder: PathBuf,
    own: Own,
    from: OwnedFd,
    waiting: File,
    /// What it was like before it was copied.
    before: Cell<Option<u64>>,
}

impl Content {
    /// Opens it, if somebody waits for the home, and nobody uses the folder.
    pub fn of(original: &job::Original, job: &Job, uid: u32) -> Result<Self, Failure> {
        let (user, folder) = (job.record.user().clone(), PathBuf::from(&original.folder));
        let path = Path::new(WAITING).join(user.as_str());
        let waiting = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return stopped(),
            other => other.during(format!("opening {}", path.display()))?,
        };
        let from = durable::directory(&folder).during(format!("opening {}", folder.display()))?;
        let own = Own { uid, gid: original.gid };
        let content = Self { user, folder, own, from, waiting, before: Cell::default() };
        content.refuse_alone()?;
        content.refuse_in_use()?;
        Ok(content)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies it into the home, and compares the two.
    pub fn copy_into(&self, home: &HomeDirectory, steps: &mut dyn Steps) -> Result<(), Failure> {
        let to = home.seen_by(self.own)?;
        steps.enter(Step::CopyOriginal)?;
        let all = copytree::measure(self.from.as_fd()).map_err(|error| self.failed(error))?;
        self.before.set(Some(all.state));
        let mut broken = None;
        let mut last: Option<Instant> = None;
        let mut tell = |progress: Progress<'_>| {
            if last.is_some_and(|last| last.elapsed() < PACE) {
                return Continue::Yes;
            }
            last = Some(Instant::now());
            let told = steps.copied(Copied { done: progress.bytes, of: all.allocated });
            match told.and_then(|()| self.refuse_alone()) {
                Ok(()) => Continue::Yes,
                Err(failure) => {
                    broken = Some(failure);
                    Continue::No
                }
            }
        };
        let (from, to_fd) = (self.from.as_fd(), to.as_fd());
        let copy = Copy {
            from,
            to: to_fd,
            except: &[],
            cross_mounts: false,
            terms: Terms::default(),
            progress: &mut tell,
        };
        let copied = copytree::copy(copy);
        if let Some(failure) = broken {
            return Err(failure);
        }
        copied.map_err(|error| self.failed(error))?;
        steps.enter(Step::CompareOriginal)?;
        self.refuse_different(&to)?;
        copytree::done(to.as_fd()).map_err(|error| self.failed(error))
    }

    /// The last look before the home counts: nothing was done to the folder since before it was copied, nobody runs as the user,
    /// and somebody still waits.
    pub fn refuse_changed(&self) -> Result<(), Failure> {
        let now = copytree::measure(self.from.as_fd()).map_err(|error| self.failed(error))?;
        if self.before.get() != Some(now.state) {
            return refuse(
                Refusal::HomeBusy,
                format!(
                    "{} was changed while it was copied. The copy is taken back; the account is as it was.",
                    self.folder.display()
                ),
            );
        }
        self.refuse_alone()?;
        self.refuse_in_use()
    }

    /// Whoever asked has gone.
    fn refuse_alone(&self) -> Result<(), Failure> {
        match file::lock(&self.waiting).during("looking whether somebody waits")? {
            file::Lock::Elsewhere => Ok(()),
            file::Lock::Taken => stopped(),
        }
    }

    fn refuse_in_use(&self) -> Result<(), Failure> {
        let running = holders::of_user(self.own.uid);
        match running.first() {
            None => Ok(()),
            Some(pid) => refuse(
                Refusal::HomeBusy,
                format!(
                    "{} processes run as {} (the first is {pid}), who could change files while they are copied. Nothing was \
                     changed.",
                    running.len(),
                    self.user
                ),
            ),
        }
    }

    fn refuse_different(&self, to: &OwnedFd) -> Result<(), Failure> {
        let found = copytree::differences(self.from.as_fd(), to.as_fd(), NAMED)
            .map_err(|error| self.failed(error))?;
        if found.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = found.iter().map(ToString::to_string).collect();
        refuse(
            Refusal::HomeBusy,
            format!(
                "The copy is not the same as {}, and was taken back; the account is as it was. Different are: {}.",
                self.folder.display(),
                named.join("; ")
            ),
        )
    }

    /// What is full is the new home, or the disk around it: the storage says which.
    fn failed(&self, error: Error) -> Failure {
        if matches!(error, Error::NoSpace { .. }) {
            return Refusal::NoDiskSpace.into();
        }
        let text = format!(
            "{error}. Nothing was changed: the account and {} are as they were.",
            self.folder.display()
        );
        Failure::Refused(records::refusal::Refused::new(Refusal::NotSupported, text))
    }
}

fn stopped<T>() -> Result<T, Failure> {
    refuse(Refusal::AccessDenied, "It was stopped. What was copied is taken back; the account is as it was.")
}
