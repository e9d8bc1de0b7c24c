//! Options about security keys: which are to be enrolled, and what they are to ask for.

use super::Special;
use super::values::boolean;
use fido2::Algorithm;

/// What the options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyWish {
    /// The devices: paths, or `auto` for the one that is plugged in.
    pub devices: Vec<String>,
    /// `list`: only to be shown.
    pub list: bool,
    /// How a credential signs.
    pub algorithm: Option<Algorithm>,
    /// Whether the PIN is to be asked for.
    pub pin: Option<bool>,
    /// Whether a touch is.
    pub presence: Option<bool>,
    /// Whether the key verifies its user by itself.
    pub verification: Option<bool>,
}

impl KeyWish {
    /// A device.
    pub fn device(&mut self, value: &str) -> Result<(), String> {
        match value {
            "" => self.devices.clear(),
            "list" => self.list = true,
            _ if value == "auto" || value.starts_with('/') || value.starts_with("unix:") => {
                self.devices.push(value.to_owned());
            }
            _ => return Err("it must be auto, list, or the path of a device".to_owned()),
        }
        Ok(())
    }

    /// One of the options that say how it is done.
    pub fn detail(&mut self, special: Special, value: &str) -> Result<(), String> {
        match special {
            Special::Fido2Pin => self.pin = Some(boolean(value)?),
            Special::Fido2Presence => self.presence = Some(boolean(value)?),
            Special::Fido2Verification => self.verification = Some(boolean(value)?),
            _ => {
                let algorithm = Algorithm::parse(value);
                self.algorithm = Some(algorithm.ok_or("it must be es256, rs256 or eddsa")?);
            }
        }
        Ok(())
    }

    /// What makes no sense together, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        let details = [self.pin, self.presence, self.verification].iter().any(Option::is_some);
        if self.devices.is_empty() && !self.list && (details || self.algorithm.is_some()) {
            return Err(
                "The --fido2-with-…= options and --fido2-credential-algorithm= need --fido2-device=".into()
            );
        }
        Ok(())
    }
}
