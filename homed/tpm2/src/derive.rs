//! PIN and sealed secret → passphrase, as systemd-cryptenroll 262 splits them.
//!
//! ```text
//! PIN, salt ── Argon2id ──> 64 bytes = K1 ‖ K2
//! base64(K2) ── SHA-256 ──> authorization of the sealed secret (all that the TPM gets to see)
//! K1, secret ── HKDF-SHA256 ──> 32 bytes; their base64 text is the passphrase
//! ```

use crate::Failure;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use openssl::sha::sha256;
use records::Secret;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of a salt.
pub const SALT: usize = 32;
/// Each half.
const HALF: usize = 32;
/// What keys of other purposes differ by.
const PURPOSE: &[u8] = b"homed tpm2 pin";

/// Memory of new ones, in KiB.
const MEMORY: u32 = 64 * 1024;
/// How long one guess is to take where it is enrolled.
const WANTED: Duration = Duration::from_millis(400);
/// Most that a record may ask for: 256 MiB, and some seconds' work.
const MOST: Cost = Cost { memory: 256 * 1024, passes: 32, lanes: 16 };

/// What Argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory: u32,
    /// How often it is gone over.
    pub passes: u32,
    /// Lanes. (They are worked on one after the other.)
    pub lanes: u32,
}

impl Cost {
    /// What is right for this computer: 64 MiB, gone over as often as fits into 0.4 s.
    pub fn measured() -> Result<Self, Failure> {
        let once = Self { memory: MEMORY, passes: 1, lanes: 1 };
        let begin = Instant::now();
        Halves::of(&Secret::from_text("measured".into()), &[0; SALT], once)?;
        let passes = WANTED.as_micros() / begin.elapsed().as_micros().max(1);
        // Three is what RFC 9106 has as its second recommended option.
        Ok(Self { passes: u32::try_from(passes).unwrap_or(u32::MAX).clamp(3, 16), ..once })
    }

    fn is_bounded(self) -> bool {
        self.memory <= MOST.memory && self.passes <= MOST.passes && self.lanes <= MOST.lanes
    }
}

/// The two halves of a PIN.
pub struct Halves {
    ours: Zeroizing<[u8; HALF]>,
    theirs: Zeroizing<[u8; HALF]>,
}

impl Halves {
    /// Takes as long as the cost says.
    pub fn of(pin: &Secret, salt: &[u8], cost: Cost) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::Unsuitable(format!("its entry cannot be worked with: {why}"));
        if !cost.is_bounded() {
            return Err(wrong("it asks for too much memory or time".into()));
        }
        let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(2 * HALF));
        let params = params.map_err(|error| wrong(error.to_string()))?;
        let mut both = Zeroizing::new([0; 2 * HALF]);
        // Wiped afterwards, which the crate's own memory is not.
        let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(pin.open(), salt, both.as_mut(), memory.as_mut_slice())
            .map_err(|error| wrong(error.to_string()))?;
        let mut halves = Self { ours: Zeroizing::new([0; HALF]), theirs: Zeroizing::new([0; HALF]) };
        halves.ours.copy_from_slice(&both[..HALF]);
        halves.theirs.copy_from_slice(&both[HALF..]);
        Ok(halves)
    }

    /// The authorization of the sealed secret. A TPM leaves zeros at its end away (part 1, 17.6.4.3), and so does this.
    pub fn authorization(&self) -> Zeroizing<Vec<u8>> {
        let text = Zeroizing::new(STANDARD.encode(self.theirs.as_ref()));
        let digest = Zeroizing::new(sha256(text.as_bytes()));
        let length = digest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Zeroizing::new(digest[..length].to_vec())
    }

    /// The passphrase.
    pub fn passphrase(&self, secret: &[u8]) -> Result<Secret, Failure> {
        let derive = || -> Result<Zeroizing<[u8; 32]>, openssl::error::ErrorStack> {
            let mut context = PkeyCtx::new_id(Id::HKDF)?;
            context.derive_init()?;
            context.set_hkdf_md(Md::sha256())?;
            context.set_hkdf_key(self.ours.as_ref())?;
            context.set_hkdf_salt(secret)?;
            context.add_hkdf_info(PURPOSE)?;
            let mut key = Zeroizing::new([0; 32]);
            context.derive(Some(key.as_mut()))?;
            Ok(key)
        };
        let key = derive().map_err(|error| Failure::Broken(format!("HKDF: {error}")))?;
        Ok(Secret::from_text(STANDARD.encode(key.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheap.
    const COST: Cost = Cost { memory: 64, passes: 3, lanes: 4 };

    fn halves(pin: &str, cost: Cost) -> Result<Halves, Failure> {
        Halves::of(&Secret::from_text(pin.into()), &[2; SALT], cost)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_pin_and_a_secret_make_the_same_passphrase_as_other_implementations_do() {
        let halves = halves("1234", COST).expect("derived");
        assert_eq!(
            [hex(halves.ours.as_ref()), hex(halves.theirs.as_ref())],
            [
                "3cfd8eb9555af366e7d9788049bd7f3b06b9a7f60ae20c9e3205df8c7719e3cb",
                "1129cec70eafc6afb5d05bae204c0baad1bf572b3e58604992aa95e7b43d24cb"
            ]
        );
        assert_eq!(
            hex(&halves.authorization()),
            "e0b293a75a2ee8fdc3679131a70739a203413aac0ea0c9510f842c0c3a7b216f"
        );
        assert_eq!(
            halves.passphrase(&[7; 32]).expect("made").open_text(),
            Some("WxmS4UXIwTGEsVRQfa6XZANkb3rLlVSnz+gdKbJ0els=")
        );
    }

    #[test]
    fn no_half_is_enough() {
        let (one, other) = (halves("1234", COST).expect("derived"), halves("1235", COST).expect("derived"));
        let passphrase = |halves: &Halves, secret: [u8; 32]| halves.passphrase(&secret).expect("made");
        assert!(!passphrase(&one, [7; 32]).matches(passphrase(&other, [7; 32]).open()));
        assert!(!passphrase(&one, [7; 32]).matches(passphrase(&one, [8; 32]).open()));
        assert_ne!(one.authorization(), other.authorization());
    }

    #[test]
    fn an_authorization_has_no_zeros_at_its_end() {
        let ending =
            (0..2000).map(|number| halves(&number.to_string(), Cost { memory: 8, passes: 1, lanes: 1 }));
        let lengths: Vec<_> = ending.map(|halves| halves.expect("derived").authorization()).collect();
        assert!(lengths.iter().all(|text| text.last() != Some(&0)));
        assert!(lengths.iter().any(|text| text.len() < HALF), "one of 256 does");
    }

    #[test]
    fn a_record_cannot_ask_for_all_memory_or_time() {
        for cost in [
            Cost { memory: u32::MAX, ..COST },
            Cost { passes: u32::MAX, ..COST },
            Cost { lanes: u32::MAX, ..COST },
            Cost { memory: 0, ..COST },
            Cost { passes: 0, ..COST },
        ] {
            assert!(matches!(halves("1234", cost), Err(Failure::Unsuitable(_))), "{cost:?}");
        }
        assert!(Halves::of(&Secret::from_text("1234".into()), &[], COST).is_err());
    }
}
