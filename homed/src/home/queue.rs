//! What waits for one home, and what comes first. Pure: nothing here starts anything.
//!
//! ```text
//! urgent    what takes a key out of memory, or mends:  lock, give up, settle, storage gone
//! owner     what its owner, root or the daemon wants
//! stranger  what anybody else wants
//! ```
//!
//! Each class has room of its own, so that no class keeps another out; within a class the first to come is the first.

use super::attempts::Origin;
use super::verdict::{Favour, Verb};
use super::without::{Rule, has};
use super::{GroupId, Waiter, Wanted};
use crate::words::request::RequestId;
use std::collections::VecDeque;

/// Calls of each class that may wait for one home.
pub const URGENT: usize = 64;
/// The same of its owner's.
pub const OWNER: usize = 100;
/// The same of strangers.
pub const STRANGER: usize = 20;
/// How many of the owner's may be of one origin: one that floods keeps no other out.
pub const ONE_ORIGIN: usize = 40;
/// How many of the last may be of one user.
pub const ONE_STRANGER: usize = 2;

/// Which of them come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Before everybody else.
    Urgent,
    /// Then.
    Owner,
    /// Last.
    Stranger,
}

impl Class {
    /// The class of what is wanted.
    pub fn of(verb: Verb, favour: Favour) -> Self {
        match (verb, favour) {
            (Verb::Lock | Verb::LockAll | Verb::GiveUp | Verb::StorageGone | Verb::Settle, _) => Self::Urgent,
            (_, Favour::Owner) => Self::Owner,
            (_, Favour::Stranger) => Self::Stranger,
        }
    }
}

/// All that waits, in the order in which it is looked at.
#[derive(Default)]
pub(super) struct Queue {
    urgent: VecDeque<Wanted>,
    owner: VecDeque<Wanted>,
    stranger: VecDeque<Wanted>,
}

impl Queue {
    /// Takes it in, behind others of its class; gives it back where there is no room. What the daemon itself wants
    /// always has room, and is wanted once.
    pub fn push(&mut self, wanted: Wanted) -> Result<(), Box<Wanted>> {
        if wanted.waiter == Waiter::Nobody && self.wants(wanted.verb) {
            return Ok(());
        }
        let class = wanted.class();
        let is_call = matches!(wanted.waiter, Waiter::Call(_));
        if is_call && self.is_full(class, &wanted.trier.origin) {
            return Err(Box::new(wanted));
        }
        // What was broken off is put in order before what has lost its storage is closed.
        let gone = self.urgent.iter().position(|waits| waits.verb == Verb::StorageGone);
        match gone.filter(|_| wanted.verb == Verb::Settle) {
            Some(place) => self.urgent.insert(place, wanted),
            None => self.of(class).push_back(wanted),
        }
        Ok(())
    }

    /// Takes it back in, before others of its class: it had its turn already.
    pub fn push_front(&mut self, wanted: Wanted) {
        self.of(wanted.class()).push_front(wanted);
    }

    /// Takes it in behind everything else.
    pub fn push_last(&mut self, wanted: Wanted) {
        self.stranger.push_back(wanted);
    }

    /// All of it, the most urgent first; nothing waits then.
    pub fn take(&mut self) -> VecDeque<Wanted> {
        let mut all = std::mem::take(&mut self.urgent);
        all.append(&mut self.owner);
        all.append(&mut self.stranger);
        all
    }

    /// The same, and calls in the owner's favour have changed places among themselves: whose origin has tried least
    /// `lately` goes first, so that one that guesses goes behind everybody else. (A release keeps its place: in front of
    /// the next login it would close the home that this one needs open.)
    pub fn take_fairly(&mut self, lately: impl Fn(&Wanted) -> u64) -> VecDeque<Wanted> {
        let (mut calls, mut places) = (Vec::new(), Vec::new());
        for wanted in std::mem::take(&mut self.owner) {
            if matches!(wanted.waiter, Waiter::Call(_)) && wanted.verb != Verb::Release {
                calls.push(wanted);
                places.push(None);
            } else {
                places.push(Some(wanted));
            }
        }
        calls.sort_by_key(lately);
        let mut calls = calls.into_iter();
        self.owner = places.into_iter().filter_map(|place| place.or_else(|| calls.next())).collect();
        self.take()
    }

    /// Takes out the locks: for which it is too late.
    pub fn take_locks(&mut self) -> Vec<Wanted> {
        let is_lock = |wanted: &Wanted| matches!(wanted.verb, Verb::Lock | Verb::LockAll);
        let (locks, others) = std::mem::take(&mut self.urgent).into_iter().partition(is_lock);
        self.urgent = others;
        Vec::from_iter::<VecDeque<Wanted>>(locks)
    }

