//! Its PIN: protocol 1, and how often a wrong one may be given.

use crate::crypto::{self, Pair};
use crate::ctap::{self, Answer, Status, at, bytes, bytes_at, map, number};
use anyhow::Result;
use ciborium::Value;
use openssl::symm::Mode;
use std::path::PathBuf;

/// Wrong PINs in all, and until it is plugged in again (CTAP 2.1, 6.5.2.1).
const TRIES: u8 = 8;
const AT_ONCE: u8 = 3;

/// The part of the key that knows the PIN.
pub struct Pin {
    folder: PathBuf,
    agreement: Pair,
    token: [u8; 32],
    wrong_since_plugged_in: u8,
}

impl Pin {
    pub fn plugged_in(folder: PathBuf) -> Result<Self> {
        let mut token = [0; 32];
        openssl::rand::rand_bytes(&mut token)?;
        Ok(Self { folder, agreement: crypto::new_pair()?, token, wrong_since_plugged_in: 0 })
    }

    fn pin(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.join("pin")).ok().map(|pin| pin.trim().to_owned())
    }

    pub fn is_set(&self) -> bool {
        self.pin().is_some()
    }

    fn tries(&self) -> u8 {
        let text = std::fs::read_to_string(self.folder.join("tries")).unwrap_or_default();
        text.trim().parse().unwrap_or(TRIES)
    }

    fn keep_tries(&self, tries: u8) -> Result<()> {
        Ok(std::fs::write(self.folder.join("tries"), tries.to_string())?)
    }

    /// authenticatorClientPIN.
    pub fn command(&mut self, wish: &Value) -> Answer {
        match at(wish, 2).and_then(Value::as_integer).map(i128::from) {
            Some(1) => Ok(map([(3, number(self.tries().into()))])),
            Some(2) => Ok(map([(1, ctap::cose(-25, &crypto::coordinates(&self.agreement)?))])),
            Some(5) => self.token(wish),
            _ => Err(Status::InvalidCommand),
        }
    }

    /// What is shared with whoever sent this COSE key.
    pub fn shared(&self, cose: &Value) -> Result<[u8; 32], Status> {
        Ok(crypto::shared(&self.agreement, [bytes_at(cose, -2)?, bytes_at(cose, -3)?])?)
    }

    /// Gives the token to who knows the PIN.
    fn token(&mut self, wish: &Value) -> Answer {
        let pin = self.pin().ok_or(Status::PinNotSet)?;
        if self.tries() == 0 {
            return Err(Status::PinBlocked);
        }
        if self.wrong_since_plugged_in >= AT_ONCE {
            return Err(Status::PinAuthBlocked);
        }
        let shared = self.shared(at(wish, 3).ok_or(Status::InvalidCbor)?)?;
        let given = crypto::aes(Mode::Decrypt, &shared, bytes_at(wish, 6)?)?;
        if given != crypto::sha256(pin.as_bytes())[..16] {
            self.agreement = crypto::new_pair()?;
            self.wrong_since_plugged_in += 1;
            let left = self.tries() - 1;
            self.keep_tries(left)?;
            return Err(match (left, self.wrong_since_plugged_in) {
                (0, _) => Status::PinBlocked,
                (_, AT_ONCE..) => Status::PinAuthBlocked,
                _ => Status::PinInvalid,
            });
        }
        self.wrong_since_plugged_in = 0;
        self.keep_tries(TRIES)?;
        Ok(map([(2, bytes(&crypto::aes(Mode::Encrypt, &shared, &self.token)?))]))
    }

    /// Whether who sent this has the token: so, its user is verified. `None`: nobody claims that.
    pub fn verifies(&self, proof: Option<&Value>, hash: &[u8]) -> Result<bool, Status> {
        let Some(proof) = proof.and_then(Value::as_bytes) else { return Ok(false) };
        let right = crypto::hmac(&self.token, &[hash])?;
        if proof[..] == right[..16] { Ok(true) } else { Err(Status::PinAuthInvalid) }
    }
}
