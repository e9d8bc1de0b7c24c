//! Options that are more than one member of the record, or than its value.

use super::{BlobChange, Draft, appended};
use crate::options::values::{boolean, size};
use crate::options::{Place, Special, Target, limits, lists};
use serde_json::json;

/// What 100 % is in the record (`diskSizeRelative`, `tmpLimitScale`).
const WHOLE: u64 = u32::MAX as u64;

impl Draft {
    pub(super) fn take_special(
        &mut self,
        special: Special,
        value: &str,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(), String> {
        match special {
            Special::DiskSize => self.disk_size(value),
            Special::Limit(member, scale) => self.limit(member, scale, value),
            Special::ResourceLimit => self.resource_limit(value),
            Special::Language => self.language(value),
            Special::SshKeys => self.ssh_keys(value, file),
            Special::RecoveryKey => self.recovery_key(boolean(value)?),
            Special::Blob => self.blob(value),
            Special::NamedBlob(name) => {
                self.blob_file(name, value);
                Ok(())
            }
            Special::Match => {
                self.target = target(value)?;
                Ok(())
            }
            Special::MatchFixed(target) => {
                self.target = target;
                Ok(())
            }
            Special::Pkcs11 => {
                self.token(value, ["pkcs11TokenUri", "pkcs11EncryptedKey"]);
                self.cards.card(value)
            }
            Special::Fido2 => {
                self.token(value, ["fido2HmacCredential", "fido2HmacSalt"]);
                self.keys.device(value)
            }
            Special::Tpm2 | Special::Tpm2Pcrs => {
                if special == Special::Tpm2 {
                    self.token(value, ["tpm2PinMachineId", "tpm2Pin"]);
                }
                self.tpm.take(special, value)
            }
            Special::TokenName | Special::RemoveToken => self.names.take(special, value),
            Special::Fido2Pin
            | Special::Fido2Presence
            | Special::Fido2Verification
            | Special::Fido2Algorithm => self.keys.detail(special, value),
        }
    }

    fn recovery_key(&mut self, wanted: bool) -> Result<(), String> {
        self.recovery_key = Some(wanted);
        for member in ["recoveryKey", "recoveryKeyType"] {
            match wanted {
                // It takes the place of former ones when it is enrolled.
                true => drop(self.drops.remove(member)),
                false => self.drop_member(member),
            }
        }
        Ok(())
    }

    fn disk_size(&mut self, value: &str) -> Result<(), String> {
        for member in ["diskSize", "diskSizeRelative", "rebalanceWeight"] {
            self.drop_member(member);
        }
        if value.is_empty() {
            return Ok(());
        }
        let (member, amount) = match percent(value) {
            Some(share) => ("diskSizeRelative", share?),
            // Who makes a home gets what there is of a larger size.
            None => ("diskSize", wished(value)?),
        };
        let layer = self.layer(Place::MatchedThis);
        layer.insert(member.to_owned(), json!(amount));
        layer.insert("rebalanceWeight".to_owned(), json!(0));
        self.resizes = Some(value.to_owned());
        Ok(())
    }

    fn limit(&mut self, member: &'static str, scale: &'static str, value: &str) -> Result<(), String> {
        self.drop_member(member);
        self.drop_member(scale);
        if value.is_empty() {
            return Ok(());
        }
        let (member, amount) = match percent(value) {
            Some(share) => (scale, share?),
            None => (member, size(value)?),
        };
        self.layer(Place::Matched).insert(member.to_owned(), json!(amount));
        Ok(())
    }

    fn resource_limit(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.limits.clear();
            self.drop_member("resourceLimits");
            return Ok(());
        }
        let (name, values) =
            value.split_once('=').ok_or("it must look like LIMIT=VALUE, such as NOFILE=1024:4096")?;
        let upper = name.to_ascii_uppercase();
        let name = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        limits::known(name)?;
        let limits = if values.is_empty() { None } else { Some(limits::pair(name, values)?) };
        self.limits.insert(format!("RLIMIT_{name}"), limits);
        Ok(())
    }

