//! Ready answers to who asks which homes there are: the loop makes them when something has changed, and whoever asks reads
//! them without the loop. It may hang, or have thousands of questions to answer; this goes on.
//!
//! ```text
//! loop ── publish ──→ Homes (one snapshot, swapped as a whole) ←── now ── user database, bus
//!                       └ sizes: measured for who asks, on threads of their own ([`sizes`])
//! ```
//!
//! [`account`] counts who takes what of the daemon. Not here: what a home is, and wire formats.

pub mod account;
mod sharded;
pub mod sizes;

use crate::home::view::HomeView;
use crate::words::request::HomeKey;
use records::UserName;
use sharded::Sharded;
use sizes::Sizes;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// One home as it was when something happened to it last.
pub struct Entry {
    /// What the core says of it; without sizes.
    pub view: HomeView,
    /// The full name as [`lower_case`] gives it, for who looks for a part of it.
    pub searched: String,
    sizes: Sizes,
}

/// Of a full name no more is searched, in characters: its owner may make it as long as a record can be, and who asks pays with
/// the time of all.
const SEARCHED: usize = 1024;

impl Entry {
    fn new(view: HomeView, sizes: Sizes) -> Arc<Self> {
        let searched = lower_case(&view.unix.real_name);
        Arc::new(Self { view, searched, sizes })
    }
}

/// As texts are compared in which a part is looked for; of a long one, the beginning.
pub fn lower_case(text: &str) -> String {
    text.chars().take(SEARCHED).flat_map(char::to_lowercase).collect()
}

/// All homes.
#[derive(Default, Clone)]
pub struct Homes {
    by_name: Sharded<UserName>,
    by_uid: Sharded<u32>,
    /// What its user is called besides.
    by_alias: Sharded<String>,
    /// Those of users who are logged in without a question.
    auto_logins: Arc<BTreeMap<UserName, Arc<Entry>>>,
    in_order: Arc<OnceLock<Vec<Arc<Entry>>>>,
}

impl Homes {
    /// By any of its names, or by its UID; the empty name is the caller's own.
    pub fn find(&self, key: &HomeKey, caller: u32) -> Option<&Arc<Entry>> {
        match key {
            HomeKey::Uid(uid) => self.by_uid.get(uid),
            HomeKey::Name(name) if name.is_empty() => self.by_uid.get(&caller),
            HomeKey::Name(name) => self.called(name),
        }
    }

    /// By any of its names.
    pub fn called(&self, name: &str) -> Option<&Arc<Entry>> {
        let primary = UserName::parse(name).ok().and_then(|user| self.by_name.get(&user));
        primary.or_else(|| self.by_alias.get(&name.to_owned()))
    }

    /// By its UID.
    pub fn with_uid(&self, uid: u32) -> Option<&Arc<Entry>> {
        self.by_uid.get(&uid)
    }

    /// All, by name; put in order for the first who asks.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let order = || {
            let mut all: Vec<Arc<Entry>> = self.by_name.values().cloned().collect();
            all.sort_by(|one, other| one.view.unix.name.cmp(&other.view.unix.name));
            all
        };
        self.in_order.get_or_init(order).iter()
    }

    /// Those of users who are to be logged in without a question, by name.
    pub fn auto_logins(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.auto_logins.values()
    }

    fn take_out(&mut self, user: &UserName) -> Option<Arc<Entry>> {
        let old = self.by_name.remove(user)?;
        if old.view.auto_login {
            Arc::make_mut(&mut self.auto_logins).remove(user);
        }
        let others = |entry: &Arc<Entry>| entry.view.unix.name != *user;
        if self.by_uid.get(&old.view.unix.uid).is_some_and(|entry| !others(entry)) {
            self.by_uid.remove(&old.view.unix.uid);
        }
        for name in &old.view.others {
            if self.by_alias.get(name).is_some_and(|entry| !others(entry)) {
                self.by_alias.remove(name);
            }
        }
        Some(old)
    }

    fn put(&mut self, entry: Arc<Entry>) {
        let unix = &entry.view.unix;
        if entry.view.auto_login {
            Arc::make_mut(&mut self.auto_logins).insert(unix.name.clone(), entry.clone());
        }
        self.by_uid.insert(unix.uid, entry.clone());
        for name in &entry.view.others {
            self.by_alias.insert(name.clone(), entry.clone());
        }
        self.by_name.insert(unix.name.clone(), entry);
    }
}

/// What has become of a home: how it looks now, or that it has gone.
pub type News = (UserName, Option<HomeView>);

/// The way to the answers; clones share them.
#[derive(Clone, Default)]
pub struct Lookup(Arc<RwLock<Arc<Homes>>>);

