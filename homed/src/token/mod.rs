//! Tokens: what a user proves with who they are, one file per kind.
//!
//! A kind looks at a record and at what is offered and gives one of three answers. What it gives as a
//! key is also what opens the storage's key slot. Devices are asked by [`candidates`] and for what is enrolled, and
//! by nobody else: what they have answered stays with the [`Offer`].

use crate::sys::{crypt3, oom};
use records::questions::Question;
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

pub mod change;
mod device;
mod fido2;
pub mod opener;
mod password;
mod pkcs11;
mod price;
mod recovery;
mod telling;
mod tpm2;
pub mod unknown;

pub use telling::more;
use telling::{is_of_token, is_wrong_pin};

/// All kinds, in the order in which they may refuse: those that can ask for something come first. A new one is a line
/// here, and a file.
const KINDS: [&dyn Token; 5] =
    [&password::Password, &recovery::RecoveryKey, &pkcs11::Pkcs11, &fido2::Fido2, &tpm2::Tpm2];

/// How long 256 bits are at least in base64, in characters.
const RANDOM: usize = 43;

/// One kind of token.
pub trait Token {
    /// The list in the record's section `privileged` that has its entries.
    fn member(&self) -> &'static str;

    /// Whether it opens the home on other machines, too: what does not is never the only key.
    fn travels(&self) -> bool {
        true
    }

    /// Whether its keys are what devices answer to what they are asked with.
    fn is_device(&self) -> bool {
        false
    }

    /// Whether an entry that takes another's place is the same key, set anew.
    fn sets_anew(&self, _before: &Value, _new: &Value, _: &Offer<'_>) -> bool {
        false
    }

    /// Whether there is something to be asked here for the record's entries.
    fn can_ask(&self, record: &Record, _: &Offer<'_>) -> bool {
        record.has_tokens()
    }

    /// What to try on key slots of what is offered, whether the record (it may be known in part) knows it or not.
    fn derive(&self, record: &Record, offer: &Offer<'_>) -> Vec<Secret>;

    /// Asks devices for a key of the record's entries; it is in the offer then, or the reason why not.
    fn ask(&self, _: &Record, _: &Offer<'_>) {}

    /// Asks devices with what storage says of them, which nobody vouches for: what one has answered, or why none has. `None`:
    /// nothing of that is for this kind.
    fn ask_unknown(&self, _: &[Question], _: &Offer<'_>) -> Option<Result<Secret, Refused>> {
        None
    }

    /// Looks for what of `offer` fits the record's entries of this kind. Asks nobody.
    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer;

    /// The key of an entry, where it was offered or answered. Asks nobody.
    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret>;

    /// The record with this kind's wishes granted, where it has any; their keys are with the offer.
    fn made(&self, _: &Record, _: &Offer<'_>) -> Result<Option<Record>, Refused> {
        Ok(None)
    }

    /// These keys have opened the home.
    fn opened(&self, _: &Record, _: &Offer<'_>, _: &[Secret]) {}

    /// The key that a slot for this entry is made of: at hand, or asked for; refused where it cannot be had.
    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused>;
}

/// A record's entries of one kind.
fn entries<'a>(kind: &dyn Token, record: &'a Record) -> &'a [Value] {
    record.keys_of(kind.member())
}

/// What a device has answered.
struct Answered {
    /// The list of its kind.
    list: &'static str,
    /// The whole entry it was asked for: a record may have the same hash beside what another device answers to. Without a hash:
    /// it was asked before the record was known.
    entry: Value,
    secret: Secret,
    /// Where the device is, in sysfs.
    place: Option<PathBuf>,
}

/// What a device has answered for an entry of a kind, if one was asked.
fn answered(kind: &dyn Token, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
    let all = offer.answered.borrow();
    let its = all.iter().find(|one| one.list == kind.member() && one.entry == *entry);
    its.map(|its| its.secret.duplicate()).or_else(|| unknown::answered(kind, entry, offer))
}

/// What a kind answers.
pub enum Answer {
    /// The record has no entries of this kind.
    NotMine,
    /// It has, and nothing that was offered fits.
    Failed(Refused),
    /// These fit, each in the form that opens a key slot.
    Keys(Vec<Secret>),
}

/// What is offered. Remembers which hash was matched by what: copies of a record mostly have the same.
pub struct Offer<'a> {
    /// The credentials.
    pub credentials: &'a Credentials,
    matched: RefCell<HashMap<String, Option<usize>>>,
    /// For what is tried on hashes.
    purse: price::Purse,
    keys: &'a dyn fido2::Keys,
    cards: &'a dyn pkcs11::Cards,
    computer: &'a dyn tpm2::Computer,
    /// What tokens have answered.
    answered: RefCell<Vec<Answered>>,
    /// Whether that fits an entry that was not known when a device was asked.
    judged: RefCell<Vec<unknown::Judged>>,
    /// Why those of a kind have not, by the kind's list.
    no_answer: RefCell<HashMap<&'static str, Refused>>,
    /// Why the PIN of this computer has not opened anything.
    no_pin: RefCell<Option<Refused>>,
}

