//! An image that was opened with a key: its layers are built as far as they are needed, and go with it.

use super::file_system;
use super::header::{self, HeaderCopy, Place};
use super::is_mounted;
use super::perform::open::reach;
use super::perform::pinned;
use super::perform::sweep::{refuse_what_is_open, sweep};
use super::plan::open::{Situation, Vouched as IsVouched, Way, Wish};
use super::record_token::{self, Algorithm};
use super::sealed;
use crate::job::{Context, Failure, Size, Step, Steps, refuse};
use crate::storage::HomeDirectory;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::image;
use crate::storage::parts::mapped::Mapped;
use crate::storage::parts::mark;
use crate::storage::parts::superblock::{self, FileSystem};
use crate::storage::parts::taken::{self, Anothers};
use crate::storage::parts::tree::{Device, PrivateMount};
use crate::storage::{InOrder, KeyChange, Opened, Opening, Proof, Resized, Settlement, Vault, derive};
use crate::sys::cryptsetup::{Facts, Luks};
use crate::sys::devmapper;
use crate::sys::mount::Setting;
use records::signature::Vouched;
use records::{Record, Refusal, Secret};
use serde_json::{Map, Value, json};
use std::fs::File;

pub mod emergency;
mod keys;
pub use keys::{NO_ROOM, Room};
mod layers;
mod sizes;
mod smaller;

/// Bytes that a disk has left which is full.
const NEARLY_FULL: u64 = 16 << 20;

/// The layers; fields are dropped in this order, from the top down. What was opened and is not shown is closed, and marked
/// so, whatever ends the job: an image that stays marked as open is refused by every other machine.
pub struct LuksOpened {
    directory: Option<HomeDirectory>,
    mount: Option<PrivateMount>,
    mapped: Option<Mapped>,
    disk: Option<Luks>,
    device: Option<Below>,
    /// What of them there is.
    stands: Situation,
    /// The UID that it is to be shown with.
    shown_as: Option<u32>,
    /// Whether it was marked as open before; `None`: it was not marked by this run.
    was_dirty: Option<bool>,
    /// What it was marked with.
    mark: mark::Written,
    /// Warnings of what was opened unasked.
    untold: Vec<String>,
    /// Whether tokens for emergencies have made way in this run.
    gave_way: bool,
    /// Another mount namespace has it mounted: nothing is attached a second time.
    taken_over: Option<devmapper::Device>,
    image: File,
    spec: Spec,
    how: Opening,
    place: Place,
    header: HeaderCopy,
    facts: Facts,
    found: Option<FileSystem>,
    key: usize,
    known: Vec<keys::Known>,
    slot: u32,
    volume_key: Secret,
    record: Result<Record, String>,
    /// The token that the record is in.
    token: Option<Value>,
    vouched: Option<Vouched>,
}

impl LuksOpened {
    /// Opens the image and tries the keys on a copy of its header. Nothing is changed so far.
    pub fn new(spec: &Spec, how: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Self, Failure> {
        steps.enter(Step::Unlock)?;
        let writes = writes(how);
        if writes {
            sweep(spec)?;
        }
        let taken_over = if how == Opening::Activate { pinned::pinned(spec)? } else { None };
        let image = image(spec, how, taken_over.is_some())?;
        let place = header::locate(&image, spec)?;
        if writes && taken_over.is_some() {
            mark::refuse_another(&image, place.mark(), &spec.machine)?;
        }
        let mut header = HeaderCopy::read(&image, &place, spec)?;
        let facts = header.luks.facts().during("reading the encryption header")?;
        refuse_another(spec, &facts).and_then(|()| header.refuse_newer(spec))?;
        if writes {
            refuse_what_is_open(spec, facts.uuid, taken_over.as_ref())?;
        }
        let unlocked = header.unlock(keys, spec)?;
        let record = read_record(&mut header.luks, &facts, &unlocked.volume_key);
        let key = keys.get(unlocked.key).map_or_else(|| Secret::new(Vec::new()), Secret::duplicate);
        Ok(Self {
            directory: None,
            mount: None,
            mapped: None,
            disk: None,
            device: None,
            stands: Situation::begin(way(taken_over.is_some()), IsVouched::No),
            shown_as: None,
            was_dirty: None,
            mark: mark::Written::default(),
            untold: Vec::new(),
            gave_way: false,
            taken_over,
            image,
            spec: spec.clone(),
            how,
            place,
            facts,
            found: None,
            key: unlocked.key,
            known: vec![keys::Known { slot: unlocked.slot, key }],
            slot: unlocked.slot,
            volume_key: unlocked.volume_key,
            record,
            token: header.record_token(),
            header,
            vouched: None,
        })
    }
}

fn writes(how: Opening) -> bool {
    !is_mounted(how) && how != Opening::Inspect
}

fn way(is_taken_over: bool) -> Way {
    if is_taken_over { Way::TakeOver } else { Way::Write }
}

/// The image, locked where it is written to. Of one that is taken over its loop device has the lock.
fn image(spec: &Spec, how: Opening, is_taken_over: bool) -> Result<File, Failure> {
    match (is_taken_over, writes(how)) {
        (true, _) => image::open(&spec.image, image::Access::Beside),
        (false, true) => header::take(spec, taken::Way::Write, Anothers::Refused),
        (false, false) => image::open(&spec.image, image::Access::Read),
    }
}

impl Opened for LuksOpened {
    fn vouch(&mut self, vouched: Vouched) {
        (self.vouched, self.stands.vouched) = (Some(vouched), IsVouched::Yes);
    }