impl Lookup {
    /// How it was at the last change. Never waits.
    pub fn now(&self) -> Arc<Homes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes changes in; only the loop does.
    pub fn publish(&self, news: Vec<News>) {
        if news.is_empty() {
            return;
        }
        // Parts that stay as they are, are shared with what was.
        let mut homes = Homes { in_order: Arc::default(), ..Homes::clone(&self.now()) };
        for (user, view) in news {
            let old = homes.take_out(&user);
            if let Some(view) = view {
                let sizes = old.map(|old| old.sizes.of_the_next()).unwrap_or_default();
                homes.put(Entry::new(view, sizes));
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(homes);
    }
}

#[cfg(test)]
pub use tests::view;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::facts::Place;
    use crate::home::state::{Lingering, Resting, State};
    use crate::home::view::UnixRecord;
    use records::{Packed, Record, Sections};

    /// A home that rests, as the core would show it.
    pub fn view(name: &str, uid: u32, members: &str) -> HomeView {
        let text = format!(r#"{{"userName":"{name}"{members}}}"#);
        let record = Record::parse(&text, Sections::HOST).expect("valid");
        let user = UserName::parse(name).expect("valid");
        HomeView {
            place: Place {
                user: user.clone(),
                home_directory: format!("/home/{name}"),
                image: format!("/home/{name}.home"),
                kind: records::Storage::Luks,
                luks_uuid: None,
            },
            unix: UnixRecord {
                name: user,
                uid,
                gid: uid,
                real_name: name.into(),
                home_directory: format!("/home/{name}"),
                shell: "/bin/sh".into(),
            },
            others: crate::words::names::all(&record).split_off(1),
            groups: Vec::new(),
            disposition: "regular".into(),
            record: Packed::of(&record),
            state: State { resting: Resting::Inactive, doing: None, lingering: Lingering::No },
            auto_login: members.contains(r#""autoLogin":true"#),
        }
    }

    fn news(view: HomeView) -> Vec<News> {
        vec![(view.unix.name.clone(), Some(view))]
    }

    #[test]
    fn of_many_homes_each_is_found_and_all_come_in_order() {
        let lookup = Lookup::default();
        let name = |number: u32| format!("user{number:05}");
        lookup.publish(
            (0..2_000).rev().flat_map(|number| news(view(&name(number), 60_001 + number, ""))).collect(),
        );
        let before = lookup.now();
        lookup.publish(vec![(UserName::parse("user00007").expect("valid"), None)]);
        let now = lookup.now();
        for number in 0..2_000 {
            let found = |homes: &Homes| {
                let by_uid = homes.with_uid(60_001 + number).map(|entry| entry.view.unix.name.to_string());
                by_uid.is_some_and(|by_uid| by_uid == name(number) && homes.called(&by_uid).is_some())
            };
            assert!(found(&before) && found(&now) == (number != 7), "{number}");
        }
        // What has become of one home costs a small part of all.
        let anew = [
            now.by_name.made_anew(&before.by_name),
            now.by_uid.made_anew(&before.by_uid),
            now.by_alias.made_anew(&before.by_alias),
        ];
        assert!(anew.iter().all(|entries| *entries < 100), "{anew:?}");
        let names: Vec<String> = now.all().map(|entry| entry.view.unix.name.to_string()).collect();
        assert!(names.len() == 1_999 && names.is_sorted());
    }

    #[test]
    fn who_is_logged_in_without_a_question_is_known_without_looking_at_all() {
        let lookup = Lookup::default();
        let logins = || {
            let homes = lookup.now();
            homes.auto_logins().map(|entry| entry.view.unix.name.to_string()).collect::<Vec<_>>()
        };
        for (name, uid) in [("carol", 60003), ("alice", 60001)] {
            lookup.publish(news(view(name, uid, r#","autoLogin":true"#)));
        }
        lookup.publish(news(view("bob", 60002, "")));
        assert_eq!(logins(), ["alice", "carol"]);
        lookup.publish(news(view("alice", 60001, "")));
        lookup.publish(vec![(UserName::parse("carol").expect("valid"), None)]);
        assert!(logins().is_empty());
    }

    #[test]
    fn a_home_is_found_by_whatever_it_is_called_and_no_more_once_it_has_gone() {
        let lookup = Lookup::default();
        lookup.publish(news(view("alice", 60001, r#","realm":"example.com","aliases":["ally"]"#)));
        lookup.publish(news(view("bob", 60002, "")));
        let before = lookup.now();
        for name in ["alice", "ally", "alice@example.com", "ally@example.com"] {
            assert_eq!(before.called(name).map(|entry| entry.view.unix.uid), Some(60001), "{name}");
        }
        assert!(before.called("alice@elsewhere").is_none() && before.called("carol").is_none());
        assert!(before.find(&HomeKey::Name(String::new()), 60002).is_some());

        // Another UID and no alias: what it was known by leads nowhere.
        lookup.publish(news(view("alice", 60009, "")));
        let now = lookup.now();
        assert!(now.called("ally").is_none() && now.with_uid(60001).is_none());
        assert!(now.with_uid(60009).is_some());
        lookup.publish(vec![(UserName::parse("alice").expect("valid"), None)]);
        assert!(lookup.now().called("alice").is_none() && lookup.now().all().count() == 1);
        assert!(before.called("ally").is_some(), "who has begun to read goes on with what was");
    }
}
