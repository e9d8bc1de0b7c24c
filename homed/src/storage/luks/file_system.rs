//! The file system inside: made, checked and mounted as the original does it.

use crate::job::{Context, Failure, refuse};
use crate::storage::examined::FileSystem as Looked;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::superblock::{Check, FileSystem, Kind};
use crate::storage::parts::tree::Way;
use crate::sys::mount::{self, Setting};
use crate::sys::process::{self, ToolFailed};
use records::Refusal;
use records::refusal::Refused;
use records::signature::Vouched;
use std::path::Path;
use uuid::Uuid;

/// The kind for a new home: the wished one, else btrfs, else (its tools missing) ext4.
pub fn choose(wish: Option<Kind>) -> Result<Kind, Failure> {
    let installed = |kind: Kind| process::find(&format!("mkfs.{kind}")).is_some();
    let first = wish.unwrap_or(Kind::Btrfs);
    if installed(first) {
        return Ok(first);
    }
    if wish.is_none() && installed(Kind::Ext4) {
        return Ok(Kind::Ext4);
    }
    refuse(
        Refusal::NotSupported,
        format!("mkfs.{first} is not installed: install it, or choose another file system."),
    )
}

/// Makes the file system. The device is fresh: nothing is looked for on it.
pub fn make(kind: Kind, device: &Path, uuid: Uuid, spec: &Spec) -> Result<(), Failure> {
    let device = device.to_string_lossy();
    let uuid = uuid.to_string();
    let label = label(kind, &spec.name);
    let extended =
        format!("{},lazy_itable_init=1,hash_seed={uuid}", if spec.discard { "discard" } else { "nodiscard" });
    let xfs_uuid = format!("uuid={uuid}");
    let mut arguments: Vec<&str> = match kind {
        Kind::Ext4 => vec![
            "-L", &label, "-U", &uuid, "-I", "256", "-m", "0", "-E", &extended, "-b", "4096", "-T",
            "default", "-q",
        ],
        // Before 6.7 mkfs.btrfs took the page of the machine, and such a home opens on no machine with smaller ones.
        Kind::Btrfs => vec!["-L", &label, "-U", &uuid, "--sectorsize", "4096", "-q"],
        Kind::Xfs => vec!["-L", &label, "-m", &xfs_uuid, "-m", "reflink=1", "-q"],
    };
    match kind {
        Kind::Btrfs if !spec.discard => arguments.push("--nodiscard"),
        Kind::Xfs if !spec.discard => arguments.push("-K"),
        Kind::Btrfs | Kind::Xfs | Kind::Ext4 => {}
    }
    arguments.push(&device);
    process::run(&format!("mkfs.{kind}"), &arguments).during("making the file system")
}

/// Labels have 16 (ext4) or 12 (xfs) bytes; longer names are cut.
fn label(kind: Kind, name: &str) -> String {
    let room = match kind {
        Kind::Ext4 => 16,
        Kind::Xfs => 12,
        Kind::Btrfs => 255,
    };
    name.chars().take(room).collect()
}

/// Runs a checker. It names the files that it finds damaged: none of that goes into a refusal, a report or the journal.
fn checker(program: &str, arguments: &[&str]) -> Result<(), ToolFailed> {
    process::run(program, arguments).map_err(ToolFailed::without_output)
}

/// Repairs what a check can repair by itself, where the superblock asks for a check.
pub fn check(found: &FileSystem, device: &Path) -> Result<(), Failure> {
    if found.check == Check::NotNeeded {
        return Ok(());
    }
    match checker("e2fsck", &["-p", &device.to_string_lossy()]) {
        // 1: errors were corrected. 2: and a reboot is due, which for us means: mount it afresh.
        Err(failed) if matches!(failed.code(), Some(1..=3)) => Ok(()),
        Err(failed @ ToolFailed::Status { .. }) => refuse(
            Refusal::HomeDamaged,
            format!(
                "The home's file system has errors that cannot be repaired without a decision ({failed}). \
                 Nothing was lost by this. Open the image with cryptsetup and run e2fsck on it."
            ),
        ),
        // Without the checker the kernel decides whether to mount it.
        Err(ToolFailed::Missing(_)) | Ok(()) => Ok(()),
        Err(failed @ ToolFailed::Start(..)) => Err(failed).during("checking the file system"),
    }
}

/// What is not sound is not moved about.
pub fn check_before_shrinking(device: &Path) -> Result<(), Failure> {
    match checker("e2fsck", &["-f", "-p", &device.to_string_lossy()]) {
        Ok(()) => Ok(()),
        Err(failed) if matches!(failed.code(), Some(1..=3)) => Ok(()),
        Err(failed) => refuse(
            Refusal::HomeDamaged,
            format!(
                "The home's file system is not sound, and so is not made smaller ({failed}). Nothing was changed."
            ),
        ),
    }
}

/// Gives an ext4 that is not mounted another size.
pub fn resize_ext4(device: &Path, bytes: u64) -> Result<(), ToolFailed> {
    process::run("resize2fs", &[&device.to_string_lossy(), &format!("{}K", bytes / 1024)])
}

/// Makes it as small as it can be.
pub fn minimize_ext4(device: &Path) -> Result<(), ToolFailed> {
    process::run("resize2fs", &["-M", &device.to_string_lossy()])
}

