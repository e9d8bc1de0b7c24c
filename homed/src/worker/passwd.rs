//! Changing passwords, so that a power cut at any moment leaves a home that opens with the old one or
//! the new one.
//!
//! ```text
//! mark, new key slots                 the old password counts
//! the record in the header is written ← from here the new one does
//! .identity, the host's record        (found older, they are written anew at the next use)
//! the old key slots are removed       (and the mark means nothing from here)
//! ```
//!
//! The order is a plan (`storage/luks/plan/keys.rs`).

use super::activate::{Unlocked, for_change};
use super::copies::Copies;
use super::heal::{self, Given};
use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Mounted, Step, Steps, refuse};
use crate::storage::{Hidden, KeyChange, Opened, Then};
use crate::sys::crypt3;
use crate::token::{self, Offer};
use records::keys::Removal;
use records::{Credentials, Record, Refusal, Secret, signature};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::MarkKeys,
    Step::AddKeys,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::DropKeys,
];

/// Replaces all passwords by those of `new`. Only a record that this machine alone has signed can be
/// changed here (as with the original): another machine's signature would not hold for it.
pub fn change<W: Write>(job: &Job, new: &Credentials, resting: Mounted, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    if new.is_empty() {
        return follow(job, resting, steps);
    }
    if new.passwords.is_empty() {
        return refuse(Refusal::InvalidArgs, "No new password was given.");
    }
    let Unlocked { offer, keys, mut copies, mut opened } = for_change(job, resting, steps)?;
    refuse_kept(&copies, opened.as_ref())?;
    let proven = copies.prove(&offer)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    let in_order = heal::keys(&mut copies, opened.as_mut(), &given, Then::Change, steps)?;
    let before = copies.winner()?.clone();
    let record = changed(&before, new, &offer, job.removal)?;
    if opened.vault().is_none() {
        copies.replace(record);
        let host = copies.write_others(job, opened.as_mut(), steps)?;
        opened.finish(steps)?;
        return Ok(host);
    }
    let beside = token::beside_passwords(&before, &offer);
    let wanted: Vec<Secret> = new.passwords.iter().chain(&beside.given).map(Secret::duplicate).collect();
    let known = known_before(&before, &proven, new);
    let told = known.len().saturating_sub(beside.given.len());
    let hidden = Hidden { stay: beside.hidden, go: token::passwords(&before).saturating_sub(told) };
    copies.replace(record);
    let record = copies.winner()?.clone();
    let mut host = None;
    let mut others = |opened: &mut dyn Opened, steps: &mut dyn Steps| {
        copies.keys_are_added(opened, steps)?;
        host = copies.write_others(job, opened, steps)?;
        Ok(())
    };
    let change = KeyChange {
        old: &proven,
        new: &wanted,
        random: &offer.random(),
        known: &known,
        hidden,
        before: Some(&before),
        record: &record,
        copies: Some(&mut others),
    };
    heal::vault(opened.as_mut())?.change_keys(change, &in_order, steps)?;
    opened.finish(steps)?;
    Ok(host)
}

/// What another machine has signed it alone can change, and what a server knows that server.
fn refuse_kept(copies: &Copies, opened: &dyn Opened) -> Result<(), Failure> {
    if !copies.is_local()? {
        return Err(Refusal::RecordSigned.into());
    }
    opened.keeps_passwords()
}

/// Keys whose slots stay: what was proven, and a password that is the record's already.
fn known_before(before: &Record, proven: &[Secret], new: &Credentials) -> Vec<Secret> {
    let mut known = proven.iter().map(Secret::duplicate).collect::<Vec<_>>();
    let again = token::fitting(before, &Offer::new(new));
    known.extend(again.into_iter().filter(|key| !proven.iter().any(|other| other.matches(key.open()))));
    known
}

/// No new password: what was cut short of the last change is finished, and the copies of the record are made alike. A
/// change of the record changes the key slots itself, so that there is nothing else that could lag behind.
fn follow<W: Write>(job: &Job, resting: Mounted, steps: &mut Reporter<W>) -> Done {
    let Unlocked { offer, keys, mut copies, mut opened } = for_change(job, resting, steps)?;
    let proven = copies.prove(&offer)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps)?;
    let host = copies.write_others(job, opened.as_mut(), steps)?;
    opened.finish(steps)?;
    Ok(host)
}

/// The record with new hashes and times, signed. One password of several may be a key that goes.
fn changed(
    before: &Record,
    new: &Credentials,
    offer: &Offer<'_>,
    removal: Removal,
) -> Result<Record, Failure> {
    let changed = rewritten(before, new)?;
    token::change::refuse_removal(before, &changed, offer, removal)?;
    signature::sign(&changed, &state::private_key()?).during("signing the changed record")
}

fn rewritten(record: &Record, new: &Credentials) -> Result<Record, Failure> {
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
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;

    #[test]
    fn one_password_of_several_goes_with_the_recovery_key_where_the_machine_wants_that() {
        let key = records::recovery::encode(&[7; 32]);
        let text = key.open_text().expect("text");
        let given = |text: &str| {
            let passwords = vec![Secret::from_text(text.to_owned())];
            Credentials { passwords, ..Credentials::default() }
        };
        let (one, recovery) =
            (crypt3::hash(&given("one").passwords[0]).expect("hashes"), crypt3::hash(&key).expect("hashes"));
        let before = |hashes: &[&str]| {
            let recovery = json!([{"type": "modhex64", "hashedPassword": recovery}]);
            let keys = json!({"hashedPassword": hashes, "recoveryKey": recovery});
            Record::from_value(json!({"userName": "alice", "privileged": keys}), Sections::EMBEDDED)
                .expect("valid")
        };
        let (single, both) = (before(&[&one]), before(&[&one, "$y$other"]));
        for (record, typed, removal, refused) in [
            (&both, "one", Removal::WithRecoveryKey, true),
            (&both, text, Removal::WithRecoveryKey, false),
            (&both, "one", Removal::Free, false),
            (&single, "one", Removal::WithRecoveryKey, false),
        ] {
            let credentials = given(typed);
            let done = changed(record, &given("new"), &Offer::new(&credentials), removal);
            // There is no key to sign with here: that comes after.
            let told = done.err().is_some_and(|why| format!("{why:?}").contains("RecoveryForRemoval"));
            assert_eq!(told, refused, "{typed} {removal:?}");
        }
    }
}
