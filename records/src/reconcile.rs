//! Which of two copies of a record is in force: the one changed last.

use crate::record::Record;
use crate::refusal::{Refusal, Refused};
use crate::sections::Sections;

mod force;

pub use force::{Dated, Force, Unseen};

/// Which outcomes the operation at hand can live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Any (activate, authenticate).
    Any,
    /// The host's copy must not be older than the inner one (passwd, resize).
    HostNotOlder,
    /// The host's copy must be newer (update).
    HostNewer,
}

/// Which copy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The host's.
    Host,
    /// The one in the home; it takes the host's binding over.
    Inner,
    /// Both say the same.
    Same,
}

/// Chooses between the host's copy and one found in the home. Both signatures have been checked.
pub fn choose(host: &Record, inner: &Record, rule: Rule) -> Result<Choice, Refused> {
    if host.full_name() != inner.full_name() {
        let sentence = format!(
            "The home belongs to {}, not to {}; nothing was changed.",
            inner.full_name(),
            host.full_name()
        );
        return Err(Refused::new(Refusal::RecordMismatch, sentence));
    }
    let same = || host.only(Sections::SIGNED) == inner.only(Sections::SIGNED);
    by_date([host.last_change_usec(), inner.last_change_usec()], same, rule)
}

impl Dated for Record {
    fn choose(&self, other: &Self, rule: Rule) -> Result<Choice, Refused> {
        choose(self, other, rule)
    }
}

/// The same by what matters of the two, the host's first: when each was changed last, and whether both say the same.
pub fn by_date(
    [host, inner]: [u64; 2],
    is_same: impl FnOnce() -> bool,
    rule: Rule,
) -> Result<Choice, Refused> {
    let choice = match host.cmp(&inner) {
        std::cmp::Ordering::Less => Choice::Inner,
        std::cmp::Ordering::Equal if is_same() => Choice::Same,
        std::cmp::Ordering::Greater | std::cmp::Ordering::Equal => Choice::Host,
    };
    match (rule, choice) {
        (Rule::Any, _) | (_, Choice::Host) | (Rule::HostNotOlder, Choice::Same) => Ok(choice),
        (Rule::HostNotOlder | Rule::HostNewer, Choice::Inner) => Err(Refused::new(
            Refusal::RecordDowngrade,
            "The home has a newer record than this machine: it was changed on another one, or a change was cut short. \
             Log in once to take that over, then try again. Nothing was changed.",
        )),
        (Rule::HostNewer, Choice::Same) => {
            Err(Refused::new(Refusal::RecordMismatch, "The record is not newer than the one in the home."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(value: Value) -> Record {
        Record::from_value(value, Sections::HOST).expect("valid")
    }

    fn changed_at(time: u64, shell: &str) -> Record {
        record(json!({"userName": "alice", "lastChangeUSec": time, "shell": shell}))
    }

    #[test]
    fn every_case_under_every_rule() {
        let stale = Err(Refusal::RecordDowngrade);
        let host = Ok(Choice::Host);
        for (what, inner, expected) in [
            ("host newer", changed_at(1, "/a"), [host, host, host]),
            ("same", changed_at(2, "/a"), [Ok(Choice::Same), Ok(Choice::Same), Err(Refusal::RecordMismatch)]),
            ("same time, different", changed_at(2, "/b"), [host, host, host]),
            ("inner newer", changed_at(3, "/a"), [Ok(Choice::Inner), stale, stale]),
            ("inner without a time", record(json!({"userName": "alice"})), [host, host, host]),
        ] {
            for (rule, expected) in [Rule::Any, Rule::HostNotOlder, Rule::HostNewer].into_iter().zip(expected)
            {
                let choice = choose(&changed_at(2, "/a"), &inner, rule).map_err(|refused| refused.refusal);
                assert_eq!(choice, expected, "{what}, {rule:?}");
            }
        }
    }

    #[test]
    fn what_one_machine_knows_makes_no_difference() {
        let machine = "1".repeat(32);
        let bound = record(json!({
            "userName": "alice", "lastChangeUSec": 2, "shell": "/a",
            "binding": {&machine: {"uid": 60001}}, "signature": [],
        }));
        assert_eq!(choose(&bound, &changed_at(2, "/a"), Rule::Any).ok(), Some(Choice::Same));
    }

    #[test]
    fn another_user_or_realm_is_refused() {
        for other in [json!({"userName": "bob"}), json!({"userName": "alice", "realm": "example.com"})] {
            let refused = choose(&changed_at(1, "/a"), &record(other), Rule::Any).expect_err("another user");
            assert_eq!(refused.refusal, Refusal::RecordMismatch);
        }
    }
}