impl<'a> Offer<'a> {
    /// Offers these, and what is plugged in.
    pub fn new(credentials: &'a Credentials) -> Self {
        Self::with_keys(credentials, &fido2::PluggedIn)
    }

    fn with_keys(credentials: &'a Credentials, keys: &'a dyn fido2::Keys) -> Self {
        let (matched, answered, judged, no_answer, no_pin) = Default::default();
        let (cards, computer) = (&pkcs11::PluggedIn, &tpm2::Here);
        let purse = price::Purse::default();
        Self { credentials, matched, purse, keys, cards, computer, answered, judged, no_answer, no_pin }
    }

    #[cfg(test)]
    fn with_cards(credentials: &'a Credentials, cards: &'a dyn pkcs11::Cards) -> Self {
        Self { cards, ..Self::new(credentials) }
    }

    /// What tokens have answered, where it is as long as 256 random bits are (in base64): nobody guesses at that.
    pub fn random(&self) -> Vec<Secret> {
        let answered = self.answered.borrow();
        let secrets = answered.iter().map(|answered| &answered.secret);
        secrets.filter(|secret| secret.open().len() >= RANDOM).map(Secret::duplicate).collect()
    }

    /// Keeps what a device of a kind has answered for an entry.
    fn keep(&self, kind: &dyn Token, entry: Value, secret: Secret) {
        self.keep_from(kind, entry, secret, None);
    }

    fn keep_from(&self, kind: &dyn Token, entry: Value, secret: Secret, place: Option<PathBuf>) {
        self.answered.borrow_mut().push(Answered { list: kind.member(), entry, secret, place });
    }

    /// Whether no more tokens are asked: one has answered, or its PIN was wrong, and another's tries would be burnt by it.
    fn is_settled(&self) -> bool {
        self.had_wrong_pin() || !self.answered.borrow().is_empty()
    }

    fn had_wrong_pin(&self) -> bool {
        self.no_answer.borrow().values().any(|why| is_wrong_pin(why.refusal))
    }

    /// Index of the first secret among `forms` that was hashed to this.
    fn matching(&self, hashed: &str, forms: &[Secret]) -> Option<usize> {
        if let Some(known) = self.matched.borrow().get(hashed) {
            return *known;
        }
        let _expendable = oom::expendable();
        let found = forms.iter().position(|secret| self.purse.pay(hashed) && crypt3::matches(secret, hashed));
        self.matched.borrow_mut().insert(hashed.to_owned(), found);
        found
    }
}

/// Proves the offer against a record: the keys that fit, or the refusal that tells most.
pub fn prove(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    let mut keys = Vec::new();
    let mut refused: Option<Refused> = None;
    for kind in KINDS {
        match kind.proves(record, offer) {
            Answer::NotMine => {}
            Answer::Failed(why) => refused = Some(refused.map_or(why.clone(), |known| more(known, why))),
            Answer::Keys(fitting) => keys.extend(fitting),
        }
    }
    match refused {
        _ if !keys.is_empty() => Ok(keys),
        Some(refused) => Err(refused),
        None => Err(Refusal::HomeCantAuthenticate.into()),
    }
}

/// The keys that fit, if any.
pub fn fitting(record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
    prove(record, offer).unwrap_or_default()
}

/// The keys for a new home: one for each entry of the record, or a refusal for the first without.
pub fn all_keys(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    // What cannot be had at all is told before what was only forgotten.
    let of = |kind: &dyn Token| entries(kind, record).iter().map(|entry| kind.enrol(entry, offer)).collect();
    let keys: Result<Vec<Vec<Secret>>, Refused> = KINDS.iter().rev().map(|kind| of(*kind)).collect();
    let keys: Vec<Secret> = keys?.into_iter().rev().flatten().collect();
    if travelling(record) == 0 { Err(Refusal::HomeCantAuthenticate.into()) } else { Ok(keys) }
}

/// The record with all entries made that it only wishes for.
pub fn filled(record: &Record, offer: &Offer<'_>) -> Result<Record, Refused> {
    let mut record = record.clone();
    for kind in KINDS {
        if let Some(granted) = kind.made(&record, offer)? {
            record = granted;
        }
    }
    Ok(record)
}

/// These keys have opened the home.
pub fn opened(record: &Record, offer: &Offer<'_>, keys: &[Secret]) {
    KINDS.iter().for_each(|kind| kind.opened(record, offer, keys));
}

/// How many keys a record has, of all kinds.
pub fn count(record: &Record) -> usize {
    KINDS.iter().map(|kind| entries(*kind, record).len()).sum()
}

/// How many of them open the home on other machines, too.
fn travelling(record: &Record) -> usize {
    KINDS.into_iter().filter(|kind| kind.travels()).map(|kind| entries(kind, record).len()).sum()
}

/// What a record has of keys that a change of passwords leaves.
pub struct Beside {
    /// Those whose plaintext was given.
    pub given: Vec<Secret>,
    /// How many were not.
    pub hidden: usize,
}

