//! The kind `fscrypt`: a folder that the kernel encrypts, on ext4, f2fs and whatever else can.
//!
//! ```text
//! /home/alice.homedir ──────────────────────────────→ /home/alice
//!  policy: the name of the key   a mount of its own, IDs mapped
//!  trusted.fscrypt_slot0, …: the key, encrypted with each of the user's
//! ```
//!
//! The key is given to the file system, and the folder can be read through either path until it is taken back. There is no
//! record beside the keys: the one in the home is all there is besides the host's. The kernel keeps the keys of what is open,
//! the top of what is mounted always among it, so an open home cannot be locked; closed, nothing of it can be read.

use super::examined::{Beside, Examination, Examined, FileSystem, Header, Image, Inside, Looked, Unlocked};
use super::folder::{self, binding, remove, temporary};
use super::kind::{Kind, Parts};
use super::parts::bound;
use super::parts::unmount;
use super::{Backend, NewHome, Opened, Opening, Spec, Standing};
use crate::job::{Context, Failure, Force, Seen, Step, Steps, refuse};
use crate::sys::durable;
use crate::sys::fscrypt::{self as kernel, Folder, Name};
use opened::OpenFscrypt;
use records::{Record, Refusal, Secret, Storage};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;

mod create;
mod keys;
mod lent;
mod opened;
mod slot;
mod slots;
mod traces;

/// The kind.
pub const KIND: Kind = Kind {
    storage: Storage::Fscrypt,
    is_one: |path, facts| {
        let folder = || durable::directory(path).and_then(kernel::folder);
        facts.is_dir() && matches!(folder(), Ok(Folder::Encrypted(_)))
    },
    says: |_, _| None,
    lacks: slots::lacks,
    is_folder: true,
    parts: Parts { keyed: true, locks: false, resizes: false, tends: false },
    standing: folder::standing,
    traces: traces::look,
    key: traces::key,
};

/// The backend for the home of this spec.
pub fn backend(spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    Ok(Box::new(Fscrypt { spec }))
}

struct Fscrypt {
    spec: Spec,
}

/// The folder of a home, open, and what its policy calls the key.
struct Encrypted {
    directory: OwnedFd,
    name: Name,
}

impl Fscrypt {
    fn open_folder(&self) -> Result<Encrypted, Failure> {
        let path = self.spec.image.display();
        let directory = match durable::directory(&self.spec.image) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return refuse(Refusal::HomeAbsent, format!("The folder of the home, {path}, is not there."));
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return self.damaged("it is not a folder");
            }
            other => other.during(format!("opening {path}"))?,
        };
        match kernel::folder(&directory) {
            Ok(Folder::Encrypted(name)) => Ok(Encrypted { directory, name }),
            Ok(Folder::Plain) => self.damaged("it is not encrypted"),
            Ok(Folder::Impossible) => refuse(
                Refusal::NotSupported,
                format!(
                    "{path} is the folder of an encrypted home, and this kernel or the file system it lies on does not encrypt \
                     folders (fscrypt). Nothing was changed."
                ),
            ),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                self.damaged("it is encrypted in a way that is not known here")
            }
            Err(error) => Err(error).during("reading how the home is encrypted"),
        }
    }

    fn damaged<T>(&self, why: &str) -> Result<T, Failure> {
        let path = self.spec.image.display();
        refuse(
            Refusal::HomeDamaged,
            format!("{path} is not the encrypted folder of a home: {why}. Nothing was changed."),
        )
    }

    /// The key of a home that is not shown any more is nobody's.
    fn sweep_key(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        if self.spec.standing()? == Standing::Closed { lent::forget(&self.spec, steps) } else { Ok(()) }
    }
}

impl Backend for Fscrypt {
    fn create(
        &self,
        request: &mut NewHome<'_>,
        steps: &mut dyn Steps,
    ) -> Result<Map<String, Value>, Failure> {
        temporary::sweep(&self.spec.image)?;
        create::create(&self.spec, request, steps)?;
        Ok(binding(&self.spec))
    }

