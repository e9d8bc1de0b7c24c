//! Which homes are called so, have that UID, or lie there: kept up as homes change, so that nobody looks through all of them.

use crate::home::Home;
use crate::home::without::{Rule, has};
use records::UserName;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// What a home is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Keys {
    uid: u32,
    /// That one, and what else nobody may get.
    kept: Vec<u32>,
    names: Vec<String>,
    image: String,
}

impl Keys {
    fn of(home: &Home) -> Self {
        Self {
            uid: home.uid(),
            kept: home.uids().collect(),
            names: home.names(),
            image: home.place().image.clone(),
        }
    }
}

/// Users by something that several may have, and nearly always one has: in order, in a list no longer than they are.
#[derive(Debug)]
struct Users<K>(HashMap<K, Vec<UserName>>);

impl<K> Default for Users<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Users<K> {
    fn put(&mut self, key: K, user: &UserName) {
        let users = self.0.entry(key).or_default();
        if let Err(place) = users.binary_search(user) {
            users.reserve_exact(1);
            users.insert(place, user.clone());
        }
    }

    fn take(&mut self, key: &K, user: &UserName) {
        if let Some(users) = self.0.get_mut(key) {
            users.retain(|other| other != user);
            if users.is_empty() {
                self.0.remove(key);
            }
        }
    }

    fn of<Key: Eq + Hash + ?Sized>(&self, key: &Key) -> impl Iterator<Item = &UserName> + use<'_, K, Key>
    where
        K: Borrow<Key>,
    {
        self.0.get(key).into_iter().flatten()
    }
}

/// The way from what is asked to the home.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<UserName, Keys>,
    by_uid: Users<u32>,
    by_kept: Users<u32>,
    by_name: Users<String>,
    by_image: Users<String>,
    /// UIDs that have become taken (`true`) or free since this was asked last.
    uids_changed: Vec<(u32, bool)>,
}

impl Index {
    /// The home is there, and as it is now; or it has gone.
    pub fn enter(&mut self, user: &UserName, home: Option<&Home>) {
        let new = home.map(Keys::of);
        if self.keys.get(user) == new.as_ref() {
            return;
        }
        if let Some(old) = self.keys.remove(user).filter(|_| has(Rule::Index)) {
            self.by_uid.take(&old.uid, user);
            old.names.iter().for_each(|name| self.by_name.take(name, user));
            self.by_image.take(&old.image, user);
            for uid in &old.kept {
                self.by_kept.take(uid, user);
                let is_taken = self.by_kept.of(uid).next().is_some();
                self.uids_changed.push((*uid, is_taken));
            }
        }
        if let Some(new) = new {
            self.by_uid.put(new.uid, user);
            new.names.iter().for_each(|name| self.by_name.put(name.clone(), user));
            self.by_image.put(new.image.clone(), user);
            for uid in &new.kept {
                self.by_kept.put(*uid, user);
                self.uids_changed.push((*uid, true));
            }
            self.keys.insert(user.clone(), new);
        }
    }

    /// How many are found.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Brings a set of all UIDs up to date.
    pub fn follow_uids(&mut self, uids: &mut BTreeSet<u32>) {
        for (uid, is_taken) in self.uids_changed.drain(..) {
            if is_taken {
                uids.insert(uid)
            } else {
                uids.remove(&uid)
            };
        }
    }

    /// Who has that UID.
    pub fn with_uid(&self, uid: u32) -> impl Iterator<Item = &UserName> {
        self.by_uid.of(&uid)
    }

    /// Who is called so, by whatever name.
    pub fn called(&self, name: &str) -> impl Iterator<Item = &UserName> {
        self.by_name.of(name)
    }

    /// Whose storage lies there.
    pub fn at(&self, image: &str) -> impl Iterator<Item = &UserName> {
        self.by_image.of(image)
    }
}