/// The keys of a record that are no passwords.
pub fn beside_passwords(record: &Record, offer: &Offer<'_>) -> Beside {
    let mut beside = Beside { given: Vec::new(), hidden: 0 };
    for kind in KINDS.iter().filter(|kind| kind.member() != password::Password.member()) {
        let given = match kind.proves(record, offer) {
            Answer::Keys(keys) => keys,
            Answer::NotMine | Answer::Failed(_) => Vec::new(),
        };
        beside.hidden += entries(*kind, record).len().saturating_sub(given.len());
        beside.given.extend(given);
    }
    beside
}

/// How many passwords a record has.
pub fn passwords(record: &Record) -> usize {
    entries(&password::Password, record).len()
}

/// Whether [`candidates`] asks devices, which takes as long as people take to touch one.
pub fn asks(record: &Record, offer: &Offer<'_>) -> bool {
    let fits = |kind: &&dyn Token| matches!(kind.proves(record, offer), Answer::Keys(_));
    KINDS.iter().any(|kind| kind.can_ask(record, offer)) && !KINDS.iter().any(fits)
}

/// What to try on key slots, in order: what devices give, each secret that looks like a recovery key in the form in
/// which these are enrolled, and all of them as typed. Devices are asked where nothing typed is the record's.
pub fn candidates(record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
    if asks(record, offer) {
        KINDS.iter().take_while(|_| !offer.is_settled()).for_each(|kind| kind.ask(record, offer));
    }
    let mut all: Vec<Secret> = Vec::new();
    for form in KINDS.iter().rev().flat_map(|kind| kind.derive(record, offer)) {
        if !all.iter().any(|known| known.matches(form.open())) {
            all.push(form);
        }
    }
    all
}

fn not_at_hand(refusal: Refusal, what: &str) -> Refused {
    let sentence = format!("{what} has to be given too: its key slot is made of it, and not of its hash.");
    Refused::new(refusal, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;
    use serde_json::json;

    fn offered(texts: &[&str]) -> Credentials {
        let passwords = texts.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
        Credentials { passwords, ..Credentials::default() }
    }

    fn record(passwords: &[&str], recovery: &[&Secret]) -> Record {
        let hash = |secret: &Secret| crypt3::hash(secret).expect("hashes");
        let hashes: Vec<_> = passwords.iter().map(|p| hash(&Secret::from_text((*p).to_owned()))).collect();
        let keys: Vec<_> =
            recovery.iter().map(|key| json!({"type":"modhex64","hashedPassword":hash(key)})).collect();
        let value = json!({"userName":"alice","privileged":{"hashedPassword":hashes,"recoveryKey":keys}});
        Record::from_value(value, Sections::EMBEDDED).expect("valid")
    }

    fn refusal(record: &Record, texts: &[&str]) -> Option<Refusal> {
        let credentials = offered(texts);
        prove(record, &Offer::new(&credentials)).err().map(|refused| refused.refusal)
    }

    #[test]
    fn the_right_password_proves_and_a_wrong_one_does_not() {
        let record = record(&["one", "two"], &[]);
        assert_eq!(refusal(&record, &["wrong", "two"]), None);
        assert_eq!(refusal(&record, &["wrong"]), Some(Refusal::BadPassword));
        assert_eq!(refusal(&record, &[]), Some(Refusal::BadPassword));
    }

    #[test]
    fn a_recovery_key_proves_however_it_is_typed() {
        let key = records::recovery::encode(&[7; 32]);
        let typed = key.open_text().expect("text").to_uppercase().replace('-', "");
        let both = record(&["one"], &[&key]);
        assert_eq!(refusal(&both, &[&typed]), None);
        assert_eq!(refusal(&both, &["wrong"]), Some(Refusal::BadPassword));
        assert_eq!(refusal(&record(&[], &[&key]), &["wrong"]), Some(Refusal::BadRecoveryKey));
        let credentials = offered(&[&typed]);
        assert!(candidates(&both, &Offer::new(&credentials))[0].matches(key.open()));
    }

    /// What a change of keys is told by has all kinds.
    #[test]
    fn the_kinds_are_those_of_the_record() {
        let mut kinds = KINDS.map(|kind| kind.member());
        let mut known = records::privileged::KINDS_OF_KEYS;
        kinds.sort();
        known.sort();
        assert_eq!(kinds, known);
    }

    #[test]
    fn a_record_without_anything_cannot_authenticate() {
        assert_eq!(refusal(&record(&[], &[]), &["x"]), Some(Refusal::HomeCantAuthenticate));
    }

    #[test]
    fn a_new_home_needs_the_plaintext_of_every_entry() {
        let key = records::recovery::encode(&[7; 32]);
        let both = record(&["one"], &[&key]);
        let text = key.open_text().expect("text").to_owned();
        let all = offered(&["one", &text]);
        assert_eq!(all_keys(&both, &Offer::new(&all)).map(|keys| keys.len()), Ok(2));
        let some = offered(&["one"]);
        let refused = all_keys(&both, &Offer::new(&some)).err().map(|refused| refused.refusal);
        assert_eq!(refused, Some(Refusal::BadRecoveryKey));
    }
}
