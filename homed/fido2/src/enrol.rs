//! A new credential: made, and its secret asked for with exactly the flags that are recorded.

use crate::Failure;
use crate::key::{Algorithm, Demands, Key, Option3, Owner, Question, SALT};
use records::Secret;

/// What is to be made.
pub struct NewCredential<'a> {
    /// For whom.
    pub owner: Owner<'a>,
    /// How the credential signs.
    pub algorithm: Algorithm,
    /// What is to be asked for at each use.
    pub demands: Demands,
}

/// A credential that was made.
pub struct Enrolled {
    /// Its id.
    pub credential: Vec<u8>,
    /// The salt.
    pub salt: [u8; SALT],
    /// The passphrase.
    pub secret: Secret,
    /// What it wants of its user at each use: what was asked for, and a touch where it cannot do without.
    pub demands: Demands,
}

/// Makes a credential on a key. A key that has a PIN wants it for that, whatever is asked for later: `PinNeeded`.
/// Whoever calls has told its user to touch the key; `tell` says when it is to be touched again.
pub fn enrol(
    key: &dyn Key,
    new: &NewCredential<'_>,
    pin: Option<&Secret>,
    tell: &dyn Fn(),
) -> Result<Enrolled, Failure> {
    suits(key, new.demands)?;
    if key.abilities().pin && pin.is_none() {
        return Err(Failure::PinNeeded);
    }
    let credential = key.make(&new.owner, new.algorithm, pin)?;
    let mut salt = [0; SALT];
    let got = rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty());
    if got != Ok(SALT) {
        return Err(Failure::Broken("there is no randomness for a salt".into()));
    }
    tell();
    let verification = match new.demands.verification {
        true => Option3::Yes,
        false if key.abilities().verification => Option3::No,
        false => Option3::Unsaid,
    };
    let answered = |presence: bool| {
        let question = Question {
            credential: &credential,
            salt: Some(&salt),
            pin: pin.filter(|_| new.demands.pin),
            presence: if presence { Option3::Yes } else { Option3::No },
            verification,
        };
        key.ask(&question)?.ok_or(Failure::Broken("it has answered nothing".into()))
    };
    let mut demands = new.demands;
    let secret = match answered(demands.presence) {
        // By CTAP 2.1 (12.5, hmac-secret) no key answers a salt without a touch; some say only that they cannot do it.
        Err(Failure::PresenceNeeded | Failure::Unsuitable(_))
            if !demands.presence && key.abilities().presence =>
        {
            demands.presence = true;
            answered(true)?
        }
        done => done?,
    };
    Ok(Enrolled { credential, salt, secret, demands })
}

/// Whether the key can do what is asked for.
fn suits(key: &dyn Key, demands: Demands) -> Result<(), Failure> {
    let can = key.abilities();
    let lacks = if !can.hmac_secret {
        "it cannot keep a secret for a home (it lacks the extension hmac-secret)"
    } else if demands.pin && !can.pin {
        "it has no PIN"
    } else if demands.verification && !can.verification {
        "it cannot verify its user by itself"
    } else if demands.presence && !can.presence {
        "it cannot tell a touch"
    } else {
        return Ok(());
    };
    Err(Failure::Unsuitable(lacks.into()))
}
