//! Passwords: `privileged.hashedPassword`.

use super::{Answer, Offer, Token};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};

/// The kind.
pub struct Password;

impl Token for Password {
    fn unlock(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let hashes = record.hashed_passwords();
        if hashes.is_empty() {
            return Answer::NotMine;
        }
        let passwords = &offer.credentials.passwords;
        let fitting: Vec<_> = hashes
            .iter()
            .filter_map(|hashed| passwords.get(offer.matching(hashed, passwords)?))
            .map(Secret::duplicate)
            .collect();
        if !fitting.is_empty() {
            return Answer::Keys(fitting);
        }
        let refusal = if record.has_tokens() { Refusal::BadPasswordAndNoToken } else { Refusal::BadPassword };
        Answer::Failed(refusal.into())
    }
}

/// The password behind each hash, or a refusal.
pub fn for_each_hash(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    let passwords = &offer.credentials.passwords;
    let of = |hashed: &&str| passwords.get(offer.matching(hashed, passwords)?).map(Secret::duplicate);
    record
        .hashed_passwords()
        .iter()
        .map(|hashed| of(hashed).ok_or_else(|| Refused::from(Refusal::BadPassword)))
        .collect()
}
