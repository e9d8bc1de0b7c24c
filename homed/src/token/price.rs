//! What it costs to try a password on a hash: the hash says so itself, and whoever has made the record has chosen it. The worker
//! that tries has memory that is not given back and is nobody's first to be ended, so that it must not be had for hours.
//!
//! Formats: crypt(5). Prices are of a slow processor, in ms.

use std::cell::Cell;

/// For one hash, in ms: a thousand times what hashes are made with by default.
const MOST: u64 = 10_000;
/// For all that is tried in one job, in ms.
const ALL: u64 = 60_000;
/// The digits of crypt(3), in order of their values.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const MIB: u64 = 1 << 20;

/// What may still be spent.
pub struct Purse(Cell<u64>);

impl Default for Purse {
    fn default() -> Self {
        Self(Cell::new(ALL))
    }
}

impl Purse {
    /// Pays for one try; whether there was enough for it. What is unknown, or too dear, is not tried.
    pub fn pay(&self, hashed: &str) -> bool {
        let Some(left) =
            price(hashed).filter(|price| *price <= MOST).and_then(|price| self.0.get().checked_sub(price))
        else {
            return false;
        };
        self.0.set(left);
        true
    }
}

/// In ms; `None`: of no kind that is known here.
fn price(hashed: &str) -> Option<u64> {
    let Some(rest) = hashed.strip_prefix('$') else {
        // DES, as it was, and BSDi's, which has four digits of rounds, 2²⁴ at most.
        return Some(if hashed.starts_with('_') { MOST } else { 1 });
    };
    let (kind, rest) = rest.split_once('$')?;
    match kind {
        "1" | "3" => Some(1),
        "5" | "6" => Some(rounds(rest)?.div_ceil(1000)),
        "y" | "gy" => yescrypt(rest),
        "7" => scrypt(rest),
        "2a" | "2b" | "2x" | "2y" => {
            let cost: u32 = rest.get(..2)?.parse().ok()?;
            1_u64.checked_shl(cost.checked_sub(4)?)
        }
        "sha1" => Some(rest.split('$').next()?.parse::<u64>().ok()?.div_ceil(1000)),
        // Sun's MD5: 4096 rounds and those it names.
        _ if kind == "md5" => Some(10),
        _ => {
            let more: u64 = kind.strip_prefix("md5,rounds=")?.parse().ok()?;
            Some(more.saturating_add(4096).div_ceil(500))
        }
    }
}

/// Of SHA-crypt, which makes 5000 where none are named.
fn rounds(rest: &str) -> Option<u64> {
    match rest.strip_prefix("rounds=") {
        None => Some(5000),
        Some(named) => named.split('$').next()?.parse().ok(),
    }
}

/// `j9T`: the flavour, the logarithm of how many blocks, and how large each is. More than that is made by nobody's default.
fn yescrypt(rest: &str) -> Option<u64> {
    let ["j", blocks, size] = letters(rest.split('$').next()?)?[..] else { return None };
    // From this digit on a number has several.
    let number = |letter| digit(letter).filter(|digit| *digit < 48).map(|digit| digit + 1);
    memory(number(blocks)?, number(size)?)
}

/// One digit of the logarithm, five of the size and five of how often.
fn scrypt(rest: &str) -> Option<u64> {
    let all = letters(rest.get(..11)?)?;
    let number = |letters: &[&str]| {
        letters.iter().rev().try_fold(0_u64, |sum, letter| Some(sum << 6 | digit(letter)?))
    };
    memory(digit(all[0])?, number(&all[1..6])?)?.checked_mul(number(&all[6..])?.max(1))
}

/// 128 bytes times the size times 2 to the logarithm: 16 MiB take 50 ms, and more than 1 GiB is too dear.
fn memory(logarithm: u64, size: u64) -> Option<u64> {
    let blocks = 1_u64.checked_shl(u32::try_from(logarithm).ok()?)?;
    let bytes = blocks.checked_mul(size)?.checked_mul(128)?;
    (bytes <= 1024 * MIB).then_some((bytes / MIB).saturating_mul(3).max(1))
}

fn letters(text: &str) -> Option<Vec<&str>> {
    (0..text.len()).map(|at| text.get(at..=at)).collect()
}

fn digit(letter: &str) -> Option<u64> {
    let at = DIGITS.iter().position(|digit| letter.as_bytes() == [*digit])?;
    u64::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_anywhere_by_default_is_paid_and_what_takes_hours_is_not() {
        let scrypt = "$7$CU..../....abcdefgh$x";
        let paid = [
            "$y$j9T$abcdefgh$x",
            "$gy$j9T$abcdefgh$x",
            "$y$jDT$abcdefgh$x",
            scrypt,
            "$6$salt$x",
            "$5$salt$x",
            "$6$rounds=656000$salt$x",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$1$salt$x",
            "$sha1$480000$salt$x",
            "$md5$salt$x",
            "$md5,rounds=5000$salt$x",
            "abJnggxhB/yWI",
            "$3$$8846f7eaee8fb117ad06bdd830b7586c",
        ];
        for hashed in paid {
            assert!(Purse::default().pay(hashed), "{hashed}: {:?}", price(hashed));
        }
        let dear = [
            "$6$rounds=999999999$salt$x",
            "$5$rounds=99999999999999999999$salt$x",
            "$y$jJT$abcdefgh$x",
            "$y$jzT$abcdefgh$x",
            "$y$j9z$abcdefgh$x",
            "$y$j9T.0$abcdefgh$x",
            "$y$k9T$abcdefgh$x",
            "$2b$31$abcdefghijklmnopqrstuv",
            "$2b$99$x",
            "$7$zU..../....abcdefgh$x",
            "$7$CU....zzzzzabcdefgh$x",
            "$7$C",
            "$md5,rounds=4294967295$x",
            "$sha1$4294967295$x$y",
            "$9$x$y",
            "$",
            "$6",
            "$y$",
            "$2b$",
            "$y$é9T$x",
        ];
        for hashed in dear {
            assert!(!Purse::default().pay(hashed), "{hashed}: {:?}", price(hashed));
        }
    }

    #[test]
    fn many_that_are_each_bearable_are_not_all_tried() {
        let purse = Purse::default();
        let tried = (0..64).take_while(|_| purse.pay("$6$rounds=5000000$salt$x")).count();
        assert_eq!(tried, 12);
        assert!((0..64).filter(|_| Purse::default().pay("$y$j9T$salt$x")).count() == 64);
    }
}
