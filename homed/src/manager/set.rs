//! The homes by their user's name. Which of them were touched is remembered, so that whoever shows them looks at those
//! alone, and at all of those.

use super::index::Index;
use super::{Manager, Now};
use crate::home::effect::{Announcement, Effect};
use crate::home::facts::Place;
use crate::home::state::State;
use crate::home::view::HomeView;
use crate::home::without::{Rule, has};
use crate::home::{Home, Turn};
use crate::words::request::{Caller, Operation, Session};
use records::UserName;
use std::collections::{BTreeMap, BTreeSet};

/// A look gives no UID to anybody.
static NO_UIDS: BTreeSet<u32> = BTreeSet::new();

/// All of them.
#[derive(Default)]
pub(super) struct Homes {
    /// In boxes: a tree has room for half as many again as are in it.
    all: BTreeMap<UserName, Box<Home>>,
    index: Index,
    /// Of whose users something is known that may have them locked, until it is not.
    away: BTreeSet<UserName>,
    touched: BTreeSet<UserName>,
    /// How they were shown last.
    shown: BTreeMap<UserName, State>,
    /// Those of them that were shown as open, in whatever way.
    open: BTreeSet<UserName>,
    #[cfg(test)]
    pub walks: std::cell::Cell<usize>,
}

impl Homes {
    pub fn get(&self, user: &UserName) -> Option<&Home> {
        self.all.get(user).map(|home| &**home)
    }

    pub fn contains(&self, user: &UserName) -> bool {
        self.all.contains_key(user)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, one after the other. What is about one home does not come here: it would cost the more, the more others
    /// there are. Tests count who does.
    pub fn walk(&self) -> impl Iterator<Item = &Home> {
        #[cfg(test)]
        self.walks.set(self.walks.get() + 1);
        self.all.values().map(|home| &**home)
    }

    pub fn get_mut(&mut self, user: &UserName) -> Option<&mut Home> {
        let home = self.all.get_mut(user)?;
        self.touched.insert(user.clone());
        Some(home)
    }

    pub fn insert(&mut self, user: UserName, home: Home) {
        self.touched.insert(user.clone());
        self.index.enter(&user, Some(&home));
        self.all.insert(user, Box::new(home));
    }

    pub fn remove(&mut self, user: &UserName) -> Option<Home> {
        self.touched.insert(user.clone());
        self.index.enter(user, None);
        self.away.remove(user);
        self.all.remove(user).map(|home| *home)
    }

    /// Something was done with that home: it is found by what it has now.
    pub fn has_acted(&mut self, user: &UserName) {
        let home = self.all.get(user).map(|home| &**home);
        self.index.enter(user, home);
        match home.is_some_and(Home::is_away) {
            true => self.away.insert(user.clone()),
            false => self.away.remove(user),
        };
    }

    /// What it is found by.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Brings a set of all UIDs up to date.
    pub fn follow_uids(&mut self, uids: &mut BTreeSet<u32>) {
        self.index.follow_uids(uids);
    }

    /// Whose users have sessions, or had some that still count.
    pub fn concerned_by(&self, sessions: &[Session]) -> BTreeSet<UserName> {
        let own = sessions.iter().flat_map(|session| self.index.with_uid(session.uid));
        own.chain(&self.away).cloned().collect()
    }

    /// It was shown so; `None`: it is not shown any more.
    fn was_shown(&mut self, user: &UserName, state: Option<State>) {
        match state {
            Some(state) => drop(self.shown.insert(user.clone(), state)),
            None => drop(self.shown.remove(user)),
        }
        match state.is_some_and(|state| state.resting.is_open()) {
            true => drop(self.open.insert(user.clone())),
            false => drop(self.open.remove(user)),
        }
    }

    /// Those that may be open, locked ones too: that were shown so, or have been touched since.
    pub fn may_be_open(&self) -> impl Iterator<Item = &Home> {
        self.open.union(&self.touched).filter_map(|user| self.get(user))
    }

    /// Those for which it is so.
    pub fn users_where(&self, is_so: impl Fn(&Home) -> bool) -> Vec<UserName> {
        self.walk().filter(|home| is_so(home)).map(|home| home.user().clone()).collect()
    }
}

impl Manager {
    /// This machine.
    pub fn machine(&self) -> &records::Machine {
        &self.machine
    }

    /// Where all homes are.
    pub fn places(&self) -> Vec<Place> {
        self.homes.walk().map(|home| home.place().clone()).collect()
    }

    /// Where the home of this user is.
    pub fn place_of(&self, user: &UserName) -> Option<&Place> {
        self.homes.get(user).map(Home::place)
    }

    /// Whether something that was broken off on that home is to be put in order yet: settling it has failed.
    pub fn is_to_be_settled(&self, user: &UserName) -> bool {
        has(Rule::SettlesAfterwards) && self.homes.get(user).is_some_and(Home::is_to_be_settled)
    }

    /// The place of the home whose storage lies there.
    pub fn place_at(&self, image: &str) -> Option<&Place> {
        self.homes.index().at(image).find_map(|user| self.place_of(user))
    }

    /// Where the storage is that the answer depends on, where it does.
    pub fn storage_of(&self, operation: &Operation, caller: &Caller) -> Option<Place> {
        if let Operation::Register(record) = operation {
            let bound = record.with_binding(&self.machine.id, self.binding(record, 0));
            return Some(Place::of(&bound, &self.machine));
        }
        self.find(operation.uses_storage()?, caller.uid).map(|home| home.place().clone())
    }

    /// How the homes look now that were touched since this was asked last; `None`: it has gone, or is not to be shown yet.
    pub fn news(&mut self, now: &Now) -> Vec<(UserName, Option<HomeView>)> {
        let machine = self.machine.clone();
        let turn = self.turn(&machine, now, &NO_UIDS);
        let touched = std::mem::take(&mut self.homes.touched);
        let look = |user: UserName| {
            let home = self.homes.get(&user).filter(|home| !home.is_being_checked());
            let view = home.map(|home| home.view(&turn));
            (user, view)
        };
        let news: Vec<_> = touched.into_iter().map(look).collect();
        news.iter().for_each(|(user, view)| self.homes.was_shown(user, view.as_ref().map(|view| view.state)));
        news
    }

    /// How all of them look now, whether they were touched or not.
    #[cfg(test)]
    pub(super) fn as_they_are(&self, now: &Now) -> BTreeMap<UserName, HomeView> {
        let turn = self.turn(&self.machine, now, &NO_UIDS);
        let shown = self.homes.all.values().filter(|home| !home.is_being_checked());
        shown.map(|home| (home.user().clone(), home.view(&turn))).collect()
    }

    /// Something outside may have changed where homes rest: those count as touched that look otherwise than they were shown.
    pub(super) fn look_again(&mut self, turn: &mut Turn) {
        let others = self.homes.users_where(|home| self.looks_otherwise(home.user(), home, turn));
        others.into_iter().for_each(|user| self.has_changed(user, turn));
    }

    /// The same of one home.
    pub(super) fn look_at(&mut self, user: &UserName, turn: &mut Turn) {
        if self.homes.get(user).is_some_and(|home| self.looks_otherwise(user, home, turn)) {
            self.has_changed(user.clone(), turn);
        }
    }

    fn looks_otherwise(&self, user: &UserName, home: &Home, turn: &Turn) -> bool {
        self.homes.shown.get(user).is_some_and(|shown| *shown != home.state(turn.facts))
    }

    fn has_changed(&mut self, user: UserName, turn: &mut Turn) {
        self.homes.touched.insert(user.clone());
        turn.effects.push(Effect::Announce(Announcement::Changed(user)));
    }
}
