//! How costly a guess at a password is made.

use crate::job::{Context, Failure};
use crate::storage::luks::spec::Encryption;
use crate::sys::cryptsetup::Stretching;
use crate::sys::memory;
use records::Secret;

/// Memory for Argon2id where the record does not say, in KiB: four times the original's.
const MEMORY: u64 = 256 * 1024;
/// Passes at that memory: some 500 ms on a machine of 2020. With less memory they grow in proportion.
const PASSES: u64 = 4;
/// Least memory libcryptsetup takes, in KiB.
const LEAST: u64 = 32;
/// Fewest iterations of PBKDF2 that libcryptsetup takes.
const LEAST_ITERATIONS: u32 = 1000;
/// The original's target where it measures, in ms.
const TARGET: u32 = 500;

/// The costs for new key slots on this machine.
pub struct Stretchings {
    typed: Stretching,
    random: Stretching,
}

impl Stretchings {
    /// Those for a home.
    pub fn choose(wish: &Encryption) -> Result<Self, Failure> {
        let available = memory::available().during("asking how much memory there is")? / 1024;
        Ok(Self { typed: weigh(wish, available), random: of_random(wish) })
    }

    /// That for a key, of which it is known whether it is one of the random ones.
    pub fn of(&self, key: &Secret, random: &[Secret]) -> &Stretching {
        if random.iter().any(|other| other.matches(key.open())) { &self.random } else { &self.typed }
    }
}

/// What a slot costs whose key is random. Nobody guesses at 256 bits, so this is the least that libcryptsetup takes: the
/// same 1,000 iterations that systemd-homed gives slots of tokens.
fn of_random(wish: &Encryption) -> Stretching {
    Stretching::Pbkdf2 { iterations: Some(LEAST_ITERATIONS), hash: hash(wish), milliseconds: 0 }
}

fn hash(wish: &Encryption) -> String {
    wish.hash.clone().unwrap_or_else(|| "sha512".into())
}

/// Never more than a quarter of the memory that is free (`available`, in KiB), whatever is wished:
/// a home that cannot be unlocked for lack of memory is lost.
fn weigh(wish: &Encryption, available: u64) -> Stretching {
    let milliseconds =
        wish.time_usec.map_or(TARGET, |usec| u32::try_from(usec / 1000).unwrap_or(u32::MAX)).max(1);
    if wish.kdf.as_deref() == Some("pbkdf2") {
        return Stretching::Pbkdf2 { iterations: wish.iterations, hash: hash(wish), milliseconds };
    }
    let wished = wish.memory.map_or(MEMORY, |bytes| bytes / 1024);
    let memory = wished.min(available / 4).clamp(LEAST, u64::from(u32::MAX));
    let measured = wish.time_usec.is_some() && wish.iterations.is_none();
    let passes = || u32::try_from((PASSES * MEMORY).div_ceil(memory).clamp(PASSES, 1000)).unwrap_or(1000);
    Stretching::Argon2id {
        iterations: if measured { None } else { Some(wish.iterations.unwrap_or_else(passes)) },
        memory: u32::try_from(memory).unwrap_or(u32::MAX),
        threads: wish.threads.unwrap_or(1).clamp(1, 4),
        milliseconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argon(wish: &Encryption, available: u64) -> (Option<u32>, u32) {
        match weigh(wish, available) {
            Stretching::Argon2id { iterations, memory, .. } => (iterations, memory),
            Stretching::Pbkdf2 { .. } => panic!("another kind"),
        }
    }

    #[test]
    fn cost_stays_the_same_with_less_memory() {
        let wish = Encryption::default();
        assert_eq!(argon(&wish, 8 << 20), (Some(4), 256 * 1024));
        assert_eq!(argon(&wish, 256 * 1024), (Some(16), 64 * 1024));
        assert_eq!(argon(&wish, 10), (Some(1000), 32));
    }

    #[test]
    fn only_random_keys_cost_nothing() {
        let wish = Encryption { hash: Some("sha256".into()), ..Encryption::default() };
        let both = Stretchings { typed: weigh(&wish, 8 << 20), random: of_random(&wish) };
        let (typed, answer) = (Secret::from_text("typed".into()), Secret::from_text("answer".into()));
        let random = [answer.duplicate()];
        let Stretching::Pbkdf2 { iterations: Some(1000), hash, .. } = both.of(&answer, &random) else {
            panic!("not cheap");
        };
        assert_eq!(hash, "sha256");
        assert!(matches!(both.of(&typed, &random), Stretching::Argon2id { .. }));
        assert!(matches!(both.of(&answer, &[]), Stretching::Argon2id { .. }));
    }

    #[test]
    fn the_record_is_honoured_within_the_machines_memory() {
        let wish = Encryption { memory: Some(1 << 30), iterations: Some(5), ..Encryption::default() };
        assert_eq!(argon(&wish, 16 << 20), (Some(5), 1 << 20));
        assert_eq!(argon(&wish, 1 << 20), (Some(5), 1 << 18));
        let timed = Encryption { time_usec: Some(2_000_000), ..Encryption::default() };
        assert_eq!(argon(&timed, 16 << 20).0, None);
        let pbkdf2 =
            Encryption { kdf: Some("pbkdf2".into()), iterations: Some(1000), ..Encryption::default() };
        assert!(matches!(weigh(&pbkdf2, 1), Stretching::Pbkdf2 { iterations: Some(1000), .. }));
    }
}
