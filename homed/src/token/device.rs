//! Entries of security tokens (PKCS#11, FIDO2): they are kept and counted. No device is asked here yet, so none of them
//! proves anything, and none can be added.

use super::{Answer, Offer, Token};
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret};
use serde_json::Value;

/// A kind of device.
pub struct Device {
    member: &'static str,
}

/// A smart card.
pub const PKCS11: Device = Device { member: "pkcs11EncryptedKey" };
/// A security key.
pub const FIDO2: Device = Device { member: "fido2HmacSalt" };

impl Token for Device {
    fn member(&self) -> &'static str {
        self.member
    }

    fn derive(&self, _: &Record, _: &Credentials) -> Vec<Secret> {
        Vec::new()
    }

    fn proves(&self, _: &Record, _: &Offer<'_>) -> Answer {
        Answer::NotMine
    }

    fn enrol(&self, _: &Value, _: &Offer<'_>) -> Result<Secret, Refused> {
        Err(Refused::new(Refusal::NotSupported, "Security tokens cannot be enrolled yet."))
    }

    fn can_be_removed(&self) -> bool {
        false
    }
}
