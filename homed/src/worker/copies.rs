//! The three copies of a record: in the storage's header, in the home (`.identity`), on this machine.
//!
//! Any one of them suffices to have the others written anew. A copy counts only if its signature is
//! trusted here, and that is looked at before anything is compared or written: `.identity` is a file
//! its user may replace. What she changes there of what is hers to change is taken over, and signed (as with the original).

mod write;

use super::first::First;
use super::state::{self, Backups};
use crate::job::{Context, Failure, Job, Known, Steps, refuse};
use crate::storage::HomeDirectory;
use crate::token::{self, Offer};
use records::reconcile::{Force, Rule};
use records::signature::{self, Trust, Vouched, Worth};
use records::{FullName, Machine, Record, Refusal, Secret, Sections, own_changes};
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// The record in force, found so far.
pub struct Copies {
    home: FullName,
    trust: Trust,
    machine: Machine,
    vouched: Option<Vouched>,
    /// For the home of a stranger: it counts once the user has proven who it is.
    admitted: Option<Vouched>,
    proven: Cell<bool>,
    /// The copy whose signer the others of a stranger must have: the first that was seen.
    first: First,
    rule: Rule,
    force: Force<Record>,
    host: Option<Record>,
    header: Option<Record>,
    stale_header: Staleness,
    stale_identity: Staleness,
    identity: Seen,
    keeps: Option<Backups>,
    /// What was kept of copies that were written over, in words.
    pub kept: Vec<String>,
}

/// Whether a copy was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    Yes,
}

/// Whether a copy has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staleness {
    /// It says what the record in force says.
    Current,
    /// It is older, damaged, missing or not trusted.
    Stale,
    /// This kind of storage has no such copy.
    Nowhere,
}

impl Staleness {
    /// Once another record is in force.
    fn changed(self) -> Self {
        if self == Self::Nowhere { self } else { Self::Stale }
    }

    /// Once the record in force was written there.
    fn written(self) -> Self {
        if self == Self::Nowhere { self } else { Self::Current }
    }
}

impl Copies {
    /// Begins with the host's copy, where there is one. One without a signature that counts (it was registered so, or
    /// this machine's key was replaced) decides nothing, and is written anew from the home's.
    pub fn new(job: &Job, known: Known, rule: Rule) -> Result<Self, Failure> {
        let host = (known == Known::Yes).then(|| job.host.as_ref().unwrap_or(&job.record).clone());
        Ok(Self::begin(&job.home, state::trust(job)?, host, &job.machine, rule))
    }

    fn begin(home: &FullName, trust: Trust, host: Option<Record>, machine: &Machine, rule: Rule) -> Self {
        let admits = |record: &Record| trust.admit(record, None);
        let counts = host.as_ref().filter(|host| trust.vouch(host).or_else(|| admits(host)).is_some());
        let winner = counts.map(|record| record.only(Sections::EMBEDDED));
        let first = First::of(host.as_ref(), &trust);
        Self {
            home: home.clone(),
            vouched: counts.and_then(|record| trust.vouch(record)),
            admitted: counts.and_then(admits),
            proven: Cell::new(false),
            first,
            trust,
            machine: machine.clone(),
            rule,
            force: Force::begin(winner),
            host,
            header: None,
            stale_header: Staleness::Stale,
            stale_identity: Staleness::Stale,
            identity: Seen::No,
            keeps: None,
            kept: Vec::new(),
        }
    }

    /// From now on copies in the home and on this machine are kept before they are written over.
    pub fn keep(&mut self, backups: Backups) {
        self.keeps = Some(backups);
    }

