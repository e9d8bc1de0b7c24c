//! What AccountsService is to be told next: from the homes there are and what it was told. No IO.
//!
//! A user is noted here before AccountsService hears of it: whatever breaks this off, what it has of ours is known.

use records::UserName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A home as far as greeters are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Whose.
    pub user: UserName,
    /// Whether its storage is there.
    pub presence: Presence,
    /// Whether its user is to be offered at a login.
    pub wanted: Wanted,
    /// The user's name for people.
    pub real_name: Option<String>,
    /// The user's picture on this machine.
    pub picture: Option<Picture>,
}

/// Whether a home's storage is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Here,
    /// It is on a disk that is not plugged in, for instance: who is listed stays so, and nobody else is.
    Away,
}

/// Whether a user is to be offered at a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A person who may log in.
    Yes,
    /// A user of the system, or one whom the administrator has locked out.
    No,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal digits: the same is not told twice.
    pub digest: String,
}

/// What AccountsService was told of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whether it has heard of it; not, where this was broken off before.
    pub listed: bool,
    /// Whose its file about the user is.
    pub file: File,
    /// The name for people, as it was when it looked.
    pub real_name: Option<String>,
    /// Digest of the picture that it was given last.
    pub picture: Option<String>,
}

/// Whose AccountsService's file about a user is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum File {
    /// It was made because we asked for it, and goes when the home does.
    #[default]
    Ours,
    /// It was there before: somebody has logged in, or chosen a picture. It stays.
    Theirs,
}

/// All that AccountsService was told.
pub type Ledger = BTreeMap<UserName, Entry>;

/// The next thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// List that user, who has this name for people.
    List(UserName, Option<String>),
    /// Look at that user again, who has this name for people.
    Reread(UserName, Option<String>),
    /// Give it that picture.
    Picture(UserName, Picture),
    /// It has none any more.
    NoPicture(UserName),
    /// Take back what was told of it.
    Unlist(UserName),
}

impl Act {
    /// Whom it concerns.
    pub fn user(&self) -> &UserName {
        match self {
            Self::List(user, _)
            | Self::Reread(user, _)
            | Self::Picture(user, _)
            | Self::NoPicture(user)
            | Self::Unlist(user) => user,
        }
    }
}

/// What is to be done next, and not for those with whom it has just failed.
pub fn next(homes: &[Home], ledger: &Ledger, failed: &BTreeSet<UserName>) -> Option<Act> {
    let gone = ledger.keys().filter(|user| !homes.iter().any(|home| is_wanted(home, user)));
    let unlist = gone.map(|user| Act::Unlist(user.clone()));
    let wanted = homes.iter().filter(|home| home.wanted == Wanted::Yes);
    let tell = wanted.filter_map(|home| of_one(home, ledger.get(&home.user)));
    unlist.chain(tell).find(|act| !failed.contains(act.user()))
}

fn is_wanted(home: &Home, user: &UserName) -> bool {
    home.wanted == Wanted::Yes && home.user == *user
}

