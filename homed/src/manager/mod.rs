//! The set of homes. Pure: no IO, no clock, no bus; events in, effects out.
//!
//! Not here: what one home may do ([`crate::home`]), signing keys and wire formats (daemon, fronts).

mod asked;
mod create;
mod defaults;
mod discover;
mod groups;
mod index;
mod locks;
mod rebalance;
mod set;
pub mod sleep;
mod space;
mod trust;
mod update;
pub mod weakness;

#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

use crate::home::effect::{Announcement, Effect, Event, Failed, Findings, JobId, Timer};
use crate::home::facts::Facts;
use crate::home::verdict::{Held, Verb};
use crate::home::without::{Rule, has};
use crate::home::{Fate, GroupId, Home, Tuning, Turn, Waiter, Wanted};
use crate::job::Outcome;
use crate::words::request::{self, Answer, Caller, HomeKey, Operation, RequestId};
use asked::{Asked, of_one_home, trier};
use create::New;
pub use defaults::{Defaults, LockFailure};
use groups::Group;
use records::{Machine, Refusal, UserName};
use set::Homes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Facts and time of one turn, from the loop.
pub struct Now<'a> {
    /// Wall clock, µs since 1970.
    pub usec: u64,
    /// Kernel and disk.
    pub facts: &'a dyn Facts,
}

/// All homes of this machine.
pub struct Manager {
    machine: Machine,
    tuning: Tuning,
    defaults: Defaults,
    homes: Homes,
    /// Homes that are to be known, until their names and UID are checked.
    pending: BTreeMap<JobId, discover::Pending>,
    /// … and whose they are.
    expected: BTreeSet<(UserName, JobId)>,
    /// UIDs of all homes.
    uids: BTreeSet<u32>,
    /// Which home a call waits for.
    waiting: HashMap<RequestId, UserName>,
    groups: BTreeMap<GroupId, Group>,
    /// Parts of sharing space that wait until it is known how large homes are.
    measuring: BTreeMap<GroupId, (space::Phase, Group)>,
    sleeping: sleep::Sleeping,
    last_open_sleep: Option<request::OpenSleep>,
    next_job: u64,
}

impl Manager {
    /// No homes yet.
    pub fn new(machine: Machine, tuning: Tuning, defaults: Defaults) -> Self {
        Self {
            machine,
            tuning,
            defaults,
            homes: Homes::default(),
            pending: BTreeMap::new(),
            expected: BTreeSet::new(),
            uids: BTreeSet::new(),
            waiting: HashMap::new(),
            groups: BTreeMap::new(),
            measuring: BTreeMap::new(),
            sleeping: sleep::Sleeping::default(),
            last_open_sleep: None,
            next_job: 0,
        }
    }

    /// Takes other settings: they hold from the next event on.
    pub fn follow(&mut self, defaults: Defaults) {
        self.defaults = defaults;
    }

    /// Takes one event, says what is to be done.
    pub fn handle(&mut self, event: Event, now: &Now) -> Vec<Effect> {
        let machine = self.machine.clone();
        let mut uids = std::mem::take(&mut self.uids);
        let mut turn = self.turn(&machine, now, &uids);
        self.dispatch(event, &mut turn);
        self.tell_groups(&mut turn);
        self.next_job = turn.next_job;
        let effects = turn.effects;
        self.homes.follow_uids(&mut uids);
        self.uids = uids;
        effects.iter().filter_map(Effect::answers).for_each(|call| drop(self.waiting.remove(&call)));
        effects
    }

    fn turn<'a>(&self, machine: &'a Machine, now: &'a Now<'a>, uids: &'a BTreeSet<u32>) -> Turn<'a> {
        Turn {
            now_usec: now.usec,
            machine,
            facts: now.facts,
            tuning: self.tuning,
            lock_level: self.defaults.lock_level,
            overcommit: self.defaults.overcommit,
            rules: self.defaults.lock_rules,
            strangers: self.defaults.strangers,
            removal: self.defaults.removal,
            sleep: self.sleeping.sleep,
            uids,
            uid_range: self.defaults.uid_range.clone(),
            group_news: Vec::new(),
            not_locked: Vec::new(),
            next_job: self.next_job,
            effects: Vec::new(),
        }
    }