    fn open(&self, how: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure> {
        steps.enter(Step::Unlock)?;
        if how != Opening::Inspect {
            temporary::sweep(&self.spec.image)?;
        }
        let Encrypted { directory, name } = self.open_folder()?;
        let all = slots::read(&directory)?;
        if all.is_empty() {
            return self.damaged("it has no key slots");
        }
        let Some(unlocked) = slots::unlock(&all, keys, name)? else {
            slots::untried(&all).into_iter().for_each(|why| steps.warn(why));
            return Err(Refusal::BadPassword.into());
        };
        let key = keys[unlocked.key].duplicate();
        Ok(Box::new(OpenFscrypt::new(&self.spec, Encrypted { directory, name }, unlocked, key)?))
    }

    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
        temporary::sweep(&self.spec.image)?;
        steps.enter(Step::Unmount)?;
        let directory = &self.spec.home_directory;
        // What cannot be told of it is asked at its place afterwards.
        let shown = lent::Shown::look(&self.spec).unwrap_or_default();
        unmount::those(&|| bound::at(directory), force, steps)?;
        steps.enter(Step::Sync)?;
        // What is not on disk yet is written when the key goes.
        if let Some(shown) = shown {
            return shown.forget(|| self.open_folder().is_ok(), steps);
        }
        match lent::forget(&self.spec, steps) {
            // Its disk is gone, or somebody has moved it: nothing of it is mounted any more.
            Err(failure) if self.open_folder().is_err() => {
                steps.warn(format!(
                    "The home is closed, and its folder is not where it was: its key may stay in the kernel until that file system \
                     is unmounted everywhere ({}). Nothing is lost.",
                    failure.text()
                ));
                Ok(())
            }
            done => done,
        }
    }

    fn accept(&self, record: &Record) -> Result<(), Failure> {
        if self.spec.wishes_another_size(record)? { no_size() } else { Ok(()) }
    }

    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.sweep_key(steps)?;
        remove::remove(&self.spec, steps)
    }

    fn sweep(&self) -> Result<(), Failure> {
        temporary::sweep(&self.spec.image)?;
        self.sweep_key(&mut Untold)
    }

    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure> {
        steps.enter(Step::Check)?;
        temporary::sweep(&self.spec.image)?;
        let mut found = Examined::default();
        match self.open_folder() {
            Ok(folder) => self.look(folder, wish, &mut found, steps)?,
            Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeAbsent => {}
            Err(failure) => found.image = Image::Unreadable(failure.text().to_owned()),
        }
        Ok(found)
    }
}

impl Fscrypt {
    fn look(
        &self,
        folder: Encrypted,
        wish: &Examination<'_>,
        found: &mut Examined,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        found.image = Image::Folder;
        let all = slots::read(&folder.directory)?;
        let marked = keys::is_cut_short(&folder.directory)?;
        found.header = Some(Header {
            is_ours: true,
            is_newer: false,
            slots: all.len(),
            marked,
            record: Beside::Nowhere,
        });
        steps.enter(Step::Unlock)?;
        let Some(unlocked) = slots::unlock(&all, wish.keys, folder.name)? else {
            slots::untried(&all).into_iter().for_each(|why| steps.warn(why));
            return Ok(());
        };
        let record = Err("there is none beside the keys".to_owned());
        found.unlocked = Some(Unlocked { key: unlocked.key, slot: unlocked.slot, record });
        if wish.seen != Seen::Closed {
            return Ok(());
        }
        steps.enter(Step::ReadCopies)?;
        let key = wish.keys[unlocked.key].duplicate();
        let mut opened = OpenFscrypt::new(&self.spec, folder, unlocked, key)?;
        let record = opened.home(steps)?.read_record().map_err(|failure| failure.text().to_owned());
        found.inside = Some(Looked::At(Inside { file_system: FileSystem::OfTheMachine, record }));
        Box::new(opened).finish(steps)
    }
}

/// A sweep has nobody to tell.
struct Untold;

impl Steps for Untold {
    fn enter(&mut self, _: Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _: String) {}
}

fn no_size<T>() -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        "A home of this kind cannot be given a size: it has what is free on the disk it lies on. Leave --disk-size= out, or \
         choose --storage=luks, or --storage=subvolume on btrfs (which encrypts nothing).",
    )
}