fn of_one(home: &Home, entry: Option<&Entry>) -> Option<Act> {
    let (user, name) = (|| home.user.clone(), || home.real_name.clone());
    match (home.presence, entry) {
        (Presence::Away, _) => None,
        (Presence::Here, None) => Some(Act::List(user(), name())),
        (Presence::Here, Some(entry)) if !entry.listed => Some(Act::List(user(), name())),
        (Presence::Here, Some(entry)) if entry.real_name != home.real_name => {
            Some(Act::Reread(user(), name()))
        }
        (Presence::Here, Some(entry)) => match (&home.picture, &entry.picture) {
            (Some(now), before) if before.as_ref() != Some(&now.digest) => {
                Some(Act::Picture(user(), now.clone()))
            }
            (None, Some(_)) => Some(Act::NoPicture(user())),
            (Some(_) | None, _) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).expect("valid")
    }

    fn picture(digest: &str) -> Picture {
        Picture { path: "/blobs/avatar".into(), digest: digest.into() }
    }

    fn home(name: &str, digest: Option<&str>) -> Home {
        Home {
            user: user(name),
            presence: Presence::Here,
            wanted: Wanted::Yes,
            real_name: None,
            picture: digest.map(picture),
        }
    }

    /// What AccountsService would know after it.
    fn done(ledger: &mut Ledger, act: &Act) {
        match act {
            Act::List(user, name) => {
                let entry = ledger.entry(user.clone()).or_default();
                (entry.listed, entry.real_name) = (true, name.clone());
            }
            Act::Reread(user, name) => ledger.get_mut(user).expect("listed").real_name = name.clone(),
            Act::Picture(user, picture) => {
                ledger.get_mut(user).expect("listed").picture = Some(picture.digest.clone());
            }
            Act::NoPicture(user) => ledger.get_mut(user).expect("listed").picture = None,
            Act::Unlist(user) => drop(ledger.remove(user)),
        }
    }

    /// All that is done until nothing is left.
    fn all(homes: &[Home], ledger: &mut Ledger) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(act) = next(homes, ledger, &BTreeSet::new()) {
            done(ledger, &act);
            acts.push(act);
            assert!(acts.len() < 100, "{acts:?}");
        }
        acts
    }

    #[test]
    fn homes_that_come_change_and_go() {
        let mut ledger = Ledger::new();
        let both = [home("alice", Some("ab")), home("bob", None)];
        assert_eq!(
            all(&both, &mut ledger),
            [
                Act::List(user("alice"), None),
                Act::Picture(user("alice"), picture("ab")),
                Act::List(user("bob"), None)
            ]
        );
        assert_eq!(all(&both, &mut ledger), []);
        assert_eq!(
            all(&[home("alice", None), home("bob", Some("cd"))], &mut ledger),
            [Act::NoPicture(user("alice")), Act::Picture(user("bob"), picture("cd"))]
        );
        let named = Home { real_name: Some("Bob".into()), ..home("bob", Some("cd")) };
        let both = [home("alice", None), named.clone()];
        assert_eq!(all(&both, &mut ledger), [Act::Reread(user("bob"), Some("Bob".into()))]);
        assert_eq!(all(&[named], &mut ledger), [Act::Unlist(user("alice"))]);
        assert_eq!(all(&[], &mut ledger), [Act::Unlist(user("bob"))]);
    }

    #[test]
    fn who_is_away_stays_as_it_is() {
        let away = Home { presence: Presence::Away, ..home("alice", Some("ab")) };
        assert_eq!(all(std::slice::from_ref(&away), &mut Ledger::new()), []);
        let mut ledger = Ledger::from([(user("alice"), Entry { listed: true, ..Entry::default() })]);
        assert_eq!(all(&[away], &mut ledger), []);
    }

    #[test]
    fn who_may_not_log_in_is_offered_no_longer() {
        let locked = Home { wanted: Wanted::No, ..home("alice", None) };
        assert_eq!(all(std::slice::from_ref(&locked), &mut Ledger::new()), []);
        let mut ledger = Ledger::from([(user("alice"), Entry { listed: true, ..Entry::default() })]);
        assert_eq!(all(&[locked], &mut ledger), [Act::Unlist(user("alice"))]);
    }

    #[test]
    fn what_was_broken_off_is_done_and_what_fails_keeps_nobody_else() {
        let mut ledger = Ledger::from([(user("alice"), Entry::default())]);
        let failed = BTreeSet::from([user("alice")]);
        let both = [home("alice", None), home("bob", None)];
        assert_eq!(next(&both, &ledger, &failed), Some(Act::List(user("bob"), None)));
        assert_eq!(all(&both, &mut ledger), [Act::List(user("alice"), None), Act::List(user("bob"), None)]);
    }
}