    fn dispatch(&mut self, event: Event, turn: &mut Turn) {
        match event {
            Event::Asked(id, caller, operation) => self.asked(id, &caller, *operation, turn),
            Event::Abandoned(call) => self.abandoned(call, turn),
            Event::Ended(user, job, outcome) => self.ended(&user, job, outcome, turn),
            Event::Committed(user, job) => self.on(&user, turn, |home, _| home.committed(job)),
            Event::Asking(user, job, asks) => self.on(&user, turn, |home, _| home.asking(job, asks)),
            Event::Silent(user, job, step) => {
                self.on(&user, turn, |home, turn| home.silent(job, step, turn));
            }
            Event::Checked(user, job, findings) => self.checked(user, job, findings, turn),
            Event::Proven(user, id, seal) => {
                self.on(&user, turn, |home, turn| home.proven(id, seal, turn));
            }
            Event::Measured(id, figures) => self.measured(id, figures, turn),
            Event::Loaded(record, interrupted, held) => self.loaded(*record, interrupted, held, turn),
            Event::Signed(record) => self.on(&record.user().clone(), turn, |home, turn| {
                home.signed(*record, turn);
                Fate::Stays
            }),
            Event::Found(found) => self.found(found, turn),
            Event::Adopted(found, id) => self.adopt(found, id, turn),
            Event::Vanished(image) => self.vanished(&image, turn),
            Event::TokenGone(user) => self.lock_event(&user, turn, Home::token_gone),
            Event::Seen(user) => self.seen(&user, turn),
            Event::KeysChanged => self.judge_again(turn),
            Event::MountsChanged => {
                self.look_again(turn);
                self.look_for_storage(turn);
            }
            Event::Released(user, at_suspend) => self.on(&user, turn, |home, turn| {
                home.released(at_suspend, turn);
                Fate::Stays
            }),
            Event::Rang(timer) => self.rang(timer, turn),
            Event::Held(left) => self.held_on(left, turn),
            Event::SleepSeen(timer, on_its_way) => self.sleep_is_seen(timer, on_its_way, turn),
            Event::Inhibited(inhibitor) => {
                // Its number is not given again.
                turn.next_job = turn.next_job.max(inhibitor.id.0);
                self.lock_event(&inhibitor.user.clone(), turn, |home, _| home.inhibited(*inhibitor));
            }
            Event::LetGo(user, id) => self.lock_event(&user, turn, |home, turn| home.let_go(id, turn)),
            Event::Slept(usec) => {
                self.slept(usec, turn);
                self.has_slept(turn);
            }
        }
    }

    /// Names, UID or a password were looked up, for a home or for one that is not there yet.
    fn checked(&mut self, user: UserName, job: JobId, findings: Findings, turn: &mut Turn) {
        match self.pending.remove(&job) {
            Some(pending) => {
                self.expected.remove(&(user, job));
                self.looked_up(pending, findings, turn);
            }
            None => self.on(&user, turn, |home, turn| home.checked(job, findings, turn)),
        }
    }

