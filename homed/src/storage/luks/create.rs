//! Making a home: nothing has a name before all of it is whole and on disk.

use super::disk::NewDisk;
use super::plan::keys::SLOTS;
use super::record_token::{self, Algorithm};
use super::stretching::{self, Stretchings};
use super::{file_system, segment, tend, wait_until_closed};
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::HomeDirectory;
use crate::storage::NewHome;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::gpt::Table;
use crate::storage::parts::image::{self, Blocks, NewImage};
use crate::storage::parts::mapped::{self, Mapped};
use crate::storage::parts::size::Wish;
use crate::storage::parts::superblock::Kind;
use crate::storage::parts::tree::{self, Device, PrivateMount, STORED_UID};
use crate::storage::parts::{room, size};
use crate::sys::cryptsetup::{Layout, Luks};
use crate::sys::loopdev::{LoopDevice, Window};
use crate::sys::{btrfs, durable, file};
use records::refusal::Refused;
use records::{Refusal, Secret};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What a LUKS2 header of the size that is made here takes, with its key slots.
const HEADER: u64 = 16 << 20;
/// AES-256 in XTS mode, which takes two keys; the original's default is half of it.
const KEY_SIZE: u32 = 64;
/// What this project's partition tables are written in, whatever the encryption's sectors.
const TABLE_SECTOR: u64 = 512;

/// All that is chosen before anything is made.
struct Plan {
    kind: Kind,
    size: u64,
    table: Table,
    luks_uuid: Uuid,
    file_system_uuid: Uuid,
    cipher: String,
    mode: String,
    sector: u32,
}

impl Plan {
    /// The part of the image that is the file system's device.
    fn data(&self) -> Range<u64> {
        self.table.start + HEADER..self.table.end
    }
}

