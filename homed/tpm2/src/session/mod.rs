//! A session that is salted by a key of the TPM: neither authorization nor secret crosses the bus in clear, and a
//! response that somebody has changed on its way is refused (part 1, 17 to 21).

pub mod crypto;

use crate::Failure;
use crate::command::{self, CONTINUE, Command, DECRYPT, ENCRYPT, Response, Tpm};
use crate::wire::{In, Out};
use crypto::{DIGEST, Key, Point, Way, cfb, hash, hmac, kdf_a, random, share};
use zeroize::Zeroizing;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It shows that an authorization is known.
    Hmac = 0,
    /// The same, under a policy.
    Policy = 1,
}

/// An open session.
pub struct Session {
    /// Its handle.
    pub handle: u32,
    key: Key,
    from_tpm: Vec<u8>,
}

/// What is done under a session.
pub struct Wish<'a> {
    /// What it is.
    pub command: Command,
    /// The object that it is done to, and its name.
    pub object: (u32, &'a [u8]),
    /// The object's authorization.
    pub authorization: &'a [u8],
    /// The first parameter, which is hidden; `None`: that of the response is.
    pub first: Option<&'a [u8]>,
    /// The others.
    pub others: &'a [u8],
}

impl Session {
    /// Opens one; the salt can be read by the owner of the key alone.
    pub fn open(tpm: &mut Tpm<'_>, kind: Kind, (srk, point): (u32, &Point)) -> Result<Self, Failure> {
        let (salt, told) = share(point)?;
        let ours = random()?;
        let secret = Out::new().sized(&told.x).sized(&told.y);
        let (handle, from_tpm) = command::start_session(tpm, srk, ours.as_ref(), secret.get(), kind as u8)?;
        let key = kdf_a(salt.as_ref(), "ATH", &from_tpm, ours.as_ref())?;
        Ok(Self { handle, key, from_tpm })
    }

    /// Sends a command and checks its response; what it says, with its first parameter shown.
    pub fn run(&mut self, tpm: &mut Tpm<'_>, wish: &Wish<'_>) -> Result<Response, Failure> {
        let ours = random()?;
        let value = Zeroizing::new([self.key.as_ref(), wish.authorization].concat());
        let parameters = match wish.first {
            None => Out::new().bytes(wish.others),
            Some(first) => {
                let key = kdf_a(&value, "CFB", ours.as_ref(), &self.from_tpm)?;
                Out::new().sized(&cfb(&key, Way::Hide, first)?).bytes(wish.others)
            }
        };
        let attributes = CONTINUE | if wish.first.is_some() { DECRYPT } else { ENCRYPT };
        let code = wish.command.code.to_be_bytes();
        let asked = hash(&[&code, wish.object.1, parameters.get()]);
        let tag = hmac(&value, &[&asked, ours.as_ref(), &self.from_tpm, &[attributes]])?;
        let authorization =
            Out::new().u32(self.handle).sized(ours.as_ref()).u8(attributes).sized(tag.as_ref());
        let mut response =
            tpm.run_authorized(wish.command, wish.object.0, authorization.get(), parameters.get())?;
        self.check(&response, &value, (&code, ours.as_ref()))?;
        if wish.first.is_none() {
            let key = kdf_a(&value, "CFB", &self.from_tpm, ours.as_ref())?;
            let mut read = In::new(&response.parameters);
            let shown = cfb(&key, Way::Show, read.sized()?)?;
            let shown = Out::new().sized(&shown).bytes(read.rest());
            response.parameters = Zeroizing::new(shown.get().to_vec());
        }
        Ok(response)
    }

    /// Takes the TPM's new nonce, and refuses what is not the TPM's.
    fn check(
        &mut self,
        response: &Response,
        value: &[u8],
        (code, ours): (&[u8], &[u8]),
    ) -> Result<(), Failure> {
        let mut read = In::new(&response.authorization);
        let nonce = read.sized()?.to_vec();
        let attributes = read.u8()?;
        let tag = read.sized()?;
        let said = hash(&[&0_u32.to_be_bytes(), code, &response.parameters]);
        let right = hmac(value, &[&said, &nonce, ours, &[attributes]])?;
        if tag.len() != DIGEST || !openssl::memcmp::eq(tag, right.as_ref()) {
            return Err(Failure::Broken(
                "a response is not the TPM's own: something changes it on its way".into(),
            ));
        }
        self.from_tpm = nonce;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
