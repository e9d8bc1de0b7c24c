//! The signing keys: this machine's own pair, and the public keys it accepts besides.
//!
//! A file of a name in a folder of more importance hides those below it; an empty file or a link to
//! `/dev/null` hides and is none itself. Only files that root alone can write are taken.
//!
//! A machine that lost its private key makes another at the next need. What it signed before counts as its own still: the
//! public half that stayed is kept under the name `local-ID.public`, and never written over.

use super::listings::Listings;
use super::{Folders, remove_file, write_whole};
use crate::sys::durable::Existing;
use records::refusal::{Refusal, Refused};
use records::signature::{PrivateKey, PublicKey, Trust};
use records::stranger::Strangers;
use records::{Secret, kinds};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// This machine's private key.
const PRIVATE: &str = "local.private";
/// Its public half, for people to copy.
pub const PUBLIC: &str = "local.public";
/// How the name of a public key of this machine's begins whose private half is gone.
const FORMER: &str = "local-";
/// Largest key file read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// A public key with the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Such as `local.public`.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

impl Named {
    /// Whether it was this machine's own.
    fn is_former(&self) -> bool {
        is_former_name(&self.name)
    }
}

impl Folders {
    /// The private key, if this machine has one.
    pub fn private_key(&self) -> io::Result<Option<PrivateKey>> {
        for folder in &self.keys {
            let path = folder.join(PRIVATE);
            match read_own(&path) {
                Ok(text) => {
                    let key = text.open_text().and_then(|pem| PrivateKey::from_pem(pem).ok());
                    return key
                        .map(Some)
                        .ok_or_else(|| invalid(&path, "it is not an Ed25519 key in PEM form"));
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// The private key; made now if there is none. `seed`: 32 random bytes for a new one.
    pub fn private_key_or_new(&self, seed: impl FnOnce() -> io::Result<[u8; 32]>) -> io::Result<PrivateKey> {
        let key = match self.private_key()? {
            Some(key) => key,
            None => self.new_private_key(&PrivateKey::from_seed(seed()?))?,
        };
        self.show_public(&key.public())?;
        Ok(key)
    }

    /// Writes a new private key. Who is there first wins, so the public half is made from what is there afterwards.
    fn new_private_key(&self, key: &PrivateKey) -> io::Result<PrivateKey> {
        match write_whole(&self.state.join(PRIVATE), key.to_pem().open(), 0o400, Existing::Keep) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.private_key()?.ok_or_else(|| invalid(&self.state.join(PRIVATE), "it came and went; try again"))
    }

    /// Has the public half lie beside the private key, for people to copy. Another that lies there is kept under another
    /// name: homes are signed by it.
    fn show_public(&self, key: &PublicKey) -> io::Result<()> {
        let path = self.state.join(PUBLIC);
        let before = read_public(&path);
        match &before {
            Ok(Some(there)) if there == key => return Ok(()),
            Ok(Some(there)) => {
                let kept = self.state.join(format!("{FORMER}{}.public", there.short_id()));
                match write_whole(&kept, there.to_pem().as_bytes(), 0o444, Existing::Keep) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
            }
            // Nothing is there, or nothing that could count.
            Ok(None) | Err(_) => {}
        }
        write_whole(&path, key.to_pem().as_bytes(), 0o444, Existing::Replace)
    }

    /// Whose signatures count here, and what is wrong with key files that do not.
    pub fn trust(&self) -> io::Result<(Trust, Vec<io::Error>)> {
        self.trust_by(&Listings::default())
    }

    /// The same for who asks often.
    pub fn trust_by(&self, listings: &Listings) -> io::Result<(Trust, Vec<io::Error>)> {
        let (others, mut unusable) = self.other_keys_by(listings)?;
        let (former, others): (Vec<_>, Vec<_>) = others.into_iter().partition(Named::is_former);
        // The public half alone counts as well: its private half may be gone or damaged. Then nothing can be signed, but
        // what was signed is what it was.
        let shown = read_public(&self.state.join(PUBLIC)).ok().flatten();
        let own = self.private_key().unwrap_or_else(|error| {
            unusable.push(error);
            None
        });
        let own = own.map(|key| key.public());
        let local = own.into_iter().chain(shown).chain(former.into_iter().map(|named| named.key)).collect();
        let others = others.into_iter().map(|named| named.key).collect();
        // Whoever opens a home says whether a stranger's may be.
        Ok((Trust { local, others, strangers: Strangers::No }, unusable))
    }

    /// The public keys besides the own, by name, and what is wrong with the rest.
    pub fn other_keys(&self) -> io::Result<(Vec<Named>, Vec<io::Error>)> {
        self.other_keys_by(&Listings::default())
    }

    fn other_keys_by(&self, listings: &Listings) -> io::Result<(Vec<Named>, Vec<io::Error>)> {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for folder in &self.keys {
            for name in listings.keys_in(folder)?.into_iter().filter(|name| name != PUBLIC) {
                let path = folder.join(&name);
                files.entry(name).or_insert(path);
            }
        }
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for (name, path) in files {
            match read_public(&path) {
                Ok(Some(key)) => keys.push(Named { name, key }),
                Ok(None) => {}
                Err(e) => unusable.push(e),
            }
        }
        Ok((keys, unusable))
    }

    /// Accepts another machine's key under a name such as `laptop.public`.
    pub fn add_key(&self, name: &str, pem: &str) -> Result<(), AddKeyError> {
        let refuse = |why: &str| Err(AddKeyError::Refused(Refused::new(Refusal::InvalidArgs, why)));
        if !is_key_name(name) || is_former_name(name) {
            return refuse(
                "The name of a signing key must be a file name that ends in .public, not one of this machine's own keys.",
            );
        }
        let Ok(key) = PublicKey::from_pem(pem) else {
            return refuse("That is not an Ed25519 public key in PEM form.");
        };
        let own = self.private_key()?.map(|own| own.public());
        let (others, _) = self.other_keys()?;
        if own.as_ref() == Some(&key) || others.iter().any(|other| other.key == key) {
            return refuse("That key is known already.");
        }
        if others.iter().any(|other| other.name == name) {
            return refuse("A key of that name is known already.");
        }
        match write_whole(&self.state.join(name), pem.as_bytes(), 0o444, Existing::Keep) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                refuse("A file of that name exists already.")
            }
            written => Ok(written?),
        }
    }

    /// Accepts a key no more. Keys that came with the system or its configuration stay.
    pub fn remove_key(&self, name: &str) -> Result<(), AddKeyError> {
        let refuse = |refusal, why: &str| Err(AddKeyError::Refused(Refused::new(refusal, why)));
        if !is_key_name(name) {
            return refuse(Refusal::InvalidArgs, "The machine's own key pair cannot be removed this way.");
        }
        if remove_file(&self.state.join(name))? {
            return Ok(());
        }
        if self.other_keys()?.0.iter().any(|other| other.name == name) {
            return refuse(
                Refusal::AccessDenied,
                "That key belongs to the system's configuration; remove its file there.",
            );
        }
        refuse(Refusal::NoSuchKey, Refusal::NoSuchKey.sentence())
    }
}

/// Why the set of keys did not change.
#[derive(Debug, thiserror::Error)]
pub enum AddKeyError {
    /// The caller can act on it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The disk does not play along.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn is_key_name(name: &str) -> bool {
    kinds::is_file_name(name) && name.ends_with(".public") && !name.starts_with('.') && name != PUBLIC
}

/// `local-0123456789abcdef.public`, as [`PublicKey::short_id`] gives it.
fn is_former_name(name: &str) -> bool {
    let id = name.strip_prefix(FORMER).and_then(|rest| rest.strip_suffix(".public"));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn read_public(path: &Path) -> io::Result<Option<PublicKey>> {
    if std::fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null")) {
        return Ok(None);
    }
    let text = read_own(path)?;
    if text.is_empty() {
        return Ok(None);
    }
    let key = text.open_text().and_then(|pem| PublicKey::from_pem(pem).ok());
    key.map(Some).ok_or_else(|| invalid(path, "it is not an Ed25519 public key in PEM form"))
}

/// Reads a regular file that only its owner, root or ourselves, can write.
fn read_own(path: &Path) -> io::Result<Secret> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let facts = file.metadata()?;
    let private = path.file_name().is_some_and(|name| name == PRIVATE);
    let others = if private { 0o077 } else { 0o022 };
    if !facts.is_file() || facts.len() > LARGEST {
        return Err(invalid(path, "it is not a regular file of the size of a key"));
    }
    let own = rustix::process::geteuid().as_raw();
    if (facts.uid() != 0 && facts.uid() != own) || facts.mode() & others != 0 {
        return Err(invalid(path, "others than root can read or write it; see its owner and mode"));
    }
    let mut bytes = Vec::with_capacity(LARGEST as usize);
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn invalid(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn scratch() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().expect("made");
        let (etc, state) = (folder.path().join("etc"), folder.path().join("var"));
        fs::create_dir_all(&etc).expect("made");
        fs::create_dir_all(&state).expect("made");
        let folders =
            Folders { state: state.clone(), keys: vec![etc, state], blobs: folder.path().join("blobs") };
        (folder, folders)
    }

    fn pem(seed: u8) -> String {
        PrivateKey::from_seed([seed; 32]).public().to_pem()
    }

    #[test]
    fn the_own_pair_is_made_once() {
        let (_scratch, folders) = scratch();
        assert!(folders.private_key().expect("reads").is_none());
        let key = folders.private_key_or_new(|| Ok([1; 32])).expect("made");
        let again = folders.private_key_or_new(|| Ok([2; 32])).expect("found");
        assert_eq!(key.public(), again.public());
        let mode =
            |name: &str| fs::metadata(folders.state.join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(PRIVATE), mode(PUBLIC)), (0o400, 0o444));
        assert!(folders.trust().expect("reads").0.local.contains(&key.public()));
    }

