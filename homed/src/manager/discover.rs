//! Homes that are there without being made here: host records read at the start, storage found on disk.

use super::Manager;
use crate::home::effect::{Announcement, Check, Effect, Failed, Findings, Found, Interrupted, JobId};
use crate::home::facts::{Mount, Place, Storage};
use crate::home::verdict::Verb;
use crate::home::without::{Rule, has};
use crate::home::{Home, Turn, Waiter, Wanted};
use crate::job::Known;
use crate::words::request::{Answer, AtSuspend, RequestId};
use crate::words::{names, uids};
use records::refusal::Refused;
use records::{Record, Refusal, Sections, UserName};
use serde_json::json;

impl Manager {
    /// A host record was read. A home that was being mounted or unmounted when the daemon was killed is
    /// unmounted, unless somebody holds it: whoever waited for it waits no more.
    pub(super) fn loaded(
        &mut self,
        record: Record,
        interrupted: Interrupted,
        held: Vec<AtSuspend>,
        turn: &mut Turn,
    ) {
        let user = record.user().clone();
        let bound = uids::bound(&record, turn.machine);
        // An open one has the UID that its files are shown with.
        let is_open = || turn.facts.whereabouts(&Place::of(&record, turn.machine)).mount.is_there();
        let is_taken = |uid: &u32| turn.uids.contains(uid) && !is_open();
        if let Some(uid) = bound.filter(is_taken) {
            let text = format!("its record names UID {uid}, which another home has; it gets another one");
            turn.effects.push(Effect::Log(user.clone(), text));
        }
        let Some(uid) = bound
            .filter(|uid| !is_taken(uid))
            .or_else(|| uids::candidates(&user, turn.uids, &turn.uid_range).first().copied())
        else {
            turn.effects.push(Effect::Log(user, "its record has no UID, and none is free".into()));
            return;
        };
        if self.homes.len() >= self.defaults.most_homes || self.homes.contains(&user) {
            turn.effects
                .push(Effect::Log(user, "its record is left out: too many homes, or there twice".into()));
            return;
        }
        let mut home = Home::new(record, uid, Known::Yes, turn);
        held.into_iter().for_each(|at_suspend| home.hold(at_suspend));
        turn.effects.push(Effect::Announce(Announcement::Appeared(user.clone())));
        home.goes_on(interrupted, turn);
        self.homes.insert(user, home);
    }

    /// Somebody asks for a home to be made known that lies elsewhere.
    pub(super) fn adopt(&mut self, found: Result<Found, Refused>, id: RequestId, turn: &mut Turn) {
        let refused = match found {
            Err(refused) => refused,
            Ok(found) if self.is_known(&found) => self.known_already(&found),
            Ok(found) if self.homes.index().at(&found.image).next().is_some() => self.known_otherwise(&found),
            Ok(_) if self.is_full() => self.too_many(),
            Ok(found) => match self.look_up(&found, turn) {
                Some(job) => {
                    self.expect(job, Pending::Storage { found, asked: Some(id) });
                    return;
                }
                None => Refusal::UnrecognizedHomeFormat.into(),
            },
        };
        turn.answer(Waiter::Call(id), Err(Failed::Refused(refused)));
    }

    /// Whose home it is, and what could be done.
    fn known_already(&self, found: &Found) -> Refused {
        let user = &found.name.user;
        let place = self.homes.get(user).map(|home| home.place().image.as_str()).unwrap_or("another place");
        let sentence = match place == found.image {
            true => {
                format!("The home of {user} at {place} is known already: homectl inspect {user} shows it.")
            }
            false => format!(
                "{} is a home of {user}, and one of that name is known already, at {place}: homectl inspect {user} shows it. \
                 Nothing was changed. To use the other instead: move {place} to another folder, homectl unregister {user}, and \
                 adopt that.",
                found.image
            ),
        };
        Refused::new(Refusal::HomeExists, sentence)
    }

    /// Its file is called after another user, and was taken for that one's.
    fn known_otherwise(&self, found: &Found) -> Refused {
        let (image, user) = (&found.image, &found.name.user);
        let sentence = format!(
            "{image} says that it is the home of {user}, and is called as that of somebody else. Nothing was changed. Give it \
             {user}'s name, or move it to another folder and adopt it there."
        );
        Refused::new(Refusal::HomeExists, sentence)
    }

