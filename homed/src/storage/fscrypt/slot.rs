//! A key slot: the key of the folder, encrypted with one of the user's, as systemd-homed writes it into an extended attribute.
//!
//! ```text
//! $v2:<iterations>:<salt>:<nonce>:<encrypted key>:<tag>    PBKDF2 (HMAC-SHA512), AES-256-GCM
//! <salt>:<encrypted key>                                   before 260: AES-256-CTR from zero on, nothing tells a wrong key
//! ```
//!
//! All but the number is base64. Whether a key that came out is the right one, the folder's policy says in both cases.

use crate::job::{Context, Failure};
use crate::storage::derive;
use crate::sys::fscrypt::{KEY, Name};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::sha::sha512;
use openssl::symm::{Cipher, decrypt, decrypt_aead, encrypt_aead};
use records::Secret;

/// What a slot of the newer form begins with.
const MARK: &str = "$v2:";
/// Iterations of the older form.
const FORMER: u32 = 65535;
/// Iterations for what people choose, as systemd-homed has them.
const CHOSEN: u32 = 600_000;
/// Iterations for random keys, which nobody guesses.
const RANDOM: u32 = 1_000;
/// More cost minutes for each try: nobody means that well.
const MOST: u32 = 10_000_000;
/// Bytes of a new salt, of a nonce and of a tag.
const SALT: usize = 64;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Bytes of what encrypts the key, and of the least key.
const CIPHER: usize = 32;
const LEAST: usize = 16;

/// What a guess at a key is to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// As much as it has to: somebody has chosen it.
    Costly,
    /// Nothing: it is random.
    Cheap,
}

/// A slot, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    iterations: u32,
    salt: Vec<u8>,
    encrypted: Vec<u8>,
    /// Of the newer form alone.
    proof: Option<Proof>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Proof {
    nonce: [u8; NONCE],
    tag: [u8; TAG],
}

impl Slot {
    /// Reads one; `None`: it is none, or one that would take minutes to try.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        match text.strip_prefix(MARK) {
            Some(rest) => newer(rest),
            None => former(text),
        }
    }

    /// What tells it from every other one: it is random.
    pub fn salt(&self) -> String {
        BASE64_STANDARD.encode(&self.salt)
    }

    /// What a try of it costs.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether it is of the older form.
    pub fn is_former(&self) -> bool {
        self.proof.is_none()
    }

    /// A new one for this key of the user's.
    pub fn new(volume_key: &Secret, key: &Secret, guess: Guess) -> Result<Self, Failure> {
        let mut salt = vec![0; SALT];
        let mut nonce = [0; NONCE];
        openssl::rand::rand_bytes(&mut salt).during("drawing random bytes")?;
        openssl::rand::rand_bytes(&mut nonce).during("drawing random bytes")?;
        let iterations = match guess {
            Guess::Costly => CHOSEN,
            Guess::Cheap => RANDOM,
        };
        Self::made((volume_key, key), iterations, salt, nonce)
    }

    fn made(
        (volume_key, key): (&Secret, &Secret),
        iterations: u32,
        salt: Vec<u8>,
        nonce: [u8; NONCE],
    ) -> Result<Self, Failure> {
        let stretched = stretched(key, &salt, iterations)?;
        let mut tag = [0; TAG];
        let (cipher, plain) = (Cipher::aes_256_gcm(), volume_key.open());
        let encrypted = encrypt_aead(cipher, &stretched.open()[..CIPHER], Some(&nonce), &[], plain, &mut tag)
            .during("encrypting the key of the home")?;
        Ok(Self { iterations, salt, encrypted, proof: Some(Proof { nonce, tag }) })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let (salt, encrypted) = (self.salt(), BASE64_STANDARD.encode(&self.encrypted));
        match &self.proof {
            None => format!("{salt}:{encrypted}"),
            Some(Proof { nonce, tag }) => {
                let [nonce, tag] = [&nonce[..], &tag[..]].map(|bytes| BASE64_STANDARD.encode(bytes));
                format!("{MARK}{}:{salt}:{nonce}:{encrypted}:{tag}", self.iterations)
            }
        }
    }

    /// The key of the folder, which its policy has given this name; `None`: the user's key is not that of this slot.
    pub fn open(&self, key: &Secret, name: Name) -> Result<Option<Secret>, Failure> {
        let stretched = stretched(key, &self.salt, self.iterations)?;
        let with = &stretched.open()[..CIPHER];
        let plain = match &self.proof {
            // That the tag does not fit is no error; what else could go wrong has gone right when the slot was read.
            Some(Proof { nonce, tag }) => {
                decrypt_aead(Cipher::aes_256_gcm(), with, Some(nonce), &[], &self.encrypted, tag).ok()
            }
            None => decrypt(Cipher::aes_256_ctr(), with, Some(&[0; 16]), &self.encrypted).ok(),
        };
        let Some(plain) = plain.map(Secret::new) else { return Ok(None) };
        Ok(is_called(&plain, name)?.then_some(plain))
    }
}

/// What the policy of a folder calls this key: HKDF-SHA512 as the kernel does it (fs/crypto/hkdf.c).
pub fn identifier(volume_key: &Secret) -> Result<[u8; 16], Failure> {
    let derived = derive::hkdf(volume_key, &[], "fscrypt\0\x01", 16)?;
    derived.open().try_into().during("deriving the name of a key")
}

/// Whether a key is the one of this name. Of the first version systemd-homed names it: eight bytes of SHA-512 of SHA-512.
fn is_called(volume_key: &Secret, name: Name) -> Result<bool, Failure> {
    match name {
        Name::Identifier(bytes) => Ok(identifier(volume_key)? == bytes),
        Name::Descriptor(bytes) => Ok(sha512(&sha512(volume_key.open()))[..8] == bytes),
    }
}

fn newer(text: &str) -> Option<Slot> {
    let parts: Vec<&str> = text.split(':').collect();
    let [iterations, salt, nonce, encrypted, tag] = parts.as_slice() else { return None };
    let iterations = iterations.parse().ok().filter(|number| (1..=MOST).contains(number))?;
    let proof = Proof { nonce: bytes(nonce)?.try_into().ok()?, tag: bytes(tag)?.try_into().ok()? };
    slot(iterations, (salt, encrypted), Some(proof))
}

fn former(text: &str) -> Option<Slot> {
    let (salt, encrypted) = text.split_once(':')?;
    slot(FORMER, (salt, encrypted), None)
}

fn slot(iterations: u32, (salt, encrypted): (&str, &str), proof: Option<Proof>) -> Option<Slot> {
    let (salt, encrypted) = (bytes(salt)?, bytes(encrypted)?);
    let is_whole = !salt.is_empty() && (LEAST..=KEY).contains(&encrypted.len());
    is_whole.then_some(Slot { iterations, salt, encrypted, proof })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

fn stretched(key: &Secret, salt: &[u8], iterations: u32) -> Result<Secret, Failure> {
    let mut all = vec![0; 64];
    let done = pbkdf2_hmac(key.open(), salt, iterations as usize, MessageDigest::sha512(), &mut all);
    let all = Secret::new(all);
    done.during("deriving a key").map(|()| all)
}

#[cfg(test)]
mod tests;
