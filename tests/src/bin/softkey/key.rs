//! The key: what it says of itself, credentials, assertions.

use crate::crypto;
use crate::ctap::{
    Answer, Status, at, bytes, bytes_at, cose, cose_edwards, encode, map, member, named, number, text,
};
use crate::pin::Pin;
use anyhow::Result;
use ciborium::Value;
use openssl::symm::Mode;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of authenticator data (WebAuthn, 6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;
/// How long it waits where nobody touches it.
const UNTOUCHED: Duration = Duration::from_millis(300);

/// The key.
pub struct Key {
    folder: PathBuf,
    seed: Vec<u8>,
    pin: Pin,
}

/// What somebody wants of its user.
#[derive(Clone, Copy)]
struct Wanted {
    touch: bool,
    verified: bool,
}

impl Key {
    /// Plugs it in.
    pub fn plugged_in(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("seed");
        if !file.exists() {
            let mut seed = [0; 32];
            openssl::rand::rand_bytes(&mut seed)?;
            std::fs::write(&file, seed)?;
        }
        Ok(Self { seed: std::fs::read(file)?, pin: Pin::plugged_in(folder.clone())?, folder })
    }

    /// A command, and what comes of it: a status, and CBOR where it is 0.
    pub fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        match self.command(message).and_then(|value| Ok(encode(&value)?)) {
            Ok(content) => [&[0][..], &content].concat(),
            Err(status) => vec![status as u8],
        }
    }

    fn command(&mut self, message: &[u8]) -> Answer {
        let (command, content) = message.split_first().ok_or(Status::InvalidCommand)?;
        let wish = || ciborium::from_reader::<Value, _>(content).map_err(|_| Status::InvalidCbor);
        match command {
            0x01 => self.make(&wish()?),
            0x02 => self.assert(&wish()?),
            0x04 => Ok(self.info()),
            0x06 => self.pin.command(&wish()?),
            _ => Err(Status::InvalidCommand),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// authenticatorGetInfo.
    fn info(&self) -> Value {
        let mut options = vec![("rk", Value::Bool(false)), ("up", Value::Bool(true))];
        if self.is("finger") {
            options.push(("uv", Value::Bool(true)));
        }
        options.push(("clientPin", Value::Bool(self.pin.is_set())));
        map([
            (1, Value::Array(vec![text("FIDO_2_0")])),
            (2, Value::Array(vec![text("hmac-secret")])),
            (3, bytes(&[0x50; 16])),
            (4, named(options)),
            (5, number(1200)),
            (6, Value::Array(vec![number(1)])),
        ])
    }

    /// Waits for what is wanted of its user; the flags that say so.
    fn user(&self, wanted: Wanted) -> Result<u8, Status> {
        let mut flags = if wanted.verified { VERIFIED } else { 0 };
        if wanted.touch {
            if self.is("held") {
                std::fs::write(self.folder.join("asked"), "").map_err(|_| Status::Other)?;
            }
            while self.is("held") {
                std::thread::sleep(Duration::from_millis(10));
            }
            if self.is("untouched") {
                std::thread::sleep(UNTOUCHED);
                return Err(Status::UserActionTimeout);
            }
            let touches =
                std::fs::File::options().create(true).append(true).open(self.folder.join("touches"));
            touches.and_then(|mut file| writeln!(file, "touch")).map_err(|_| Status::Other)?;
            flags |= PRESENT;
        }
        Ok(flags)
    }

    /// Whether its user is verified, by PIN or finger.
    fn verified(&self, (wish, options): (&Value, i64), (proof, hash): (i64, &[u8])) -> Result<bool, Status> {
        let by_pin = self.pin.verifies(at(wish, proof), hash)?;
        let option = at(wish, options).and_then(|all| member(all, &text("uv"))).and_then(Value::as_bool);
        match option {
            Some(true) if !self.is("finger") => Err(Status::UnsupportedOption),
            asked => Ok(by_pin || asked == Some(true)),
        }
    }

    /// authenticatorMakeCredential.
    fn make(&self, wish: &Value) -> Answer {
        let hash = bytes_at(wish, 1)?;
        let party = at(wish, 2).and_then(|party| member(party, &text("id"))).and_then(Value::as_text);
        let algorithms = at(wish, 4).and_then(Value::as_array).ok_or(Status::InvalidCbor)?;
        let knows = |algorithm: i64| {
            algorithms.iter().any(|one| member(one, &text("alg")) == Some(&number(algorithm)))
        };
        if !knows(-7) && !knows(-8) {
            return Err(Status::UnsupportedAlgorithm);
        }
        let verified = self.verified((wish, 7), (8, hash))?;
        if self.pin.is_set() && !verified {
            return Err(Status::PinRequired);
        }
        let flags = self.user(Wanted { touch: true, verified })? | HAS_CREDENTIAL | HAS_EXTENSIONS;
        let party = crypto::sha256(party.ok_or(Status::InvalidCbor)?.as_bytes());
        let mut chosen = [0; 16];
        openssl::rand::rand_bytes(&mut chosen).map_err(|_| Status::Other)?;
        let id = [&chosen[..], &crypto::hmac(&self.seed, &[b"id", &chosen, &party])?[..16]].concat();
        let secret = crypto::hmac(&self.seed, &[b"key", &id])?;
        let pair = crypto::pair_of(&secret)?;
        let extensions = encode(&named([("hmac-secret", Value::Bool(true))]))?;
        let public = match knows(-7) {
            true => cose(-7, &crypto::coordinates(&pair)?),
            // Nobody looks at what it signs.
            false => cose_edwards(&crypto::edwards(&secret)?),
        };
        let key = encode(&public)?;
        // There is never more than one credential's worth of bytes: the length fits in two.
        let credential = [&[0x50; 16][..], &[0, id.len() as u8], &id, &key].concat();
        let data = [&party[..], &[flags, 0, 0, 0, 1], &credential, &extensions].concat();
        let signature = crypto::sign(&pair, &[&data, hash])?;
        let statement = named([("alg", number(-7)), ("sig", bytes(&signature))]);
        Ok(map([(1, text("packed")), (2, bytes(&data)), (3, statement)]))
    }

    /// authenticatorGetAssertion.
    fn assert(&self, wish: &Value) -> Answer {
        let party = at(wish, 1).and_then(Value::as_text).ok_or(Status::InvalidCbor)?;
        let (party, hash) = (crypto::sha256(party.as_bytes()), bytes_at(wish, 2)?);
        let option =
            |name: &str| at(wish, 5).and_then(|all| member(all, &text(name))).and_then(Value::as_bool);
        let touch = option("up") != Some(false);
        let verified = self.verified((wish, 5), (6, hash))?;
        if self.is("always-uv") && touch && !verified {
            return Err(Status::PinRequired);
        }
        let salt = at(wish, 4).and_then(|all| member(all, &text("hmac-secret")));
        if salt.is_some() && !touch {
            return Err(Status::UnsupportedOption);
        }
        let id = self.credential_of(wish, &party)?.ok_or(Status::NoCredentials)?;
        let mut flags = self.user(Wanted { touch, verified })?;
        let mut extensions = Vec::new();
        if let Some(salt) = salt {
            flags |= HAS_EXTENSIONS;
            extensions = encode(&named([("hmac-secret", bytes(&self.secret(&id, salt, verified)?))]))?;
        }
        let data = [&party[..], &[flags, 0, 0, 0, 2], &extensions].concat();
        let pair = crypto::pair_of(&crypto::hmac(&self.seed, &[b"key", &id])?)?;
        let credential = named([("id", bytes(&id)), ("type", text("public-key"))]);
        Ok(map([(1, credential), (2, bytes(&data)), (3, bytes(&crypto::sign(&pair, &[&data, hash])?))]))
    }

    /// The first of the allowed credentials that is its own.
    fn credential_of(&self, wish: &Value, party: &[u8]) -> Result<Option<Vec<u8>>, Status> {
        for allowed in at(wish, 3).and_then(Value::as_array).into_iter().flatten() {
            let Some(id) = member(allowed, &text("id")).and_then(Value::as_bytes) else { continue };
            let (Some(chosen), Some(mark)) = (id.get(..16), id.get(16..32)) else { continue };
            if crypto::hmac(&self.seed, &[b"id", chosen, party])?[..16] == *mark {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    /// The answer to a salt, encrypted for who asks.
    fn secret(&self, id: &[u8], wish: &Value, verified: bool) -> Result<Vec<u8>, Status> {
        let shared = self.pin.shared(at(wish, 1).ok_or(Status::InvalidCbor)?)?;
        let encrypted = bytes_at(wish, 2)?;
        if crypto::hmac(&shared, &[encrypted])?[..16] != *bytes_at(wish, 3)? {
            return Err(Status::PinAuthInvalid);
        }
        let salt = crypto::aes(Mode::Decrypt, &shared, encrypted)?;
        let answer = self.hmac_secret((id, verified), &salt)?;
        Ok(crypto::aes(Mode::Encrypt, &shared, &answer)?)
    }

    fn hmac_secret(&self, (id, verified): (&[u8], bool), salt: &[u8]) -> Result<Vec<u8>> {
        let kind: &[u8] = if verified { b"verified" } else { b"unverified" };
        let random = crypto::hmac(&self.seed, &[kind, id])?;
        crypto::hmac(&random, &[salt])
    }

    /// What it answers with its user verified.
    pub fn answer_to(&self, id: &[u8], salt: &[u8]) -> Result<Vec<u8>> {
        self.hmac_secret((id, true), salt)
    }
}
