//! A new record for a home: whether it may take the old one's place. Whose signature counts, and whether
//! the copy inside is newer still, the worker sees.

use super::attempts::Origin;
use super::effect::{Check, JobId};
use super::facts::SignedLocally;
use super::verdict::Verb;
use super::{Home, Turn, Wanted};
use crate::job::{Part, Reach, RecordChange};
use records::account::{PasswordVerdict, password_verdict};
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Sections, keys};

/// How far ahead of this machine's clock a record may be dated, in µs: the clocks of others differ by less.
const AHEAD: u64 = 86_400_000_000;
/// How far after the record in force, in µs, where that is ahead itself.
const FOLLOWS: u64 = 1_000_000;

impl Home {
    /// A change of one part is one of the record in force, whatever was in force when it was asked for.
    pub(super) fn follow(&self, mut wanted: Wanted) -> Wanted {
        if let Some(change) = wanted.change.as_mut().filter(|change| change.part == Part::RecoveryKey) {
            change.record = keys::wishing_again(&self.record(), &change.record);
        }
        wanted
    }

    /// Whether the record may take the place of the one that is in force.
    pub(super) fn judge(&self, change: &RecordChange, now_usec: u64) -> Result<(), Refused> {
        judge(&self.record(), self.signed_locally, change, now_usec)
    }

    /// Whether it goes without a password: the home is open, and nothing changes of what opens it. Who may change the
    /// record at all, polkit has said. (The copies inside are written at the next use with a password.)
    pub(super) fn updates_without_password(&self, wanted: &Wanted, turn: &Turn) -> bool {
        let keeps_keys = |change: &RecordChange| change.record.opens_like(&self.record());
        wanted.verb == Verb::Update
            && wanted.change.as_deref().is_some_and(keeps_keys)
            && self.state(turn.facts).is_active()
    }

    /// Whether the record forbids a change of password so soon after the last. An administrator may.
    pub(super) fn too_early(&self, wanted: &Wanted, turn: &Turn) -> Option<Refused> {
        let changes =
            wanted.verb == Verb::ChangePassword && wanted.new.as_ref().is_some_and(|new| !new.is_empty());
        let is_administrator = matches!(wanted.trier.origin, Origin::Service(_));
        let verdict = password_verdict(&self.record().on(turn.machine), turn.now_usec);
        (changes && !is_administrator && verdict == PasswordVerdict::ChangeNotPermitted).then(|| {
            let sentence = "The password was changed a short while ago, and may not be changed again yet.";
            Refused::new(Refusal::AccessDenied, sentence)
        })
    }

    /// New names must be free, new passwords good.
    pub(super) fn check_before_update(&self, wanted: &Wanted, id: JobId, turn: &Turn) -> Option<Check> {
        let record = &wanted.change.as_ref()?.record;
        let known = self.names();
        let names: Vec<String> =
            crate::words::names::all(record).into_iter().filter(|name| !known.contains(name)).collect();
        let credentials = &wanted.offer.credentials;
        let quality = (passwords(record) != passwords(&self.record()) && !credentials.passwords.is_empty())
            .then(|| self.judged(&newest(credentials, 1), None, turn))
            .flatten();
        if names.is_empty() && quality.is_none() {
            return None;
        }
        Some(Check { user: self.user().clone(), id, names, uids: Vec::new(), keeps: None, quality })
    }
}

/// What are passwords of a new home. Who is asked again keeps what was refused before behind what is new.
pub(super) fn new_passwords(credentials: &Credentials, record: &Record) -> Credentials {
    newest(credentials, passwords(record).len().max(1))
}

fn newest(credentials: &Credentials, count: usize) -> Credentials {
    let passwords = credentials.passwords.iter().take(count).map(records::Secret::duplicate).collect();
    Credentials { passwords, ..Credentials::default() }
}

fn passwords(record: &Record) -> Vec<&str> {
    record.hashed_passwords()
}

fn judge(
    current: &Record,
    signed_locally: Option<SignedLocally>,
    change: &RecordChange,
    now_usec: u64,
) -> Result<(), Refused> {
    let new = &change.record;
    of_the_same_user(current, new)?;
    if new.last_change_usec() < current.last_change_usec() {
        return refuse(
            Refusal::RecordDowngrade,
            "The record is older than the one in force. Take the one in force and change that.".into(),
        );
    }
    // One that was made while a clock was ahead can be followed; nobody else gets far ahead of all who come after.
    let latest = now_usec.saturating_add(AHEAD).max(current.last_change_usec().saturating_add(FOLLOWS));
    if new.last_change_usec() > latest {
        return refuse(
            Refusal::InvalidArgs,
            "The record says that it was changed (lastChangeUSec) more than a day from now.".into(),
        );
    }
    let is_signed = new.members().contains_key("signature");
    if !is_signed && signed_locally != Some(SignedLocally::Yes) {
        return Err(Refusal::RecordSigned.into());
    }
    let same_time = new.last_change_usec() == current.last_change_usec();
    if same_time && new.only(Sections::SIGNED) != current.only(Sections::SIGNED) {
        return refuse(
            Refusal::RecordMismatch,
            "The record differs from the one in force and has the same date (lastChangeUSec): it needs a newer one."
                .into(),
        );
    }
    if change.reach == Reach::HostOnly && !new.opens_like(current) {
        return refuse(
            Refusal::InvalidArgs,
            "Passwords and keys cannot be changed offline: the key slots of the image would not follow."
                .into(),
        );
    }
    Ok(())
}

