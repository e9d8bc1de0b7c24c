//! Who takes what of the daemon: one account, in which every front has to have a place before it does anything for
//! anybody. Pure: no clock, no IO.
//!
//! Three kinds of callers: root, who has room of its own; owners of homes on this machine, who have room each; and
//! everybody else, who shares what is left, however many they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What there is only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Good {
    /// Calls, from when they are read until they are answered.
    Call,
    /// Calls that a sleep depends on: root's other calls take no room from them.
    Sleep,
    /// Connections to the hand-off socket.
    Handoff,
    /// Connections to the user database.
    Reader,
    /// Open files that came with calls.
    File,
    /// Messages whose files are still open: reading and closing them may wait for ever.
    Arriving,
    /// Questions that polkit has not answered.
    Question,
}

/// Whose a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// UID 0: the PAM stacks of all users.
    Root,
    /// Has a home here.
    Owner,
    /// Anybody else.
    Stranger,
}

/// How much of it.
struct Room {
    /// Root.
    root: usize,
    /// Any other UID.
    each: usize,
    /// All strangers together.
    strangers: usize,
}

impl Good {
    fn room(self) -> Room {
        let room = |root, each, strangers| Room { root, each, strangers };
        match self {
            Self::Call => room(1024, 64, 1024),
            Self::Sleep => room(64, 2, 32),
            Self::Handoff => room(512, 16, 512),
            Self::Reader => room(512, 64, 1024),
            Self::File => room(256, 64, 512),
            Self::Arriving => room(64, 4, 64),
            Self::Question => room(64, 8, 128),
        }
    }
}

/// The account; clones share it.
#[derive(Clone, Default)]
pub struct Account(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    of: HashMap<(Good, u32), usize>,
    strangers: HashMap<Good, usize>,
}

/// Some of it, until it is dropped.
#[derive(Debug)]
pub struct Place {
    good: Good,
    uid: u32,
    count: usize,
    standing: Standing,
    account: Account,
}

impl Place {
    /// Whose it is.
    pub fn uid(&self) -> u32 {
        self.uid
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account")
    }
}

impl Account {
    /// That much for that UID; `None`: there is no room.
    pub fn take(&self, good: Good, uid: u32, standing: Standing, count: usize) -> Option<Place> {
        let room = good.room();
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = books.of.get(&(good, uid)).copied().unwrap_or(0);
        let all = books.strangers.get(&good).copied().unwrap_or(0);
        let most = if standing == Standing::Root { room.root } else { room.each };
        if own + count > most || (standing == Standing::Stranger && all + count > room.strangers) {
            return None;
        }
        books.of.insert((good, uid), own + count);
        if standing == Standing::Stranger {
            books.strangers.insert(good, all + count);
        }
        Some(Place { good, uid, count, standing, account: self.clone() })
    }

    /// Whether that UID has all of it that one may have.
    pub fn has_all(&self, good: Good, uid: u32, standing: Standing) -> bool {
        let room = good.room();
        let most = if standing == Standing::Root { room.root } else { room.each };
        let books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        books.of.get(&(good, uid)).is_some_and(|own| *own >= most)
    }

    /// Whether anybody has any of it.
    pub fn is_taken(&self, good: Good) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of.keys().any(|(taken, _)| *taken == good)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut books = self.account.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.good, self.uid);
        if let Some(own) = books.of.get_mut(&key) {
            *own -= self.count;
            if *own == 0 {
                books.of.remove(&key);
            }
        }
        if self.standing == Standing::Stranger
            && let Some(all) = books.strangers.get_mut(&self.good)
        {
            *all -= self.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOODS: [Good; 7] =
        [Good::Call, Good::Sleep, Good::Handoff, Good::Reader, Good::File, Good::Arriving, Good::Question];

    #[test]
    fn sixty_four_strangers_keep_neither_root_nor_an_owner_out() {
        for good in GOODS {
            let account = Account::default();
            let mut taken = Vec::new();
            for uid in 100_000..100_064 {
                while let Some(place) = account.take(good, uid, Standing::Stranger, 1) {
                    taken.push(place);
                }
            }
            assert_eq!(taken.len(), good.room().strangers.min(64 * good.room().each), "{good:?}");
            for (uid, standing) in [(0, Standing::Root), (60001, Standing::Owner)] {
                assert!(account.take(good, uid, standing, 1).is_some(), "{good:?} {standing:?}");
            }
            drop(taken);
            assert!(account.0.lock().expect("not poisoned").of.is_empty(), "nothing is left");
            assert!(account.take(good, 100_000, Standing::Stranger, 1).is_some());
        }
    }

    #[test]
    fn nobody_takes_more_than_there_is_for_one() {
        let account = Account::default();
        let most = Good::File.room().each;
        assert!(account.take(Good::File, 60001, Standing::Owner, most + 1).is_none());
        let all = account.take(Good::File, 60001, Standing::Owner, most);
        assert!(all.is_some() && account.take(Good::File, 60001, Standing::Owner, 1).is_none());
        assert!(account.take(Good::File, 60002, Standing::Owner, 1).is_some());
        assert!(account.is_taken(Good::File) && !account.is_taken(Good::Call));
        drop(all);
        assert!(!account.is_taken(Good::File));
    }
}