    fn home(&mut self, steps: &mut dyn Steps) -> Result<&HomeDirectory, Failure> {
        if self.directory.is_none() && is_mounted(self.how) {
            let Some(home) = super::mounted_home(&self.spec)? else {
                return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
            };
            self.directory = Some(HomeDirectory::new(home.open().during("opening the home directory")?)?);
        }
        if self.directory.is_none() {
            let opened = reach(self, Wish::Mounted, steps);
            self.untold.drain(..).for_each(|text| steps.warn(text));
            opened?;
        }
        self.directory.as_ref().ok_or_else(|| Failure::fault("the home directory was not opened"))
    }

    fn binding(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
        put("storage", json!("luks"));
        put("imagePath", json!(self.spec.image));
        put("homeDirectory", json!(self.spec.home_directory));
        put("luksUuid", json!(self.facts.uuid.to_string()));
        put("luksCipher", json!(self.facts.cipher));
        put("luksCipherMode", json!(self.facts.mode));
        put("luksVolumeKeySize", json!(self.facts.key_size));
        if let Some((table, _)) = &self.place.table {
            put("partitionUuid", json!(table.partition.to_string()));
        }
        if let Some(found) = &self.found {
            put("fileSystemUuid", json!(found.uuid.to_string()));
            put("fileSystemType", json!(found.kind.name()));
        }
        all
    }

    fn resize(&mut self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure> {
        let directory = self.home(steps)?.reopen()?;
        if is_mounted(self.how) {
            // It was opened to be read: whoever has it mounted has the lock.
            self.image = image::open(&self.spec.image, image::Access::Beside)?;
            return self.layers(directory).resize(size, steps);
        }
        let smaller = self.layers(directory).only_as_copy(size, steps)?;
        if let Some(smaller) = smaller {
            return self.shrink_as_copy(smaller, steps);
        }
        let directory = self.home(steps)?.reopen()?;
        self.layers(directory).resize(size, steps)
    }

    fn expose(mut self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.shown_as = Some(uid);
        reach(&mut *self, Wish::Shown, steps)
    }

    fn finish(mut self: Box<Self>, steps: &mut dyn Steps) -> Result<(), Failure> {
        if !self.stands.marked {
            return Ok(());
        }
        steps.enter(Step::Detach)?;
        self.close(steps)
    }

    fn vault(&mut self) -> Option<&mut dyn Vault> {
        Some(self)
    }
}

impl Vault for LuksOpened {
    fn key(&self) -> usize {
        self.key
    }

    fn record(&self) -> Option<Result<&Record, &str>> {
        Some(self.record.as_ref().map_err(String::as_str))
    }

    fn slots_by_hand(&self) -> &'static str {
        "\"cryptsetup luksDump\" lists key slots, \"cryptsetup luksKillSlot\" removes one."
    }

