//! The set of homes. Pure: no IO, no clock, no bus; events in, effects out.
//!
//! Not here: what one home may do ([`crate::home`]), signing keys and wire formats (daemon, fronts).

mod create;
mod discover;
mod groups;
mod locks;
pub mod names;
mod rebalance;
pub mod request;
mod set;
pub mod sleep;
mod space;
pub mod uids;
mod update;
pub mod weakness;

#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod tests;

use crate::home::effect::{Announcement, Effect, Event, Failed, JobId, Timer};
use crate::home::facts::Facts;
use crate::home::rules::LockRules;
use crate::home::verdict::{Favour, Held, Verb};
use crate::home::{
    self,
    attempts::{Origin, Trier},
};
use crate::home::{Fate, GroupId, Home, Tuning, Turn, Waiter, Wanted};
use crate::job::Outcome;
use crate::job::Reach;
use groups::Group;
use records::{LockLevel, Machine, Refusal, Storage, UserName};
use request::{Answer, AtSuspend, Caller, HomeKey, Offer, Operation, RequestId};
use set::Homes;
use std::collections::BTreeMap;

/// Most homes that are managed, as in the original.
pub const MOST_HOMES: usize = 500;

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
    groups: BTreeMap<GroupId, Group>,
    /// Parts of sharing space that wait until it is known how large homes are.
    measuring: BTreeMap<GroupId, (space::Phase, Group)>,
    sleeping: sleep::Sleeping,
    last_open_sleep: Option<request::OpenSleep>,
    next_job: u64,
}

/// What records get that do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `storage`.
    pub storage: Storage,
    /// `fileSystemType`.
    pub file_system_type: Option<String>,
    /// Folder of images and home directories.
    pub home_root: String,
    /// `lockLevel`.
    pub lock_level: LockLevel,
    /// What follows where not every home could be locked.
    pub lock_failure: LockFailure,
    /// How large all images of a disk may be together, in per cent of the disk.
    pub overcommit: u32,
    /// What else is set about locks.
    pub lock_rules: LockRules,
}

/// What is used where no file says otherwise.
impl Default for Defaults {
    fn default() -> Self {
        Self {
            storage: Storage::MADE,
            file_system_type: None,
            home_root: "/home".into(),
            lock_level: LockLevel::Cache,
            lock_failure: LockFailure::Abort,
            overcommit: 400,
            lock_rules: LockRules::default(),
        }
    }
}

