//! A recovery key in two steps: made and shown, and enrolled once a part of it has been typed: a key that nobody has written
//! down is none. Between the steps it is in this process alone. Whatever ends there (the caller, the daemon, the machine)
//! leaves nothing on any disk: there is nothing that opens, and nothing that counts.

use super::context::{Call, Front};
use super::error::Error;
use crate::daemon::link::{HomeKey, HomeView, Reach, RecordChange};
use handoff::Memory;
use records::keys;
use records::{Record, Secret, Sections, UserName, recovery};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use zbus::wire::OwnedFd;

/// How long it takes to write one down, at the most.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often the part may be mistyped.
const MISTYPED: u8 = 3;
/// Groups of a key.
const GROUPS: usize = 8;

/// A key that was shown, and is not enrolled.
struct Shown {
    user: UserName,
    key: Secret,
    /// The group that is to be typed, from 0.
    group: usize,
    mistyped: u8,
    /// Tells it from others that came to its place.
    number: u64,
    /// What the caller reads; wiped with it.
    _memory: Memory,
}

/// The keys that were shown: one for each UID, so that there are never more of them than who may have one.
#[derive(Default)]
pub struct ShownKeys {
    shown: Mutex<(u64, HashMap<u32, Shown>)>,
}

impl ShownKeys {
    fn locked(&self) -> MutexGuard<'_, (u64, HashMap<u32, Shown>)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one, in the place of the one that was shown to the same UID before; gives its number.
    fn keep(&self, uid: u32, mut shown: Shown) -> u64 {
        let mut all = self.locked();
        all.0 += 1;
        shown.number = all.0;
        all.1.insert(uid, shown);
        all.0
    }

    /// Forgets that one, if it is still there.
    fn forget(&self, uid: u32, number: u64) {
        let mut all = self.locked();
        if all.1.get(&uid).is_some_and(|shown| shown.number == number) {
            all.1.remove(&uid);
        }
    }

    /// The key that was shown to that UID for this user, if that is its group.
    fn confirmed(&self, uid: u32, user: &UserName, typed: &Secret) -> Result<(Secret, u64), Error> {
        let mut all = self.locked();
        let Some(shown) = all.1.get_mut(&uid).filter(|shown| shown.user == *user) else {
            return Err(Error::invalid(
                "No recovery key of this home waits to be confirmed: make one. Nothing was changed.",
            ));
        };
        if typed.matches(group(&shown.key, shown.group)) {
            return Ok((shown.key.duplicate(), shown.number));
        }
        shown.mistyped += 1;
        let number = shown.group + 1;
        if shown.mistyped < MISTYPED {
            return Err(Error::invalid(format!(
                "That is not group {number} of the recovery key. Nothing was changed."
            )));
        }
        all.1.remove(&uid);
        Err(Error::invalid(format!(
            "That is not group {number} of the recovery key, which does not count any more: make another. Nothing was changed."
        )))
    }
}

/// A group of a key's letters.
fn group(key: &Secret, number: usize) -> &[u8] {
    key.open().split(|letter| *letter == b'-').nth(number).unwrap_or_default()
}