    #[test]
    fn a_lost_private_key_costs_no_home_its_trust() {
        let (_scratch, folders) = scratch();
        let lost = folders.private_key_or_new(|| Ok([1; 32])).expect("made").public();
        fs::remove_file(folders.state.join(PRIVATE)).expect("lost");
        let counts = |key: &PublicKey| folders.trust().expect("reads").0.local.contains(key);
        assert!(counts(&lost), "before there is a new one");
        for seed in [2, 3] {
            let new = folders.private_key_or_new(|| Ok([seed; 32])).expect("made").public();
            assert!(counts(&lost) && counts(&new), "the {seed}th");
            let shown = read_public(&folders.state.join(PUBLIC)).expect("reads");
            assert_eq!(shown, Some(new), "the public half belongs to the private one");
            fs::remove_file(folders.state.join(PRIVATE)).expect("lost again");
        }
    }

    #[test]
    fn the_public_half_follows_whoever_made_the_private_one_first() {
        let (_scratch, folders) = scratch();
        let first = folders.new_private_key(&PrivateKey::from_seed([1; 32])).expect("made");
        let second = folders.new_private_key(&PrivateKey::from_seed([2; 32])).expect("found");
        assert_eq!(first.public(), second.public());
        folders.private_key_or_new(|| Ok([3; 32])).expect("found");
        assert_eq!(read_public(&folders.state.join(PUBLIC)).expect("reads"), Some(first.public()));
    }