    fn rang(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Home(user, timer) => {
                self.lock_event(&user, turn, |home, turn| home.rang(timer, turn));
                self.forget_unknown(&user, turn);
            }
            Timer::Group(group) => self.group_is_late(group, turn),
            Timer::Hold(timer) => self.held_for_long(timer, turn),
        }
    }

    fn ended(&mut self, user: &UserName, job: JobId, outcome: Outcome, turn: &mut Turn) {
        let share = matches!(outcome, Outcome::Done { .. }) && self.is_tended_by_itself(user, turn);
        self.on(user, turn, |home, turn| home.ended(job, outcome, turn));
        self.forget_unknown(user, turn);
        if share {
            self.share(turn);
        }
    }

    /// Does something with one home, and takes it out if that is what follows.
    fn on(&mut self, user: &UserName, turn: &mut Turn, act: impl FnOnce(&mut Home, &mut Turn) -> Fate) {
        let Some(home) = self.homes.get_mut(user) else { return };
        let was_shown = !home.is_being_checked();
        match act(home, turn) {
            Fate::Stays => self.homes.has_acted(user),
            Fate::Goes => self.take_out(user, was_shown, turn),
        }
    }

    /// Does something with all that do something, or have something to do.
    fn each_busy(&mut self, turn: &mut Turn, act: impl Fn(&mut Home, &mut Turn) -> Fate) {
        for user in self.homes.users_where(Home::is_busy) {
            self.on(&user, turn, &act);
        }
    }

    fn take_out(&mut self, user: &UserName, was_shown: bool, turn: &mut Turn) {
        let Some(mut home) = self.homes.remove(user) else { return };
        if has(Rule::AnswersWhoWaits) {
            home.refuse_queue(turn);
        }
        if was_shown {
            turn.effects.push(Effect::DropReferences(user.clone()));
            turn.effects.push(Effect::Announce(Announcement::Vanished(user.clone(), home.uid())));
        }
    }

    fn asked(&mut self, id: RequestId, caller: &Caller, operation: Operation, turn: &mut Turn) {
        let waiter = Waiter::Call(id);
        let Some(operation) = self.about_sleep(id, operation, turn) else { return };
        match operation {
            Operation::Create(record, blobs, offer) => {
                self.create(New { record: *record, blobs, original: None, offer }, id, caller, turn)
            }
            Operation::Convert(record, original, offer) => {
                let (blobs, original) = (None, Some(original));
                self.create(New { record: *record, blobs, original, offer }, id, caller, turn)
            }
            Operation::Register(record) => self.register(record, id, turn),
            Operation::DeactivateAll => drop(self.all(Verb::DeactivateAll, waiter, turn)),
            Operation::GiveUpAll => drop(self.all(Verb::GiveUp, waiter, turn)),
            Operation::Alive => turn.answer(waiter, Ok(Answer::Done)),
            Operation::Rebalance => self.rebalance(waiter, turn),
            Operation::TrustOf(key) => self.trust_of(&key, (id, caller), turn),
            Operation::Trust(key, claims) => self.trust(&key, &claims, (id, caller), turn),
            Operation::Inhibit(key, wish) => self.inhibit((&key, wish), id, caller, turn),
            Operation::Locks => turn.answer(waiter, Ok(Answer::Locks(Box::new(self.locks(turn))))),
            Operation::Sessions(all) => {
                let again = self.sessions(&all, turn);
                turn.answer(waiter, Ok(Answer::LookAgain(again)));
            }
            // The loop answers these itself: they are asked from files.
            Operation::Keys(_) | Operation::Stage(..) | Operation::Weaknesses => {
                turn.answer(waiter, Err(Refusal::NotSupported.into()))
            }
            other => match of_one_home(other) {
                Some((key, asked)) => self.ask_home(&key, asked, id, caller, turn),
                None => turn.answer(waiter, Err(Refusal::NotSupported.into())),
            },
        }
    }

    fn ask_home(&mut self, key: &HomeKey, asked: Asked, id: RequestId, caller: &Caller, turn: &mut Turn) {
        let Some(home) = self.find(key, caller.uid) else {
            return turn.answer(Waiter::Call(id), Err(Failed::Refused(key.unknown())));
        };
        let unfit = asked.change.as_ref().and_then(|change| self.unfit(home, change).err());
        if let Some(refused) = unfit {
            return turn.answer(Waiter::Call(id), Err(Failed::Refused(refused)));
        }
        let wanted = Wanted {
            waiter: Waiter::Call(id),
            trier: trier(caller, home),
            verb: asked.verb,
            attempt: crate::home::tries(asked.verb, !asked.offer.credentials.is_empty()),
            counted: false,
            waited: false,
            offer: asked.offer,
            new: asked.new,
            change: asked.change,
            repair: asked.repair,
            directory: asked.directory,
            size: asked.size,
            snapshots: asked.snapshots,
            blobs: None,
            original: None,
            at_suspend: asked.at_suspend,
            asked_usec: turn.now_usec,
        };
        let user = home.user().clone();
        self.waiting.insert(id, user.clone());
        self.on(&user, turn, |home, turn| home.want(wanted, turn));
    }

    /// Finds a home by any of its names, or by its UID; the empty name is the caller's own.
    fn find(&self, key: &HomeKey, caller: u32) -> Option<&Home> {
        let shown = |user: &UserName| self.homes.get(user).filter(|home| !home.is_being_checked());
        let index = self.homes.index();
        match key {
            HomeKey::Uid(uid) => index.with_uid(*uid).find_map(shown),
            HomeKey::Name(name) if name.is_empty() => index.with_uid(caller).find_map(shown),
            HomeKey::Name(name) => {
                let primary = UserName::parse(name).ok().and_then(|user| shown(&user));
                primary.or_else(|| index.called(name).find_map(shown))
            }
        }
    }

    fn abandoned(&mut self, call: RequestId, turn: &mut Turn) {
        self.abandon_groups(call, turn);
        if let Some(user) = self.waiting.remove(&call) {
            self.on(&user, turn, |home, turn| home.abandoned(call, turn));
        }
    }

    /// Whether anything is mounted, held or being done: for whoever wants to stop the daemon.
    pub fn is_idle(&self) -> bool {
        self.homes.walk().all(|home| home.held() == Held::No)
    }
}
