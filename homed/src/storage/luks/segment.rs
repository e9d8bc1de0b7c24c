//! The encrypted part as the header describes it, and the table of its device.
//!
//! LUKS2 on-disk format 1.1.3, chapter 3.3 (segments), 3.5 (config); the kernel's dm-crypt.rst. Devices are named and
//! marked as libcryptsetup does it, so that its programs know them.

use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::below::Below;
use crate::storage::parts::mapped::{Mapped, New};
use crate::sys::cryptsetup::Luks;
use crate::sys::devmapper::{Access, Given, Target, Volume};
use records::{Refusal, Secret};
use serde_json::Value;

/// The kernel's sectors, in bytes.
const SECTOR: u64 = 512;
/// Flags of a header that dm-crypt knows under the same name, written otherwise.
const FLAGS: [&str; 5] =
    ["allow-discards", "same-cpu-crypt", "submit-from-crypt-cpus", "no-read-workqueue", "no-write-workqueue"];

/// Whether blocks freed by the file system may be given back below the encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// What a device of a home is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To be written to.
    Write(Discard),
    /// To be looked at.
    Look,
}

/// To be written to, with discards as the record has them.
pub fn writing(spec: &Spec) -> Use {
    let discard = if spec.discard || spec.offline_discard { Discard::Allowed } else { Discard::Refused };
    Use::Write(discard)
}

/// Makes the device of this name over the one that shows the encrypted part.
pub fn open(
    luks: &mut Luks,
    below: &Below,
    name: &str,
    key: &Secret,
    how: Use,
    steps: &mut dyn Steps,
) -> Result<Mapped, Failure> {
    let metadata = luks.metadata().during("reading the encryption header")?;
    let luks = luks.facts().during("reading the encryption header")?.uuid;
    let size = below.size().during("looking at the device below")?;
    let Some(part) = Part::of(&metadata, size) else {
        return refuse(
            Refusal::NotSupported,
            "The encrypted part of the home is of a kind that is not known here (such as one that cryptsetup is just \
             encrypting anew). Nothing was changed. Open it with cryptsetup.",
        );
    };
    let target = Target {
        sectors: part.size / SECTOR,
        options: part.options(how),
        cipher: part.cipher,
        iv_offset: part.iv_offset,
        below: below.number().during("looking at the device below")?,
        start: part.offset / SECTOR,
        access: if how == Use::Look { Access::Read } else { Access::Write },
    };
    let named = format!("cryptsetup:{luks}-d{}", part.digest);
    let volume = Volume { target: &target, key, given: Given::Named(&named) };
    let uuid = format!("CRYPT-LUKS2-{}-{name}", luks.simple());
    Mapped::make(&New { name, uuid: &uuid, volume }, steps)
}

/// The one segment of a header, on a device of a known size.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    cipher: String,
    /// First byte.
    offset: u64,
    /// Bytes.
    size: u64,
    iv_offset: u64,
    /// Bytes of a sector.
    sector: u64,
    /// The number of the digest of its key.
    digest: String,
    /// What the header wants of the device, in the kernel's words.
    flags: Vec<String>,
}

impl Part {
    /// `None`: not what is known here.
    fn of(metadata: &Value, device: u64) -> Option<Self> {
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let config = metadata.get("config")?;
        let needs = config.pointer("/requirements/mandatory").and_then(Value::as_array);
        let segments = metadata.get("segments")?.as_object()?;
        let (name, segment) = segments.iter().next().filter(|_| segments.len() == 1)?;
        if needs.is_some_and(|needs| !needs.is_empty())
            || segment.get("type")? != "crypt"
            || segment.get("integrity").is_some()
        {
            return None;
        }
        let offset = number(segment.get("offset")?)?;
        let size = match segment.get("size")?.as_str()? {
            "dynamic" => device.checked_sub(offset)?,
            fixed => fixed
                .parse()
                .ok()
                .filter(|size| offset.checked_add(*size).is_some_and(|end| end <= device))?,
        };
        let sector = segment.get("sector_size").and_then(Value::as_u64)?;
        let digests = metadata.get("digests")?.as_object()?;
        let is_its = |digest: &Value| {
            let of = digest.get("segments").and_then(Value::as_array);
            of.is_some_and(|of| of.iter().any(|one| one == name.as_str()))
        };
        let flags = config.get("flags").and_then(Value::as_array);
        let flags = flags.into_iter().flatten().filter_map(Value::as_str);
        let part = Self {
            cipher: segment.get("encryption")?.as_str().filter(|cipher| !cipher.contains(' '))?.to_owned(),
            offset,
            size,
            iv_offset: number(segment.get("iv_tweak")?)?,
            sector,
            digest: digests.iter().find(|(_, digest)| is_its(digest))?.0.clone(),
            flags: flags.filter(|flag| FLAGS.contains(flag)).map(|flag| flag.replace('-', "_")).collect(),
        };
        let whole = matches!(sector, 512 | 1024 | 2048 | 4096)
            && part.size > 0
            && part.size.is_multiple_of(sector)
            && offset.is_multiple_of(SECTOR);
        whole.then_some(part)
    }