/// Fails unless it is sound in every respect.
pub fn sound_ext4(device: &Path) -> Result<(), Failure> {
    let looked = checker("e2fsck", &["-f", "-n", &device.to_string_lossy()]);
    looked.during("looking at the smaller file system")
}

/// Has the file system's own program look at it, and change nothing.
pub fn look(kind: Kind, device: &Path, named: String, _vouched: Vouched) -> Looked {
    let path = device.to_string_lossy();
    let (program, arguments): (_, Vec<&str>) = match kind {
        Kind::Btrfs => ("btrfs", vec!["check", "--readonly", "--force", &path]),
        Kind::Ext4 => ("e2fsck", vec!["-n", "-f", &path]),
        Kind::Xfs => ("xfs_repair", vec!["-n", &path]),
    };
    match checker(program, &arguments) {
        Ok(()) => Looked::Sound(named),
        Err(ToolFailed::Missing(program)) => Looked::NoChecker(program),
        Err(failed) => Looked::Errors(failed.to_string()),
    }
}

/// Has the file system's own program repair it: what cannot be saved is thrown away.
pub fn repair(kind: Kind, device: &Path, _vouched: Vouched) -> Result<(), Failure> {
    let path = device.to_string_lossy();
    let (program, arguments): (_, Vec<&str>) = match kind {
        Kind::Btrfs => ("btrfs", vec!["check", "--repair", "--force", &path]),
        Kind::Ext4 => ("e2fsck", vec!["-f", "-y", &path]),
        Kind::Xfs => ("xfs_repair", vec![&path]),
    };
    match checker(program, &arguments) {
        // e2fsck: errors were corrected.
        Err(failed) if kind == Kind::Ext4 && matches!(failed.code(), Some(1..=3)) => Ok(()),
        other => other.during("repairing the file system"),
    }
}

/// Options that a record which another machine signed may ask for: they are about speed and room alone.
const HARMLESS: [&str; 3] = ["compress", "autodefrag", "noautodefrag"];

/// For a file system that nobody vouches for.
pub fn not_vouched(spec: &Spec) -> Failure {
    Failure::Refused(Refused::new(
        Refusal::BadSignature,
        format!(
            "No record of the home in {} is signed by a key this machine trusts, not here and not in its header: what is \
             inside may have been made to attack this machine, and was not mounted. To look at it all the same, to be \
             read only: homectl rescue.",
            spec.image.display()
        ),
    ))
}

/// How it is mounted.
pub fn way(kind: Kind, spec: &Spec, vouched: Vouched) -> Way {
    let mut way = plain(kind, spec, vouched);
    // What the machine needs comes last: nothing that a record says overrides it.
    way.settings = [settings(kind, spec, vouched), way.settings].concat();
    way
}

/// What holds however it is mounted.
pub fn plain(kind: Kind, spec: &Spec, vouched: Vouched) -> Way {
    let settings = match kind {
        // Its superblock may say "panic" instead.
        Kind::Ext4 => vec![("errors".to_owned(), Some("remount-ro".to_owned()))],
        Kind::Btrfs | Kind::Xfs => Vec::new(),
    };
    Way { settings, attributes: spec.attributes(Some(vouched)) }
}

fn settings(kind: Kind, spec: &Spec, vouched: Vouched) -> Vec<Setting> {
    let flag = |name: &str| (name.to_owned(), None);
    let mut all = match kind {
        Kind::Ext4 => vec![flag("noquota"), flag("user_xattr")],
        Kind::Xfs => vec![flag("noquota")],
        // Without compression: what goes through its work areas cannot be taken out of memory for certain (0015).
        Kind::Btrfs => vec![flag("noacl"), flag("user_subvol_rm_allowed")],
    };
    // What is unused is given back while nobody waits (tend.rs); file by file it would take its time, and take from
    // the metadata too.
    all.push(flag("nodiscard"));
    all.extend(believed(spec, vouched));
    all
}

/// Mount options of the record that the home is mounted with.
pub fn believed(spec: &Spec, vouched: Vouched) -> Vec<Setting> {
    let is_believed = |setting: &&Setting| vouched.is_local() || HARMLESS.contains(&setting.0.as_str());
    spec.extra.iter().filter(is_believed).cloned().collect()
}

/// The file system is of a kind that takes the mount options of the record, as far as that can be told before it is mounted.
pub fn accept(kind: Kind, wished: &[Setting]) -> Result<(), Refused> {
    mount::not_taken(kind.name(), wished).map_or(Ok(()), |why| {
        let sentence =
            format!("{kind} does not take the mount options of the record (luksExtraMountOptions; {why}).");
        Err(Refused::new(Refusal::InvalidArgs, sentence))
    })
}

/// How it is mounted where it cannot be mounted for writing: nothing is written, the journal's content neither.
pub fn read_only(kind: Kind, spec: &Spec, vouched: Vouched) -> Way {
    let journal = match kind {
        Kind::Btrfs => ("rescue".to_owned(), Some("nologreplay".to_owned())),
        Kind::Ext4 => ("noload".to_owned(), None),
        Kind::Xfs => ("norecovery".to_owned(), None),
    };
    let mut way = plain(kind, spec, vouched);
    way.settings.extend([("ro".to_owned(), None), journal]);
    way
}
