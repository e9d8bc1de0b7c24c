//! The homes by their user's name. Which of them were touched is remembered, so that whoever shows them looks at those
//! alone, and at all of those.

use super::{Manager, Now};
use crate::home::effect::{Announcement, Effect};
use crate::home::facts::Place;
use crate::home::state::State;
use crate::home::view::HomeView;
use crate::home::{Home, Turn};
use crate::words::request::{Caller, Operation};
use records::UserName;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// All of them.
#[derive(Default)]
pub(super) struct Homes {
    all: BTreeMap<UserName, Home>,
    touched: BTreeSet<UserName>,
    /// How they were shown last.
    shown: BTreeMap<UserName, State>,
}

impl Deref for Homes {
    type Target = BTreeMap<UserName, Home>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Homes {
    pub fn get_mut(&mut self, user: &UserName) -> Option<&mut Home> {
        let home = self.all.get_mut(user)?;
        self.touched.insert(user.clone());
        Some(home)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Home> {
        self.touched.extend(self.all.keys().cloned());
        self.all.values_mut()
    }

    pub fn insert(&mut self, user: UserName, home: Home) {
        self.touched.insert(user.clone());
        self.all.insert(user, home);
    }

    pub fn remove(&mut self, user: &UserName) -> Option<Home> {
        self.touched.insert(user.clone());
        self.all.remove(user)
    }
}

impl Manager {
    /// This machine.
    pub fn machine(&self) -> &records::Machine {
        &self.machine
    }

    /// Where all homes are.
    pub fn places(&self) -> Vec<Place> {
        self.homes.values().map(|home| home.place().clone()).collect()
    }

    /// Where the home of this user is.
    pub fn place_of(&self, user: &UserName) -> Option<&Place> {
        self.homes.get(user).map(Home::place)
    }

    /// The place of the home whose storage lies there.
    pub fn place_at(&self, image: &str) -> Option<&Place> {
        self.homes.values().map(Home::place).find(|place| place.image == image)
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
        let turn = self.turn(&machine, now);
        let touched = std::mem::take(&mut self.homes.touched);
        let look = |user: UserName| {
            let home = self.homes.get(&user).filter(|home| !home.is_being_checked());
            let view = home.map(|home| home.view(&turn));
            (user, view)
        };
        let news: Vec<_> = touched.into_iter().map(look).collect();
        for (user, view) in &news {
            match view {
                Some(view) => drop(self.homes.shown.insert(user.clone(), view.state)),
                None => drop(self.homes.shown.remove(user)),
            }
        }
        news
    }

    /// How all of them look now, whether they were touched or not.
    #[cfg(test)]
    pub(super) fn as_they_are(&self, now: &Now) -> BTreeMap<UserName, HomeView> {
        let turn = self.turn(&self.machine, now);
        let shown = self.homes.iter().filter(|(_, home)| !home.is_being_checked());
        shown.map(|(user, home)| (user.clone(), home.view(&turn))).collect()
    }

    /// Something outside may have changed where homes rest: those count as touched that look otherwise than they were shown.
    pub(super) fn look_again(&mut self, turn: &mut Turn) {
        let differs = |(user, home): &(&UserName, &Home)| self.looks_otherwise(user, home, turn);
        let others: Vec<UserName> =
            self.homes.all.iter().filter(differs).map(|(user, _)| user.clone()).collect();
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
