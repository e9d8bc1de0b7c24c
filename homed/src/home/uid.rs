//! The UID of a home on this machine: its own, or another where that is taken. No two homes have the same.

use super::effect::Effect;
use super::state::Work;
use super::{Fate, Home, Turn};

impl Home {
    /// The UID it has, then the others of the range; a new home whose record names one gets that or none.
    pub(super) fn uid_candidates(&self, work: Work, turn: &Turn) -> Vec<u32> {
        let mut candidates = vec![self.uid];
        let insists = work == Work::Creating && self.record().members().contains_key("uid");
        if !insists {
            candidates.extend(crate::words::uids::candidates(self.user(), turn.uids, &turn.uid_range));
        }
        candidates
    }

    /// UIDs that no other home may get: its own, and the one that its record names.
    pub fn uids(&self) -> impl Iterator<Item = u32> {
        self.bound_uid.filter(|bound| *bound != self.uid).into_iter().chain([self.uid])
    }

    /// The record names that UID on this machine now.
    pub(super) fn follow_binding(&mut self, bound: Option<u32>, turn: &Turn) {
        let Some(uid) = bound.filter(|uid| !self.has_lost(*uid, turn)) else { return };
        self.uid = uid;
        self.bound_uid = bound;
    }

    /// Whether it is another home's: one may have got it while this one's job was looking whose it is.
    pub(super) fn has_lost(&self, uid: u32, turn: &Turn) -> bool {
        turn.uids.contains(&uid) && self.uids().all(|own| own != uid)
    }

    /// Looks once more, among those that are free now.
    pub(super) fn checks_again(&self, turn: &mut Turn) -> Fate {
        if let Some(running) = &self.running
            && let Some(check) = self.check_before(running.work, &running.wanted, running.id, turn)
        {
            turn.effects.push(Effect::Check(Box::new(check)));
        }
        Fate::Stays
    }
}