    /// Looks at the copy in the header. One that is signed by a stranger ends the job: only root of
    /// another machine can have put it there, and writing over it would lose their change.
    pub fn see_header(&mut self, copy: Result<&Record, &str>, steps: &mut dyn Steps) -> Result<(), Failure> {
        match copy {
            Err(why) => {
                self.force.see_outside(None, self.rule)?;
                steps.warn(format!("The record in the header cannot be read ({why}); it is written anew."));
                Ok(())
            }
            Ok(copy) => {
                self.refuse_another_s(copy)?;
                if !self.trusts(copy) {
                    return not_trusted();
                }
                // How the home is mounted is read from the host's record, where that counts: it is the one to judge.
                self.vouched = self.vouched.or_else(|| self.trust.vouch(copy));
                self.admitted = self.admitted.or(self.admit(copy));
                self.remember(copy);
                self.force.see_outside(Some(copy.only(Sections::EMBEDDED)), self.rule)?;
                self.header = Some(copy.clone());
                self.stale_header = self.staleness(copy);
                Ok(())
            }
        }
    }

    /// The storage has no record outside of the home.
    pub fn there_is_no_header(&mut self) {
        self.force.there_is_none_outside();
        self.stale_header = Staleness::Nowhere;
    }

    /// Looks at the copy in a home whose storage has no other. Where this machine has none either, and it is signed by a
    /// stranger, it ends the job.
    pub fn see_only_identity(&mut self, home: &HomeDirectory, steps: &mut dyn Steps) -> Result<(), Failure> {
        if let Ok(copy) = home.read_record() {
            self.refuse_another_s(&copy)?;
            if self.force.so_far().is_none() && !self.trusts(&copy) {
                return not_trusted();
            }
            // There is no other copy to judge by.
            self.vouched = self.vouched.or_else(|| self.trust.vouch(&copy));
        }
        self.see_identity(home, steps)
    }

    /// Whatever is in force of a record is known, and kept, under its user's name: that of another user, whoever has signed
    /// it, would be in force for them.
    fn refuse_another_s(&self, copy: &Record) -> Result<(), Failure> {
        if self.is_of_this_home(copy) {
            return Ok(());
        }
        refuse(
            Refusal::RecordMismatch,
            format!(
                "The record in the home of {} is that of another user ({}); nothing was changed. If that is whose home it \
                 is, give it their name: the image's, and its partition's.",
                self.home,
                copy.full_name()
            ),
        )
    }

    /// A home that was found by a name without a realm may be of any.
    fn is_of_this_home(&self, copy: &Record) -> bool {
        let name = copy.full_name();
        name.user == self.home.user && (self.home.realm.is_none() || name.realm == self.home.realm)
    }

    /// Looks at the copy in the home. One that is damaged or not trusted is passed over.
    pub fn see_identity(&mut self, home: &HomeDirectory, steps: &mut dyn Steps) -> Result<(), Failure> {
        if std::mem::replace(&mut self.identity, Seen::Yes) == Seen::Yes {
            return Ok(());
        }
        let copy = match home.read_record() {
            Ok(copy) => copy,
            Err(failure) => {
                steps.warn(format!(
                    "The record in the home cannot be read ({}); it is written anew.",
                    failure.text()
                ));
                return Ok(());
            }
        };
        if !self.is_of_this_home(&copy) {
            steps.warn("The record in the home is that of another user; it is written anew.".into());
            return Ok(());
        }
        if let Some(signed) = self.own_edit(&copy)? {
            self.replace(signed);
            return Ok(());
        }
        if !self.trusts(&copy) {
            steps.warn("The record in the home is not signed by a trusted key; it is written anew.".into());
            return Ok(());
        }
        self.remember(&copy);
        let before = self.force.so_far().cloned();
        self.force.see(copy.only(Sections::EMBEDDED), self.rule)?;
        if self.force.so_far() != before.as_ref() {
            self.stale_header = self.stale_header.changed();
        }
        self.stale_identity = self.staleness(&copy);
        Ok(())
    }

    /// What the user has changed in her own file, signed by this machine: newer than the record in force, only what the
    /// record lets her change, and nothing of what opens the home (no key slot would follow). Anything else is no edit,
    /// and the copy is worth what its signature is.
    fn own_edit(&self, copy: &Record) -> Result<Option<Record>, Failure> {
        let Some(winner) = self.force.so_far().filter(|_| !self.trusts(copy)) else { return Ok(None) };
        let same = |member: &str| copy.members().get(member) == winner.members().get(member);
        let is_newer =
            copy.last_change_usec() > winner.last_change_usec() && copy.last_change_usec() <= now_usec()?;
        let is_edit = self.trust.worth(winner) == Worth::Local
            && is_newer
            && copy.full_name() == winner.full_name()
            && copy.opens_like(winner)
            && same("blobManifest")
            && own_changes::only_self_modifiable(winner, copy, &self.machine);
        if !is_edit {
            return Ok(None);
        }
        let edited = copy.only(Sections::SIGNED);
        signature::sign(&edited, &state::private_key()?).during("signing the user's own changes").map(Some)
    }