    fn write_record(&mut self, record: &Record, _settled: &InOrder) -> Result<(), Failure> {
        if self.put_record(record)? == Room::None {
            self.untold.push(NO_ROOM.into());
        }
        self.sync_header()
    }

    fn derive(&self, purpose: &str) -> Result<Secret, Failure> {
        derive::hkdf(&self.volume_key, self.facts.uuid.as_bytes(), purpose, 32)
    }

    fn settle_keys(&mut self, proof: &Proof<'_>, steps: &mut dyn Steps) -> Result<Settlement, Failure> {
        self.settle(proof, steps)
    }

    fn change_keys(
        &mut self,
        change: KeyChange<'_>,
        settled: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        self.change(change, settled, steps)
    }

    fn unseal(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        sealed::unseal(&self.spec, &self.volume_key, steps)
    }
}

/// The values the binding remembers must be those of the header, or somebody has put another image there.
fn refuse_another(spec: &Spec, facts: &Facts) -> Result<(), Failure> {
    if is_ours(spec, facts) {
        Ok(())
    } else {
        header::damaged(spec, "it is not the image this machine knows (another UUID or cipher)")
    }
}

/// Whether the header is the one the record knows, as far as it knows one.
pub fn is_ours(spec: &Spec, facts: &Facts) -> bool {
    let encryption = &spec.encryption;
    spec.uuids.luks.is_none_or(|uuid| uuid == facts.uuid)
        && encryption.cipher.as_ref().is_none_or(|cipher| *cipher == facts.cipher)
        && encryption.mode.as_ref().is_none_or(|mode| *mode == facts.mode)
        // Without key slots the header does not say: 0.
        && encryption.key_size.is_none_or(|size| facts.key_size == 0 || size == facts.key_size)
}

/// The record in the header.
pub fn read_record(luks: &mut Luks, facts: &Facts, key: &Secret) -> Result<Record, String> {
    let algorithm = Algorithm { cipher: &facts.cipher, mode: &facts.mode };
    match luks.tokens(record_token::KIND).first() {
        Some((_, token)) => {
            record_token::open(token, algorithm, key).map_err(|failure| failure.text().to_owned())
        }
        None => Err("the header holds no record".into()),
    }
}

/// A file system that the kernel does not take is damaged storage, whatever it calls that; unless it takes it without the mount
/// options of the record.
fn not_mounted<T>(device: Device<'_>, spec: &Spec, vouched: Vouched, failure: Failure) -> Result<T, Failure> {
    let options = file_system::believed(spec, vouched);
    // Of some the kernel says only now that it does not take them. Nothing is written in trying.
    let without = file_system::read_only(device.kind, spec, vouched);
    if !options.is_empty()
        && matches!(failure, Failure::Fault(_))
        && PrivateMount::new(device, &without, vouched).is_ok()
    {
        return refuse(Refusal::InvalidArgs, options_at_fault(device.kind, &options, spec, &failure));
    }
    match failure {
        Failure::Fault(why) => refuse(
            Refusal::HomeDamaged,
            format!(
                "The key is right, and the file system in {} cannot be mounted ({why}). Nothing was changed. \
                 To open what is left of it, to be read only: homectl rescue.",
                spec.image.display()
            ),
        ),
        refused => Err(refused),
    }
}

fn options_at_fault(kind: superblock::Kind, options: &[Setting], spec: &Spec, failure: &Failure) -> String {
    let what = match file_system::accept(kind, options) {
        Err(refused) => format!("{} Nothing is damaged", refused.sentence),
        Ok(()) => format!(
            "{kind} cannot be mounted with the mount options of the record (luksExtraMountOptions; {}), and can be read without \
             them. Nothing was changed",
            failure.text()
        ),
    };
    let user = &spec.user;
    format!("{what}; to have it mounted without them: homectl update {user} --luks-extra-mount-options=")
}

fn probe(mapped: &Mapped, spec: &Spec) -> Result<FileSystem, Failure> {
    let Some(found) = superblock::probe(&mapped.head(superblock::BYTES)?) else {
        return header::damaged(spec, "there is no file system inside that is known");
    };
    if spec.uuids.file_system.is_some_and(|uuid| uuid != found.uuid) {
        return header::damaged(spec, "the file system inside is not the one this machine knows");
    }
    Ok(found)
}
