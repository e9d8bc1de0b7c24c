//! Calls that stand for several homes.

use super::space::Phase;
use super::{LockFailure, Manager};
use crate::home::effect::{Announcement, Effect, Failed};
use crate::home::verdict::Verb;
use crate::home::{Fate, GroupId, Turn, Waiter, Wanted};
use crate::words::request::{Answer, RequestId};
use records::UserName;

/// A call that stands for several homes: answered when all have answered; the first failure wins.
pub(super) struct Group {
    pub verb: Verb,
    pub waiter: Waiter,
    pub left: usize,
    pub failed: Option<Failed>,
    /// Where sharing space is, if this is a part of that.
    pub phase: Option<Phase>,
    /// Homes that could not be locked, and why.
    pub not_locked: Vec<String>,
    /// Whether the machine is to sleep afterwards.
    pub holds: bool,
    /// Open homes that somebody had left out when it began.
    pub passed_over: Vec<UserName>,
    /// It was, and meanwhile somebody said that it does not.
    pub given_up: bool,
    /// Its time is over: it is answered without those that are not through.
    pub is_late: bool,
}

impl Group {
    /// One for so many homes.
    pub fn of(verb: Verb, waiter: Waiter, left: usize) -> Self {
        Self {
            verb,
            waiter,
            left,
            failed: None,
            phase: None,
            not_locked: Vec::new(),
            holds: false,
            passed_over: Vec::new(),
            given_up: false,
            is_late: false,
        }
    }
}

impl Manager {
    /// Wants the same of every home; `waiter` is answered when all are through.
    pub(super) fn all(&mut self, verb: Verb, waiter: Waiter, turn: &mut Turn) -> GroupId {
        let phase = (verb == Verb::Tend).then_some(Phase::Tend);
        self.all_of(Group { phase, ..Group::of(verb, waiter, 0) }, turn)
    }

    /// The same for a call that is more than that. Where nothing is to be done it ends at once.
    pub(super) fn all_of(&mut self, group: Group, turn: &mut Turn) -> GroupId {
        let id = GroupId(turn.job_id().0);
        let (verb, for_a_sleep) = (group.verb, group.holds);
        // Those of which nothing would come are left alone.
        let users = self.homes.users_where(|home| !home.is_already_so(verb, turn));
        self.groups.insert(id, Group { left: users.len(), ..group });
        if users.is_empty() {
            self.group_ends(id, turn);
        }
        for user in users {
            let wanted = Wanted { waiter: Waiter::Group(id), ..Wanted::by_the_daemon(verb, turn.now_usec) };
            self.on(&user, turn, |home, turn| match verb {
                Verb::LockAll => {
                    match for_a_sleep {
                        true => home.lock_for_sleep(wanted, turn),
                        false => home.lock_unasked(wanted, turn),
                    }
                    Fate::Stays
                }
                _ => home.want(wanted, turn),
            });
        }
        id
    }

    /// Nobody waits for that call any more.
    pub(super) fn abandon_groups(&mut self, call: RequestId, turn: &mut Turn) {
        let mut held = false;
        let measured = self.measuring.values_mut().map(|(_, group)| group);
        let groups = self.groups.values_mut().chain(measured);
        for group in groups.filter(|group| group.waiter == Waiter::Call(call)) {
            group.waiter = Waiter::Nobody;
            held |= std::mem::take(&mut group.holds);
        }
        if held {
            self.gave_up(turn);
        }
    }

    pub(super) fn tell_groups(&mut self, turn: &mut Turn) {
        for (id, which) in std::mem::take(&mut turn.not_locked) {
            if let Some(group) = self.groups.get_mut(&id) {
                group.not_locked.push(which);
            }
        }
        // One that is told may begin another.
        while !turn.group_news.is_empty() {
            let (id, news) = turn.group_news.remove(0);
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.left = group.left.saturating_sub(1);
            if let (Err(failed), None) = (news, &group.failed) {
                group.failed = Some(failed);
            }
            if group.left > 0 {
                continue;
            }
            self.group_ends(id, turn);
        }
    }

    /// All that it stands for have answered, or it is answered without them.
    pub(super) fn group_ends(&mut self, id: GroupId, turn: &mut Turn) {
        let Some(group) = self.groups.remove(&id) else { return };
        let Some(group) = self.lock_who_was_left_out(id, group, turn) else { return };
        if let Some(phase) = group.phase {
            return self.shared(phase, group, turn);
        }
        let ended = group.failed.map_or(Ok(Answer::Done), Err);
        let ended = match group.verb {
            Verb::LockAll => self.all_locked(ended, &group.not_locked, turn),
            _ => ended,
        };
        if group.given_up {
            return turn.answer(group.waiter, Err(super::sleep::given_up()));
        }
        if !group.holds {
            return turn.answer(group.waiter, ended);
        }
        if ended.is_err() {
            if self.defaults.lock_failure == LockFailure::Abort {
                turn.effects.push(Effect::Announce(Announcement::SleepRefused));
            }
            self.gave_up(turn);
        } else {
            self.grants();
        }
        let left_out = self.left_out(turn);
        turn.answer(group.waiter, ended.map(|_| Answer::LeftOut(left_out)));
    }
}
