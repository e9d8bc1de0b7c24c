//! URIs of tokens and of what is on them (RFC 7512).

use crate::token::{Facts, PrivateKey};

/// Longest URI that is read, in bytes.
const LONGEST: usize = 4096;

/// What such a URI says, as far as a token can be compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uri {
    /// Token's label.
    token: Option<Vec<u8>>,
    manufacturer: Option<Vec<u8>>,
    model: Option<Vec<u8>>,
    serial: Option<Vec<u8>>,
    slot: Option<Vec<u8>>,
    slot_manufacturer: Option<Vec<u8>>,
    /// `CKA_ID` of an object.
    pub id: Option<Vec<u8>>,
    /// `CKA_LABEL` of it.
    pub object: Option<Vec<u8>>,
    /// Its class.
    kind: Option<Vec<u8>>,
    /// A PIN, or where one is found, is in it.
    pub has_pin: bool,
}

/// Why a text is no URI of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoUri {
    /// It begins otherwise.
    #[error("it must begin with \"pkcs11:\"")]
    Scheme,
    /// A part is not `NAME=VALUE`, or has a % without two digits, or a letter that must be written with %.
    #[error("{0:?} is not NAME=VALUE as RFC 7512 has it")]
    Part(String),
    /// Something is said twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// A name that RFC 7512 does not have: nothing could be compared with it.
    #[error("{0:?} is not known")]
    Unknown(String),
}

impl Uri {
    /// Reads one. Attributes of the library are taken and not compared: behind p11-kit's proxy all have its own. So
    /// is the number of the slot, which is another one there.
    pub fn parse(text: &str) -> Result<Self, NoUri> {
        let rest = match text.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("pkcs11:") && text.len() <= LONGEST => &text[7..],
            _ => return Err(NoUri::Scheme),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let mut seen = Vec::new();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = attribute(part)?;
            if seen.contains(&name) {
                return Err(NoUri::Twice(name.to_owned()));
            }
            seen.push(name);
            *match name {
                "token" => &mut uri.token,
                "manufacturer" => &mut uri.manufacturer,
                "model" => &mut uri.model,
                "serial" => &mut uri.serial,
                "slot-description" => &mut uri.slot,
                "slot-manufacturer" => &mut uri.slot_manufacturer,
                "id" => &mut uri.id,
                "object" => &mut uri.object,
                "type" => &mut uri.kind,
                "library-manufacturer" | "library-description" | "library-version" | "slot-id" => continue,
                _ => return Err(NoUri::Unknown(name.to_owned())),
            } = Some(value);
        }
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, _) = attribute(part)?;
            uri.has_pin |= matches!(name, "pin-value" | "pin-source");
        }
        Ok(uri)
    }

    /// The URI of a token, as systemd-homed and p11tool write it; with a key's id, if it has several.
    pub fn of(facts: &Facts, id: Option<&[u8]>) -> String {
        let named = [
            ("model", &facts.model),
            ("manufacturer", &facts.manufacturer),
            ("serial", &facts.serial),
            ("token", &facts.label),
        ];
        let mut parts: Vec<String> = named
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", escaped(value.as_bytes())))
            .collect();
        parts.extend(
            id.map(|id| format!("id={}", id.iter().map(|byte| format!("%{byte:02X}")).collect::<String>())),
        );
        format!("pkcs11:{}", parts.join(";"))
    }

    /// Whether a token may be meant.
    pub fn fits(&self, facts: &Facts) -> bool {
        let same =
            |wanted: &Option<Vec<u8>>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is.as_bytes());
        same(&self.token, &facts.label)
            && same(&self.manufacturer, &facts.manufacturer)
            && same(&self.model, &facts.model)
            && same(&self.serial, &facts.serial)
            && same(&self.slot, &facts.slot)
            && same(&self.slot_manufacturer, &facts.slot_manufacturer)
    }

    /// Whether a private key may be meant. The class does not matter: who names a certificate means its private key.
    pub fn fits_key(&self, key: &PrivateKey) -> bool {
        self.id.as_ref().is_none_or(|id| *id == key.id)
            // Certificate and private key mostly have one id, and often two labels.
            && (self.id.is_some() || self.object.as_ref().is_none_or(|label| *label == key.label))
    }

    /// Whether it names an object, and not a token alone.
    pub fn names_object(&self) -> bool {
        self.id.is_some() || self.object.is_some()
    }
}

