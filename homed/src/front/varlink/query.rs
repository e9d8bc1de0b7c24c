//! A question to the user database, and its answer from the homes there are.

use super::error;
use crate::daemon::link::{Entry, HomeView, Homes};
use records::sections::Section;
use records::{Machine, Record, Sections, userdb};
use serde_json::{Value, json};
use std::sync::Arc;

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
    /// Only names that have one of these in them.
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
    /// Looks among the homes there are. By name or UID, how many there are costs nothing.
    pub fn find(&self, homes: &Homes) -> Found {
        match self.kind {
            Kind::User => self.records(homes).map_or_else(|error| Found::Replies(vec![error]), Found::Users),
            Kind::Group => {
                self.records(homes).map_or_else(|error| Found::Replies(vec![error]), Found::Groups)
            }
            Kind::Membership => Found::Replies(self.memberships(homes)),
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

    fn records(&self, homes: &Homes) -> Result<Vec<Arc<Entry>>, Value> {
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
        Ok(found.into_iter().filter(|entry| self.fits(&entry.view)).collect())
    }

    /// Groups have no aliases.
    fn named<'h>(&self, homes: &'h Homes, name: &str) -> Option<&'h Arc<Entry>> {
        let found = homes.called(name);
        match self.kind {
            Kind::Group => found.filter(|entry| entry.view.unix.name.as_str() == name),
            Kind::User | Kind::Membership => found,
        }
    }

    fn fits(&self, home: &HomeView) -> bool {
        // A home's group has the number of its user.
        let id = home.unix.uid;
        let among = |wanted: &Vec<String>| wanted.contains(&home.disposition);
        self.smallest.is_none_or(|smallest| id >= smallest)
            && self.largest.is_none_or(|largest| id <= largest)
            && self.dispositions.as_ref().is_none_or(among)
            && self.fuzzy.as_ref().is_none_or(|texts| texts.iter().any(|text| is_like(home, text)))
    }

    fn memberships(&self, homes: &Homes) -> Vec<Value> {
        let asked: Vec<&Arc<Entry>> = match &self.user {
            Some(name) => homes.called(name).into_iter().collect(),
            None => homes.all().collect(),
        };
        let mut pairs = Vec::new();
        for home in asked.iter().map(|entry| &entry.view) {
            for group in &home.groups {
                if self.group.as_ref().is_none_or(|wanted| wanted == group) {
                    pairs.push(json!({"userName": home.unix.name.as_str(), "groupName": group}));
                }
            }
        }
        pairs
    }
}

fn is_like(home: &HomeView, text: &str) -> bool {
    let text = text.to_lowercase();
    home.unix.name.as_str().contains(&text) || home.unix.real_name.to_lowercase().contains(&text)
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
