//! New homes: which records are taken, and the first check of names and UIDs.

use super::Manager;
use super::discover::{Pending, taken};
use crate::home::effect::{Announcement, Check, Effect, Failed, Findings};
use crate::home::verdict::Verb;
use crate::home::{Home, Turn, Waiter, Wanted};
use crate::job::{Known, Original};
use crate::words::request::{Caller, Offer, RequestId};
use crate::words::{names, uids};
use records::refusal::Refused;
use records::{Record, Refusal, Storage};
use serde_json::{Map, Value};

/// A home to be made.
pub(super) struct New {
    /// Its record.
    pub record: Record,
    /// Folder with its pictures.
    pub blobs: Option<String>,
    /// The classic account that it is made of.
    pub original: Option<Original>,
    /// Its passwords.
    pub offer: Offer,
}

impl Manager {
    pub(super) fn create(&mut self, new: New, id: RequestId, caller: &Caller, turn: &mut Turn) {
        let waiter = Waiter::Call(id);
        let mut home = match self.new_home(new.record, None, turn) {
            Ok(home) => home,
            Err(refused) => return turn.answer(waiter, Err(Failed::Refused(refused))),
        };
        let wanted = Wanted {
            waiter,
            trier: super::trier(caller, &home),
            offer: new.offer,
            blobs: new.blobs,
            original: new.original,
            ..Wanted::by_the_daemon(Verb::Create, turn.now_usec)
        };
        self.waiting.insert(id, home.user().clone());
        let fate = home.want(wanted, turn);
        // Refused by the table (storage is there already): it never was.
        if fate == crate::home::Fate::Stays && home.is_being_checked() {
            self.homes.insert(home.user().clone(), home);
        }
    }

    pub(super) fn register(&mut self, record: Record, id: RequestId, turn: &mut Turn) {
        let home = match self.new_home(record.clone(), None, turn) {
            Ok(home) => home,
            Err(refused) => return turn.answer(Waiter::Call(id), Err(Failed::Refused(refused))),
        };
        let job = turn.job_id();
        let mut uids = vec![home.uid()];
        if !record.members().contains_key("uid") {
            uids.extend(uids::candidates(home.user(), turn.uids, &turn.uid_range));
        }
        let (user, names) = (home.user().clone(), home.names());
        turn.effects.push(Effect::Check(Box::new(Check {
            user,
            id: job,
            names,
            uids,
            keeps: None,
            quality: None,
        })));
        self.expect(job, Pending::Record { record: Box::new(record), asked: id });
    }

    /// Names and UID of a record that is to be kept were looked up.
    pub(super) fn registered(
        &mut self,
        record: Record,
        findings: Findings,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        if let Some(name) = findings.taken {
            return Err(taken(&name));
        }
        let uid = findings.uid.ok_or_else(|| {
            Refused::new(Refusal::UidInUse, "The UID of the record belongs to somebody else.")
        })?;
        let home = self.new_home(record, Some(uid), turn)?;
        turn.effects.push(Effect::Save(Box::new(home.host_record())));
        turn.effects.push(Effect::Announce(Announcement::Appeared(home.user().clone())));
        self.homes.insert(home.user().clone(), home);
        Ok(())
    }

    fn new_home(&self, record: Record, looked_up: Option<u32>, turn: &Turn) -> Result<Home, Refused> {
        check_fields(&record)?;
        if record.members().contains_key("signature") && turn.facts.signed_locally(&record).is_none() {
            return Err(Refusal::BadSignature.into());
        }
        if self.is_full() {
            return Err(self.too_many());
        }
        self.check_names(&record)?;
        let uid = match looked_up.filter(|uid| !turn.uids.contains(uid)) {
            Some(uid) => uid,
            None => self.first_uid(&record, turn)?,
        };
        let bound = record.with_binding(&turn.machine.id, self.binding(&record, uid));
        Ok(Home::new(bound, uid, Known::Yes, turn))
    }