    fn is_known(&self, found: &Found) -> bool {
        let user = &found.name.user;
        self.homes.contains(user) || self.is_expected(user)
    }

    fn is_expected(&self, user: &UserName) -> bool {
        let from = (user.clone(), JobId(0));
        self.expected.range(from..).next().is_some_and(|(expected, _)| expected == user)
    }

    /// It is to be known, once its names and UID are looked up.
    pub(super) fn expect(&mut self, job: JobId, pending: Pending) {
        self.expected.insert((pending.user().clone(), job));
        self.pending.insert(job, pending);
    }

    pub(super) fn is_full(&self) -> bool {
        self.homes.len() + self.pending.len() >= self.defaults.most_homes
    }

    pub(super) fn too_many(&self) -> Refused {
        let most = self.defaults.most_homes;
        let sentence = format!(
            "This machine manages no more homes than {most}; remove one first, or allow more (MostHomes= in homed.conf)."
        );
        Refused::new(Refusal::TooManyHomes, sentence)
    }

    /// Storage was found. Of a home that is known nothing follows but that it may look otherwise now.
    pub(super) fn found(&mut self, found: Found, turn: &mut Turn) {
        if self.homes.contains(&found.name.user) {
            return self.look_at(&found.name.user, turn);
        }
        if self.is_known(&found) || self.is_full() {
            return;
        }
        if let Some(job) = self.look_up(&found, turn) {
            self.expect(job, Pending::Storage { found, asked: None });
        }
    }

    /// Has the names and the UID of storage looked up.
    fn look_up(&self, found: &Found, turn: &mut Turn) -> Option<JobId> {
        let record = synthetic(found, 0, turn)?;
        let id = turn.job_id();
        turn.effects.push(Effect::Check(Box::new(Check {
            user: found.name.user.clone(),
            id,
            names: names::all(&record),
            uids: uids::candidates(&found.name.user, turn.uids, &turn.uid_range),
            keeps: None,
            quality: None,
        })));
        Some(id)
    }

    /// Names and UID were looked up.
    pub(super) fn looked_up(&mut self, pending: Pending, findings: Findings, turn: &mut Turn) {
        match pending {
            Pending::Storage { found, asked } => {
                let (user, image) = (found.name.user.clone(), found.image.clone());
                let known = self.discovered(found, findings, turn);
                match (known, asked) {
                    (known, Some(id)) => {
                        let known = known.map(|()| Answer::Done).map_err(Failed::Refused);
                        turn.answer(Waiter::Call(id), known);
                    }
                    (Err(refused), None) => {
                        turn.effects.push(Effect::Log(user, format!("{image} is left alone: {refused}")));
                    }
                    (Ok(()), None) => {}
                }
            }
            Pending::Record { record, asked } => {
                let known = self.registered(*record, findings, turn).map(|()| Answer::Done);
                turn.answer(Waiter::Call(asked), known.map_err(Failed::Refused));
            }
        }
    }

    /// Storage becomes a home that was never used here.
    fn discovered(&mut self, found: Found, findings: Findings, turn: &mut Turn) -> Result<(), Refused> {
        let user = found.name.user.clone();
        if let Some(name) = findings.taken {
            return Err(taken(&name));
        }
        // Another discovery, or a create, may have taken it in the meantime.
        let uid = findings.uid.filter(|uid| !turn.uids.contains(uid));
        let uid = uid.or_else(|| uids::candidates(&user, turn.uids, &turn.uid_range).first().copied());
        let uid = uid.ok_or_else(|| Refused::new(Refusal::UidInUse, "no UID is free for it"))?;
        let (false, Some(record)) = (self.homes.contains(&user), synthetic(&found, uid, turn)) else {
            return Err(Refusal::HomeExists.into());
        };
        self.homes.insert(user.clone(), Home::new(record, uid, Known::No, turn));
        turn.effects.push(Effect::Announce(Announcement::Appeared(user)));
        Ok(())
    }

    /// Storage at this path may have gone: a home nobody knew is forgotten, a mounted one is detached.
    pub(super) fn vanished(&mut self, image: &str, turn: &mut Turn) {
        let Some(user) = self.homes.index().at(image).next().cloned() else { return };
        let Some(home) = self.homes.get(&user) else { return };
        let whereabouts = turn.facts.whereabouts(home.place());
        if whereabouts.storage != Storage::Missing {
            return;
        }
        match (whereabouts.mount, home.known()) {
            (Mount::Usable | Mount::Suspended, _) => self.detach(&user, turn),
            (Mount::None | Mount::Open, Known::No) if may_go(home) => self.take_out(&user, true, turn),
            (Mount::None | Mount::Open, _) => self.look_at(&user, turn),
        }
    }

