//! Recovery keys: `privileged.recoveryKey`. Hash and key slot are made of the normalized text, so how
//! a key is typed (case, dashes) does not matter.

use super::{Answer, Offer, Token};
use records::refusal::Refused;
use records::{Record, Refusal, Secret, recovery};

/// The kind.
pub struct RecoveryKey;

impl Token for RecoveryKey {
    fn unlock(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let entries = record.recovery_keys();
        if entries.is_empty() {
            return Answer::NotMine;
        }
        let typed = normalized(offer);
        let fitting: Vec<_> = entries
            .iter()
            .filter_map(|entry| typed.get(offer.matching(entry.hashed_password, &typed)?))
            .map(Secret::duplicate)
            .collect();
        if fitting.is_empty() {
            Answer::Failed(Refusal::BadRecoveryKey.into())
        } else {
            Answer::Keys(fitting)
        }
    }
}

/// The key behind each hash, or a refusal.
pub fn for_each_hash(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    let typed = normalized(offer);
    let of = |hashed: &str| typed.get(offer.matching(hashed, &typed)?).map(Secret::duplicate);
    record
        .recovery_keys()
        .iter()
        .map(|entry| of(entry.hashed_password).ok_or_else(|| Refused::from(Refusal::BadRecoveryKey)))
        .collect()
}

fn normalized(offer: &Offer<'_>) -> Vec<Secret> {
    offer.credentials.passwords.iter().filter_map(|secret| recovery::normalize(secret.open())).collect()
}
