//! A recovery key in two steps: made and shown, and enrolled once a part of it has been typed: a key that nobody has written
//! down is none. Between the steps it is in this process alone. Whatever ends there (the caller, the daemon, the machine)
//! leaves nothing on any disk: there is nothing that opens, and nothing that counts. When the machine goes to sleep all are
//! forgotten, and none is made until it has woken.

use super::context::{Call, Front};
use super::error::Error;
use crate::daemon::link::{HomeKey, HomeView, Part, Reach, RecordChange};
use crate::daemon::this_machine;
use handoff::Memory;
use records::keys;
use records::recovery::{Fresh, MISTYPED};
use records::refusal::Refused;
use records::{Refusal, Secret, UserName};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use zbus::wire::OwnedFd;

/// How long it takes to write one down, at the most.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many wait for one UID at the most: the oldest goes then.
const MOST: usize = 16;

/// What the owner has typed to have the shown key enrolled.
pub struct Typed {
    /// Whose home.
    pub user: String,
    /// A group of the key.
    pub group: String,
    /// What the key is called; empty where that was not said.
    pub name: String,
}

/// A key that was shown, and is not enrolled.
struct Shown {
    user: UserName,
    key: Fresh,
    mistyped: u8,
    /// Tells it from others that came to its place.
    number: u64,
    /// When it counts no more.
    until: Instant,
    /// Forgets it then.
    timer: Option<Timer>,
    /// What the caller reads; wiped with it.
    _memory: Memory,
}

/// Ends with the key it is for.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The keys that were shown: one for each UID and home, so that who makes one for a home leaves those of others, and a few for
/// each UID.
#[derive(Default)]
pub struct ShownKeys {
    shown: Mutex<All>,
}

#[derive(Default)]
struct All {
    /// The number of the newest.
    last: u64,
    keys: HashMap<(u32, UserName), Shown>,
}

impl ShownKeys {
    fn locked(&self) -> MutexGuard<'_, All> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one, in the place of the one that was shown to the same UID for the same home before; gives its number. `None`: the
    /// machine goes to sleep, and nobody is to find it in memory then.
    fn keep(&self, uid: u32, mut shown: Shown, sleep: &watch::Receiver<bool>) -> Option<u64> {
        let mut all = self.locked();
        // Asked under the lock: whoever forgets all of them for a sleep comes after the hold has begun.
        if *sleep.borrow() {
            return None;
        }
        all.last += 1;
        shown.number = all.last;
        all.keys.insert((uid, shown.user.clone()), shown);
        let its: Vec<_> = all.keys.iter().filter(|(place, _)| place.0 == uid).collect();
        if its.len() > MOST {
            let oldest = its.into_iter().min_by_key(|(_, shown)| shown.number);
            let place = oldest.map(|(place, _)| place.clone());
            place.and_then(|place| all.keys.remove(&place));
        }
        Some(all.last)
    }

    /// Has the one of that number forgotten by this timer, which ends with it.
    fn time(&self, number: u64, timer: Timer) {
        if let Some(shown) = self.locked().keys.values_mut().find(|shown| shown.number == number) {
            shown.timer = Some(timer);
        }
    }

    /// Forgets the one of that number, if it is still there.
    fn forget(&self, number: u64) {
        self.locked().keys.retain(|_, shown| shown.number != number);
    }

    /// The machine goes to sleep, and none is kept as long as it does.
    pub fn forget_all(&self) {
        self.locked().keys.clear();
    }

    /// The key that was shown to that UID for this user, if that is its group.
    fn confirmed(&self, uid: u32, user: &UserName, typed: &Secret) -> Result<(Secret, u64), Error> {
        let mut all = self.locked();
        let place = (uid, user.clone());
        let Some(shown) = all.keys.get_mut(&place).filter(|shown| Instant::now() < shown.until) else {
            return Err(Error::invalid(
                "No recovery key of this home waits to be confirmed: make one. Nothing was changed.",
            ));
        };
        if shown.key.is_shown_by(typed) {
            return Ok((shown.key.text.duplicate(), shown.number));
        }
        shown.mistyped += 1;
        let number = shown.key.number;
        if shown.mistyped < MISTYPED {
            return Err(Error::invalid(format!(
                "That is not group {number} of the recovery key. Nothing was changed."
            )));
        }
        all.keys.remove(&place);
        Err(Error::invalid(format!(
            "That is not group {number} of the recovery key, which does not count any more: make another. Nothing was changed."
        )))
    }
}

