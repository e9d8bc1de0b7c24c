//! A question to the user database, and its answer from the homes there are.

use super::error;
use crate::daemon::link::HomeView;
use records::sections::Section;
use records::{Machine, Sections, userdb};
use serde_json::{Value, json};

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

impl Query {
    /// The replies to a peer of that UID.
    pub fn answer(&self, homes: &[HomeView], machine: &Machine, peer: u32) -> Vec<Value> {
        let found = match self.kind {
            Kind::User => match self.records(homes) {
                Ok(homes) => homes.iter().map(|home| user_reply(home, peer)).collect(),
                Err(reply) => return vec![reply],
            },
            Kind::Group => match self.records(homes) {
                Ok(homes) => homes
                    .iter()
                    .map(|home| json!({"record": userdb::group_record(&home.record, machine), "incomplete": false}))
                    .collect(),
                Err(reply) => return vec![reply],
            },
            Kind::Membership => self.memberships(homes, machine),
        };
        self.stream(found)
    }

    fn records<'a>(&self, homes: &'a [HomeView]) -> Result<Vec<&'a HomeView>, Value> {
        let name = self.user.as_ref().or(self.group.as_ref());
        let id = |home: &HomeView| if self.kind == Kind::Group { home.unix.gid } else { home.unix.uid };
        // Groups have no aliases.
        let called = |home: &HomeView, name: &str| match self.kind {
            Kind::Group => home.unix.name.as_str() == name,
            Kind::User | Kind::Membership => home.record.is_called(name),
        };
        if let (Some(name), Some(wanted)) = (name, self.id) {
            let by_name = homes.iter().find(|home| called(home, name));
            if by_name.is_some_and(|home| id(home) != wanted)
                || (by_name.is_none() && homes.iter().any(|home| id(home) == wanted))
            {
                return Err(error("io.systemd.UserDatabase.ConflictingRecordFound", json!({})));
            }
        }
        let fits = |home: &&HomeView| {
            name.is_none_or(|name| called(home, name))
                && self.id.is_none_or(|wanted| id(home) == wanted)
                && self.smallest.is_none_or(|smallest| id(home) >= smallest)
                && self.largest.is_none_or(|largest| id(home) <= largest)
                && self
                    .dispositions
                    .as_ref()
                    .is_none_or(|wanted| wanted.iter().any(|one| one == disposition(home)))
                && self.fuzzy.as_ref().is_none_or(|texts| texts.iter().any(|text| is_like(home, text)))
        };
        Ok(homes.iter().filter(fits).collect())
    }

    fn memberships(&self, homes: &[HomeView], machine: &Machine) -> Vec<Value> {
        let mut pairs = Vec::new();
        for home in
            homes.iter().filter(|home| self.user.as_ref().is_none_or(|name| home.record.is_called(name)))
        {
            for group in userdb::memberships(&home.record, machine) {
                if self.group.as_ref().is_none_or(|wanted| *wanted == group) {
                    pairs.push(json!({"userName": home.unix.name.as_str(), "groupName": group}));
                }
            }
        }
        pairs
    }

    /// One reply, or several if the client takes them; the last says so by not continuing.
    fn stream(&self, found: Vec<Value>) -> Vec<Value> {
        let count = found.len();
        if count == 0 {
            return vec![error("io.systemd.UserDatabase.NoRecordFound", json!({}))];
        }
        if count > 1 && !self.more {
            return vec![error("org.varlink.service.ExpectedMore", json!({}))];
        }
        let reply = |(i, parameters)| match i + 1 < count {
            true => json!({"parameters": parameters, "continues": true}),
            false => json!({"parameters": parameters}),
        };
        found.into_iter().enumerate().map(reply).collect()
    }
}

fn disposition(home: &HomeView) -> &str {
    home.record.members().get("disposition").and_then(Value::as_str).unwrap_or("regular")
}

fn is_like(home: &HomeView, text: &str) -> bool {
    let text = text.to_lowercase();
    home.unix.name.as_str().contains(&text) || home.unix.real_name.to_lowercase().contains(&text)
}

fn user_reply(home: &HomeView, peer: u32) -> Value {
    let all = home.shows_all_to(peer);
    let shown = home.record.only(if all { Sections::OWNER } else { Sections::STRANGER });
    let stripped = !all && home.record.only(Sections::STRANGER) != home.record.only(Sections::OWNER);
    debug_assert!(Sections::OWNER.has(Section::Privileged) && !Sections::STRANGER.has(Section::Privileged));
    json!({"record": shown.members(), "incomplete": stripped})
}