    /// Takes out the calls that want it closed by name.
    pub fn take_closings(&mut self) -> Vec<Wanted> {
        self.take_where(Wanted::closes_by_name)
    }

    /// Takes out the calls that are not urgent.
    pub fn take_calls(&mut self) -> Vec<Wanted> {
        self.take_where(|wanted| matches!(wanted.waiter, Waiter::Call(_)))
    }

    /// Takes out of what is not urgent.
    fn take_where(&mut self, is_it: impl Fn(&Wanted) -> bool) -> Vec<Wanted> {
        let mut taken = Vec::new();
        for class in [&mut self.owner, &mut self.stranger] {
            let (these, others): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(class).into_iter().partition(&is_it);
            *class = others;
            taken.extend(these);
        }
        taken
    }

    /// Whether anything urgent waits.
    pub fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Whether that is wanted already, by whomever.
    pub fn wants(&self, verb: Verb) -> bool {
        self.all().any(|wanted| wanted.verb == verb)
    }

    /// Whether anything waits for that group.
    pub fn waits_for(&self, group: GroupId) -> bool {
        self.all().any(|wanted| wanted.waiter == Waiter::Group(group))
    }

    /// Nobody waits for that call any more.
    pub fn abandon(&mut self, call: RequestId) {
        self.keep(|wanted| wanted.waiter != Waiter::Call(call));
    }

    /// Nobody waits for that group any more.
    pub fn abandon_group(&mut self, group: GroupId) {
        self.keep(|wanted| wanted.waiter != Waiter::Group(group));
    }

    fn keep(&mut self, keep: impl Fn(&Wanted) -> bool) {
        for class in [&mut self.urgent, &mut self.owner, &mut self.stranger] {
            class.retain(&keep);
        }
    }

    /// All of it, for tests that look into homes.
    #[cfg(test)]
    pub fn waiting(&self) -> impl Iterator<Item = &Wanted> {
        self.all()
    }

    fn all(&self) -> impl Iterator<Item = &Wanted> {
        self.urgent.iter().chain(&self.owner).chain(&self.stranger)
    }