    fn staleness(&self, copy: &Record) -> Staleness {
        let same = self.force.so_far() == Some(&copy.only(Sections::EMBEDDED));
        if same { Staleness::Current } else { Staleness::Stale }
    }

    fn trusts(&self, copy: &Record) -> bool {
        self.trust.vouch(copy).or_else(|| self.admit(copy)).is_some()
    }

    fn admit(&self, copy: &Record) -> Option<Vouched> {
        self.first.admit(copy, &self.trust)
    }

    fn remember(&mut self, copy: &Record) {
        self.first.remember(copy, &self.trust);
    }

    /// The proof that a copy outside of the file system is signed by a key that counts, if one is. A stranger's counts
    /// once its user has shown the password that this copy knows, and that has opened what it was read from.
    pub fn vouched(&self) -> Option<Vouched> {
        self.vouched.or(self.admitted.filter(|_| self.proven.get()))
    }

    /// The record in force, embedded sections only.
    pub fn winner(&self) -> Result<&Record, Failure> {
        self.force.so_far().ok_or_else(|| {
            Failure::Refused(records::refusal::Refused::new(
                Refusal::HomeDamaged,
                "No copy of the home's record can be read: not on this machine, not in the header, not in the home. \
                 The files inside are not lost: the image can be opened with cryptsetup.",
            ))
        })
    }

    /// Proves what was offered against the record in force; the keys that fit. A fault where nobody has looked at the copy
    /// beside the keys: a change that was cut short is in force there alone, and its password would be refused.
    pub fn prove(&self, offer: &Offer<'_>) -> Result<Vec<Secret>, Failure> {
        if self.force.decides().is_err() {
            return Err(Failure::fault("the record in the header was not looked at"));
        }
        let keys = self.prove_by_host(offer)?;
        token::opened(self.winner()?, offer, &keys);
        self.proven.set(true);
        Ok(keys)
    }

    /// The same by what this machine knows: to tell why somebody does not get in, and to let nobody in.
    pub fn prove_by_host(&self, offer: &Offer<'_>) -> Result<Vec<Secret>, Failure> {
        Ok(token::prove(self.winner()?, offer)?)
    }

    /// Whether a key is, or was, that of a record which the header or this machine had.
    pub fn knew(&self, key: &Secret, offer: &Offer<'_>) -> bool {
        let records = self.header.iter().chain(&self.host);
        records.flat_map(|record| token::fitting(record, offer)).any(|fits| fits.matches(key.open()))
    }

    /// Whether only this machine has signed the record in force, so that it may change it.
    pub fn is_local(&self) -> Result<bool, Failure> {
        Ok(self.trust.worth(self.winner()?) == Worth::Local)
    }

    /// What a signature is worth here.
    pub fn worth(&self, record: &Record) -> Worth {
        self.trust.worth(record)
    }
}

fn now_usec() -> Result<u64, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?;
    u64::try_from(now.as_micros()).during("reading the clock")
}

fn not_trusted<T>() -> Result<T, Failure> {
    refuse(
        Refusal::BadSignature,
        "The home's record was signed by a machine that is not trusted here, or by another than the one it came from; \
         nothing was changed. Add that machine's key with \"homectl add-signing-key\" and try again.",
    )
}

/// Who vouches for the file system of a home: its host record, else the record in its header.
pub fn vouched(trust: &Trust, host: &Record, header: Option<&Record>) -> Option<Vouched> {
    trust.vouch(host).or_else(|| trust.vouch(header?))
}

#[cfg(test)]
mod tests;
