//! Changes to a record as `homectl` makes them: a member for every machine, for this one, or for all others.
//!
//! What holds on one machine stands in `perMachine`, in an entry whose only condition is that machine's
//! id. There is at most one such entry per condition afterwards, at the end of the list, where it wins.
//! Entries with other conditions are somebody else's and left alone.

use crate::fields;
use crate::machine::MachineId;
use crate::record::{InvalidRecord, Record};
use crate::sections::Sections;
use serde_json::{Map, Value};

/// The machines a member is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// All of them: the top level.
    Any,
    /// This one: the entry with `matchMachineId`.
    This,
    /// All but this one: the entry with `matchNotMachineId`.
    Other,
}

/// Changes to be made together, in the order they were asked for.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    any: Map<String, Value>,
    this: Map<String, Value>,
    other: Map<String, Value>,
    dropped: Vec<String>,
}

impl Changes {
    /// Sets a member. Refuses members that are not known, and those that cannot differ between machines
    /// where they would.
    pub fn set(&mut self, on: Match, member: &str, value: Value) -> Result<(), InvalidRecord> {
        let (allowed, layer) = match on {
            Match::Any => (fields::is_regular(member), fields::Layer::Regular),
            Match::This | Match::Other => (fields::is_per_machine(member), fields::Layer::PerMachine),
        };
        if !allowed {
            return Err(InvalidRecord::new(member, "it cannot be set for these machines"));
        }
        fields::check(layer, member, &value).map_err(|why| InvalidRecord::new(member, why))?;
        self.of(on).insert(member.to_owned(), value);
        Ok(())
    }

    /// Removes a member from the top level, from the entries for this machine and for the others, and
    /// from what was set before.
    pub fn remove(&mut self, member: &str) {
        for on in [Match::Any, Match::This, Match::Other] {
            self.of(on).remove(member);
        }
        self.dropped.push(member.to_owned());
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.this.is_empty() && self.other.is_empty() && self.dropped.is_empty()
    }

    /// The changed record. Its signature is no longer good: who sends it drops that section.
    pub fn apply(&self, record: &Record, machine: &MachineId) -> Result<Record, InvalidRecord> {
        let mut members = record.members().clone();
        without(&mut members, &self.dropped);
        members.extend(self.any.clone());
        let (mut this, mut other) = (Map::new(), Map::new());
        let mut entries = match members.remove("perMachine") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        entries.retain(|entry| match entry.as_object().and_then(|entry| own_condition(entry, machine)) {
            None => true,
            Some((condition, rest)) => {
                let into = if condition == "matchMachineId" { &mut this } else { &mut other };
                into.extend(rest);
                false
            }
        });
        for (condition, mut entry, changes) in
            [("matchMachineId", this, &self.this), ("matchNotMachineId", other, &self.other)]
        {
            without(&mut entry, &self.dropped);
            entry.extend(changes.clone());
            if !entry.is_empty() {
                entry.insert(condition.to_owned(), machine.as_str().into());
                entries.push(Value::Object(entry));
            }
        }
        if !entries.is_empty() {
            members.insert("perMachine".to_owned(), Value::Array(entries));
        }
        Record::from_value(Value::Object(members), Sections::HOST)
    }

    fn of(&mut self, on: Match) -> &mut Map<String, Value> {
        match on {
            Match::Any => &mut self.any,
            Match::This => &mut self.this,
            Match::Other => &mut self.other,
        }
    }
}

/// The condition of an entry that is for this machine alone, or for all but it, and what else it has.
///
/// The id may stand alone or in a list of one: the original writes both and then overlooks the second.
fn own_condition(
    entry: &Map<String, Value>,
    machine: &MachineId,
) -> Option<(&'static str, Map<String, Value>)> {
    let conditions = ["matchMachineId", "matchNotMachineId", "matchHostname", "matchNotHostname"];
    let mut present = conditions.into_iter().filter(|name| entry.contains_key(*name));
    let (Some(condition @ ("matchMachineId" | "matchNotMachineId")), None) = (present.next(), present.next())
    else {
        return None;
    };
    let is_own =
        |value: &Value| value.as_str().and_then(|id| MachineId::parse(id).ok()).as_ref() == Some(machine);
    let own = match entry.get(condition)? {
        Value::Array(ids) => ids.len() == 1 && ids.iter().all(is_own),
        one => is_own(one),
    };
    let mut rest = entry.clone();
    rest.remove(condition);
    own.then_some((condition, rest))
}

fn without(members: &mut Map<String, Value>, names: &[String]) {
    for name in names.iter().filter(|name| !matches!(name.as_str(), "userName" | "realm")) {
        members.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "11111111111111111111111111111111";
    const ELSE: &str = "22222222222222222222222222222222";

    fn edited(before: Value, changes: &Changes) -> Value {
        let machine = MachineId::parse(ID).expect("valid");
        let record = Record::from_value(before, Sections::HOST).expect("valid");
        Value::Object(changes.apply(&record, &machine).expect("valid").members().clone())
    }

    #[test]
    fn each_place_has_its_entry() {
        let mut changes = Changes::default();
        changes.set(Match::Any, "shell", json!("/bin/a")).expect("allowed");
        changes.set(Match::This, "shell", json!("/bin/b")).expect("allowed");
        changes.set(Match::Other, "shell", json!("/bin/c")).expect("allowed");
        assert_eq!(
            edited(json!({"userName": "alice"}), &changes),
            json!({"userName": "alice", "shell": "/bin/a", "perMachine": [
                {"matchMachineId": ID, "shell": "/bin/b"},
                {"matchNotMachineId": ID, "shell": "/bin/c"},
            ]})
        );
    }

    #[test]
    fn own_entries_become_one_and_others_stay() {
        let mut changes = Changes::default();
        changes.set(Match::This, "tasksMax", json!(5)).expect("allowed");
        let foreign = json!({"matchMachineId": ELSE, "shell": "/bin/x"});
        let mixed = json!({"matchMachineId": ID, "matchHostname": "h", "shell": "/bin/y"});
        let before = json!({"userName": "alice", "perMachine": [
            {"matchMachineId": ID, "shell": "/bin/a", "niceLevel": 1},
            foreign, {"matchMachineId": [ID], "shell": "/bin/b"}, mixed,
        ]});
        assert_eq!(
            edited(before, &changes)["perMachine"],
            json!([foreign, mixed, {"matchMachineId": ID, "shell": "/bin/b", "niceLevel": 1, "tasksMax": 5}])
        );
    }

    #[test]
    fn what_is_removed_is_gone_everywhere() {
        let mut changes = Changes::default();
        changes.set(Match::Other, "shell", json!("/bin/c")).expect("allowed");
        changes.remove("shell");
        changes.remove("userName");
        let before = json!({"userName": "alice", "shell": "/a", "perMachine": [
            {"matchMachineId": ID, "shell": "/b"}, {"matchNotMachineId": [ID], "shell": "/c", "umask": 7},
        ]});
        let after = json!({"userName": "alice", "perMachine": [{"matchNotMachineId": ID, "umask": 7}]});
        assert_eq!(edited(before, &changes), after);
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        let mut changes = Changes::default();
        for (on, member, value) in [
            (Match::This, "realName", json!("Alice")),
            (Match::Other, "homeDirectory", json!("/home/x")),
            (Match::Any, "diskUsage", json!(1)),
            (Match::Any, "noSuchMember", json!(1)),
            (Match::Any, "shell", json!("sh")),
        ] {
            assert_eq!(changes.set(on, member, value).expect_err(member).member, member);
        }
        assert!(changes.is_empty());
    }
}