/// What follows where not every home could be locked before the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFailure {
    /// The call fails, and with it the suspend.
    Abort,
    /// The machine is shut down.
    PowerOff,
    /// It is logged, and the machine sleeps with the keys that are left in its memory.
    Ignore,
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
        now.facts.begin_turn();
        let machine = self.machine.clone();
        let mut turn = self.turn(&machine, now);
        self.dispatch(event, &mut turn);
        self.tell_groups(&mut turn);
        self.next_job = turn.next_job;
        turn.effects
    }

    fn turn<'a>(&self, machine: &'a Machine, now: &'a Now<'a>) -> Turn<'a> {
        Turn {
            now_usec: now.usec,
            machine,
            facts: now.facts,
            tuning: self.tuning,
            lock_level: self.defaults.lock_level,
            overcommit: self.defaults.overcommit,
            rules: self.defaults.lock_rules,
            sleep: self.sleeping.sleep,
            uids: self.homes.values().map(Home::uid).collect(),
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
            Event::Ended(user, job, outcome) => {
                let share = matches!(outcome, Outcome::Done { .. }) && self.is_tended_by_itself(&user, turn);
                self.on(&user, turn, |home, turn| home.ended(job, outcome, turn));
                self.forget_unknown(&user, turn);
                if share {
                    self.share(turn);
                }
            }
            Event::Committed(user, job) => self.on(&user, turn, |home, _| {
                home.committed(job);
                Fate::Stays
            }),
            Event::Checked(user, job, findings) => match self.pending.remove(&job) {
                Some(pending) => self.looked_up(pending, findings, turn),
                None => self.on(&user, turn, |home, turn| home.checked(job, findings, turn)),
            },
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
            Event::Seen(user) => self.seen(&user, turn),
            Event::MountsChanged => {
                self.look_again(turn);
                self.look_for_storage(turn);
            }
            Event::Released(user, at_suspend) => self.on(&user, turn, |home, turn| {
                home.released(at_suspend, turn);
                Fate::Stays
            }),
            Event::Rang(Timer::Home(user, timer)) => {
                self.lock_event(&user, turn, |home, turn| home.rang(timer, turn));
            }
            Event::Rang(Timer::Group(group)) => self.group_is_late(group, turn),
            Event::Rang(Timer::Hold(timer)) => self.held_too_long(timer, turn),
            Event::Held(left) => self.held_for(left, turn),
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

    /// Does something with one home, and takes it out if that is what follows.
    fn on(&mut self, user: &UserName, turn: &mut Turn, act: impl FnOnce(&mut Home, &mut Turn) -> Fate) {
        let Some(home) = self.homes.get_mut(user) else { return };
        let was_shown = !home.is_being_checked();
        if act(home, turn) == Fate::Goes {
            self.take_out(user, was_shown, turn);
        }
    }

    /// Does something with all of them.
    fn each(&mut self, turn: &mut Turn, act: impl Fn(&mut Home, &mut Turn) -> Fate) {
        let users: Vec<UserName> = self.homes.keys().cloned().collect();
        for user in users {
            self.on(&user, turn, &act);
        }
    }

    fn take_out(&mut self, user: &UserName, was_shown: bool, turn: &mut Turn) {
        let Some(mut home) = self.homes.remove(user) else { return };
        home.refuse_queue(turn);
        if was_shown {
            turn.effects.push(Effect::DropReferences(user.clone()));
            turn.effects.push(Effect::Announce(Announcement::Vanished(user.clone(), home.uid())));
        }
    }

    fn asked(&mut self, id: RequestId, caller: &Caller, operation: Operation, turn: &mut Turn) {
        let waiter = Waiter::Call(id);
        let Some(operation) = self.about_sleep(id, operation, turn) else { return };
        match operation {
            Operation::Create(record, blobs, offer) => self.create((*record, blobs), offer, id, caller, turn),
            Operation::Register(record) => self.register(record, id, turn),
            Operation::DeactivateAll => drop(self.all(Verb::DeactivateAll, waiter, turn)),
            Operation::GiveUpAll => drop(self.all(Verb::GiveUp, waiter, turn)),
            Operation::Alive => turn.answer(waiter, Ok(Answer::Done)),
            Operation::Rebalance => self.rebalance(waiter, turn),
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
            blobs: None,
            at_suspend: asked.at_suspend,
            asked_usec: turn.now_usec,
        };
        let user = home.user().clone();
        self.on(&user, turn, |home, turn| home.want(wanted, turn));
    }

    /// Finds a home by any of its names, or by its UID; the empty name is the caller's own.
    fn find(&self, key: &HomeKey, caller: u32) -> Option<&Home> {
        let shown = || self.homes.values().filter(|home| !home.is_being_checked());
        match key {
            HomeKey::Uid(uid) => shown().find(|home| home.uid() == *uid),
            HomeKey::Name(name) if name.is_empty() => shown().find(|home| home.uid() == caller),
            HomeKey::Name(name) => {
                let primary = UserName::parse(name).ok().and_then(|user| self.homes.get(&user));
                let primary = primary.filter(|home| !home.is_being_checked());
                primary.or_else(|| shown().find(|home| home.record().is_called(name)))
            }
        }
    }

    fn abandoned(&mut self, call: RequestId, turn: &mut Turn) {
        self.abandon_groups(call, turn);
        self.each(turn, |home, turn| home.abandoned(call, turn));
    }

    /// Whether anything is mounted, held or being done: for whoever wants to stop the daemon.
    pub fn is_idle(&self) -> bool {
        self.homes.values().all(|home| home.held() == Held::No)
    }
}

/// What is wanted of one home, taken out of an operation.
struct Asked {
    verb: Verb,
    offer: Offer,
    new: Option<records::Credentials>,
    change: Option<Box<crate::job::RecordChange>>,
    repair: crate::job::Repair,
    directory: Option<String>,
    size: Option<home::resize::Asked>,
    at_suspend: AtSuspend,
}

