//! The real neighbours: account database, password checker, state folder.

use super::link::Staged;
use super::outside::{MountsBelow, Outside, Taken};
use crate::home::effect::Failed;
use crate::home::facts::{Figures, Place, SignedLocally};
use crate::job::Failure;
use crate::statedir::blobs::BlobError;
use crate::statedir::keys::{AddKeyError, Named, PUBLIC};
use crate::statedir::listings::Listings;
use crate::statedir::subordinate;
use crate::statedir::{Folders, Need};
use crate::storage::whereabouts::{self, Found};
use crate::sys::{accounts, ipc};
use crate::words::request::{KeyOperation, SigningKey};
use records::refusal::Refused;
use records::signature::{PrivateKey, Trust, Worth, sign};
use records::{Credentials, Record, Refusal, UserName};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The neighbours of this machine.
pub struct Neighbours {
    /// Where records, keys and blobs are.
    pub folders: Folders,
    /// Where the keys are.
    listings: Listings,
    /// The keys as they were read last: judging a record is asked at every look at a home.
    trust: Mutex<Kept>,
}

/// Keys that were read.
#[derive(Default)]
struct Kept {
    /// How many times that was begun.
    last: u64,
    /// Which time these are of.
    number: u64,
    /// `None`: they were never read.
    trust: Option<Trust>,
    /// What the records were worth that were judged by these keys last, by their digests: to tell a digest costs a small
    /// part of what a signature does, and each record is judged more than once.
    judged: HashMap<UserName, (Digest, Worth)>,
}

/// SHA-256 of a record, signatures included.
type Digest = [u8; 32];

/// Of so many users at most it is remembered: names come from strangers, too.
const MOST_JUDGED: usize = 16_384;

impl Kept {
    /// What a record is worth; `None`: the keys were never read.
    fn judge(&mut self, record: &Record) -> Option<Worth> {
        let trust = self.trust.as_ref()?;
        let digest: Digest = Sha256::digest(record.to_compact()).into();
        if let Some((same, worth)) = self.judged.get(record.user())
            && *same == digest
        {
            return Some(*worth);
        }
        let worth = trust.worth(record);
        if self.judged.len() >= MOST_JUDGED {
            self.judged.clear();
        }
        self.judged.insert(record.user().clone(), (digest, worth));
        Some(worth)
    }

    /// Others count from now on, or the same.
    fn follow(&mut self, trust: Option<Trust>) {
        // A disk that fails makes nobody a stranger who was none.
        let Some(trust) = trust else { return };
        if self.trust.as_ref() != Some(&trust) {
            self.judged.clear();
            self.trust = Some(trust);
        }
    }
}

impl Neighbours {
    /// Those with their state in these folders.
    pub fn new(folders: Folders) -> Self {
        Self { folders, listings: Listings::default(), trust: Mutex::default() }
    }

    /// Who signed a record, by the keys as they were read last: no file is read for it.
    pub fn signed_locally(&self, record: &Record) -> Option<SignedLocally> {
        match self.kept().judge(record)? {
            Worth::Local => Some(SignedLocally::Yes),
            Worth::LocalAmongOthers | Worth::Foreign => Some(SignedLocally::No),
            Worth::Unsigned | Worth::Stranger | Worth::Rejected => None,
        }
    }

