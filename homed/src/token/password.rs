//! Passwords: `privileged.hashedPassword`.

use super::{Answer, Offer, Token, entries};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

/// The kind.
pub struct Password;

impl Token for Password {
    fn member(&self) -> &'static str {
        "hashedPassword"
    }

    fn derive(&self, _: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        offer.credentials.passwords.iter().map(Secret::duplicate).collect()
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let all = entries(self, record);
        if all.is_empty() {
            return Answer::NotMine;
        }
        let fitting: Vec<_> = all.iter().filter_map(|entry| matching(entry, offer)).collect();
        if !fitting.is_empty() {
            return Answer::Keys(fitting);
        }
        Answer::Failed(Refusal::BadPassword.into())
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        matching(entry, offer)
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        matching(entry, offer).ok_or_else(|| super::not_at_hand(Refusal::BadPassword, "The new password"))
    }
}

fn matching(entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
    let passwords = &offer.credentials.passwords;
    passwords.get(offer.matching(entry.as_str()?, passwords)?).map(Secret::duplicate)
}
