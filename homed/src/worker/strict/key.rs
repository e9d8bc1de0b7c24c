//! The key of the swap space: made at the lock without any secret, and made again at the unlock from the volume key.
//!
//! Nobody has the volume key when a home is locked: the kernel does not give it back. So while it is at hand (when the
//! home is opened or unlocked) a key pair is derived from it, and its public half is left in `/run`. A lock makes a
//! pair of its own and forgets the private half: both halves that were forgotten lead to the same key (X25519,
//! RFC 7748, then HKDF). The volume key alone brings it back; what lies in `/run` tells nobody anything.

use crate::job::{Context, Failure};
use crate::storage::{Vault, derive, swap};
use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey, Private, Public};
use records::{Secret, UserName};
use std::path::PathBuf;

const PAIR: &str = "homed: key pair for the swap space of a locked home";
const SWAP: &str = "homed: swap space of a locked home";
/// Bytes of a public key, and of the salt of a lock.
const PUBLIC: usize = 32;

/// The public half, for the lock that comes.
pub fn publish(user: &UserName, opened: &dyn Vault) -> Result<(), Failure> {
    let public = own(opened)?.raw_public_key().during("making the key pair of the swap space")?;
    std::fs::create_dir_all(super::folder()).during("making the folder for notes about swap space")?;
    std::fs::write(published(user), public).during("noting the key of the swap space")
}

/// A new key for this lock; what it takes to make it again is noted.
pub fn fresh(user: &UserName) -> Result<Secret, Failure> {
    let other =
        std::fs::read(published(user)).during("reading the key for the swap space (log in once more)")?;
    let pair = PKey::generate_x25519().during("making a key pair")?;
    let mut note = pair.raw_public_key().during("making a key pair")?;
    let mut salt = [0; PUBLIC];
    openssl::rand::rand_bytes(&mut salt).during("drawing random bytes")?;
    let key = agree(&pair, &other, &salt)?;
    note.extend(salt);
    std::fs::write(super::note(user), note).during("noting the lock of the swap space")?;
    Ok(key)
}

/// The key of the last lock.
pub fn again(user: &UserName, opened: &dyn Vault) -> Result<Secret, Failure> {
    let note = std::fs::read(super::note(user)).during("reading about the lock of the swap space")?;
    match note.split_at_checked(PUBLIC) {
        Some((other, salt)) if salt.len() == PUBLIC => agree(&own(opened)?, other, salt),
        _ => Err(Failure::fault("the note about the swap space cannot be read")),
    }
}

fn own(opened: &dyn Vault) -> Result<PKey<Private>, Failure> {
    let secret = opened.derive(PAIR)?;
    PKey::private_key_from_raw_bytes(secret.open(), Id::X25519)
        .during("making the key pair of the swap space")
}

fn agree(own: &PKey<Private>, other: &[u8], salt: &[u8]) -> Result<Secret, Failure> {
    let other: PKey<Public> =
        PKey::public_key_from_raw_bytes(other, Id::X25519).during("reading the key for the swap space")?;
    let mut deriver = Deriver::new(own).during("agreeing on a key")?;
    deriver.set_peer(&other).during("agreeing on a key")?;
    let shared = Secret::new(deriver.derive_to_vec().during("agreeing on a key")?);
    derive::hkdf(&shared, salt, SWAP, swap::KEY)
}

/// Where the public half is.
pub fn published(user: &UserName) -> PathBuf {
    super::folder().join(format!("{user}.public"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_find_the_same_key_and_a_third_does_not() {
        let [own, lock, third] =
            [1u8, 2, 3].map(|byte| PKey::private_key_from_raw_bytes(&[byte; 32], Id::X25519).expect("a key"));
        let public = |key: &PKey<Private>| key.raw_public_key().expect("public");
        let key = agree(&lock, &public(&own), &[9; 32]).expect("agreed");
        assert_eq!(key.open().len(), swap::KEY);
        assert!(agree(&own, &public(&lock), &[9; 32]).expect("agreed").matches(key.open()));
        assert!(!agree(&own, &public(&lock), &[8; 32]).expect("agreed").matches(key.open()));
        assert!(!agree(&third, &public(&lock), &[9; 32]).expect("agreed").matches(key.open()));
    }
}