    fn language(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.drop_member("preferredLanguage");
            self.drop_member("additionalLanguages");
            return Ok(());
        }
        for language in value.split([',', ':']).filter(|part| !part.is_empty()) {
            if !language.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b)) {
                return Err(format!("{language:?} is not a locale name"));
            }
            if !self.top.contains_key("preferredLanguage") {
                self.drop_member("additionalLanguages");
                self.top.insert("preferredLanguage".to_owned(), json!(language));
            } else {
                let more = self.top.remove("additionalLanguages").unwrap_or_else(|| json!([]));
                self.top.insert("additionalLanguages".to_owned(), appended(more, &[language]));
            }
        }
        Ok(())
    }

    fn ssh_keys(&mut self, value: &str, file: &dyn Fn(&str) -> Result<String, String>) -> Result<(), String> {
        if value.is_empty() {
            self.drop_member("sshAuthorizedKeys");
            return Ok(());
        }
        let sign = value.chars().next().filter(|sign| matches!(sign, '+' | '-'));
        let value = sign.map_or(value, |_| &value[1..]);
        let text = match value.strip_prefix('@') {
            Some(path) => file(path)?,
            None => value.to_owned(),
        };
        let keys: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err("there is no key in it".to_owned());
        }
        if let Some(line) = keys.iter().find(|line| line.split_whitespace().nth(1).is_none()) {
            return Err(format!(
                "{line:?} is no public key, as in \"ssh-ed25519 AAAA… me@here\" (a file with keys is named with @ in front)"
            ));
        }
        if let Some(sign) = sign {
            let items = lists::Items::all(sign, &keys);
            self.list("sshAuthorizedKeys", Place::Privileged, items);
            return Ok(());
        }
        let before = self.privileged.remove("sshAuthorizedKeys").unwrap_or_else(|| json!([]));
        self.privileged.insert("sshAuthorizedKeys".to_owned(), appended(before, &keys));
        Ok(())
    }

    fn blob(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.blobs = vec![BlobChange::Clear];
        } else if let Some((name, path)) = value.rsplit_once('=') {
            if !is_blob_name(name) {
                return Err(
                    "names of blobs are letters, digits, '-', '.', '_', '~', and do not begin with '.'"
                        .to_owned(),
                );
            }
            self.blob_file(name, path);
        } else {
            self.blobs.push(BlobChange::Folder(value.to_owned()));
        }
        Ok(())
    }

    fn blob_file(&mut self, name: &str, path: &str) {
        self.blobs.push(match path {
            "" => BlobChange::Delete(name.to_owned()),
            path => BlobChange::File(name.to_owned(), path.to_owned()),
        });
    }

    /// The empty value removes all tokens of a kind.
    fn token(&mut self, value: &str, members: [&'static str; 2]) {
        if value.is_empty() {
            members.into_iter().for_each(|member| self.drop_member(member));
        }
    }
}

/// Whether a file of the blob directory may have this name (URI-unreserved characters, no leading dot).
pub fn is_blob_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// Sizes that homes can have, in bytes: 5 MiB to 5 TiB, as the daemon takes them.
const POSSIBLE: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 40;

/// A size that a home can be given.
pub fn disk_size(text: &str) -> Result<u64, String> {
    match wished(text)? {
        bytes if matches!(bytes, 0 | MOST) || POSSIBLE.contains(&bytes) => Ok(bytes),
        _ => {
            Err("a home can have 5M to 5T (min and max are the smallest and the largest possible now)"
                .to_owned())
        }
    }
}

/// `max`: the largest number without another meaning.
const MOST: u64 = u64::MAX - 1;

/// A size as `--disk-size=` and `resize` take it; `min` is 0.
pub fn wished(text: &str) -> Result<u64, String> {
    match text {
        "min" => Ok(0),
        "max" => Ok(MOST),
        text => size(text),
    }
}

fn percent(text: &str) -> Option<Result<u64, String>> {
    let digits = text.strip_suffix('%')?;
    Some(match digits.parse::<f64>() {
        // The share is at most 100 and the product at most 2³²−1: it fits.
        Ok(share) if (0.0..=100.0).contains(&share) => Ok((share / 100.0 * WHOLE as f64).round() as u64),
        _ => Err("it must be from 0% to 100%".to_owned()),
    })
}

fn target(text: &str) -> Result<Target, String> {
    match text {
        "any" => Ok(Target::Any),
        "this" => Ok(Target::This),
        "other" => Ok(Target::Other),
        "auto" | "" => Ok(Target::Auto),
        _ => Err("it must be any, this, other or auto".to_owned()),
    }
}
