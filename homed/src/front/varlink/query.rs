//! A question to the user database, and its answer from the homes there are.

use super::error;
use crate::daemon::link::{Entry, HomeView, Homes};
use records::sections::Section;
use records::{Machine, Record, Sections, userdb};
use serde_json::{Value, json};
use std::sync::Arc;

/// Homes that are looked at before others have their turn.
const AT_A_TIME: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// User records.
    User,
    /// Group records: each user's own group.
    Group,
    /// Who is in which group.
    Membership,
}

/// A question. What is `None` is not asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is asked for.
    pub kind: Kind,
    /// By user name.
    pub user: Option<String>,
    /// By group name.
    pub group: Option<String>,
    /// By UID or GID.
    pub id: Option<u32>,
    /// Only ids from here.
    pub smallest: Option<u32>,
    /// Only ids up to here.
    pub largest: Option<u32>,
    /// Only these dispositions.
    pub dispositions: Option<Vec<String>>,
    /// Only names that have one of these in them, which are in lower case.
    pub fuzzy: Option<Vec<String>>,
    /// Whether the client takes several replies.
    pub more: bool,
}

/// What was found.
pub enum Found {
    /// These homes' users, with their sizes where it is one.
    Users(Vec<Arc<Entry>>),
    /// These homes' groups.
    Groups(Vec<Arc<Entry>>),
    /// Pairs, or an error.
    Replies(Vec<Value>),
}

impl Query {
    /// Looks among the homes there are. By name or UID, how many there are costs nothing; who goes through all of them lets
    /// others have their turn meanwhile.
    pub async fn find(&self, homes: &Homes) -> Found {
        if self.kind == Kind::Membership {
            return Found::Replies(self.memberships(homes).await);
        }
        match self.records(homes).await {
            Ok(users) if self.kind == Kind::User => Found::Users(users),
            Ok(groups) => Found::Groups(groups),
            Err(error) => Found::Replies(vec![error]),
        }
    }

    /// What is said of so many: `None` where it is them; else what is said instead.
    pub fn instead(&self, count: usize) -> Option<Value> {
        match count {
            0 => Some(error("io.systemd.UserDatabase.NoRecordFound", json!({}))),
            1 => None,
            _ if self.more => None,
            _ => Some(error("org.varlink.service.ExpectedMore", json!({}))),
        }
    }

    async fn records(&self, homes: &Homes) -> Result<Vec<Arc<Entry>>, Value> {
        let name = self.user.as_ref().or(self.group.as_ref());
        let by_name = name.map(|name| self.named(homes, name));
        let by_id = self.id.map(|id| homes.with_uid(id));
        let uid = |entry: &Arc<Entry>| entry.view.unix.uid;
        let found: Vec<Arc<Entry>> = match (by_name, by_id) {
            (Some(by_name), Some(by_id)) if by_name.map(uid) != by_id.map(uid) => {
                return Err(error("io.systemd.UserDatabase.ConflictingRecordFound", json!({})));
            }
            (Some(one), _) | (None, Some(one)) => one.into_iter().cloned().collect(),
            (None, None) => homes.all().cloned().collect(),
        };
        Ok(each(found, |entry, fitting| fitting.extend(Some(entry).filter(|entry| self.fits(entry)))).await)
    }

    /// Groups have no aliases.
    fn named<'h>(&self, homes: &'h Homes, name: &str) -> Option<&'h Arc<Entry>> {
        let found = homes.called(name);
        match self.kind {
            Kind::Group => found.filter(|entry| entry.view.unix.name.as_str() == name),
            Kind::User | Kind::Membership => found,
        }
    }

    fn fits(&self, entry: &Entry) -> bool {
        let home = &entry.view;
        // A home's group has the number of its user.
        let id = home.unix.uid;
        let among = |wanted: &Vec<String>| wanted.contains(&home.disposition);
        self.smallest.is_none_or(|smallest| id >= smallest)
            && self.largest.is_none_or(|largest| id <= largest)
            && self.dispositions.as_ref().is_none_or(among)
            && self.fuzzy.as_ref().is_none_or(|texts| texts.iter().any(|text| is_like(entry, text)))
    }

    async fn memberships(&self, homes: &Homes) -> Vec<Value> {
        let asked: Vec<Arc<Entry>> = match &self.user {
            Some(name) => homes.called(name).into_iter().cloned().collect(),
            None => homes.all().cloned().collect(),
        };
        let pair = |entry: Arc<Entry>, pairs: &mut Vec<Value>| {
            let home = &entry.view;
            for group in &home.groups {
                if self.group.as_ref().is_none_or(|wanted| wanted == group) {
                    pairs.push(json!({"userName": home.unix.name.as_str(), "groupName": group}));
                }
            }
        };
        each(asked, pair).await
    }
}

