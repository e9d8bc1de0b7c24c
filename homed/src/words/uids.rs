//! Which UID a home gets on this machine.

use records::{Machine, Record, UserName};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

pub use records::uid::{RANGE, is_allowed};

/// So many are tried at most: more than the original's range has.
const MOST: usize = 600;

/// UIDs of the range that no home has: first the one the name suggests, then on from there.
pub fn candidates(user: &UserName, taken: &BTreeSet<u32>, range: &RangeInclusive<u32>) -> Vec<u32> {
    let suggestion = records::uid::suggestion_in(user, range);
    let above = suggestion..=*range.end();
    let below = *range.start()..suggestion;
    above.chain(below).filter(|uid| !taken.contains(uid)).take(MOST).collect()
}

/// A range that may be given out, as a setting says it (`60001-60513`): of ordinary users, below what systemd has for
/// greeters and dynamic users.
pub fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1000 <= first && first <= last && last <= 60_577).then_some(first..=last)
}

/// The UID that the record's binding names on this machine, or else the record itself.
pub fn bound(record: &Record, machine: &Machine) -> Option<u32> {
    let of = |members: &serde_json::Map<String, Value>| members.get("uid").and_then(Value::as_u64);
    let uid = record.binding(&machine.id).and_then(of).or_else(|| of(record.members()))?;
    u32::try_from(uid).ok()
}
