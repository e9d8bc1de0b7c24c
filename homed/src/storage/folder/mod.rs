//! A home whose files lie in a folder of the machine's own file system, without encryption.
//!
//! ```text
//! /home/alice.homedir ─────────────────────────────→ /home/alice
//!  (.identity inside)   a mount of its own, IDs mapped
//! ```
//!
//! What kinds differ in is a [`Variety`]: how the folder is made, whose its files are on disk, and whether its size can be
//! limited. There is no key, so a home that is open cannot be locked; the record in the home is all there is beside the
//! host's.

use super::examined::{Examination, Examined, FileSystem, Image, Inside, Looked};
use super::parts::bound;
use super::parts::tree::{self, Ids};
use super::parts::unmount;
use super::traces::Traces;
use super::whereabouts::{Clues, Kernel, Standing};
use super::{Backend, HomeDirectory, NewHome, Opened, Opening, Resized, Resizes, Spec, Vault};
use crate::job::{Context, Failure, Force, Seen, Size, Step, Steps, refuse};
use crate::sys::durable;
use records::signature::Vouched;
use records::{Record, Refusal, Secret};
use rustix::fs::Mode;
use serde_json::{Map, Value, json};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

mod create;
pub(super) mod remove;
mod sizes;
pub(super) mod temporary;

pub use sizes::{Limits, Quota};

/// What is different about one kind of folder.
pub trait Variety: Sync {
    /// What a home of this kind goes without on the file system of the open folder around, in words for its user.
    fn lacks(&self, around: &OwnedFd, spec: &Spec) -> Result<Option<String>, Failure>;

    /// Makes an empty one, open to nobody but root.
    fn make(&self, around: &OwnedFd, name: &str) -> Result<(), Failure>;

    /// Whose the files of this user are on the disk.
    fn stored(&self, uid: u32) -> u32;

    /// `None`: what is in it has no bound but the disk.
    fn limits(&self) -> Option<&dyn Limits>;
}

/// Makes an ordinary folder, open to nobody but root.
pub fn make_plain(around: &OwnedFd, name: &str) -> Result<(), Failure> {
    rustix::fs::mkdirat(around, name, Mode::from_raw_mode(0o700))
        .map_err(std::io::Error::from)
        .during("making the folder of the home")
}

/// How far a home is open.
pub fn standing(clues: &Clues<'_>, kernel: &Kernel) -> std::io::Result<Standing> {
    let mounts = kernel.mounts()?;
    let is_mounted = clues.spots(mounts)?.iter().any(|spot| bound::is_at(spot, mounts));
    Ok(if is_mounted { Standing::Mounted } else { Standing::Closed })
}

