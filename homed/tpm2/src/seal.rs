//! A secret in the TPM: sealed with a PIN, and had back.

use crate::command::{
    CREATE, Command, PCR_READ, POLICY_AUTH_VALUE, POLICY_DIGEST, POLICY_PCR, Srk, Tpm, UNSEAL, kept_srk,
    load, lockout, made_srk, name, policy_of, sealed_template,
};
use crate::derive::{Cost, Halves, SALT};
use crate::session::crypto::{DIGEST, hash, random};
use crate::session::{Kind, Session, Wish};
use crate::wire::{In, Out};
use crate::{Failure, Line};
use records::Secret;

/// How many PCRs there are.
const PCRS: u8 = 24;
const SHA256: u16 = 0x000b;

/// A secret that was sealed, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the storage root key above it.
    pub srk: Vec<u8>,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// TPM2B_PRIVATE, without its size.
    pub private: Vec<u8>,
    /// Of the PIN.
    pub salt: Vec<u8>,
    /// Of the PIN.
    pub cost: Cost,
    /// The PCRs of the SHA-256 bank that must be as they were.
    pub pcrs: Vec<u8>,
}

/// Seals a new secret with a PIN; the passphrase that both make. It is had back once, before anybody relies on it.
pub fn seal(line: &mut dyn Line, pin: &Secret, pcrs: &[u8]) -> Result<(Sealed, Secret), Failure> {
    let cost = Cost::measured()?;
    let salt = random()?;
    let halves = Halves::of(pin, salt.as_ref(), cost)?;
    let sealed = make(&mut Tpm::new(line), &halves, pcrs)?;
    let sealed = Sealed { salt: salt.to_vec(), cost, ..sealed };
    let passphrase = with_halves(&mut Tpm::new(line), &sealed, &halves, &mut || Ok(()))?;
    Ok((sealed, passphrase))
}

