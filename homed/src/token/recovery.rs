//! Recovery keys: `privileged.recoveryKey`. Hash and key slot are made of the normalized text, so how
//! a key is typed (case, dashes) does not matter.

use super::{Answer, Offer, Token, entries};
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret, recovery};
use serde_json::Value;

/// The kind.
pub struct RecoveryKey;

impl Token for RecoveryKey {
    fn member(&self) -> &'static str {
        "recoveryKey"
    }

    fn derive(&self, _: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        normalized(offer.credentials)
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let all = entries(self, record);
        if all.is_empty() {
            return Answer::NotMine;
        }
        let fitting: Vec<_> = all.iter().filter_map(|entry| matching(entry, offer)).collect();
        if fitting.is_empty() {
            Answer::Failed(Refusal::BadRecoveryKey.into())
        } else {
            Answer::Keys(fitting)
        }
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        matching(entry, offer)
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        let refused = || super::not_at_hand(Refusal::BadRecoveryKey, "The new recovery key");
        matching(entry, offer).ok_or_else(refused)
    }
}

fn matching(entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
    let typed = normalized(offer.credentials);
    let hashed = entry.get("hashedPassword")?.as_str()?;
    typed.get(offer.matching(hashed, &typed)?).map(Secret::duplicate)
}

fn normalized(offer: &Credentials) -> Vec<Secret> {
    offer.passwords.iter().filter_map(|typed| recovery::normalize(typed.open())).collect()
}
