//! Slots of keys that are to go, and were not given.

use super::{Claim, Slot};
use crate::storage::Hidden as Keys;
use crate::storage::luks::plan::without::{Mend, has};

/// Slots from this number on are homed's: it takes numbers from the top down, and other programs from the bottom up.
/// (Homes that an earlier version or systemd-homed made have slots below.)
pub const OWN: u32 = 16;

/// How many slots a header has at most.
const ALL: u32 = 32;

/// What becomes of slots that no key which was given opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hidden {
    /// They are of keys that go.
    pub go: Vec<u32>,
    /// One of them may be, and may be another program's or of a key that stays: they are left.
    pub doubtful: Vec<u32>,
}

/// Whether a slot is in all likelihood homed's, where there are so many slots. It takes the highest number that is free, and has each
/// key twice at most, while keys are changed: what lies far below the others has a number that somebody has named.
pub fn is_own(number: u32, slots: usize) -> bool {
    let taken = u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(2);
    number >= OWN && (number >= ALL.saturating_sub(taken) || !has(Mend::NamedNumbers))
}

/// Tells them. How many slots there are says nothing: systemd-homed leaves keys in records that have none. `told` are
/// those of keys that were given.
pub fn hidden(slots: &[Slot], told: &[u32], keys: Keys) -> Hidden {
    if keys.go == 0 {
        return Hidden::default();
    }
    let unknown = slots.iter().filter(|slot| slot.claim == Claim::None && !told.contains(&slot.number));
    let is_own = |number: &u32| keys.stay == 0 && (is_own(*number, slots.len()) || !has(Mend::Strangers));
    let (own, rest): (Vec<u32>, Vec<u32>) = unknown.map(|slot| slot.number).partition(is_own);
    // Who names a number may take a high one. Where a key that was given has a low one, another program has made slots since,
    // and destroyed those of keys that the record still has.
    // The highest of all are homed's own in such a home, too, if they are as many as the keys that go.
    let highest = (0..ALL).rev().take(keys.go).all(|number| own.contains(&number));
    let named = own.len() > keys.go || (told.iter().any(|number| *number < OWN) && !highest);
    if named && has(Mend::NamedNumbers) {
        return Hidden { go: Vec::new(), doubtful: own.into_iter().chain(rest).collect() };
    }
    let doubtful = if own.len() < keys.go { rest } else { Vec::new() };
    Hidden { go: own, doubtful }
}

#[cfg(test)]
mod tests {
    use super::super::{Priority, Salt};
    use super::*;

    fn slot(number: u32, claim: Claim) -> Slot {
        Slot { number, salt: Salt(number.to_string().into()), priority: Priority::Normal, claim }
    }

    #[test]
    fn a_high_number_in_a_home_of_another_program_is_nobodys() {
        let slots = [slot(0, Claim::None), slot(22, Claim::None)];
        let found = hidden(&slots, &[0], Keys { stay: 0, go: 1 });
        assert_eq!((found.go, found.doubtful), (vec![], vec![22]));
        // A key that was enrolled here, in such a home, and is lost.
        let slots = [slot(0, Claim::None), slot(31, Claim::None)];
        let found = hidden(&slots, &[0], Keys { stay: 0, go: 1 });
        assert_eq!((found.go, found.doubtful), (vec![31], vec![]));
    }

    #[test]
    fn slots_of_keys_that_were_not_given_are_told_where_nobody_elses_can_be() {
        let told = |numbers: &[u32], stay, go| {
            let mut slots: Vec<Slot> = numbers.iter().map(|number| slot(*number, Claim::None)).collect();
            slots.push(slot(20, Claim::Token));
            let hidden = hidden(&slots, &[31], Keys { stay, go });
            (hidden.go, hidden.doubtful)
        };
        assert_eq!(told(&[31, 30], 0, 1), (vec![30], vec![]));
        // `cryptsetup luksAddKey --key-slot 22`.
        assert_eq!(told(&[31, 30, 22], 0, 1), (vec![30], vec![]));
        assert_eq!(told(&[31, 22], 0, 1), (vec![], vec![22]));
        // One that is as high as homed's own.
        assert_eq!(told(&[31, 30, 29], 0, 1), (vec![], vec![30, 29]));
        assert_eq!(told(&[31, 30, 29], 0, 2), (vec![30, 29], vec![]));
        assert_eq!(told(&[31, 30, 0], 0, 1), (vec![30], vec![]));
        assert_eq!(told(&[31, 0], 0, 1), (vec![], vec![0]));
        assert_eq!(told(&[31, 30, 29], 1, 1), (vec![], vec![30, 29]));
        assert_eq!(told(&[31, 30], 1, 0), (vec![], vec![]));
    }
}