    fn check_names(&self, record: &Record) -> Result<(), Refused> {
        let is_taken = |name: &&String| self.homes.index().called(name).next().is_some();
        match names::all(record).iter().find(is_taken) {
            Some(name) => Err(Refused::new(
                Refusal::UserNameExists,
                format!("There is a home for {name} already: homectl inspect {name} shows it."),
            )),
            None => Ok(()),
        }
    }

    fn first_uid(&self, record: &Record, turn: &Turn) -> Result<u32, Refused> {
        let Some(asked) = record.members().get("uid") else {
            let first = uids::candidates(record.user(), turn.uids, &turn.uid_range).first().copied();
            return first.ok_or_else(|| {
                let (first, last) = (turn.uid_range.start(), turn.uid_range.end());
                let sentence = format!(
                    "All UIDs for homes ({first} to {last}) are in use. More can be allowed: UIDRange= in homed.conf."
                );
                Refused::new(Refusal::UidInUse, sentence)
            });
        };
        let uid = asked.as_u64().and_then(|uid| u32::try_from(uid).ok()).filter(|uid| uids::is_allowed(*uid));
        let uid =
            uid.ok_or_else(|| invalid("uid: a home cannot have that UID; leave it out, and one is chosen"))?;
        if turn.uids.contains(&uid) {
            return Err(Refused::new(Refusal::UidInUse, format!("Another home has UID {uid}.")));
        }
        Ok(uid)
    }

    /// Where the parts of a new home will be on this machine.
    pub(super) fn binding(&self, record: &Record, uid: u32) -> Map<String, Value> {
        let asked = record.on(&self.machine);
        let root = &self.defaults.home_root;
        let storage = asked.storage.unwrap_or(self.defaults.storage);
        let name = || format!("{root}/{}.{}", record.full_name(), storage.ending());
        let image = Some(asked.image_path.unwrap_or_else(name)).filter(|_| !storage.is_on_server());
        let directory = asked.home_directory.unwrap_or_else(|| format!("{root}/{}", record.user()));
        let mut binding = Map::new();
        binding.insert("uid".into(), uid.into());
        binding.insert("gid".into(), uid.into());
        binding.insert("storage".into(), storage.as_str().into());
        if let Some(image) = image {
            binding.insert("imagePath".into(), image.into());
        }
        binding.insert("homeDirectory".into(), directory.into());
        if let Some(kind) = asked.file_system_type.or_else(|| self.defaults.file_system_type.clone()) {
            binding.insert("fileSystemType".into(), kind.into());
        }
        binding
    }
}

/// Fields that a home may not have, or not with that value.
pub(super) fn check_fields(record: &Record) -> Result<(), Refused> {
    let member = |name: &str| record.members().get(name);
    let text = |name: &str| member(name).and_then(Value::as_str);
    if text("disposition").is_some_and(|disposition| disposition != "regular") {
        return Err(invalid("disposition: only \"regular\" users have homes of this kind"));
    }
    if text("storage").is_some_and(|kind| Storage::of_homes(kind).is_none()) {
        let all = Storage::OF_HOMES.map(Storage::as_str).join(", ");
        return Err(invalid(&format!("storage: it must be one of {all}")));
    }
    if text("service").is_some_and(|service| service != "io.systemd.Home") {
        return Err(invalid("service: only \"io.systemd.Home\" records are kept here"));
    }
    if member("blobDirectory").is_some() {
        return Err(invalid("blobDirectory: the daemon chooses it"));
    }
    if member("__systemd_homework_internal_blob_fdmap").is_some() {
        return Err(invalid("__systemd_homework_internal_blob_fdmap: it is not a field"));
    }
    if let (Some(gid), uid) = (member("gid"), member("uid"))
        && uid != Some(gid)
    {
        return Err(invalid("gid: it must be the UID"));
    }
    Ok(())
}

fn invalid(sentence: &str) -> Refused {
    Refused::new(Refusal::InvalidArgs, format!("The record is not taken: {sentence}."))
}
