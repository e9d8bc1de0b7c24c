//! An image opened to be looked at: nothing of it is changed, whatever state it is in. The steps are those of
//! [the plan](super::plan::open); all of it goes with whoever drops it, or dies, before it is shown.

use super::file_system;
use super::header::{self, HeaderCopy, Place};
use super::perform::open::{Opens, reach};
use super::plan::open::{Situation, Step, Vouched as IsVouched, Way, Wish};
use super::segment::{self, Use};
use crate::job::{Context, Failure, Steps};
use crate::storage::HomeDirectory;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::mapped::Mapped;
use crate::storage::parts::superblock::{self, FileSystem, Kind};
use crate::storage::parts::tree::{self, Device, Ids, PrivateMount};
use crate::sys::cryptsetup::Luks;
use crate::sys::mount::Setting;
use records::Secret;
use records::signature::Vouched;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What is looked at.
pub struct Source<'a> {
    /// Whose.
    pub spec: &'a Spec,
    /// The image, open for reading.
    pub image: &'a File,
    /// Its header.
    pub header: &'a HeaderCopy,
    /// Where its encrypted part is.
    pub place: &'a Place,
    /// What the encrypted device is called.
    pub name: String,
    /// Its key.
    pub key: &'a Secret,
    /// Who vouches for the file system.
    pub vouched: Vouched,
}

/// An image that is looked at; the layers are dropped from the top down.
pub struct Looking<'a> {
    mount: Option<PrivateMount>,
    mapped: Option<Mapped>,
    luks: Option<Luks>,
    device: Option<Below>,
    stands: Situation,
    of: Source<'a>,
    shown: Option<(u32, PathBuf)>,
    /// What had to be left out for it to be mounted; empty: nothing.
    pub without: &'static str,
}

impl<'a> Looking<'a> {
    /// Attaches and decrypts it.
    pub fn new(of: Source<'a>, steps: &mut dyn Steps) -> Result<Self, Failure> {
        let stands = Situation::begin(Way::Look, IsVouched::Yes);
        let (mount, mapped, luks, device) = (None, None, None, None);
        let mut looking = Self { mount, mapped, luks, device, stands, of, shown: None, without: "" };
        reach(&mut looking, Wish::Decrypted, steps)?;
        Ok(looking)
    }

    fn mapped(&self) -> Result<&Mapped, Failure> {
        self.mapped.as_ref().ok_or_else(|| Failure::fault("the device was not opened"))
    }

    /// `/dev/mapper/…`.
    pub fn path(&self) -> Result<&Path, Failure> {
        self.mapped().map(Mapped::path)
    }

    /// What file system is on it, if any that is known.
    pub fn probe(&self) -> Option<FileSystem> {
        superblock::probe(&self.mapped().ok()?.head(superblock::BYTES).ok()?)
    }

    /// Mounts it out of sight, in the first way that works.
    pub fn mount(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        reach(self, Wish::Mounted, steps)
    }

    /// The home directory in it.
    pub fn home(&self) -> Result<HomeDirectory, Failure> {
        let Some(mount) = &self.mount else { return Err(Failure::fault("the home was not mounted")) };
        match mount.open(&self.of.spec.name) {
            Ok(fd) => HomeDirectory::new(fd),
            Err(error) => header::damaged(
                self.of.spec,
                &format!("there is no {:?} inside ({error})", self.of.spec.name),
            ),
        }
    }

    /// Shows the home at a directory of the machine, its owner mapped to that UID.
    pub fn show(mut self, uid: u32, target: &Path, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.shown = Some((uid, target.to_owned()));
        reach(&mut self, Wish::Shown, steps)
    }

    fn attach(&mut self) -> Result<(), Failure> {
        let window = self.of.header.window(self.of.place);
        let device = Below::of(self.of.image, &self.of.spec.image, window)?;
        self.luks = Some(Luks::load(device.path()).during("reading the encryption header")?);
        self.device = Some(device);
        Ok(())
    }

    fn decrypt(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let (Some(luks), Some(device)) = (&mut self.luks, &self.device) else {
            return Err(Failure::fault("the image was not attached"));
        };
        self.mapped = Some(segment::open(luks, device, &self.of.name, self.of.key, Use::Look, steps)?);
        Ok(())
    }

    fn mount_somehow(&mut self) -> Result<(), Failure> {
        let Some(found) = self.probe() else {
            return header::damaged(self.of.spec, "there is no file system inside that is known");
        };
        let mut last = Failure::fault("there is no way to mount it");
        for (options, without) in ways(found.kind) {
            let mut way = file_system::plain(found.kind, self.of.spec, self.of.vouched);
            way.settings.extend(options.iter().map(|option| setting(option)));
            let device = Device { kind: found.kind, path: self.path()? };
            match PrivateMount::new(device, &way, self.of.vouched) {
                Ok(mount) => {
                    (self.mount, self.without) = (Some(mount), without);
                    return Ok(());
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn put(&mut self) -> Result<(), Failure> {
        let home = self.home()?;
        let (Some(mount), Some((uid, target))) = (self.mount.take(), &self.shown) else {
            return Err(Failure::fault("the home was not mounted"));
        };
        tree::make_target(target)?;
        let ids = Ids { stored: home.owner(), exposed: *uid };
        let directory = home.reopen()?;
        drop(home);
        mount.expose(directory, ids, target)
    }
}

impl Opens for Looking<'_> {
    fn stands(&mut self) -> &mut Situation {
        &mut self.stands
    }

    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::Attach => self.attach(),
            Step::Decrypt => self.decrypt(steps),
            Step::Mount => self.mount_somehow(),
            Step::GoOn => Ok(()),
            Step::Show => self.put(),
            Step::LookAgain
            | Step::Mark
            | Step::ReadBack
            | Step::Level
            | Step::TakeOver
            | Step::Check
            | Step::KeepKey => Err(Failure::fault("what is looked at is not changed")),
        }
    }

    fn not_vouched(&self) -> Failure {
        file_system::not_vouched(self.of.spec)
    }
}

/// How a file system is mounted without a write: from the way that sees most to the one that asks least.
fn ways(kind: Kind) -> &'static [(&'static [&'static str], &'static str)] {
    match kind {
        Kind::Btrfs => &[
            (&["ro"], ""),
            (&["ro", "rescue=nologreplay"], "what was written in the last seconds before it was cut off"),
            (&["ro", "rescue=usebackuproot"], "the last changes: an older tree is used"),
            (&["ro", "rescue=all"], "whatever is damaged: nothing is checked, files may be wrong"),
        ],
        Kind::Ext4 => &[
            (&["ro"], ""),
            (&["ro", "noload"], "what was written in the last seconds before it was cut off"),
            // A journal that cannot even be found keeps the tables from being checked.
            (&["ro", "noload", "noblock_validity"], "its journal, and a check of its own tables"),
        ],
        Kind::Xfs => &[
            (&["ro"], ""),
            (&["ro", "norecovery"], "what was written in the last seconds before it was cut off"),
        ],
    }
}

fn setting(option: &str) -> Setting {
    match option.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    }
}
