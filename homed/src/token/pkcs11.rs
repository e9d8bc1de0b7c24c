//! Smart cards (PKCS#11): their entries are kept and counted. No card is asked here yet, so none of them proves anything,
//! and none can be added.

use super::{Answer, Offer, Token, entries};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

/// The kind.
pub struct Pkcs11;

impl Token for Pkcs11 {
    fn member(&self) -> &'static str {
        "pkcs11EncryptedKey"
    }

    fn derive(&self, _: &Record, _: &Offer<'_>) -> Vec<Secret> {
        Vec::new()
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        if entries(self, record).is_empty() {
            Answer::NotMine
        } else {
            Answer::Failed(super::no_token(offer))
        }
    }

    fn at_hand(&self, _: &Value, _: &Offer<'_>) -> Option<Secret> {
        None
    }

    fn enrol(&self, _: &Value, _: &Offer<'_>) -> Result<Secret, Refused> {
        Err(Refused::new(Refusal::NotSupported, "Smart cards (PKCS#11) cannot be enrolled yet."))
    }
}