    /// dm-crypt's optional parameters.
    fn options(&self, how: Use) -> Vec<String> {
        let mut options = self.flags.clone();
        let mut wish = |name: &str| {
            if !options.iter().any(|known| known == name) {
                options.push(name.to_owned());
            }
        };
        if let Use::Write(discard) = how {
            // Queues of its own cost more than they bring on one disk, as the original found, too.
            wish("no_read_workqueue");
            wish("no_write_workqueue");
            if discard == Discard::Allowed {
                wish("allow_discards");
            }
        }
        if self.sector != SECTOR {
            options.push(format!("sector_size:{}", self.sector));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn header() -> Value {
        json!({
            "segments": {"0": {"type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0",
                               "encryption": "aes-xts-plain64", "sector_size": 4096}},
            "digests": {"0": {"type": "pbkdf2", "keyslots": ["31"], "segments": ["0"]}},
            "config": {"json_size": "12288", "keyslots_size": "16744448"},
        })
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_part_is_read_as_the_header_has_it() {
        let part = Part::of(&header(), 256 * MIB).expect("known");
        assert_eq!((part.offset, part.size, part.digest.as_str()), (16 * MIB, 240 * MIB, "0"));
        let options = |how| part.options(how).join(" ");
        let queues = "no_read_workqueue no_write_workqueue";
        assert_eq!(options(Use::Write(Discard::Refused)), format!("{queues} sector_size:4096"));
        assert_eq!(
            options(Use::Write(Discard::Allowed)),
            format!("{queues} allow_discards sector_size:4096")
        );
        assert_eq!(options(Use::Look), "sector_size:4096");
        let mut flagged = header();
        flagged["config"]["flags"] = json!(["allow-discards", "no-read-workqueue", "unheard-of"]);
        flagged["segments"]["0"]["sector_size"] = json!(512);
        flagged["segments"]["0"]["size"] = json!("1048576");
        let part = Part::of(&flagged, 256 * MIB).expect("known");
        assert_eq!(part.size, MIB);
        assert_eq!(
            part.options(Use::Write(Discard::Refused)).join(" "),
            "allow_discards no_read_workqueue no_write_workqueue"
        );
    }

    #[test]
    fn what_is_not_known_is_not_opened() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut other = header();
            change(&mut other);
            Part::of(&other, 256 * MIB).is_none()
        };
        assert!(refused(&|h| h["config"]["requirements"] = json!({"mandatory": ["online-reencrypt"]})));
        assert!(refused(&|h| h["segments"]["1"] = json!({"type": "linear"})));
        assert!(refused(&|h| h["segments"]["0"]["type"] = json!("linear")));
        assert!(refused(&|h| h["segments"]["0"]["integrity"] = json!({"type": "hmac(sha256)"})));
        assert!(refused(&|h| h["segments"]["0"]["encryption"] = json!("aes-xts-plain64 :0 0")));
        assert!(refused(&|h| h["segments"]["0"]["offset"] = json!("268435457")));
        assert!(refused(&|h| h["segments"]["0"]["size"] = json!("268435456")));
        assert!(refused(&|h| h["segments"]["0"]["sector_size"] = json!(3)));
        assert!(refused(&|h| h["digests"] = json!({})));
        assert!(Part::of(&json!({}), 256 * MIB).is_none());
        assert!(Part::of(&header(), 16 * MIB).is_none());
    }
}