    /// What the signatures of a record are worth, by the keys as they are: a worker, or root, may have made another in the
    /// meantime, so none is rejected by what was read earlier. It reads files.
    fn worth(&self, record: &Record) -> Option<Worth> {
        let known = self.kept().judge(record);
        match known {
            None | Some(Worth::Stranger | Worth::Rejected) => {
                self.keys_changed();
                self.kept().judge(record)
            }
            known => known,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_trust(&self) -> Option<Trust> {
        match self.folders.trust_by(&self.listings) {
            Ok((trust, unusable)) => {
                unusable.iter().for_each(|error| tracing::warn!("a signing key cannot be used: {error}"));
                Some(trust)
            }
            Err(error) => {
                tracing::error!("the signing keys cannot be read: {error}");
                None
            }
        }
    }

    /// Reads the keys again. Without the lock: whoever judges a record must not wait for a disk. Of two who read at a time,
    /// the one who has begun later is right.
    fn keys_changed(&self) {
        let number = {
            let mut kept = self.kept();
            kept.last += 1;
            kept.last
        };
        let trust = self.read_trust();
        let mut kept = self.kept();
        if kept.number < number {
            kept.number = number;
            kept.follow(trust);
        }
    }

    fn own_key(&self) -> io::Result<PrivateKey> {
        self.folders.private_key_or_new(|| {
            let mut seed = [0; 32];
            rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())?;
            Ok(seed)
        })
    }

    fn known_keys(&self) -> io::Result<Vec<SigningKey>> {
        let own = Named { name: PUBLIC.into(), key: self.own_key()?.public() };
        let others = self.folders.other_keys()?.0;
        let shown = |named: Named| SigningKey { name: named.name, pem: named.key.to_pem() };
        Ok(std::iter::once(own).chain(others).map(shown).collect())
    }

    fn is_usable(&self, record: &Record) -> bool {
        let worth = self.worth(record);
        // What a stranger has signed is known as a stranger's ([`crate::home::belief`]).
        let usable = !matches!(worth, None | Some(Worth::Unsigned | Worth::Rejected));
        if !usable {
            tracing::warn!("the host's record of {} is not what anybody has signed", record.user());
        }
        usable
    }
}

impl Outside for Neighbours {
    fn seal(&self, place: &Place) -> crate::words::seal::Seal {
        super::seal::look(place)
    }

    fn read_keys(&self) {
        self.keys_changed();
    }

    fn mounts_below(&self) -> MountsBelow {
        let below = whereabouts::mounts_below();
        Arc::new(move |place| below(Path::new(&place.image), Path::new(&place.home_directory)))
    }

    fn look(&self, place: &Place) -> Found {
        whereabouts::ask((place.kind, Path::new(&place.image)), Path::new(&place.home_directory))
    }

    fn look_before_use(&self, place: &Place) -> Found {
        whereabouts::ask_before_use((place.kind, Path::new(&place.image)), Path::new(&place.home_directory))
    }

    fn figures(&self, place: &Place) -> Figures {
        super::figures::of(place)
    }

    fn name_taken(&self, name: &str) -> bool {
        // A database that cannot answer may know the name.
        accounts::user(name) != Ok(None) || accounts::group(name) != Ok(None)
    }

    fn uid_taken(&self, uid: u32, own: &UserName) -> Taken {
        let answers = [accounts::user_of(uid), accounts::group_of(uid)];
        let is_other = |name: &String| name != own.as_str();
        if answers.iter().flatten().flatten().any(is_other) {
            return Taken::Yes;
        }
        match answers.into_iter().find_map(Result::err) {
            None => Taken::No,
            Some(error) => {
                tracing::warn!("whether UID {uid} of {own} is somebody else's: {error}");
                Taken::Unknown
            }
        }
    }

    fn has_objects(&self, uid: u32) -> bool {
        ipc::has_objects(uid)
    }

    fn weakness(&self, user: &UserName, new: &Credentials, old: Option<&Credentials>) -> Option<String> {
        quality::weakness(user, new, old)
    }

    fn load(&self) -> Vec<Record> {
        if let Err(error) = self.folders.make() {
            tracing::error!("the state folder cannot be made: {error}");
        }
        self.folders.collect_staged();
        self.folders.collect_unfinished();
        match self.folders.load_all() {
            Ok((records, unusable)) => {
                unusable.iter().for_each(|error| tracing::warn!("a host record cannot be used: {error}"));
                let usable: Vec<_> = records.into_iter().filter(|record| self.is_usable(record)).collect();
                for record in &usable {
                    if let Err(error) = self.folders.make_blob_folder(record.user()) {
                        tracing::warn!(
                            "the folder for pictures of {} cannot be made: {error}",
                            record.user()
                        );
                    }
                }
                usable
            }
            Err(error) => {
                tracing::error!("the host records cannot be read: {error}");
                Vec::new()
            }
        }
    }

    fn load_one(&self, user: &UserName) -> Option<Record> {
        self.folders.load(user).ok().flatten().filter(|record| self.is_usable(record))
    }

    fn unwritable(&self, need: Need) -> Option<Refused> {
        self.folders.refuse_unwritable(need).err()
    }

