//! What of its record is in force: all of it, or only what a stranger is believed ([`records::stranger`]).
//!
//! Everybody reads what is believed: fronts, the account database, whoever starts a job. What is on disk goes back to disk,
//! and to the worker, to be compared with the other copies.

use super::facts::SignedLocally;
use super::{Home, Turn};
use crate::job::Known;
use crate::words::names;
use crate::words::request::TrustReport;
use records::refusal::Refused;
use records::stranger::{self, Strangers};
use records::{Machine, Packed, Record, Refusal, UserName, signature};
use serde_json::{Map, Value};

/// A record, and what of it is believed.
pub(super) struct Believed {
    host: Packed,
    shown: Option<Packed>,
    /// By what is believed.
    names: Vec<String>,
}

impl Believed {
    /// Judges it. One that nobody has signed has come from an administrator, and is signed when it is written.
    ///
    /// What was accepted of a stranger goes once a key of its signers is trusted: whoever does not trust it any more later
    /// believes nothing of it.
    pub fn of(host: Record, turn: &Turn) -> Self {
        let signed = turn.facts.signed_locally(&host);
        Self::judged(host, signed, turn)
    }

    /// The same where it is known already who has signed it: telling that is dear. What was accepted is in no signature.
    pub fn judged(host: Record, signed: Option<SignedLocally>, turn: &Turn) -> Self {
        let host = if signed.is_some() { stranger::without_accepted(&host, turn.machine) } else { host };
        let shown =
            restricted(&host, signed, turn.strangers).then(|| stranger::believed(&host, turn.machine));
        let names = names::all(shown.as_ref().unwrap_or(&host));
        Self { host: Packed::of(&host), shown: shown.as_ref().map(Packed::of), names }
    }

    /// What is believed.
    pub fn record(&self) -> Record {
        self.packed().open()
    }

    /// The same, as it is kept.
    fn packed(&self) -> &Packed {
        self.shown.as_ref().unwrap_or(&self.host)
    }

    /// What is on disk.
    pub fn host(&self) -> Record {
        self.host.open()
    }

    /// Whose it is.
    pub fn user(&self) -> &UserName {
        self.host.user()
    }

    /// What its user is called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it has passwords, and no tokens.
    pub fn is_opened_by_passwords(&self) -> bool {
        let record = self.record();
        !record.has_tokens() && !record.hashed_passwords().is_empty()
    }

    /// Whether what is on disk is more than what is believed.
    pub fn is_restricted(&self) -> bool {
        self.shown.is_some()
    }
}

fn restricted(host: &Record, signed: Option<SignedLocally>, strangers: Strangers) -> bool {
    let is_signed = host.members().contains_key("signature");
    strangers != Strangers::Yes && is_signed && signed.is_none()
}

/// What a stranger's home is here. One that this machine does not know, on a device, was put here by whoever has plugged that
/// in, and by no administrator: unless these have said that they believe anybody, its signer is to be trusted first.
pub(super) fn strangers_at(image: &str, known: Known, said: Strangers) -> Strangers {
    match (said, known) {
        (Strangers::Restricted, Known::No) if image.starts_with("/dev/") => Strangers::No,
        (said, _) => said,
    }
}

impl Home {
    /// Whether keys or settings are such now that the record is believed otherwise.
    pub fn is_judged_otherwise(&self, turn: &Turn) -> bool {
        let host = self.record.host();
        let signed = turn.facts.signed_locally(&host);
        self.signed_locally != signed || Believed::judged(host, signed, turn).packed() != self.record.packed()
    }

    /// Keys or settings may be others now: judges the record again. Saved while no job runs; one that does brings a record.
    pub fn judge_again(&mut self, turn: &mut Turn) {
        let host = self.record.host();
        self.signed_locally = turn.facts.signed_locally(&host);
        let was = self.record.is_restricted();
        self.record = Believed::judged(host, self.signed_locally, turn);
        if was != self.record.is_restricted() {
            self.attempts.follow(&self.record.record(), turn.machine);
        }
        if !self.is_busy() {
            self.save(turn);
        }
    }

    /// Whether only a part of its record is believed.
    pub fn is_restricted(&self) -> bool {
        self.record.is_restricted()
    }

    /// What is believed of its record and what is not, for an administrator.
    pub fn trust_report(&self, machine: &Machine) -> TrustReport {
        let host = self.record.host();
        let all = stranger::claims(&host, machine);
        TrustReport {
            user: self.user().clone(),
            restricted: self.is_restricted(),
            signers: signature::signers(&host).iter().map(|key| key.short_id()).collect(),
            accepted: match self.is_restricted() {
                true => stranger::claims(&self.record.record(), machine),
                false => all.clone(),
            },
            claims: all,
        }
    }

    /// Whether it was never opened here: its record is not known.
    pub fn is_unseen(&self) -> bool {
        self.known == Known::No
    }

    /// The record as it would be on disk if these claims were accepted.
    pub fn with_accepted(&self, claims: &Map<String, Value>, machine: &Machine) -> Record {
        let accepted = Map::from_iter([(stranger::ACCEPTED.to_owned(), claims.clone().into())]);
        self.record.host().with_binding(&machine.id, accepted)
    }

    /// An administrator has seen these claims, and accepts them: they have to be those of the record, now. None: nothing of
    /// it is believed any more.
    pub fn accept(&mut self, claims: &Map<String, Value>, turn: &mut Turn) -> Result<(), Refused> {
        if !self.is_restricted() {
            return Ok(());
        }
        if self.is_busy() {
            return Err(Refusal::HomeBusy.into());
        }
        let is_asked = !claims.is_empty();
        if is_asked && stranger::claims(&self.record.host(), turn.machine) != *claims {
            return Err(Refused::new(
                Refusal::RecordMismatch,
                "The record does not claim that any more: it was changed meanwhile. Nothing was accepted; look again.",
            ));
        }
        self.record = Believed::of(self.with_accepted(claims, turn.machine), turn);
        self.attempts.follow(&self.record.record(), turn.machine);
        self.save(turn);
        self.changed(turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_brings_a_stranger_in_by_plugging_it_in() {
        let (stick, file) = ("/dev/disk/by-uuid/x", "/home/alice.home");
        use Strangers::{No, Restricted, Yes};
        for (image, known, said, becomes) in [
            (stick, Known::No, Restricted, No),
            (stick, Known::No, No, No),
            (stick, Known::No, Yes, Yes),
            (stick, Known::Yes, Restricted, Restricted),
            (file, Known::No, Restricted, Restricted),
        ] {
            assert_eq!(strangers_at(image, known, said), becomes, "{image} {known:?} {said:?}");
        }
    }
}