fn of_the_same_user(current: &Record, new: &Record) -> Result<(), Refused> {
    let (theirs, ours) = (new.full_name(), current.full_name());
    if theirs == ours {
        return Ok(());
    }
    if new.user() == current.user() {
        let sentence = format!("The realm is part of what a home is called: this one is that of {ours}.");
        return refuse(Refusal::RecordMismatch, sentence);
    }
    refuse(Refusal::RecordMismatch, format!("The record is that of {theirs}, and the home that of {ours}."))
}

fn refuse(refusal: Refusal, sentence: String) -> Result<(), Refused> {
    Err(Refused::new(refusal, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(value: Value) -> Record {
        Record::from_value(value, Sections::HOST).expect("valid")
    }

    fn judged(new: Value, reach: Reach, signed: Option<SignedLocally>) -> Option<Refusal> {
        let current = record(json!({
            "userName": "alice", "lastChangeUSec": 5, "shell": "/a",
            "privileged": {"hashedPassword": ["$x"]}, "signature": [],
        }));
        let change = RecordChange { record: record(new), blobs: None, reach, part: Part::Whole };
        judge(&current, signed, &change, 1000).err().map(|refused| refused.refusal)
    }

    type Row = (&'static str, Value, Option<SignedLocally>, Option<Refusal>);

    /// What names another home, or another moment.
    fn of_other_dates() -> Vec<Row> {
        let yes = Some(SignedLocally::Yes);
        vec![
            ("newer", json!({"userName": "alice", "lastChangeUSec": 6}), yes, None),
            ("a day from now", json!({"userName": "alice", "lastChangeUSec": AHEAD + 1000}), yes, None),
            (
                "far ahead",
                json!({"userName": "alice", "lastChangeUSec": AHEAD + 1001}),
                yes,
                Some(Refusal::InvalidArgs),
            ),
            (
                "another user",
                json!({"userName": "bob", "lastChangeUSec": 6}),
                yes,
                Some(Refusal::RecordMismatch),
            ),
            (
                "another realm",
                json!({"userName": "alice", "realm": "example.com", "lastChangeUSec": 6}),
                yes,
                Some(Refusal::RecordMismatch),
            ),
            ("older", json!({"userName": "alice", "lastChangeUSec": 4}), yes, Some(Refusal::RecordDowngrade)),
        ]
    }

    /// What has no date of its own, or another signature.
    fn of_other_hands() -> Vec<Row> {
        let yes = Some(SignedLocally::Yes);
        let hash = json!({"hashedPassword": ["$x"]});
        vec![
            ("without a date", json!({"userName": "alice"}), yes, Some(Refusal::RecordDowngrade)),
            (
                "the same date, another shell",
                json!({"userName": "alice", "lastChangeUSec": 5, "privileged": hash}),
                yes,
                Some(Refusal::RecordMismatch),
            ),
            (
                "the same",
                json!({"userName": "alice", "lastChangeUSec": 5, "shell": "/a", "privileged": hash}),
                yes,
                None,
            ),
            (
                "unsigned, and another machine has signed what is in force",
                json!({"userName": "alice", "lastChangeUSec": 6}),
                Some(SignedLocally::No),
                Some(Refusal::RecordSigned),
            ),
            (
                "unsigned, and nobody knows who has signed what is in force",
                json!({"userName": "alice", "lastChangeUSec": 6}),
                None,
                Some(Refusal::RecordSigned),
            ),
            (
                "signed elsewhere",
                json!({"userName": "alice", "lastChangeUSec": 6, "signature": [{"data": "", "key": ""}]}),
                Some(SignedLocally::No),
                None,
            ),
        ]
    }

    #[test]
    fn what_may_follow_the_record_in_force() {
        for (what, new, signed, expected) in of_other_dates().into_iter().chain(of_other_hands()) {
            assert_eq!(judged(new, Reach::Everywhere, signed), expected, "{what}");
        }
    }

    #[test]
    fn offline_no_password_changes() {
        let yes = Some(SignedLocally::Yes);
        let with = |hashes: Value| json!({"userName": "alice", "lastChangeUSec": 6, "privileged": {"hashedPassword": hashes}});
        assert_eq!(judged(with(json!(["$y"])), Reach::HostOnly, yes), Some(Refusal::InvalidArgs));
        assert_eq!(judged(with(json!(["$x"])), Reach::HostOnly, yes), None);
        assert_eq!(judged(with(json!(["$y"])), Reach::Everywhere, yes), None);
    }
}
