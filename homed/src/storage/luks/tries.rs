//! Which key is tried on which key slot, and in which order.
//!
//! Slots of random keys cost next to nothing ([`super::stretching`]) and are tried with every key first, so
//! that whoever comes with a token does not pay for the password's slot, which costs half a second. Slots that others
//! told to be ignored are tried last: earlier versions made slots so.

use crate::sys::cryptsetup::{Error, Luks, Priority};
use records::Secret;

/// Most iterations of PBKDF2 that cost next to nothing: some ms.
const CHEAP: u32 = 20_000;

/// What fitted.
pub struct Unlocked {
    /// Index of the key.
    pub key: usize,
    /// The slot it opens.
    pub slot: u32,
    /// What was in it.
    pub volume_key: Secret,
}

/// Tries these keys; `None`: none of them opens any slot.
pub fn unlock(luks: &mut Luks, keys: &[Secret]) -> Result<Option<Unlocked>, Error> {
    let mut slots = Vec::new();
    for (number, priority) in luks.slots()? {
        let price = match luks.slot_iterations(number)? {
            Some(iterations) if iterations <= CHEAP => Price::Nothing,
            Some(_) | None => Price::Dear,
        };
        slots.push(Slot { number, priority, price });
    }
    first_that_fits(&order(&slots, keys.len()), |slot, key| {
        luks.open_slot(slot, &keys[key]).map(|volume_key| Unlocked { key, slot, volume_key })
    })
}

/// What fits first. A slot that cannot be tried (there may be too little memory for it) is told where no other fits.
fn first_that_fits<T>(
    tries: &[Try],
    mut open: impl FnMut(u32, usize) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut failed = None;
    for Try { slot, key } in tries {
        match open(*slot, *key) {
            Ok(opened) => return Ok(Some(opened)),
            Err(error) if error.is_no_match() => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// What a try costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Price {
    Nothing,
    Dear,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u32,
    priority: Priority,
    price: Price,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Try {
    slot: u32,
    key: usize,
}

fn order(slots: &[Slot], keys: usize) -> Vec<Try> {
    let mut all: Vec<(&Slot, Try)> = Vec::new();
    for slot in slots {
        all.extend((0..keys).map(|key| (slot, Try { slot: slot.number, key })));
    }
    all.sort_by_key(|(slot, tried)| {
        let (ignored, preferred) = (slot.priority == Priority::Ignore, slot.priority == Priority::Prefer);
        (ignored, slot.price, tried.key, !preferred, slot.number)
    });
    all.into_iter().map(|(_, tried)| tried).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32, priority: Priority, price: Price) -> Slot {
        Slot { number, priority, price }
    }

    fn ordered(slots: &[Slot], keys: usize) -> Vec<(u32, usize)> {
        order(slots, keys).into_iter().map(|tried| (tried.slot, tried.key)).collect()
    }

    #[test]
    fn no_key_pays_for_a_dear_slot_before_all_were_tried_on_the_cheap_ones() {
        use Price::{Dear, Nothing};
        use Priority::{Ignore, Normal, Prefer};
        let slots = [
            slot(0, Ignore, Nothing),
            slot(28, Prefer, Dear),
            slot(29, Normal, Dear),
            slot(30, Normal, Nothing),
            slot(31, Normal, Dear),
        ];
        let first = [(30, 0), (30, 1), (28, 0), (29, 0), (31, 0), (28, 1), (29, 1), (31, 1), (0, 0), (0, 1)];
        assert_eq!(ordered(&slots, 2), first);
        assert_eq!(ordered(&slots, 0), []);
    }
}
