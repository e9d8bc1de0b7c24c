//! Which of two copies of a record is in force: the one changed last.

use crate::record::Record;
use crate::refusal::{Refusal, Refused};
use crate::sections::Sections;

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
    let choice = newer(host, inner);
    match (rule, choice) {
        (Rule::Any, _) | (_, Choice::Host) | (Rule::HostNotOlder, Choice::Same) => Ok(choice),
        (Rule::HostNotOlder | Rule::HostNewer, Choice::Inner) => Err(Refused::new(
            Refusal::RecordDowngrade,
            "The home was changed on another machine since; log in once to take that over, then try again. \
             Nothing was changed.",
        )),
        (Rule::HostNewer, Choice::Same) => {
            Err(Refused::new(Refusal::RecordMismatch, "The record is not newer than the one in the home."))
        }
    }
}

fn newer(host: &Record, inner: &Record) -> Choice {
    match host.last_change_usec().cmp(&inner.last_change_usec()) {
        std::cmp::Ordering::Less => Choice::Inner,
        std::cmp::Ordering::Greater => Choice::Host,
        std::cmp::Ordering::Equal if host.only(Sections::SIGNED) == inner.only(Sections::SIGNED) => {
            Choice::Same
        }
        std::cmp::Ordering::Equal => Choice::Host,
    }
}
