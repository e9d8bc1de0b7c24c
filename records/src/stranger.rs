//! What of a record is believed that was signed by somebody whom this machine does not trust.
//!
//! Its user has shown the password, so what concerns the user alone is taken. What gives a right or takes something of the
//! machine (groups, limits, environment of sessions …) is a *claim*: it is in force when an administrator has seen it,
//! value by value, and not before. What this machine knows by itself (UID, paths, kind of storage) is never taken.
//!
//! The table of fields says which is which, one row each; what has no row is a claim.

use crate::fields::{Worth, worth};
use crate::machine::Machine;
use crate::record::Record;
use crate::{matching, privileged};
use serde_json::{Map, Value};

/// Member of this machine's `binding`: the claims that an administrator has accepted, as [`claims`] gives them.
pub const ACCEPTED: &str = "acceptedClaims";

/// What homes are to this machine whose records nobody signed whom it trusts (`TrustForeignHomes=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strangers {
    /// They are not opened.
    No,
    /// They are opened with the password, and what their records say is believed as far as [`believed`] goes.
    #[default]
    Restricted,
    /// They are opened with the password, and their records are believed like those of machines that are trusted.
    Yes,
}

impl Strangers {
    /// The word in `homed.conf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Restricted => "restricted",
            Self::Yes => "yes",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::No, Self::Restricted, Self::Yes].into_iter().find(|strangers| strangers.as_str() == word)
    }
}

/// The record as far as it is believed: without signature and `perMachine`, whose values for this machine are laid over
/// the others. `binding` and `status` are this machine's own and stay.
pub fn believed(record: &Record, machine: &Machine) -> Record {
    let accepted = record.binding(&machine.id).and_then(|binding| binding.get(ACCEPTED)?.as_object());
    let is_accepted = |name: &str, value: &Value| accepted.and_then(|all| all.get(name)) == Some(value);
    let said = said(record, machine);
    let mut members: Map<String, Value> = said
        .into_iter()
        .filter(|(name, value)| match worth(name) {
            Worth::Own => true,
            Worth::Claim => is_accepted(name, value),
            Worth::Here => false,
        })
        .collect();
    members.insert("disposition".into(), "regular".into());
    // Nothing of the disk is shared out to it that nobody has granted.
    members.entry("rebalanceWeight").or_insert_with(|| 0.into());
    let section = record.privileged().cloned().unwrap_or_default();
    let secret: Map<String, Value> = section
        .into_iter()
        .filter(|(name, value)| privileged::is_own(name) || is_accepted(&of_privileged(name), value))
        .collect();
    if !secret.is_empty() {
        members.insert("privileged".into(), secret.into());
    }
    for section in ["binding", "status"] {
        if let Some(value) = record.members().get(section) {
            members.insert(section.into(), value.clone());
        }
    }
    record.with_members(members)
}

/// The record as if nothing of it had been accepted here.
pub fn without_accepted(record: &Record, machine: &Machine) -> Record {
    match record.binding(&machine.id) {
        Some(binding) if binding.contains_key(ACCEPTED) => record.without_binding(&machine.id, ACCEPTED),
        Some(_) | None => record.clone(),
    }
}

/// What a record claims on this machine, by member; those of the section `privileged` as `privileged.NAME`.
pub fn claims(record: &Record, machine: &Machine) -> Map<String, Value> {
    let claims = said(record, machine).into_iter().filter(|(name, _)| worth(name) == Worth::Claim);
    let secret = record.privileged().into_iter().flatten();
    let secret = secret.filter(|(name, _)| !privileged::is_own(name));
    claims.chain(secret.map(|(name, value)| (of_privileged(name), value.clone()))).collect()
}

fn of_privileged(name: &str) -> String {
    format!("privileged.{name}")
}

/// The members of the top level, those for this machine laid over them; sections are none.
fn said(record: &Record, machine: &Machine) -> Map<String, Value> {
    const SECTIONS: [&str; 6] = ["privileged", "perMachine", "binding", "status", "signature", "secret"];
    let all = record.members();
    let mut said: Map<String, Value> = all
        .iter()
        .filter(|(name, _)| !SECTIONS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for entry in matching::entries(all, machine) {
        let values =
            entry.iter().filter(|(name, value)| crate::fields::is_per_machine(name) && !value.is_null());
        said.extend(values.map(|(name, value)| (name.clone(), value.clone())));
    }
    said.retain(|_, value| !value.is_null());
    said
}