/// Makes the home; what its binding has to say comes back.
pub fn create(
    spec: &Spec,
    request: &mut NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<Map<String, Value>, Failure> {
    super::sweep(spec)?;
    mapped::remove_stale(&spec.mapper_name())?;
    let target = Target::begin(spec)?;
    let plan = plan(spec, &target, request.overcommit, steps)?;
    steps.enter(Step::Allocate)?;
    target.allocate(spec, &plan)?;
    steps.enter(Step::Partition)?;
    target.prepare(&plan.table)?;
    let key = volume_key(spec)?;
    build(spec, &plan, target.file(), &key, request, steps)?;
    wait_until_closed(spec, None)?;
    steps.enter(Step::Sync)?;
    target.file().sync_all().during("writing the image to disk")?;
    steps.enter(Step::Publish)?;
    let known_as = target.publish(spec, &plan, steps)?;
    Ok(binding(spec, &plan, &key, &known_as))
}

/// What the home is made in.
enum Target {
    /// A new file.
    File(NewImage),
    /// A disk.
    Disk(NewDisk),
}

impl Target {
    fn begin(spec: &Spec) -> Result<Self, Failure> {
        if NewDisk::is_at(&spec.image) {
            return NewDisk::begin(&spec.image).map(Self::Disk);
        }
        NewImage::begin(&spec.image, &spec.machine.id).map(Self::File)
    }

    fn file(&self) -> &File {
        match self {
            Self::File(image) => image.file(),
            Self::Disk(disk) => disk.file(),
        }
    }

    /// The table's partition: on a disk its end may be the wish's, and the table is as large as the disk.
    fn table(&self, size: u64, partition: Uuid, label: &str) -> Result<Table, Failure> {
        let Self::Disk(disk) = self else {
            return Ok(Table::covering(size, TABLE_SECTOR, Uuid::new_v4(), partition, label));
        };
        let all = Table::covering(disk.size(), disk.sector()?.into(), Uuid::new_v4(), partition, label);
        let end = all.end.min(all.start.saturating_add(size));
        Ok(Table { end, ..all })
    }

    fn allocate(&self, spec: &Spec, plan: &Plan) -> Result<(), Failure> {
        if let Self::File(image) = self {
            let reserved = !spec.discard && !spec.offline_discard;
            image.set_size(plan.size, if reserved { Blocks::Reserved } else { Blocks::Sparse })?;
        }
        room::reserve_ends(self.file(), plan.data()).during("allocating the header of the image")
    }

    fn prepare(&self, table: &Table) -> Result<(), Failure> {
        if let Self::File(image) = self {
            for (offset, bytes) in table.pieces() {
                image.file().write_all_at(&bytes, offset).during("writing the partition table")?;
            }
        }
        Ok(())
    }

    /// Where the home is from now on.
    fn publish(self, spec: &Spec, plan: &Plan, steps: &mut dyn Steps) -> Result<PathBuf, Failure> {
        match self {
            Self::File(image) => image.publish().map(|_| spec.image.clone()),
            Self::Disk(disk) => disk.publish(&plan.table, plan.luks_uuid, steps),
        }
    }
}

fn plan(spec: &Spec, target: &Target, overcommit: u32, steps: &mut dyn Steps) -> Result<Plan, Failure> {
    let kind = file_system::choose(spec.file_system)?;
    let cipher = spec.encryption.cipher.clone().unwrap_or_else(|| "aes".into());
    let mode = spec.encryption.mode.clone().unwrap_or_else(|| "xts-plain64".into());
    record_token::refuse_unknown(Algorithm { cipher: &cipher, mode: &mode }, key_size(spec)?)?;
    let size = match target {
        Target::File(image) => size(spec, image, (kind, overcommit), steps)?,
        Target::Disk(disk) => size_on_disk(spec, disk.size(), kind)?,
    };
    let or_random = |uuid: Option<Uuid>| uuid.unwrap_or_else(Uuid::new_v4);
    let partition = or_random(spec.uuids.partition);
    Ok(Plan {
        kind,
        size,
        table: target.table(size, partition, &spec.name)?,
        luks_uuid: or_random(spec.uuids.luks),
        file_system_uuid: or_random(spec.uuids.file_system),
        cipher,
        mode,
        sector: spec.encryption.sector.unwrap_or(4096),
    })
}

/// How large the partition of a disk is made: as large as the disk has room for, or as the record says.
fn size_on_disk(spec: &Spec, disk: u64, kind: Kind) -> Result<u64, Failure> {
    let (least, mib) = (size::least(kind), |bytes: u64| bytes >> 20);
    let asked = match spec.size {
        Wish::Bytes(bytes) => bytes.max(least),
        Wish::Share(part) => size::share(disk, part).max(least),
        Wish::Unset => disk,
    };
    if disk < least || asked > disk {
        return refuse(
            Refusal::NoDiskSpace,
            format!(
                "{} has {} MiB: a home needs {} MiB at least, and {} MiB were asked for.",
                spec.image.display(),
                mib(disk),
                mib(least),
                mib(asked)
            ),
        );
    }
    Ok(asked / (1 << 20) * (1 << 20))
}

/// How large it is made. Whoever asked for more is told what there is.
fn size(
    spec: &Spec,
    image: &NewImage,
    (kind, overcommit): (Kind, u32),
    steps: &mut dyn Steps,
) -> Result<u64, Failure> {
    let space = file::space(image.file()).during("asking for free space")?;
    let (spared, others) = (room::spared(space.total), image::sizes_in(spec.image.parent()));
    let promisable = u128::from(space.total) * u128::from(overcommit) / 100;
    let offer = size::Offer {
        all: space.free,
        free: space.free.saturating_sub(spared),
        promisable: u64::try_from(promisable).unwrap_or(u64::MAX).saturating_sub(others),
    };
    let mib = |bytes: u64| bytes >> 20;
    let there = format!(
        "{} MiB are free, of which {} MiB stay for others; all homes here promise {} MiB, and may promise {overcommit} % \
         of the disk's {} MiB (Overcommit= in homed.conf)",
        mib(space.free),
        mib(spared),
        mib(others),
        mib(space.total)
    );
    match (size::initial(spec.size, offer, kind), spec.size) {
        (Err(needed), _) => {
            refuse(Refusal::NoDiskSpace, format!("A home needs {} MiB at least: {there}.", mib(needed)))
        }
        (Ok(size), Wish::Bytes(asked)) if size < asked / (1 << 20) * (1 << 20) => {
            steps.warn(format!("The home gets {} MiB instead of {} MiB: {there}.", mib(size), mib(asked)));
            Ok(size)
        }
        (Ok(size), Wish::Bytes(asked)) if size > asked.next_multiple_of(1 << 20) => {
            let least = mib(size);
            steps.warn(format!("The home gets {least} MiB: with less its file system cannot be made."));
            Ok(size)
        }
        (Ok(size), _) => Ok(size),
    }
}

/// Bytes of the volume key.
fn key_size(spec: &Spec) -> Result<usize, Failure> {
    let size = spec.encryption.key_size.unwrap_or(KEY_SIZE);
    match usize::try_from(size) {
        Ok(bytes) if (16..=128).contains(&size) => Ok(bytes),
        _ => refuse(
            Refusal::InvalidArgs,
            format!("A volume key of {size} bytes is not possible: the size is in bytes, such as 32 or 64."),
        ),
    }
}

fn volume_key(spec: &Spec) -> Result<Secret, Failure> {
    let mut key = vec![0; key_size(spec)?];
    let drawn = openssl::rand::rand_priv_bytes(&mut key);
    let key = Secret::new(key);
    drawn.during("drawing a volume key")?;
    Ok(key)
}

/// Everything inside the image; all devices are closed again when it returns.
fn build(
    spec: &Spec,
    plan: &Plan,
    image: &File,
    key: &Secret,
    request: &mut NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    steps.enter(Step::Attach)?;
    let window = Window {
        offset: plan.table.start,
        size: plan.table.end - plan.table.start,
        block: if plan.sector == 4096 { 4096 } else { 512 },
    };
    let attached = LoopDevice::attach(image, window).during("attaching the image to a loop device")?;
    let device = Below::Loop(attached);
    let mut luks = format(spec, plan, &device, key, steps)?;
    add_keys(spec, (&mut luks, key), request, steps)?;
    let algorithm = Algorithm { cipher: &plan.cipher, mode: &plan.mode };
    let token = record_token::seal(request.record, algorithm, key)?;
    luks.set_token(None, &token).during("writing the record into the header")?;
    let mapped = segment::open(&mut luks, &device, &spec.mapper_name(), key, segment::writing(spec), steps)?;
    steps.enter(Step::MakeFileSystem)?;
    file_system::make(plan.kind, mapped.path(), plan.file_system_uuid, spec)?;
    populate(spec, plan, (image, &mapped), request, steps)?;
    steps.enter(Step::Unmount)
}

fn format(
    spec: &Spec,
    plan: &Plan,
    device: &Below,
    key: &Secret,
    steps: &mut dyn Steps,
) -> Result<Luks, Failure> {
    steps.enter(Step::Format)?;
    let mut luks = Luks::blank(device.path()).during("opening the loop device")?;
    let layout = Layout {
        cipher: &plan.cipher,
        mode: &plan.mode,
        uuid: plan.luks_uuid,
        label: &spec.name,
        subsystem: "systemd-home",
        sector: plan.sector,
    };
    luks.format(&layout, key).during("formatting the encrypted storage")?;
    Ok(luks)
}

fn add_keys(
    spec: &Spec,
    (luks, volume_key): (&mut Luks, &Secret),
    request: &NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    steps.enter(Step::AddKeys)?;
    let stretching = Stretchings::choose(&spec.encryption, stretching::Home::New)?;
    // From the top down, as a change of keys does: what other programs add lies below.
    for (key, number) in request.keys.iter().zip((0..SLOTS).rev()) {
        let stretching = stretching.of(key, request.random);
        luks.add_slot(number, volume_key, key, stretching).during("adding a key slot")?;
    }
    Ok(())
}

/// What is full while it is filled is the new home, and not the disk it lies on: that would be an error of the device to
/// the file system in it.
fn does_not_fit(failure: Failure, from: &Path) -> Failure {
    match failure {
        Failure::Refused(refused) if refused.refusal == Refusal::NoDiskSpace => {
            let sentence = format!("What is in {} does not fit into a home of that size.", from.display());
            Failure::Refused(Refused::new(Refusal::BadHomeSize, sentence))
        }
        other => other,
    }
}

fn populate(
    spec: &Spec,
    plan: &Plan,
    (image, mapped): (&File, &Mapped),
    request: &mut NewHome<'_>,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    steps.enter(Step::Mount)?;
    let way = file_system::way(plan.kind, spec, request.vouched);
    let mount = PrivateMount::new(Device { kind: plan.kind, path: mapped.path() }, &way, request.vouched)?;
    let directory = mount.make(&spec.name)?;
    let stored = if mount.can_map_ids(&directory, request.uid) { STORED_UID } else { request.uid };
    tree::give(&directory, stored)?;
    steps.enter(Step::Populate)?;
    let home = HomeDirectory::new(directory)?;
    let from = request.filled_from;
    (request.fill)(&home, steps).map_err(|failure| does_not_fit(failure, from))?;
    home.set_mode(spec.access_mode)?;
    durable::sync_file_system(&home).during("writing the home to disk")?;
    btrfs::chunks(&home)
        .and_then(|chunks| tend::reserve_metadata(image, plan.data(), &chunks))
        .during("allocating the metadata of the home")
}

fn binding(spec: &Spec, plan: &Plan, key: &Secret, known_as: &Path) -> Map<String, Value> {
    let all = json!({
        "storage": "luks",
        "imagePath": known_as,
        "homeDirectory": spec.home_directory,
        "partitionUuid": plan.table.partition.to_string(),
        "luksUuid": plan.luks_uuid.to_string(),
        "fileSystemUuid": plan.file_system_uuid.to_string(),
        "fileSystemType": plan.kind.name(),
        "luksCipher": plan.cipher,
        "luksCipherMode": plan.mode,
        "luksVolumeKeySize": key.open().len(),
    });
    all.as_object().cloned().unwrap_or_default()
}
