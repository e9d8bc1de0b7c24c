//! A map of which another is made with one entry more, at the cost of a small part of it: the parts that stay are shared.

use super::Entry;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

/// With 10,000 homes a part has 40.
const PARTS: usize = 256;

type Part<K> = HashMap<K, Arc<Entry>>;

/// Homes by something.
#[derive(Clone)]
pub(super) struct Sharded<K>(Box<[Arc<Part<K>>]>);

impl<K> Default for Sharded<K> {
    fn default() -> Self {
        let empty = Arc::<Part<K>>::default();
        Self(std::iter::repeat_n(empty, PARTS).collect())
    }
}

impl<K: Eq + Hash + Clone> Sharded<K> {
    pub fn get(&self, key: &K) -> Option<&Arc<Entry>> {
        self.0.get(Self::part(key))?.get(key)
    }

    pub fn values(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.iter().flat_map(|part| part.values())
    }

    pub fn insert(&mut self, key: K, entry: Arc<Entry>) {
        if let Some(part) = self.0.get_mut(Self::part(&key)) {
            Arc::make_mut(part).insert(key, entry);
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<Arc<Entry>> {
        Arc::make_mut(self.0.get_mut(Self::part(key))?).remove(key)
    }

    /// How many entries lie in parts that were made anew since the other.
    #[cfg(test)]
    pub fn made_anew(&self, other: &Self) -> usize {
        let parts = self.0.iter().zip(&other.0).filter(|(one, other)| !Arc::ptr_eq(one, other));
        parts.map(|(one, _)| one.len()).sum()
    }

    fn part(key: &K) -> usize {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        usize::try_from(hash % PARTS as u64).unwrap_or(0)
    }
}
