//! Homes that are there without being made here: host records read at the start, storage found on disk.

use super::request::AtSuspend;
use super::{MOST_HOMES, Manager, names, uids};
use crate::home::effect::{Announcement, Check, Effect, Findings, Found, Interrupted};
use crate::home::facts::{Mount, Storage};
use crate::home::verdict::{Held, Verb};
use crate::home::{Home, Turn, Wanted};
use crate::job::Known;
use records::{Record, Sections, UserName};
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
        let Some(uid) = uids::bound(&record, turn.machine)
            .or_else(|| uids::candidates(&user, &turn.uids).first().copied())
        else {
            turn.effects.push(Effect::Log(user, "its record has no UID, and none is free".into()));
            return;
        };
        if self.homes.len() >= MOST_HOMES || self.homes.contains_key(&user) {
            turn.effects
                .push(Effect::Log(user, "its record is left out: too many homes, or there twice".into()));
            return;
        }
        let mut home = Home::new(record, uid, Known::Yes, turn);
        held.into_iter().for_each(|at_suspend| home.hold(at_suspend));
        turn.effects.push(Effect::Announce(Announcement::Appeared(user.clone())));
        let mounted = turn.facts.whereabouts(home.place()).mount.is_there();
        if matches!(interrupted, Interrupted::Job | Interrupted::Close) {
            let text = "a job was interrupted; what is left of it is cleaned up at the next use";
            turn.effects.push(Effect::Log(user.clone(), text.into()));
        }
        if turn.facts.whereabouts(home.place()).mount == Mount::Suspended {
            let _ = home.ask_for_proof(turn);
        }
        if mounted {
            home.tend_after(turn.tuning.tend_first, turn);
        }
        let is_left_open = turn.facts.whereabouts(home.place()).mount == Mount::Open;
        // A worker that was killed with the daemon may have left devices: they are seen to before anything starts.
        if is_left_open || !matches!(interrupted, Interrupted::No | Interrupted::HolderGone) {
            home.settle(turn);
        }
        if interrupted == Interrupted::Resize {
            home.settle_size(turn);
        }
        let left = matches!(interrupted, Interrupted::Job | Interrupted::Close | Interrupted::HolderGone);
        if left && home.held() == Held::No {
            home.nobody_holds_it(turn);
        }
        self.homes.insert(user, home);
    }

    /// Storage was found. Of a home that is known nothing follows: it is asked where it rests anyway.
    pub(super) fn found(&mut self, found: Found, turn: &mut Turn) {
        if self.homes.contains_key(&found.name.user) {
            self.touch(&found.name.user);
            turn.effects.push(Effect::Announce(Announcement::Changed(found.name.user)));
            return;
        }
        let is_under_way = self.discoveries.values().any(|other| other.name.user == found.name.user);
        if is_under_way || self.homes.len() + self.discoveries.len() >= MOST_HOMES {
            return;
        }
        let Some(record) = synthetic(&found, 0, turn) else { return };
        let id = turn.job_id();
        turn.effects.push(Effect::Check(Box::new(Check {
            user: found.name.user.clone(),
            id,
            names: names::all(&record),
            uids: uids::candidates(&found.name.user, &turn.uids),
            quality: None,
        })));
        self.discoveries.insert(id, found);
    }

    /// Names and UID of found storage were checked: it becomes a home that was never used here.
    pub(super) fn discovered(&mut self, found: Found, findings: Findings, turn: &mut Turn) {
        let user = found.name.user.clone();
        if let Some(name) = findings.taken {
            let text = format!("{} is left alone: another user or group is called {name}", found.image);
            turn.effects.push(Effect::Log(user, text));
            return;
        }
        // Another discovery, or a create, may have taken it in the meantime.
        let uid = findings.uid.filter(|uid| !turn.uids.contains(uid));
        let Some(uid) = uid.or_else(|| uids::candidates(&user, &turn.uids).first().copied()) else {
            turn.effects.push(Effect::Log(user, format!("{} is left alone: no UID is free", found.image)));
            return;
        };
        let (false, Some(record)) = (self.homes.contains_key(&user), synthetic(&found, uid, turn)) else {
            return;
        };
        self.homes.insert(user.clone(), Home::new(record, uid, Known::No, turn));
        turn.effects.push(Effect::Announce(Announcement::Appeared(user)));
    }

    /// Storage at this path may have gone: a home nobody knew is forgotten, a mounted one is detached.
    pub(super) fn vanished(&mut self, image: &str, turn: &mut Turn) {
        let at = |home: &&Home| home.place().image == image;
        let Some(user) = self.homes.values().find(at).map(|home| home.user().clone()) else { return };
        let Some(home) = self.homes.get(&user) else { return };
        let whereabouts = turn.facts.whereabouts(home.place());
        if whereabouts.storage != Storage::Missing {
            return;
        }
        match (whereabouts.mount, home.known()) {
            (Mount::Usable | Mount::Suspended, _) => self.detach(&user, turn),
            (Mount::None | Mount::Open, Known::No) => self.take_out(&user, true, turn),
            (Mount::None | Mount::Open, _) => {
                self.touch(&user);
                turn.effects.push(Effect::Announce(Announcement::Changed(user)));
            }
        }
    }

    /// What an open home lies on may have been pulled out.
    pub(super) fn look_for_storage(&mut self, turn: &mut Turn) {
        let is_gone = |home: &&Home| {
            let whereabouts = turn.facts.whereabouts(home.place());
            // Kinds that are not kept here have no image.
            let has_image = !home.place().image.is_empty();
            has_image && whereabouts.storage == Storage::Missing && whereabouts.mount.is_there()
        };
        let gone: Vec<_> = self.homes.values().filter(is_gone).map(|home| home.user().clone()).collect();
        gone.iter().for_each(|user| self.detach(user, turn));
    }

    fn detach(&mut self, user: &UserName, turn: &mut Turn) {
        turn.effects.push(Effect::Log(user.clone(), "its storage has vanished: it is detached".into()));
        let wanted = Wanted::by_the_daemon(Verb::StorageGone, turn.now_usec);
        self.on(user, turn, |home, turn| home.want(wanted, turn));
    }
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