/// The passphrase. `count` is called right before the PIN is tried, which a wrong one makes the TPM count: where it fails the PIN
/// is not tried. Nothing that has changed since the enrolment costs a try.
pub fn unseal(
    line: &mut dyn Line,
    sealed: &Sealed,
    pin: &Secret,
    count: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Secret, Failure> {
    let mut tpm = Tpm::new(line);
    let ready = Ready::new(&mut tpm, sealed)?;
    let halves = Halves::of(pin, &sealed.salt, sealed.cost)?;
    ready.open(&mut tpm, &halves, count)
}

fn with_halves(
    tpm: &mut Tpm<'_>,
    sealed: &Sealed,
    halves: &Halves,
    count: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Secret, Failure> {
    Ready::new(tpm, sealed)?.open(tpm, halves, count)
}

/// A sealed secret that is loaded and waits for its authorization.
struct Ready {
    object: u32,
    name: Vec<u8>,
    session: Session,
}

impl Ready {
    fn new(tpm: &mut Tpm<'_>, sealed: &Sealed) -> Result<Self, Failure> {
        check_lockout(tpm)?;
        let policy = policy_of(&sealed.public).ok_or_else(|| {
            Failure::Unsuitable("its entry cannot be worked with: it is no sealed secret of ours".into())
        })?;
        let srk = find_srk(tpm, &sealed.srk)?;
        let object = load(tpm, srk.handle, &sealed.private, &sealed.public)?;
        let session = Session::open(tpm, Kind::Policy, (srk.handle, &srk.point))?;
        if !sealed.pcrs.is_empty() {
            let wish = Out::new().u32(session.handle).sized(&[]).bytes(selection(&sealed.pcrs).get());
            tpm.run(POLICY_PCR, wish.get())?;
        }
        tpm.run(POLICY_AUTH_VALUE, Out::new().u32(session.handle).get())?;
        let answer = tpm.run(POLICY_DIGEST, Out::new().u32(session.handle).get())?;
        if In::new(&answer.parameters).sized()? != policy {
            return Err(Failure::PcrsChanged);
        }
        Ok(Self { object, name: name(&sealed.public), session })
    }

    fn open(
        mut self,
        tpm: &mut Tpm<'_>,
        halves: &Halves,
        count: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Secret, Failure> {
        let authorization = halves.authorization();
        let wish = Wish {
            command: UNSEAL,
            object: (self.object, &self.name),
            authorization: &authorization,
            first: None,
            others: &[],
        };
        count()?;
        let answer = self.session.run(tpm, &wish)?;
        halves.passphrase(In::new(&answer.parameters).sized()?)
    }
}

/// Whether a wrong PIN would do no harm. A quarter of what the TPM takes is left to others.
fn check_lockout(tpm: &mut Tpm<'_>) -> Result<(), Failure> {
    let now = lockout(tpm)?;
    match now.counted < now.most.saturating_sub((now.most / 4).max(1)) {
        _ if now.is_now => Err(Failure::LockedOut),
        true => Ok(()),
        false => Err(Failure::NearLockout),
    }
}

fn find_srk(tpm: &mut Tpm<'_>, name: &[u8]) -> Result<Srk, Failure> {
    if let Some(kept) = kept_srk(tpm).filter(|kept| kept.name == name) {
        return Ok(kept);
    }
    let made = made_srk(tpm)?;
    if made.name == name { Ok(made) } else { Err(Failure::OtherTpm) }
}

fn make(tpm: &mut Tpm<'_>, halves: &Halves, pcrs: &[u8]) -> Result<Sealed, Failure> {
    let policy = policy(tpm, pcrs)?;
    let srk = match kept_srk(tpm) {
        Some(kept) => kept,
        None => made_srk(tpm)?,
    };
    let secret = random()?;
    let mut session = Session::open(tpm, Kind::Hmac, (srk.handle, &srk.point))?;
    let sensitive = Out::new().sized(&halves.authorization()).sized(secret.as_ref());
    let others = Out::new().sized(sealed_template(&policy).get()).sized(&[]).u32(0);
    let wish = Wish {
        command: CREATE,
        object: (srk.handle, &srk.name),
        authorization: &[],
        first: Some(sensitive.get()),
        others: others.get(),
    };
    let answer = session.run(tpm, &wish)?;
    let mut read = In::new(&answer.parameters);
    let (private, public) = (read.sized()?.to_vec(), read.sized()?.to_vec());
    if policy_of(&public) != Some(&policy) {
        return Err(Failure::Broken("Create: it made something else".into()));
    }
    let cost = Cost { memory: 0, passes: 0, lanes: 0 };
    Ok(Sealed { srk: srk.name, public, private, salt: Vec::new(), cost, pcrs: pcrs.to_vec() })
}

/// These PCRs of the SHA-256 bank, as TPML_PCR_SELECTION.
fn selection(pcrs: &[u8]) -> Out {
    let mut bits = [0_u8; 3];
    for pcr in pcrs.iter().filter(|pcr| **pcr < PCRS) {
        bits[usize::from(pcr / 8)] |= 1 << (pcr % 8);
    }
    Out::new().u32(1).u16(SHA256).u8(3).bytes(&bits)
}

/// The digest of the policy: the PCRs as they are now, and the authorization (part 3, 23.7 and 23.17).
fn policy(tpm: &mut Tpm<'_>, pcrs: &[u8]) -> Result<[u8; DIGEST], Failure> {
    if pcrs.iter().any(|pcr| *pcr >= PCRS) || !pcrs.is_sorted_by(|a, b| a < b) {
        return Err(Failure::Unsuitable("PCRs are numbers from 0 to 23".into()));
    }
    let extended = |digest: [u8; DIGEST], command: Command, rest: &[&[u8]]| {
        hash(&[&[&digest[..], &command.code.to_be_bytes()], rest].concat())
    };
    let mut digest = [0; DIGEST];
    if !pcrs.is_empty() {
        let mut values = Vec::new();
        for pcr in pcrs {
            values.extend(value(tpm, *pcr)?);
        }
        digest = extended(digest, POLICY_PCR, &[selection(pcrs).get(), &hash(&[&values])]);
    }
    Ok(extended(digest, POLICY_AUTH_VALUE, &[]))
}

/// What is in a PCR.
fn value(tpm: &mut Tpm<'_>, pcr: u8) -> Result<[u8; DIGEST], Failure> {
    let answer = tpm.run(PCR_READ, selection(&[pcr]).get())?;
    let mut read = In::new(&answer.parameters);
    // A counter, and which were read: as asked for, where the bank is there.
    read.u32()?;
    let none = || Failure::Unsuitable("it has no PCRs of SHA-256".into());
    if read.bytes(selection(&[pcr]).get().len())? != selection(&[pcr]).get() || read.u32()? != 1 {
        return Err(none());
    }
    read.sized()?.try_into().map_err(|_| none())
}

const _: () = assert!(SALT == DIGEST, "a salt is drawn as 32 bytes");

#[cfg(test)]
mod tests;