/// A folder without a record is nobody's home. One that cannot be looked into is left to who opens it.
pub fn lacks(path: &Path) -> Option<&'static str> {
    let record = match path.join(super::home::IDENTITY).symlink_metadata() {
        Ok(facts) => facts.is_file(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    (!record).then_some("there is no record of a home in it (a file .identity)")
}

/// What is to be seen of its key: it has none.
pub fn traces(_: &Clues<'_>) -> Traces {
    Traces::none()
}

/// The backend for one home.
pub struct Folder {
    spec: Spec,
    variety: &'static dyn Variety,
}

impl Folder {
    /// For the home of this spec.
    pub fn new(spec: Spec, variety: &'static dyn Variety) -> Self {
        Self { spec, variety }
    }

    fn open_home(&self) -> Result<HomeDirectory, Failure> {
        let path = self.spec.image.display();
        match durable::directory(&self.spec.image) {
            Ok(directory) => HomeDirectory::new(directory),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                refuse(Refusal::HomeAbsent, format!("The folder of the home, {path}, is not there."))
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => refuse(
                Refusal::HomeDamaged,
                format!("{path} is not the folder of a home; nothing was changed."),
            ),
            Err(error) => Err(error).during(format!("opening {path}")),
        }
    }
}

impl Backend for Folder {
    fn create(
        &self,
        request: &mut NewHome<'_>,
        steps: &mut dyn Steps,
    ) -> Result<Map<String, Value>, Failure> {
        temporary::sweep(&self.spec.image)?;
        create::create(&self.spec, self.variety, request, steps)?;
        Ok(binding(&self.spec))
    }

    fn open(&self, how: Opening, _: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure> {
        steps.enter(Step::Unlock)?;
        if how != Opening::Inspect {
            temporary::sweep(&self.spec.image)?;
        }
        let home = self.open_home()?;
        Ok(Box::new(OpenFolder { home, spec: self.spec.clone(), variety: self.variety, vouched: None }))
    }

    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
        temporary::sweep(&self.spec.image)?;
        steps.enter(Step::Unmount)?;
        let directory = &self.spec.home_directory;
        unmount::those(&|| bound::at(directory), force, steps)?;
        steps.enter(Step::Sync)?;
        match self.open_home() {
            Ok(home) => durable::sync_file_system(&home).during("writing the home to disk"),
            // Its disk is gone, or somebody has moved it: nothing of it is mounted any more.
            Err(_) => Ok(()),
        }
    }

    fn accept(&self, record: &Record) -> Result<(), Failure> {
        match self.variety.limits() {
            None if self.spec.wishes_another_size(record)? => sizes::no_size(),
            _ => Ok(()),
        }
    }

    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        remove::remove(&self.spec, steps)
    }

    fn sweep(&self) -> Result<(), Failure> {
        temporary::sweep(&self.spec.image)
    }

    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure> {
        steps.enter(Step::Check)?;
        temporary::sweep(&self.spec.image)?;
        let mut found = Examined::default();
        match self.open_home() {
            Ok(home) => {
                found.image = Image::Folder;
                steps.enter(Step::ReadCopies)?;
                let record = home.read_record().map_err(|failure| failure.text().to_owned());
                let seen = Looked::At(Inside { file_system: FileSystem::OfTheMachine, record });
                found.inside = Some(seen).filter(|_| wish.seen == Seen::Closed);
            }
            Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeAbsent => {}
            Err(failure) => found.image = Image::Unreadable(failure.text().to_owned()),
        }
        Ok(found)
    }

    fn resizes(&self) -> Option<&dyn Resizes> {
        self.variety.limits().map(|_| self as &dyn Resizes)
    }
}

impl Resizes for Folder {
    fn resize(&self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure> {
        sizes::resize(self.variety, self.open_home()?.as_fd(), size, steps)
    }
}

/// A folder that is open.
struct OpenFolder {
    home: HomeDirectory,
    spec: Spec,
    variety: &'static dyn Variety,
    vouched: Option<Vouched>,
}

impl Opened for OpenFolder {
    fn home(&mut self, _: &mut dyn Steps) -> Result<&HomeDirectory, Failure> {
        Ok(&self.home)
    }

    fn binding(&self) -> Map<String, Value> {
        binding(&self.spec)
    }

    fn resize(&mut self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure> {
        sizes::resize(self.variety, self.home.as_fd(), size, steps)
    }

    fn expose(self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.enter(Step::Expose)?;
        let ids = Ids { stored: self.home.owner(), exposed: uid };
        let tree = bound::mapped(self.home.as_fd(), ids, self.spec.attributes(self.vouched))?;
        tree::make_target(&self.spec.home_directory)?;
        bound::attach(&tree, &self.spec.home_directory)
    }

    fn finish(self: Box<Self>, _: &mut dyn Steps) -> Result<(), Failure> {
        Ok(())
    }

    fn vouch(&mut self, vouched: Vouched) {
        self.vouched = Some(vouched);
    }

    fn vault(&mut self) -> Option<&mut dyn Vault> {
        None
    }
}

pub fn binding(spec: &Spec) -> Map<String, Value> {
    let all = json!({
        "storage": spec.storage.as_str(),
        "imagePath": spec.image,
        "homeDirectory": spec.home_directory,
    });
    all.as_object().cloned().unwrap_or_default()
}
