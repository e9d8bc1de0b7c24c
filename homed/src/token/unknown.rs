//! Devices of a home whose record is not known here, or not as it is now: they are asked with what the storage says in the clear
//! ([`records::questions`]). What they answer is tried on the key slots, and counts for an entry of the record that comes to
//! light only where it was asked with the same, and fits its hash.

use super::{KINDS, Offer, Token, more};
use crate::sys::{crypt3, oom};
use records::questions::{self, Question};
use records::refusal::Refused;
use records::{Record, Secret};
use serde_json::Value;

/// Whether an answer fits an entry.
pub struct Judged {
    list: &'static str,
    entry: Value,
    fits: bool,
}

/// What a record says itself is not asked again.
pub fn beside(record: &Record, all: Vec<Question>) -> Vec<Question> {
    let known = questions::of(record);
    all.into_iter().filter(|question| !known.contains(question)).collect()
}

/// Asks devices, kind by kind, until one has answered; the answer, or the reason that tells most. After a wrong PIN nobody is
/// asked.
pub fn ask(all: &[Question], offer: &Offer<'_>) -> Result<Option<Secret>, Refused> {
    let mut refused: Option<Refused> = None;
    for kind in KINDS {
        if offer.had_wrong_pin() {
            break;
        }
        match kind.ask_unknown(all, offer) {
            None => {}
            Some(Ok(secret)) => return Ok(Some(secret)),
            Some(Err(why)) => refused = Some(refused.map_or(why.clone(), |known| more(known, why))),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// What a device has answered for an entry before it was known.
pub(super) fn answered(kind: &dyn Token, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
    let question = Question::of(kind.member(), entry)?;
    let all = offer.answered.borrow();
    let its = all.iter().find(|one| one.list == question.list && one.entry == question.entry)?;
    let hashed = entry.get("hashedPassword")?.as_str()?;
    fits(question.list, entry, (hashed, &its.secret), offer).then(|| its.secret.duplicate())
}

/// Is asked more than once, and paid for once.
fn fits(list: &'static str, entry: &Value, (hashed, secret): (&str, &Secret), offer: &Offer<'_>) -> bool {
    let mut judged = offer.judged.borrow_mut();
    if let Some(known) = judged.iter().find(|known| known.list == list && known.entry == *entry) {
        return known.fits;
    }
    let _expendable = oom::expendable();
    let fits = offer.purse.pay(hashed) && crypt3::matches(secret, hashed);
    judged.push(Judged { list, entry: entry.clone(), fits });
    fits
}

#[cfg(test)]
mod tests;