    #[test]
    fn nobody_is_taken_for_this_machine_by_the_name_of_a_file() {
        let (_scratch, folders) = scratch();
        assert!(folders.add_key("local-0123456789abcdef.public", &pem(3)).is_err());
        folders.add_key("local-laptop.public", &pem(3)).expect("an ordinary name");
        let trust = folders.trust().expect("reads").0;
        assert_eq!((trust.local.len(), trust.others.len()), (0, 1));
    }

    #[test]
    fn a_private_key_others_can_read_is_refused() {
        let (_scratch, folders) = scratch();
        folders.private_key_or_new(|| Ok([1; 32])).expect("made");
        fs::set_permissions(folders.state.join(PRIVATE), fs::Permissions::from_mode(0o440)).expect("set");
        assert!(folders.private_key().is_err());
        let (trust, unusable) = folders.trust().expect("reads");
        assert_eq!((trust.local.len(), unusable.len()), (1, 1), "what it signed before counts still");
    }

    #[test]
    fn keys_are_added_listed_and_removed() {
        let (_scratch, folders) = scratch();
        folders.add_key("b.public", &pem(3)).expect("added");
        assert_eq!(folders.other_keys().expect("reads").0.len(), 1);
        for (name, pem) in [
            ("c.public", pem(3)),
            ("b.public", pem(4)),
            ("local.public", pem(4)),
            ("../x.public", pem(4)),
            ("x", pem(4)),
            ("d.public", "x".into()),
        ] {
            assert!(matches!(folders.add_key(name, &pem), Err(AddKeyError::Refused(_))), "{name}");
        }
        folders.remove_key("b.public").expect("removed");
        assert!(matches!(
            folders.remove_key("b.public"),
            Err(AddKeyError::Refused(Refused { refusal: Refusal::NoSuchKey, .. }))
        ));
    }

    #[test]
    fn a_link_to_nothing_masks_and_strangers_files_do_not_count() {
        let (_scratch, folders) = scratch();
        folders.add_key("a.public", &pem(3)).expect("added");
        folders.add_key("b.public", &pem(4)).expect("added");
        std::os::unix::fs::symlink("/dev/null", folders.keys[0].join("a.public")).expect("linked");
        fs::set_permissions(folders.state.join("b.public"), fs::Permissions::from_mode(0o666)).expect("set");
        let (keys, unusable) = folders.other_keys().expect("reads");
        assert_eq!((keys.len(), unusable.len()), (0, 1));
    }
}