/// What comes of each, a few at a time: whoever else asks this thread something is answered in between.
async fn each<T>(entries: Vec<Arc<Entry>>, act: impl Fn(Arc<Entry>, &mut Vec<T>)) -> Vec<T> {
    let mut found = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        act(entry, &mut found);
        if at % AT_A_TIME == AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
    }
    found
}

fn is_like(entry: &Entry, text: &str) -> bool {
    entry.view.unix.name.as_str().contains(text) || entry.searched.contains(text)
}

/// A user's reply for a peer of that UID; the record has its sizes.
pub fn user(home: &HomeView, record: &Record, peer: u32) -> Value {
    let all = home.shows_all_to(peer);
    let shown = record.only(if all { Sections::OWNER } else { Sections::STRANGER });
    let stripped = !all && record.members().contains_key("privileged");
    debug_assert!(Sections::OWNER.has(Section::Privileged) && !Sections::STRANGER.has(Section::Privileged));
    json!({"record": shown.members(), "incomplete": stripped})
}

/// A group's reply.
pub fn group(home: &HomeView, machine: &Machine) -> Value {
    json!({"record": userdb::group_record(&home.record.open(), machine), "incomplete": false})
}

#[cfg(test)]
mod tests {
    use super::super::interface::{Method, method};
    use super::*;
    use crate::daemon::link::{Link, view};
    use std::future::Future;
    use std::task::{Context, Waker};

    /// A home for each of these full names, from the UID 60001 on.
    fn homes(real_names: &[&str]) -> Arc<Homes> {
        let link = Link::new().0;
        let mut news = Vec::new();
        for (uid, real_name) in (60001u32..).zip(real_names) {
            let mut view = view(&format!("u{uid}"), uid, "");
            view.unix.real_name = (*real_name).to_owned();
            news.push((view.unix.name.clone(), Some(view)));
        }
        link.publish(news);
        link.list(&link.ourselves())
    }

    fn asked(parameters: Value) -> Method {
        let mut call = json!({"method": "io.systemd.UserDatabase.GetUserRecord", "parameters": parameters});
        call["parameters"]["service"] = json!("io.systemd.Home");
        method(&call, 1000)
    }

    async fn found(homes: &Homes, fuzzy: &[&str]) -> Vec<u32> {
        let Method::Query(query) = asked(json!({"fuzzyNames": fuzzy})) else { return Vec::new() };
        let Found::Users(users) = query.find(homes).await else { return Vec::new() };
        users.iter().map(|entry| entry.view.unix.uid).collect()
    }

    #[tokio::test]
    async fn a_part_of_a_name_is_found_however_it_is_written() {
        let long = "Ä".repeat(32 << 10) + "Zoe";
        let homes = homes(&["Änne Köhler", "Bob", &long]);
        assert_eq!(found(&homes, &["KÖHL"]).await, [60001]);
        assert_eq!(found(&homes, &["ä"]).await, [60001, 60003]);
        assert_eq!(found(&homes, &["U6000", "nobody"]).await, [60001, 60002, 60003]);
        assert_eq!(found(&homes, &["zoe"]).await, [0; 0], "no name is searched to such an end");
    }

    #[test]
    fn more_texts_or_longer_ones_than_anybody_needs_are_refused() {
        let fine = [json!(vec!["x"; 16]), json!(["x".repeat(256)]), Value::Null];
        let wrong = [json!(vec!["x"; 17]), json!(["x".repeat(257)])];
        for name in ["fuzzyNames", "dispositionMask"] {
            for texts in &fine {
                assert!(matches!(asked(json!({ name: texts })), Method::Query(_)), "{texts}");
            }
            for texts in &wrong {
                let Method::Known(reply) = asked(json!({ name: texts })) else { panic!("{texts}") };
                assert_eq!(reply["parameters"]["parameter"], *name);
            }
        }
    }

    #[test]
    fn whoever_goes_through_many_homes_lets_others_have_their_turn() {
        let homes = homes(&["Somebody"; 200]);
        for method in ["GetUserRecord", "GetGroupRecord", "GetMemberships"] {
            let call = json!({"method": format!("io.systemd.UserDatabase.{method}"),
                "parameters": {"service": "io.systemd.Home"}});
            let Method::Query(query) = super::super::interface::method(&call, 1000) else {
                panic!("{method}")
            };
            let mut finding = Box::pin(query.find(&homes));
            let mut turns = 1;
            while finding.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                turns += 1;
            }
            assert_eq!(turns, 4, "{method}");
        }
    }
}
