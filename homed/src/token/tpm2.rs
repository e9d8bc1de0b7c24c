//! A PIN that this computer's TPM looks at: `privileged.tpm2Pin`, a list with one entry a machine.
//!
//! It is made here, for its user need not be able to open the TPM: a client says that one is wanted, and the entry is filled
//! in before the record is signed. Entries of other machines are none of ours: they are kept, and nobody is asked.
//! It never counts where a home has to be openable elsewhere.

mod here;

use super::{Answer, Offer, Token, entries};
use crate::sys::crypt3;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use here::{Here, Stopped};
use records::refusal::Refused;
use records::{Record, Refusal, Secret, UserName};
use serde_json::{Value, json};
use tpm2::{Cost, Failure, Sealed};

/// Its list.
const MEMBER: &str = "tpm2Pin";
/// What an entry is that is still to be made: the device and the PCRs that are wished.
const WANTED: &str = "wanted";
/// Fewest characters of a PIN.
const SHORTEST: usize = 4;

/// The kind.
pub struct Tpm2;

/// The computer that this is.
pub trait Computer {
    /// Its machine id.
    fn id(&self) -> Option<String>;
    /// Has a secret back, once, where it was not tried too often in vain.
    fn unseal(&self, user: &UserName, sealed: &Sealed, pin: &Secret) -> Result<Secret, Stopped>;
    /// Seals a new one, in the TPM of that path (or `auto`).
    fn seal(&self, device: &str, pin: &Secret, pcrs: &[u8]) -> Result<(Sealed, Secret), Failure>;
    /// Something else has opened the home: the PIN may be tried again.
    fn forgive(&self, user: &UserName);
}

impl Token for Tpm2 {
    fn member(&self) -> &'static str {
        MEMBER
    }

    fn travels(&self) -> bool {
        false
    }

    /// This computer's.
    fn sets_anew(&self, before: &Value, new: &Value, offer: &Offer<'_>) -> bool {
        offer.computer.id().is_some_and(|id| is_of(before, &id) && is_of(new, &id))
    }

    fn can_ask(&self, record: &Record, offer: &Offer<'_>) -> bool {
        own(record, offer).is_some()
    }

    fn derive(&self, record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        own(record, offer).and_then(|entry| self.at_hand(entry, offer)).into_iter().collect()
    }

    fn ask(&self, record: &Record, offer: &Offer<'_>) {
        // A token that is plugged in is meant where nobody has said otherwise: a PIN goes to one of them alone.
        let other = offer.no_answer.borrow().values().any(|why| super::is_of_token(why.refusal));
        let (named, any) = (&offer.credentials.computer_pin, offer.credentials.token_pins.first());
        let pin = named.as_ref().or(any.filter(|_| !other));
        let (Some(entry), Some(pin)) = (own(record, offer), pin) else {
            return;
        };
        if offer.answered.borrow().is_empty() {
            *offer.no_pin.borrow_mut() = ask(record.user(), (entry, pin), offer).err();
        }
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let Some(entry) = own(record, offer) else { return Answer::NotMine };
        if let Some(key) = self.at_hand(entry, offer) {
            return Answer::Keys(vec![key]);
        }
        let why = offer.no_pin.borrow().clone();
        Answer::Failed(why.unwrap_or_else(|| Refusal::BadPassword.into()))
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        super::answered(self, entry, offer)
    }

    /// Where it was not the PIN itself, the PIN may be tried again.
    fn opened(&self, record: &Record, offer: &Offer<'_>, keys: &[Secret]) {
        let Some(entry) = own(record, offer) else { return };
        let pin = self.at_hand(entry, offer);
        if keys.iter().any(|key| pin.as_ref().is_none_or(|pin| !pin.matches(key.open()))) {
            offer.computer.forgive(record.user());
        }
    }

    fn made(&self, record: &Record, offer: &Offer<'_>) -> Result<Option<Record>, Refused> {
        let is_wanted = |entry: &Value| entry.get(WANTED).is_some();
        let mut all = entries(self, record).to_vec();
        let Some(place) = all.iter_mut().find(|entry| is_wanted(entry)) else { return Ok(None) };
        *place = made(place, offer)?;
        if all.iter().any(is_wanted) {
            return Err(Refused::new(
                Refusal::InvalidArgs,
                "One PIN is made at a time. Nothing was changed.",
            ));
        }
        Ok(Some(record.with_privileged(MEMBER, all.into())))
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        self.at_hand(entry, offer).ok_or_else(|| {
            let sentence =
                "A PIN of the TPM is enrolled on the computer it is for, with homectl --tpm2-device=auto.";
            Refused::new(Refusal::NotSupported, sentence)
        })
    }
}

/// The entry of this machine.
fn own<'a>(record: &'a Record, offer: &Offer<'_>) -> Option<&'a Value> {
    let all = entries(&Tpm2, record);
    let id = if all.is_empty() { None } else { offer.computer.id() }?;
    all.iter().find(|entry| is_of(entry, &id))
}

fn is_of(entry: &Value, id: &str) -> bool {
    entry.get("machineId").and_then(Value::as_str) == Some(id)
}