impl Front {
    /// Forgets them whenever the machine goes to sleep, whoever has its homes locked for that.
    pub async fn forget_keys_in_sleeps(self: std::sync::Arc<Self>) {
        let mut sleep = self.link.holds();
        while sleep.wait_for(|holds| *holds).await.is_ok() {
            self.shown_keys.forget_all();
            if sleep.wait_for(|holds| !*holds).await.is_err() {
                return;
            }
        }
    }

    /// Makes a recovery key and shows it to the caller: its text in memory, and which group is to be typed, from 1.
    pub async fn make_recovery_key(
        self: &std::sync::Arc<Self>,
        call: Call<'_>,
        user: String,
    ) -> Result<(OwnedFd, u32), Error> {
        let caller = self.caller(call).await?;
        let entry = self.updatable(call, &caller, &HomeKey::Name(user)).await?;
        refuse_signed_elsewhere(&entry.view)?;
        let random = |bytes: &mut [u8]| {
            let length = bytes.len();
            rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()) == Ok(length)
        };
        let key = Fresh::new(random)
            .ok_or_else(|| Error::unexpected("there is no randomness for a recovery key"))?;
        let group = key.number;
        let memory = handoff::offer_plain(&key.text).map_err(Error::unexpected)?;
        let fd = rustix::io::fcntl_dupfd_cloexec(&memory, 0).map_err(Error::unexpected)?;
        let user = entry.view.unix.name.clone();
        let until = Instant::now() + PATIENCE;
        let shown = Shown { user, key, mistyped: 0, number: 0, until, timer: None, _memory: memory };
        let Some(number) = self.shown_keys.keep(caller.uid, shown, &self.link.holds()) else {
            let sentence = "The machine is going to sleep: no recovery key is made before it has woken. Nothing was changed.";
            return Err(Refused::new(Refusal::HomeBusy, sentence).into());
        };
        let front = self.clone();
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            front.shown_keys.forget(number);
        });
        self.shown_keys.time(number, Timer(waiting.abort_handle()));
        Ok((fd.into(), group))
    }

    /// Enrols the key that was shown, in the place of former ones; `name` is what it is called, if that was said.
    pub async fn confirm_recovery_key(
        &self,
        call: Call<'_>,
        typed: Typed,
        secret: String,
    ) -> Result<(), Error> {
        let Typed { user, group, name } = typed;
        let group = Secret::from_text(group);
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
        let (key, number) = self.shown_keys.confirmed(caller.uid, &view.unix.name, &group)?;
        let name = Some(name).filter(|name| !name.is_empty());
        let record = keys::wishing(&view.record.open(), name, now_usec());
        offer.credentials.new_recovery_key = Some(key);
        let change = RecordChange { record, blobs: None, reach: Reach::Everywhere, part: Part::RecoveryKey };
        self.enforce(call, &caller, (home, view), change, offer).await?;
        self.shown_keys.forget(number);
        Ok(())
    }
}

/// Refuses to show a key that could never be confirmed: another machine has signed the record.
fn refuse_signed_elsewhere(view: &HomeView) -> Result<(), Error> {
    let machine = this_machine().map_err(Error::unexpected)?;
    match view.record.open().on(&machine).signed_locally {
        Some(false) => Err(Refused::from(Refusal::RecordSigned).into()),
        Some(true) | None => Ok(()),
    }
}

fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::recovery;

    /// One of equal bytes, of which the third group is to be typed.
    fn fresh(byte: u8) -> Fresh {
        Fresh { text: recovery::encode(&[byte; 32]), number: 3 }
    }

    fn right(byte: u8) -> Secret {
        let key = fresh(byte);
        typed(key.text.open_text().expect("text").split('-').nth(2).expect("eight groups"))
    }

    fn shown(user: &str, byte: u8) -> Shown {
        let key = fresh(byte);
        let memory = handoff::offer_plain(&key.text).expect("memory");
        let user = UserName::parse(user).expect("valid");
        let until = Instant::now() + PATIENCE;
        Shown { user, key, mistyped: 0, number: 0, until, timer: None, _memory: memory }
    }

    fn awake() -> watch::Receiver<bool> {
        watch::channel(false).1
    }

    fn typed(text: &str) -> Secret {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn a_key_is_confirmed_by_its_group_by_whoever_was_shown_it() {
        let (keys, alice) = (ShownKeys::default(), UserName::parse("alice").expect("valid"));
        let bob = UserName::parse("bob").expect("valid");
        let number = keys.keep(1000, shown("alice", 7), &awake());
        let right = right(7);
        assert!(keys.confirmed(1001, &alice, &right).is_err(), "it was shown to somebody else");
        assert!(keys.confirmed(1000, &bob, &right).is_err(), "it is for somebody else");
        assert!(keys.confirmed(1000, &alice, &typed("")).is_err());
        // As often as it takes: the password may be asked for in between.
        for _ in 0..2 {
            assert!(keys.confirmed(1000, &alice, &right).is_ok_and(|(_, told)| Some(told) == number));
        }
        keys.forget(number.expect("kept"));
        assert!(keys.confirmed(1000, &alice, &right).is_err());
    }

    #[test]
    fn whoever_guesses_ends_it_and_another_key_takes_its_place() {
        let (keys, alice) = (ShownKeys::default(), UserName::parse("alice").expect("valid"));
        keys.keep(1000, shown("alice", 7), &awake());
        for _ in 0..MISTYPED {
            assert!(keys.confirmed(1000, &alice, &typed("cccccccc")).is_err());
        }
        assert!(keys.confirmed(1000, &alice, &right(7)).is_err());
        let first = keys.keep(1000, shown("alice", 8), &awake()).expect("kept");
        keys.keep(1000, shown("alice", 9), &awake());
        // The first one's time is over.
        keys.forget(first);
        assert!(keys.confirmed(1000, &alice, &right(8)).is_err());
        assert!(keys.confirmed(1000, &alice, &right(9)).is_ok());
        assert_eq!(keys.locked().keys.len(), 1);
    }

    #[test]
    fn homes_do_not_share_a_place_and_a_uid_has_only_so_many() {
        let keys = ShownKeys::default();
        let right = right(7);
        let name = |number: usize| format!("user{number}");
        let user = |number| UserName::parse(&name(number)).expect("valid");
        keys.keep(1000, shown("alice", 7), &awake());
        for number in 0..MOST {
            keys.keep(0, shown(&name(number), 7), &awake());
        }
        assert!((0..MOST).all(|number| keys.confirmed(0, &user(number), &right).is_ok()));
        keys.keep(0, shown(&name(MOST), 7), &awake());
        assert!(keys.confirmed(0, &user(0), &right).is_err(), "the oldest goes");
        assert!((1..=MOST).all(|number| keys.confirmed(0, &user(number), &right).is_ok()));
        assert_eq!(keys.locked().keys.len(), MOST + 1, "another UID's stays");
    }

    #[tokio::test]
    async fn a_key_counts_for_its_time_and_its_timer_ends_with_it() {
        let (keys, alice) = (ShownKeys::default(), UserName::parse("alice").expect("valid"));
        let right = right(7);
        keys.keep(1000, Shown { until: Instant::now(), ..shown("alice", 7) }, &awake());
        assert!(keys.confirmed(1000, &alice, &right).is_err());
        keys.keep(1000, shown("alice", 7), &awake());
        let (holding, holds) = watch::channel(true);
        assert_eq!(keys.keep(1000, shown("alice", 7), &holds), None, "none is made on the way to sleep");
        keys.forget_all();
        assert!(keys.confirmed(1000, &alice, &right).is_err(), "the machine goes to sleep");
        holding.send_replace(false);
        let first = keys.keep(1000, shown("alice", 7), &awake()).expect("kept");
        let waiting = tokio::spawn(std::future::pending::<()>());
        keys.time(first, Timer(waiting.abort_handle()));
        keys.keep(1000, shown("alice", 7), &awake());
        assert!(waiting.await.is_err_and(|why| why.is_cancelled()));
    }
}
