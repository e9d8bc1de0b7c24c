//! Changing passwords, so that a power cut at any moment leaves a home that opens with the old one or
//! the new one.
//!
//! ```text
//! new key slots are prepared          the old password counts
//! the record in the header is written ← from here the new one does
//! .identity, the host's record        (found older, they are written anew at the next use)
//! the old key slots are removed
//! ```

use super::activate::{Unlocked, for_change};
use super::{Done, heal, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Mounted, Step, Steps, refuse};
use crate::storage::{KeyChange, Opened};
use crate::sys::crypt3;
use crate::token::{self};
use records::{Credentials, Record, Refusal, Secret, signature};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::AddKeys,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::DropKeys,
    Step::SwitchKeys,
];

/// Replaces all passwords by those of `new`. Only a record that this machine alone has signed can be
/// changed here (as with the original): another machine's signature would not hold for it.
pub fn change<W: Write>(job: &Job, new: &Credentials, resting: Mounted, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    if new.passwords.is_empty() {
        return refuse(Refusal::InvalidArgs, "No new password was given.");
    }
    let Unlocked { offer, keys, mut copies, mut opened } = for_change(job, resting, steps)?;
    if !copies.is_local()? {
        return Err(Refusal::RecordSigned.into());
    }
    let proven = copies.prove(&offer)?;
    opened.heal_keys()?;
    let changed = changed(copies.winner()?, new)?;
    let old = used_and_proven(opened.as_ref(), keys, proven);
    let mut wanted: Vec<Secret> = new.passwords.iter().map(Secret::duplicate).collect();
    wanted.extend(token::proven_recovery_keys(copies.winner()?, &offer));
    let (others, date) = (heal::others(&copies, &offer)?, changed.last_change_usec());
    let change = KeyChange { old: &old, new: &wanted, others, date };
    steps.enter(Step::AddKeys)?;
    if let Err(failure) = opened.prepare_keys(&change) {
        // What was added counts for nothing yet; what cannot be taken back now is at the next use.
        let _ = opened.heal_keys();
        return Err(failure);
    }
    copies.replace(changed);
    let host = copies.write_all(job, opened.as_mut(), steps)?;
    opened.switch_keys(steps)?;
    opened.finish(steps)?;
    Ok(host)
}

/// The keys that fit the record, and the one that opened the storage.
pub fn used_and_proven(opened: &dyn Opened, mut keys: Vec<Secret>, mut proven: Vec<Secret>) -> Vec<Secret> {
    if opened.key() < keys.len() {
        let used = keys.swap_remove(opened.key());
        if !proven.iter().any(|key| key.matches(used.open())) {
            proven.push(used);
        }
    }
    proven
}

/// The record with new hashes and times, signed.
fn changed(record: &Record, new: &Credentials) -> Result<Record, Failure> {
    let hashes: Result<Vec<_>, _> = new.passwords.iter().map(crypt3::hash).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?;
    let now = u64::try_from(now.as_micros()).during("reading the clock")?;
    // A clock that has gone back must not make the change look older than what it replaces.
    let now = now.max(record.last_change_usec().saturating_add(1));
    let mut changed = record
        .with_hashed_passwords(hashes.during("hashing the new password")?)
        .without_member("passwordChangeNow")
        .with_member("lastPasswordChangeUSec", json!(now))
        .with_member("lastChangeUSec", json!(now));
    if let Some(Value::Array(entries)) = record.members().get("perMachine") {
        let mut entries = entries.clone();
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("passwordChangeNow");
        }
        changed = changed.with_member("perMachine", Value::Array(entries));
    }
    signature::sign(&changed, &state::private_key()?).during("signing the changed record")
}