impl Front {
    /// Makes a recovery key and shows it to the caller: its text in memory, and which group is to be typed, from 1.
    pub async fn make_recovery_key(
        self: &std::sync::Arc<Self>,
        call: Call<'_>,
        user: String,
    ) -> Result<(OwnedFd, u32), Error> {
        let caller = self.caller(call).await?;
        let entry = self.updatable(call, &caller, &HomeKey::Name(user)).await?;
        let mut random = [0; 33];
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        if got != Ok(random.len()) {
            return Err(Error::unexpected("there is no randomness for a recovery key"));
        }
        let [which, bytes @ ..] = random;
        let (key, group) = (recovery::encode(&bytes), usize::from(which) % GROUPS);
        let memory = handoff::offer_plain(&key).map_err(Error::unexpected)?;
        let fd = rustix::io::fcntl_dupfd_cloexec(&memory, 0).map_err(Error::unexpected)?;
        let user = entry.view.unix.name.clone();
        let shown = Shown { user, key, group, mistyped: 0, number: 0, _memory: memory };
        let (uid, number) = (caller.uid, self.shown_keys.keep(caller.uid, shown));
        let front = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            front.shown_keys.forget(uid, number);
        });
        Ok((fd.into(), u32::try_from(group + 1).unwrap_or_default()))
    }

    /// Enrols the key that was shown, in the place of former ones; `name` is what it is called, if that was said.
    pub async fn confirm_recovery_key(
        &self,
        call: Call<'_>,
        (user, typed, name): (String, String, String),
        secret: String,
    ) -> Result<(), Error> {
        let typed = Secret::from_text(typed);
        let typed = Secret::new(typed.open().trim_ascii().to_ascii_lowercase());
        if !name.is_empty() && !keys::is_name(&name) {
            return Err(Error::invalid(
                "A name has at most 64 letters, figures, marks and spaces, and is no number.",
            ));
        }
        let mut offer = self.offer(call, secret).await?;
        let caller = self.caller(call).await?;
        let home = HomeKey::Name(user);
        let entry = self.updatable(call, &caller, &home).await?;
        let view = &entry.view;
        let (key, number) = self.shown_keys.confirmed(caller.uid, &view.unix.name, &typed)?;
        let name = Some(name).filter(|name| !name.is_empty());
        let record = wishing(view, name)?;
        offer.credentials.new_recovery_key = Some(key);
        let change = RecordChange { record, blobs: None, reach: Reach::Everywhere };
        self.enforce(call, &caller, (home, view), change, offer).await?;
        self.shown_keys.forget(caller.uid, number);
        Ok(())
    }
}

/// The record in force, with the wish for a new recovery key alone: the worker makes its hash.
fn wishing(view: &HomeView, name: Option<String>) -> Result<Record, Error> {
    let mut members = view.record.only(Sections::SIGNED).members().clone();
    let usec = now_usec().max(view.record.last_change_usec().saturating_add(1));
    keys::wish_recovery_key(&mut members, name, usec);
    dated(&mut members, usec);
    Record::from_value(Value::Object(members), Sections::EMBEDDED).map_err(|e| Error::invalid(e.to_string()))
}

fn dated(members: &mut Map<String, Value>, usec: u64) {
    for member in ["lastChangeUSec", "lastPasswordChangeUSec"] {
        members.insert(member.to_owned(), json!(usec));
    }
}

fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(user: &str, byte: u8) -> Shown {
        let key = recovery::encode(&[byte; 32]);
        let memory = handoff::offer_plain(&key).expect("memory");
        let user = UserName::parse(user).expect("valid");
        Shown { user, key, group: 2, mistyped: 0, number: 0, _memory: memory }
    }

    fn typed(text: &str) -> Secret {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn a_key_is_confirmed_by_its_group_by_whoever_was_shown_it() {
        let (keys, alice) = (ShownKeys::default(), UserName::parse("alice").expect("valid"));
        let bob = UserName::parse("bob").expect("valid");
        let number = keys.keep(1000, shown("alice", 7));
        let right = Secret::new(group(&recovery::encode(&[7; 32]), 2).to_vec());
        assert!(keys.confirmed(1001, &alice, &right).is_err(), "it was shown to somebody else");
        assert!(keys.confirmed(1000, &bob, &right).is_err(), "it is for somebody else");
        assert!(keys.confirmed(1000, &alice, &typed("")).is_err());
        // As often as it takes: the password may be asked for in between.
        for _ in 0..2 {
            assert!(keys.confirmed(1000, &alice, &right).is_ok_and(|(_, told)| told == number));
        }
        keys.forget(1000, number);
        assert!(keys.confirmed(1000, &alice, &right).is_err());
    }

    #[test]
    fn whoever_guesses_ends_it_and_another_key_takes_its_place() {
        let (keys, alice) = (ShownKeys::default(), UserName::parse("alice").expect("valid"));
        let right = |byte| Secret::new(group(&recovery::encode(&[byte; 32]), 2).to_vec());
        keys.keep(1000, shown("alice", 7));
        for _ in 0..MISTYPED {
            assert!(keys.confirmed(1000, &alice, &typed("cccccccc")).is_err());
        }
        assert!(keys.confirmed(1000, &alice, &right(7)).is_err());
        let first = keys.keep(1000, shown("alice", 8));
        keys.keep(1000, shown("alice", 9));
        // The first one's time is over.
        keys.forget(1000, first);
        assert!(keys.confirmed(1000, &alice, &right(8)).is_err());
        assert!(keys.confirmed(1000, &alice, &right(9)).is_ok());
        assert_eq!(keys.locked().1.len(), 1);
    }
}