/// One attribute, its value without the %.
fn attribute(part: &str) -> Result<(&str, Vec<u8>), NoUri> {
    let wrong = || NoUri::Part(part.to_owned());
    let (name, value) = part.split_once('=').ok_or_else(wrong)?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| {
                    char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
                };
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?
            }
            byte if byte.is_ascii_graphic() && !b"\"<>\\^`{}|#".contains(&byte) => byte,
            _ => return Err(wrong()),
        });
    }
    Ok((name, bytes))
}

/// With % for all but the letters that need none (RFC 3986, unreserved).
fn escaped(value: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .iter()
        .map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Algorithm;

    fn facts() -> Facts {
        Facts {
            label: "The Software PKCS#11 Softtoken".into(),
            manufacturer: "Snake Oil, Inc.".into(),
            model: "1.0".into(),
            serial: "4a2c;7".into(),
            slot: "Slot 1".into(),
            slot_manufacturer: "Maker".into(),
        }
    }

    #[test]
    fn uris_of_the_rfc_are_read_and_compared() {
        // RFC 7512, section 3, and what p11tool writes.
        for (text, fits) in [
            ("pkcs11:", true),
            ("PKCS11:token=The%20Software%20PKCS%2311%20Softtoken", true),
            (
                "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;serial=4a2c%3b7",
                true,
            ),
            ("pkcs11:object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=", false),
            ("pkcs11:model=1.0;slot-description=Slot%201;slot-manufacturer=Maker;slot-id=327", true),
            ("pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-version=3;model=2.0", false),
            ("pkcs11:serial=other", false),
            ("pkcs11:slot-description=Slot%202", false),
            ("pkcs11:model=1.0?module-name=x&pin-source=file:/etc/token", true),
        ] {
            let uri = Uri::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(uri.fits(&facts()), fits, "{text}");
        }
        assert!(Uri::parse("pkcs11:?pin-value=1234").is_ok_and(|uri| uri.has_pin));
        assert!(Uri::parse("pkcs11:?pin-source=x").is_ok_and(|uri| uri.has_pin));
        assert!(Uri::parse("pkcs11:?module-name=x").is_ok_and(|uri| !uri.has_pin));
    }

    #[test]
    fn what_is_no_uri_is_told() {
        let part = |text: &str| Err(NoUri::Part(text.into()));
        for (text, said) in [
            ("pkcs12:token=x", Err(NoUri::Scheme)),
            ("pkcs11", Err(NoUri::Scheme)),
            ("ü", Err(NoUri::Scheme)),
            ("pkcs11:token", part("token")),
            ("pkcs11:token=%4", part("token=%4")),
            ("pkcs11:token=%zz", part("token=%zz")),
            ("pkcs11:token=a b", part("token=a b")),
            ("pkcs11:token=a\u{1b}[2J", part("token=a\u{1b}[2J")),
            ("pkcs11:token=ü", part("token=ü")),
            ("pkcs11:token=a;token=b", Err(NoUri::Twice("token".into()))),
            ("pkcs11:x-vendor=1", Err(NoUri::Unknown("x-vendor".into()))),
        ] {
            assert_eq!(Uri::parse(text).map(drop), said, "{text}");
        }
        assert!(Uri::parse(&format!("pkcs11:token={}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = Uri::of(&facts(), Some(&[1, 0xab]));
        assert_eq!(
            text,
            "pkcs11:model=1.0;manufacturer=Snake%20Oil%2C%20Inc.;serial=4a2c%3B7;\
             token=The%20Software%20PKCS%2311%20Softtoken;id=%01%AB"
        );
        let uri = Uri::parse(&text).expect("a URI");
        assert!(uri.fits(&facts()) && uri.names_object());
        assert_eq!(uri.id, Some(vec![1, 0xab]));
        assert!(!uri.fits(&Facts { serial: "4a2c".into(), ..facts() }));
    }

    #[test]
    fn a_key_is_named_by_its_id_before_its_label() {
        let key = PrivateKey {
            handle: 1,
            id: vec![1],
            label: b"key".to_vec(),
            algorithm: Algorithm::Rsa,
            each_time: false,
        };
        let fits = |text: &str| Uri::parse(text).expect("a URI").fits_key(&key);
        assert!(fits("pkcs11:") && fits("pkcs11:id=%01") && fits("pkcs11:object=key"));
        assert!(fits("pkcs11:id=%01;object=certificate;type=cert"));
        assert!(!fits("pkcs11:id=%02") && !fits("pkcs11:object=other"));
    }
}