impl Asked {
    fn plain(verb: Verb) -> Self {
        Self::with(verb, Offer::default())
    }

    fn with(verb: Verb, offer: Offer) -> Self {
        Self {
            verb,
            offer,
            new: None,
            change: None,
            size: None,
            repair: Default::default(),
            directory: None,
            at_suspend: AtSuspend::Stay,
        }
    }
}

fn of_one_home(operation: Operation) -> Option<(HomeKey, Asked)> {
    let reference = |verb, at_suspend, offer| Asked { at_suspend, ..Asked::with(verb, offer) };
    let asked = match operation {
        Operation::Activate(key, offer) => (key, Asked::with(Verb::Activate, offer)),
        Operation::ActivateIfReferenced(key, offer) => (key, Asked::with(Verb::ActivateIfReferenced, offer)),
        Operation::Fixate(key, offer) => (key, Asked::with(Verb::Fixate, offer)),
        Operation::Authenticate(key, offer) => (key, Asked::with(Verb::Authenticate, offer)),
        Operation::Acquire(key, at, offer) => (key, reference(Verb::Acquire, at, offer)),
        Operation::Ref(key, at) => (key, reference(Verb::Ref, at, Offer::default())),
        Operation::RefUnrestricted(key, at) => (key, reference(Verb::RefUnrestricted, at, Offer::default())),
        Operation::Release(key) => (key, Asked::plain(Verb::Release)),
        Operation::Deactivate(key) => (key, Asked::plain(Verb::Deactivate)),
        Operation::ChangePassword { home, new, old } => {
            (home, Asked { new: Some(new), ..Asked::with(Verb::ChangePassword, old) })
        }
        Operation::Update(key, change, offer) => {
            let verb = match change.reach {
                Reach::Everywhere => Verb::Update,
                Reach::HostOnly => Verb::UpdateOffline,
            };
            (key, Asked { change: Some(change), ..Asked::with(verb, offer) })
        }
        Operation::Check(key, offer) => (key, Asked::with(Verb::Check, offer)),
        Operation::Repair(key, repair, offer) => (key, Asked { repair, ..Asked::with(Verb::Repair, offer) }),
        Operation::Rescue(key, directory, offer) => {
            (key, Asked { directory, ..Asked::with(Verb::Rescue, offer) })
        }
        Operation::Resize(key, bytes, offer) => {
            let size = Some(home::resize::Asked::Number(bytes));
            (key, Asked { size, ..Asked::with(Verb::Resize, offer) })
        }
        Operation::Remove(key) => (key, Asked::plain(Verb::Remove)),
        Operation::Unregister(key) => (key, Asked::plain(Verb::Unregister)),
        Operation::Lock(key) => (key, Asked::plain(Verb::Lock)),
        Operation::Unlock(key, offer) => (key, Asked::with(Verb::Unlock, offer)),
        Operation::Later(key, later) => (key, Asked::plain(Verb::Later(later))),
        Operation::Create(..)
        | Operation::Register(_)
        | Operation::Adopt(_)
        | Operation::DeactivateAll
        | Operation::LockAll(_)
        | Operation::SleepPrepared
        | Operation::SleepOver
        | Operation::GiveUpAll
        | Operation::Alive
        | Operation::Stage(..)
        | Operation::Rebalance
        | Operation::Inhibit(..)
        | Operation::Locks
        | Operation::Weaknesses
        | Operation::Sessions(_)
        | Operation::Keys(_) => return None,
    };
    Some(asked)
}

/// Who tries, and in whose favour: root's calls come from somewhere.
fn trier(caller: &Caller, home: &Home) -> Trier {
    let from = &caller.from;
    let person = match caller.uid {
        0 if from.real_uid != 0 => Some(from.real_uid),
        0 => from.login.filter(|uid| *uid != 0),
        uid => Some(uid),
    };
    let origin = match person {
        Some(uid) if uid == home.uid() => Origin::Owner,
        Some(uid) => Origin::User(uid),
        None => Origin::Service(from.unit.clone()),
    };
    // Who is root and no setuid program of somebody's has all rights.
    let has_right = origin == Origin::Owner || (caller.uid == 0 && from.real_uid == 0);
    Trier { origin, favour: if has_right { Favour::Owner } else { Favour::Stranger } }
}