    /// A home that was never used here and has lost its storage is none; what ran on it has to end first, and whoever waits
    /// for that is answered.
    pub(super) fn forget_unknown(&mut self, user: &UserName, turn: &mut Turn) {
        let is_none = |home: &Home| {
            let whereabouts = turn.facts.whereabouts(home.place());
            home.known() == Known::No
                && may_go(home)
                && whereabouts.storage == Storage::Missing
                && !whereabouts.mount.is_there()
        };
        if self.homes.get(user).is_some_and(is_none) {
            self.take_out(user, true, turn);
        }
    }

    /// What an open home lies on may have been pulled out.
    pub(super) fn look_for_storage(&mut self, turn: &mut Turn) {
        let gone: Vec<_> =
            self.homes.walk().filter(|home| is_gone(home, turn)).map(|home| home.user().clone()).collect();
        gone.iter().for_each(|user| self.detach(user, turn));
    }

    /// The storage of one home was looked at: it may look otherwise, or have gone.
    pub(super) fn seen(&mut self, user: &UserName, turn: &mut Turn) {
        // The keys were read again before.
        if self.homes.get(user).is_some_and(|home| home.is_judged_otherwise(turn)) {
            self.lock_event(user, turn, |home, turn| {
                home.judge_again(turn);
                home.changed(turn);
            });
        }
        self.look_at(user, turn);
        if self.homes.get(user).is_some_and(|home| is_gone(home, turn)) {
            self.detach(user, turn);
        }
    }

    fn detach(&mut self, user: &UserName, turn: &mut Turn) {
        turn.effects.push(Effect::Log(user.clone(), "its storage has vanished: it is detached".into()));
        let wanted = Wanted::by_the_daemon(Verb::StorageGone, turn.now_usec);
        self.on(user, turn, |home, turn| home.want(wanted, turn));
    }
}

/// A home that is to be known, once its names and its UID are looked up.
pub(super) enum Pending {
    /// Storage that was seen, or that somebody has named.
    Storage {
        /// What it is.
        found: Found,
        /// Who waits for it.
        asked: Option<RequestId>,
    },
    /// A record that was handed over.
    Record {
        /// The record, as it came.
        record: Box<Record>,
        /// Who waits for it.
        asked: RequestId,
    },
}

impl Pending {
    /// Who waits for it.
    #[cfg(test)]
    pub fn asked(&self) -> Option<RequestId> {
        match self {
            Self::Storage { asked, .. } => *asked,
            Self::Record { asked, .. } => Some(*asked),
        }
    }

    fn user(&self) -> &UserName {
        match self {
            Self::Storage { found, .. } => &found.name.user,
            Self::Record { record, .. } => record.user(),
        }
    }
}

pub(super) fn taken(name: &str) -> Refused {
    Refused::new(Refusal::UserNameExists, format!("A user or group called {name} exists already."))
}

/// Whether nothing runs on it, and nothing that was broken off is to be put in order yet: nobody would, once it is forgotten.
fn may_go(home: &Home) -> bool {
    !home.is_busy() && (!home.is_to_be_settled() || !has(Rule::StaysUnsettled))
}

/// Whether an open home has lost its storage.
fn is_gone(home: &Home, turn: &Turn) -> bool {
    let whereabouts = turn.facts.whereabouts(home.place());
    // Kinds that are not kept here have no image.
    let has_image = !home.place().image.is_empty();
    has_image && whereabouts.storage == Storage::Missing && whereabouts.mount.is_there()
}

/// The record of a home that was never used here: name, realm and binding.
fn synthetic(found: &Found, uid: u32, turn: &Turn) -> Option<Record> {
    let user = &found.name.user;
    let mut members = json!({
        "userName": user.as_str(),
        "disposition": "regular",
        "binding": { turn.machine.id.as_str(): {
            "imagePath": found.image,
            "homeDirectory": format!("/home/{user}"),
            "storage": found.storage.as_str(),
            "uid": uid,
            "gid": uid,
        }},
    });
    if let Some(realm) = &found.name.realm {
        members["realm"] = realm.as_str().into();
    }
    Record::from_value(members, Sections::HOST).ok()
}