    fn save(&self, record: &Record) -> Result<Record, String> {
        let signed = match self.worth(record) {
            Some(Worth::Unsigned) => {
                let key = self.own_key().map_err(|e| e.to_string())?;
                sign(record, &key).map_err(|e| e.to_string())?
            }
            _ => record.clone(),
        };
        // Whoever judges it reads no keys, and this machine's own may have been made just now.
        let _ = self.worth(&signed);
        self.folders.save(&signed).map_err(|e| e.to_string())?;
        Ok(signed)
    }

    fn forget(&self, user: &UserName) -> Result<(), Failed> {
        self.folders.forget(user).map_err(|error| failed(error, "deleting the record of this machine"))?;
        if let Err(error) = subordinate::take(Path::new(subordinate::ETC), user) {
            tracing::warn!("the lines of {user} in /etc/subuid and /etc/subgid stay: {error}");
        }
        let removed = self.folders.remove_blobs(user);
        removed.map_err(|error| failed(error, "deleting the pictures on this machine"))
    }

    fn stage(&self, user: &UserName, blobs: Vec<(String, OwnedFd)>) -> Result<Staged, Failed> {
        match self.folders.stage_blobs(user, blobs) {
            Ok((folder, manifest)) => Ok(Staged { folder: folder.display().to_string(), manifest }),
            Err(BlobError::Refused(refused)) => Err(Failed::Refused(refused)),
            Err(BlobError::Io(error)) => Err(failed(error, &format!("taking the pictures of {user} in"))),
        }
    }

    fn keys(&self, operation: KeyOperation) -> Result<Vec<SigningKey>, Failed> {
        let done = |changed: Result<(), AddKeyError>| {
            self.keys_changed();
            changed.map(|()| Vec::new()).map_err(|e| match e {
                AddKeyError::Refused(refused) => Failed::Refused(refused),
                AddKeyError::Io(error) => failed(error, "changing the signing keys"),
            })
        };
        let known = || self.known_keys().map_err(|error| failed(error, "reading the signing keys"));
        match operation {
            KeyOperation::List => known(),
            KeyOperation::Fetch(name) => {
                let key = known()?.into_iter().find(|key| key.name == name);
                key.map(|key| vec![key]).ok_or_else(|| Refusal::NoSuchKey.into())
            }
            KeyOperation::Add(name, pem) => done(self.folders.add_key(&name, &pem)),
            KeyOperation::Remove(name) => done(self.folders.remove_key(&name)),
        }
    }
}

/// A disk that is full, or can only be read, is told in words.
fn failed(error: io::Error, during: &str) -> Failed {
    Failure::of(&error, during).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;

    #[test]
    fn a_key_that_a_worker_has_made_meanwhile_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let state = folder.path().to_owned();
        let folders = Folders { keys: vec![state.clone()], blobs: state.join("blobs"), state };
        let neighbours = Neighbours::new(folders.clone());
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid");
        for seed in [1, 2] {
            let key = folders.private_key_or_new(|| Ok([seed; 32])).expect("made");
            let signed = sign(&record, &key).expect("signed");
            assert_eq!(neighbours.signed_locally(&signed), None, "nobody has read key {seed}");
            neighbours.read_keys();
            assert_eq!(neighbours.signed_locally(&signed), Some(SignedLocally::Yes), "key {seed}");
            // Lost, and the public half stays.
            std::fs::remove_file(folders.state.join("local.private")).expect("there");
            assert_eq!(neighbours.signed_locally(&signed), Some(SignedLocally::Yes), "key {seed}");
        }
        // What was judged by keys that count no more counts no more either.
        let known = sign(&record, &PrivateKey::from_seed([2; 32])).expect("signed");
        assert_eq!(neighbours.signed_locally(&known), Some(SignedLocally::Yes));
        for entry in std::fs::read_dir(&folders.state).expect("listed").flatten() {
            let is_key = entry.file_name().to_str().is_some_and(|name| name.ends_with(".public"));
            is_key.then(|| std::fs::remove_file(entry.path()).expect("removed"));
        }
        neighbours.read_keys();
        assert_eq!(neighbours.signed_locally(&known), None);
        let stranger = sign(&record, &PrivateKey::from_seed([3; 32])).expect("signed");
        assert_eq!(neighbours.signed_locally(&stranger), None);
    }
}