/// Tries a PIN for an entry. What comes of it stays with the offer.
fn ask(user: &UserName, (entry, pin): (&Value, &Secret), offer: &Offer<'_>) -> Result<(), Refused> {
    let unusable = || Failure::Unsuitable("its entry cannot be read".into());
    let (sealed, hash) = read(entry).ok_or_else(|| refused(&Stopped::At(unusable()), user))?;
    let secret = offer.computer.unseal(user, &sealed, pin).map_err(|stopped| refused(&stopped, user))?;
    if !crypt3::matches(&secret, hash) {
        return Err(refused(&Stopped::At(Failure::Broken("it has given another secret".into())), user));
    }
    offer.keep(&Tpm2, entry.clone(), secret);
    Ok(())
}

/// An entry, and its hash.
fn read(entry: &Value) -> Option<(Sealed, &str)> {
    let bytes = |name: &str| STANDARD.decode(entry.get(name)?.as_str()?).ok();
    let cost = entry.get("argon2id")?;
    let number = |name: &str| cost.get(name)?.as_u64().and_then(|number| u32::try_from(number).ok());
    let sealed = Sealed {
        srk: bytes("srk")?,
        public: bytes("public")?,
        private: bytes("private")?,
        salt: bytes("salt")?,
        cost: Cost { memory: number("memoryKiB")?, passes: number("iterations")?, lanes: number("lanes")? },
        pcrs: pcrs(entry)?,
    };
    Some((sealed, entry.get("hashedPassword")?.as_str()?))
}

fn pcrs(entry: &Value) -> Option<Vec<u8>> {
    let number = |pcr: &Value| pcr.as_u64().and_then(|number| u8::try_from(number).ok());
    entry.get("pcrs")?.as_array()?.iter().map(number).collect()
}

fn made(wish: &Value, offer: &Offer<'_>) -> Result<Value, Refused> {
    let invalid = |why: &str| Refused::new(Refusal::InvalidArgs, format!("{why} Nothing was changed."));
    let wanted = &wish[WANTED];
    let id = offer.computer.id().filter(|id| is_of(wish, id));
    let id =
        id.ok_or_else(|| invalid("A PIN of a TPM can be made for the computer alone that the TPM is in."))?;
    let pin = offer.credentials.new_pin.as_ref().ok_or_else(|| invalid("The new PIN is missing."))?;
    if pin.open_text().map_or(0, |text| text.chars().count()) < SHORTEST {
        return Err(invalid("A PIN has four characters at least."));
    }
    let device = wanted.get("device").and_then(Value::as_str).unwrap_or("auto");
    let pcrs = pcrs(wanted).ok_or_else(|| invalid("The PCRs cannot be read."))?;
    let failed = |failure: Failure| {
        let sentence = format!("The PIN cannot be enrolled: {failure}. Nothing was changed.");
        Refused::new(Refusal::NotSupported, sentence)
    };
    let (sealed, secret) = offer.computer.seal(device, pin, &pcrs).map_err(failed)?;
    let hash =
        crypt3::hash(&secret).map_err(|error| failed(Failure::Broken(format!("crypt(3): {error}"))))?;
    let Cost { memory, passes, lanes } = sealed.cost;
    let entry = json!({
        "machineId": id,
        "srk": STANDARD.encode(&sealed.srk),
        "public": STANDARD.encode(&sealed.public),
        "private": STANDARD.encode(&sealed.private),
        "salt": STANDARD.encode(&sealed.salt),
        "argon2id": {"memoryKiB": memory, "iterations": passes, "lanes": lanes},
        "pcrs": sealed.pcrs,
        "hashedPassword": hash,
    });
    offer.keep(&Tpm2, entry.clone(), secret);
    Ok(entry)
}

/// What is told. It is always the password that is asked for next.
fn refused(stopped: &Stopped, user: &UserName) -> Refused {
    let anew = format!("enrol the PIN anew: homectl update {user} --tpm2-device=auto");
    let sentence = match stopped {
        Stopped::TooOften => {
            "The PIN was wrong too often, and is not tried any more before the password, or another key, has \
             opened the home."
                .into()
        }
        Stopped::At(Failure::BadPin) => {
            "Neither is it the PIN of this computer that is right, nor a password of the home.".into()
        }
        Stopped::At(Failure::NoDevice(why)) => {
            format!(
                "The TPM of this computer is missing or switched off ({why}), so the PIN cannot be used. Use the password."
            )
        }
        Stopped::At(Failure::OtherTpm) => format!(
            "The TPM of this computer was cleared, or is another one than that of the PIN. Nothing is lost: use the \
             password, and {anew}"
        ),
        Stopped::At(Failure::PcrsChanged) => format!(
            "What this computer has started with has changed since the PIN was enrolled, so the PIN was not tried. Use the \
             password; if you know of the change, {anew}"
        ),
        Stopped::At(Failure::LockedOut) => {
            "The TPM takes no PIN for a while, for somebody has tried too many wrong ones. Use the password."
                .into()
        }
        Stopped::At(Failure::NearLockout) => {
            "The TPM has counted many wrong PINs lately, and this one was not tried, so \
             that it does not lock itself. Use the password."
                .into()
        }
        Stopped::At(failure @ (Failure::NotCounted(_) | Failure::Unsuitable(_) | Failure::Broken(_))) => {
            format!("The PIN cannot be used: {failure}. Use the password.")
        }
    };
    Refused::new(Refusal::BadPassword, sentence)
}

#[cfg(test)]
mod tests;
