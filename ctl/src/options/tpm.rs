//! Options about a PIN of this computer's TPM.

use super::Special;

/// What the options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TpmWish {
    /// The TPM a PIN is to be enrolled with: a path, or `auto` for the one there is.
    pub device: Option<String>,
    /// `list`: only to be shown.
    pub list: bool,
    /// The PCRs that have to stay as they are, in order.
    pub pcrs: Option<Vec<u8>>,
}

impl TpmWish {
    /// One of the options.
    pub fn take(&mut self, special: Special, value: &str) -> Result<(), String> {
        match (special, value) {
            (Special::Tpm2Pcrs, value) => self.pcrs = Some(pcrs(value)?),
            (_, "") => self.device = None,
            (_, "list") => self.list = true,
            (_, device) if device == "auto" || device.starts_with('/') => {
                self.device = Some(device.to_owned())
            }
            _ => return Err("it must be auto, list, or the path of a device".to_owned()),
        }
        Ok(())
    }

    /// What makes no sense together, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        match self.device.is_none() && !self.list && self.pcrs.is_some() {
            true => Err("--tpm2-pcrs= needs --tpm2-device=".into()),
            false => Ok(()),
        }
    }
}

/// Numbers, with a plus or a comma between them.
fn pcrs(value: &str) -> Result<Vec<u8>, String> {
    let words = value.split(['+', ',']).filter(|_| !value.is_empty());
    let number = |word: &str| word.parse().ok().filter(|pcr| *pcr < 24);
    let numbers: Option<std::collections::BTreeSet<u8>> = words.map(number).collect();
    let numbers = numbers.ok_or("it must be numbers from 0 to 23, with a plus between them")?;
    Ok(numbers.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcrs_are_numbers_and_none_is_none() {
        assert_eq!(pcrs(""), Ok(vec![]));
        assert_eq!(pcrs("7"), Ok(vec![7]));
        assert_eq!(pcrs("14+7,7"), Ok(vec![7, 14]));
        for wrong in ["24", "-1", "7+", "seven", "7 14", "+"] {
            assert!(pcrs(wrong).is_err(), "{wrong}");
        }
    }
}
