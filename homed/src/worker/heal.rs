//! Key slots that do not fit the record in force: left by a change of password that was cut short, or
//! by one made elsewhere.

use super::copies::Copies;
use crate::job::{Failure, Steps};
use crate::storage::{Healed, KeyChange, Opened};
use crate::token::{self, Offer};
use records::Secret;

/// Brings the key slots in line with the record in force, which `proven` fit. What cannot be done
/// now is tried again next time; a login is not refused for it.
pub fn keys(
    copies: &Copies,
    opened: &mut dyn Opened,
    (tried, proven, offer): (&[Secret], &[Secret], &Offer<'_>),
    steps: &mut dyn Steps,
) {
    match bring_in_line(copies, opened, (tried, proven, offer), steps) {
        Ok(Healed::Nothing) => {}
        Ok(Healed::Finished) => {
            steps.warn("A change of password that was cut short has been finished.".into())
        }
        Ok(Healed::TakenBack) => {
            steps.warn("A change of password that was cut short has been taken back.".into())
        }
        Err(failure) => steps.warn(format!("The key slots could not be brought in line: {}", failure.text())),
    }
}

fn bring_in_line(
    copies: &Copies,
    opened: &mut dyn Opened,
    (tried, proven, offer): (&[Secret], &[Secret], &Offer<'_>),
    steps: &mut dyn Steps,
) -> Result<Healed, Failure> {
    let Some(used) = tried.get(opened.key()) else { return Ok(Healed::Nothing) };
    if proven.iter().any(|key| key.matches(used.open())) {
        return opened.heal_keys();
    }
    // One key opened the storage and another one is that of the record.
    let (others, date) = (others(copies, offer)?, copies.winner()?.last_change_usec());
    opened.prepare_keys(&KeyChange { old: std::slice::from_ref(used), new: proven, others, date })?;
    opened.switch_keys(steps)?;
    Ok(Healed::Finished)
}

/// How many keys the record has that are no passwords and whose plaintext was not given.
pub fn others(copies: &Copies, offer: &Offer<'_>) -> Result<usize, Failure> {
    let record = copies.winner()?;
    let recovery = record.recovery_keys().len();
    let not_given = recovery.saturating_sub(token::proven_recovery_keys(record, offer).len());
    Ok(not_given + token::change::tokens(record))
}