    fn of(&mut self, class: Class) -> &mut VecDeque<Wanted> {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Owner => &mut self.owner,
            Class::Stranger => &mut self.stranger,
        }
    }

    fn is_full(&self, class: Class, origin: &Origin) -> bool {
        // What the daemon wants has its owner's origin, and takes nobody's place.
        let calls = |queue: &VecDeque<Wanted>, is_it: &dyn Fn(&Wanted) -> bool| {
            let calls = queue.iter().filter(|wanted| matches!(wanted.waiter, Waiter::Call(_)));
            calls.filter(|wanted| is_it(wanted)).count()
        };
        let of_it = |wanted: &Wanted| wanted.trier.origin == *origin;
        let (queue, most, of_one) = match class {
            Class::Urgent => (&self.urgent, URGENT, usize::MAX),
            Class::Owner => (&self.owner, OWNER, ONE_ORIGIN),
            Class::Stranger => (&self.stranger, STRANGER, ONE_STRANGER),
        };
        has(Rule::Bounds) && (calls(queue, &|_| true) >= most || calls(queue, &of_it) >= of_one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::attempts::Trier;

    fn wanted(verb: Verb, uid: u32, waiter: Waiter) -> Wanted {
        let favour = if uid < 2 { Favour::Owner } else { Favour::Stranger };
        let origin = Origin::User(uid);
        Wanted { trier: Trier { origin, favour }, waiter, ..Wanted::by_the_daemon(verb, 0) }
    }

    fn call(number: u64) -> Waiter {
        Waiter::Call(RequestId(number))
    }

    #[test]
    fn locks_come_first_and_strangers_last() {
        let mut queue = Queue::default();
        for (number, (verb, uid)) in
            [(Verb::Acquire, 7), (Verb::Acquire, 0), (Verb::Unlock, 1), (Verb::Lock, 1), (Verb::LockAll, 0)]
                .into_iter()
                .enumerate()
        {
            let number = u64::try_from(number).expect("small");
            assert!(queue.push(wanted(verb, uid, call(number))).is_ok());
        }
        let verbs: Vec<Verb> = queue.take().into_iter().map(|wanted| wanted.verb).collect();
        assert_eq!(verbs, [Verb::Lock, Verb::LockAll, Verb::Acquire, Verb::Unlock, Verb::Acquire]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn no_class_takes_the_room_of_another() {
        let mut queue = Queue::default();
        let mut fill = |verb, uids: std::ops::Range<u32>| {
            uids.map(|uid| queue.push(wanted(verb, uid, call(uid.into()))).is_ok())
                .filter(|taken| *taken)
                .count()
        };
        assert_eq!(fill(Verb::Acquire, 2..500), STRANGER);
        let mut own = |verb, most: usize| {
            (0..500_u64).map(|number| fill_one(&mut queue, verb, number)).filter(|taken| *taken).count()
                == most
        };
        assert!(own(Verb::Acquire, ONE_ORIGIN));
        assert!(own(Verb::Lock, URGENT));
        // The daemon and its groups always have room.
        assert!(queue.push(wanted(Verb::LockAll, 0, Waiter::Group(GroupId(1)))).is_ok());
        assert!(queue.waits_for(GroupId(1)));
        assert_eq!(queue.take_locks().len(), URGENT + 1);
        assert!(!queue.is_urgent());
    }

    fn fill_one(queue: &mut Queue, verb: Verb, number: u64) -> bool {
        queue.push(wanted(verb, 0, call(number))).is_ok()
    }

    #[test]
    fn one_stranger_has_two_places_and_the_daemon_wants_everything_once() {
        let mut queue = Queue::default();
        let taken =
            (0..9).filter(|number| queue.push(wanted(Verb::Acquire, 7, call(*number))).is_ok()).count();
        assert_eq!(taken, ONE_STRANGER);
        for _ in 0..3 {
            assert!(queue.push(wanted(Verb::Settle, 0, Waiter::Nobody)).is_ok());
        }
        queue.abandon(RequestId(0));
        assert_eq!(queue.take().len(), 2);
    }
    #[test]
    fn what_was_broken_off_is_put_in_order_before_what_is_gone_is_closed() {
        let mut queue = Queue::default();
        for verb in [Verb::Lock, Verb::StorageGone, Verb::Settle] {
            assert!(queue.push(wanted(verb, 0, Waiter::Nobody)).is_ok());
        }
        let verbs: Vec<Verb> = queue.take().into_iter().map(|wanted| wanted.verb).collect();
        assert_eq!(verbs, [Verb::Lock, Verb::Settle, Verb::StorageGone]);
    }

    #[test]
    fn who_guesses_goes_behind_everybody_else_and_releases_and_the_daemon_keep_their_places() {
        let from = |unit: &str, verb| Wanted {
            trier: Trier { origin: Origin::Service(unit.into()), favour: Favour::Owner },
            attempt: crate::home::tries(verb, verb == Verb::Acquire),
            waiter: Waiter::Call(RequestId(0)),
            ..Wanted::by_the_daemon(verb, 0)
        };
        let mut queue = Queue::default();
        for (unit, verb) in [
            ("ssh.service", Verb::Acquire),
            ("ssh.service", Verb::Release),
            ("ssh.service", Verb::Acquire),
            ("getty@.service", Verb::Acquire),
            ("session-1.scope", Verb::Deactivate),
        ] {
            assert!(queue.push(from(unit, verb)).is_ok());
            assert!(queue.push(wanted(Verb::HolderGone, 0, Waiter::Nobody)).is_ok());
        }
        let lately = |wanted: &Wanted| match &wanted.trier.origin {
            Origin::Service(unit) if unit == "ssh.service" => 30,
            _ => 0,
        };
        let order: Vec<_> =
            queue.take_fairly(lately).into_iter().map(|wanted| (wanted.trier.origin, wanted.verb)).collect();
        let service = |unit: &str| Origin::Service(unit.into());
        assert_eq!(order[0], (service("getty@.service"), Verb::Acquire));
        assert_eq!(order[1].1, Verb::HolderGone);
        // It came second of those who ask.
        assert_eq!(order[2], (service("ssh.service"), Verb::Release));
        assert_eq!(order[3], (service("session-1.scope"), Verb::Deactivate));
        let of_ssh: Vec<Verb> = order[4..].iter().map(|(_, verb)| *verb).collect();
        assert_eq!(of_ssh, [Verb::Acquire, Verb::Acquire]);
        // And a flood of one leaves room for another.
        let flood = (0..OWNER).filter(|_| queue.push(from("ssh.service", Verb::Acquire)).is_ok()).count();
        assert_eq!(flood, ONE_ORIGIN);
        assert!(queue.push(from("homed-prompt.service", Verb::Acquire)).is_ok());
    }
}
