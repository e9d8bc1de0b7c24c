//! Key slots that do not fit the record in force: left by a change of password that was cut short, or
//! by one made elsewhere. Whoever wants to write a record has them settled first.

use super::copies::Copies;
use crate::job::{Failure, Steps};
use crate::storage::{Healed, Hidden, InOrder, KeyChange, Opened, Proof, Settlement, Then, Vault};
use crate::token::Offer;
use records::Secret;

/// What was given, and what it has shown so far.
pub struct Given<'a> {
    /// What was tried on key slots.
    pub tried: &'a [Secret],
    /// What fits the record in force.
    pub proven: &'a [Secret],
    /// All of it.
    pub offer: &'a Offer<'a>,
}

/// Brings key slots and the header's record in line with the record in force.
pub fn keys(
    copies: &mut Copies,
    opened: &mut dyn Opened,
    given: &Given<'_>,
    then: Then,
    steps: &mut dyn Steps,
) -> Result<InOrder, Failure> {
    if let Some(in_order) = InOrder::of_no_keys(opened) {
        return Ok(in_order);
    }
    let vault = vault(opened)?;
    let used = given.tried.get(vault.key());
    let stray = used.filter(|used| !given.proven.iter().any(|key| key.matches(used.open())));
    let proof = Proof { record: copies.winner()?, proven: given.proven, then };
    let mut settlement = vault.settle_keys(&proof, steps)?;
    tell(settlement.healed, steps);
    if let Some(used) = stray {
        take_over(copies, vault, (used, given), &settlement, steps)?;
        // Now that a key of the record opens a slot, what could not be told before can be.
        let proof = Proof { record: copies.winner()?, proven: given.proven, then };
        settlement = vault.settle_keys(&proof, steps)?;
        tell(settlement.healed, steps);
    }
    copies.header_is_written();
    Ok(settlement.in_order)
}

/// What the key has opened, of storage that has keys.
pub fn vault(opened: &mut dyn Opened) -> Result<&mut dyn Vault, Failure> {
    opened.vault().ok_or_else(|| Failure::fault("this kind of storage has no keys"))
}

/// One key opened the storage, and another one is that of the record: it gets a slot. The other's goes if it was the
/// record's once, and no change waits to be settled, of which it may be an old one: a key that is not here may have no other. If it
/// was not, somebody else has made it.
fn take_over(
    copies: &Copies,
    vault: &mut dyn Vault,
    (used, given): (&Secret, &Given<'_>),
    settlement: &Settlement,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let was_known = copies.knew(used, given.offer);
    let goes = was_known && settlement.healed != Healed::Waiting;
    let old = if goes { std::slice::from_ref(used) } else { &[] };
    let change = KeyChange {
        old,
        new: given.proven,
        random: &given.offer.random(),
        known: given.proven,
        hidden: Hidden { stay: 0, go: 0 },
        before: None,
        record: copies.winner()?,
        copies: None,
    };
    vault.change_keys(change, &settlement.in_order, steps)?;
    if !was_known {
        steps.warn(format!(
            "A passphrase that is not one of the home's record has opened a key slot of its storage; it was left. {}",
            vault.slots_by_hand()
        ));
    }
    Ok(())
}

fn tell(healed: Healed, steps: &mut dyn Steps) {
    let sentence = match healed {
        Healed::Nothing => return,
        Healed::Finished => "A change of password that was cut short has been finished.",
        Healed::TakenBack => "A change of password that was cut short has been taken back.",
        Healed::Waiting => {
            "A change of password that was cut short is settled at the next login with the old or the new password; \
             until then both may open the storage of the home."
        }
        Healed::Unmarked => {
            "A change of password that an earlier version of homed began was cut short. All key slots were left: if \
             \"homectl check\" finds one too many, remove it with \"cryptsetup luksKillSlot\"."
        }
    };
    steps.warn(sentence.into());
}
