//! How costly a guess at a password is made.

use super::cost;
use crate::job::{Context, Failure, refuse};
use crate::storage::luks::spec::Encryption;
use crate::sys::cryptsetup::{Argon2, Stretching};
use crate::sys::memory;
use openssl::hash::MessageDigest;
use records::{Refusal, Secret};
use std::ops::RangeInclusive;

/// Memory for Argon2id where the record does not say, in KiB: four times the original's.
const MEMORY: u64 = 256 * 1024;
/// Passes at that memory: some 500 ms on a machine of 2020. With less memory they grow in proportion.
const PASSES: u64 = 4;
/// Least memory libcryptsetup takes, in KiB.
const LEAST: u64 = 32;
/// Fewest iterations of PBKDF2 that libcryptsetup takes.
const LEAST_ITERATIONS: u32 = 1000;
/// Fewest passes of Argon2 that libcryptsetup takes.
const LEAST_PASSES: u32 = 4;
/// Most iterations of PBKDF2 in a slot, and most passes times KiB of Argon2: eight slots of that are opened still
/// ([`cost`]).
const MOST_ITERATIONS: u32 = 20_000_000;
const MOST_WORK: u64 = 8 << 20;
/// Most lanes of Argon2 where the record does not say: libcryptsetup works on no more. The work stays the same, shared out.
const MOST_LANES: u64 = 4;
/// The original's target where it measures, in ms.
const TARGET: u32 = 500;

/// The costs for new key slots on this machine.
pub struct Stretchings {
    typed: Stretching,
    random: Stretching,
}

/// For what slots are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A new one: what this machine has not the memory for is refused.
    New,
    /// One that is there: whoever changes the password here is not kept from it, and less memory is taken.
    There,
}

impl Stretchings {
    /// Those for a home.
    pub fn choose(wish: &Encryption, home: Home) -> Result<Self, Failure> {
        let available = memory::available().during("asking how much memory there is")?;
        Ok(Self { typed: weigh(wish, available, home)?, random: of_random(wish)? })
    }

    /// That for a key, of which it is known whether it is one of the random ones.
    pub fn of(&self, key: &Secret, random: &[Secret]) -> &Stretching {
        if random.iter().any(|other| other.matches(key.open())) { &self.random } else { &self.typed }
    }
}

/// What a slot costs whose key is random. Nobody guesses at 256 bits, so this is the least that libcryptsetup takes: the
/// same 1,000 iterations that systemd-homed gives slots of tokens.
fn of_random(wish: &Encryption) -> Result<Stretching, Failure> {
    Ok(Stretching::Pbkdf2 { iterations: Some(LEAST_ITERATIONS), hash: hash(wish)?, milliseconds: 0 })
}

/// libcryptsetup has its hashes of OpenSSL.
fn hash(wish: &Encryption) -> Result<String, Failure> {
    let name = wish.hash.as_deref().unwrap_or("sha512");
    match MessageDigest::from_name(name) {
        Some(_) => Ok(name.to_owned()),
        None => no(format!("luksPbkdfHashAlgorithm: no hash is called {name:?} here; sha512 is one.")),
    }
}

fn no<T>(sentence: String) -> Result<T, Failure> {
    refuse(Refusal::InvalidArgs, sentence)
}

/// `available` is the memory that can be had, in bytes.
fn weigh(wish: &Encryption, available: u64, home: Home) -> Result<Stretching, Failure> {
    let milliseconds =
        wish.time_usec.map_or(TARGET, |usec| u32::try_from(usec / 1000).unwrap_or(u32::MAX)).max(1);
    let hash = hash(wish)?;
    if wish.kdf.as_deref() == Some("pbkdf2") {
        let iterations = bounded(wish.iterations, LEAST_ITERATIONS..=MOST_ITERATIONS, home)?;
        return Ok(Stretching::Pbkdf2 { iterations, hash, milliseconds });
    }
    let memory = memory_of(wish, available, home)?;
    let most = u32::try_from(MOST_WORK / memory).unwrap_or(u32::MAX).max(LEAST_PASSES);
    let iterations = bounded(wish.iterations, LEAST_PASSES..=most, home)?;
    let measured = wish.time_usec.is_some() && iterations.is_none();
    let passes = || u32::try_from((PASSES * MEMORY).div_ceil(memory).clamp(PASSES, 1000)).unwrap_or(1000);
    Ok(Stretching::Argon2 {
        variant: if wish.kdf.as_deref() == Some("argon2i") { Argon2::I } else { Argon2::Id },
        hash,
        iterations: if measured { None } else { Some(iterations.unwrap_or_else(passes)) },
        memory: u32::try_from(memory).unwrap_or(u32::MAX),
        threads: wish.threads.unwrap_or_else(lanes).clamp(1, 4),
        milliseconds,
    })
}

/// As many as this machine has processors: who opens the home on one with fewer does the same work there, one lane after another.
fn lanes() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    u32::try_from(processors.min(MOST_LANES)).unwrap_or(1)
}

fn bounded(wished: Option<u32>, bounds: RangeInclusive<u32>, home: Home) -> Result<Option<u32>, Failure> {
    let (least, most) = (*bounds.start(), *bounds.end());
    match wished {
        Some(wished) if home == Home::New && !bounds.contains(&wished) => no(format!(
            "luksPbkdfForceIterations: it must be from {least} to {most} with this kind and memory."
        )),
        wished => Ok(wished.map(|wished| wished.clamp(least, most))),
    }
}

/// In KiB. Where nothing is wished, never more than a quarter of what is available; never more than what a login gets: a home
/// that cannot be unlocked for lack of memory is lost.
fn memory_of(wish: &Encryption, available: u64, home: Home) -> Result<u64, Failure> {
    let Some(wished) = wish.memory.map(|bytes| bytes / 1024) else {
        return Ok(MEMORY.min(available / 4 / 1024).max(LEAST));
    };
    let most = cost::memory_for_one(available) / 1024;
    match home {
        Home::New if !(LEAST..=most).contains(&wished) => no(format!(
            "luksPbkdfMemoryCost: it must be from {LEAST} KiB to {} MiB, which is what this machine can spare for a login.",
            most / 1024
        )),
        Home::New => Ok(wished),
        Home::There => Ok(wished.clamp(LEAST, most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn weighed(wish: &Encryption, available: u64, home: Home) -> Option<Stretching> {
        weigh(wish, available, home).ok()
    }

    fn argon(wish: &Encryption, available: u64) -> (Option<u32>, u32) {
        match weighed(wish, available, Home::New) {
            Some(Stretching::Argon2 { iterations, memory, .. }) => (iterations, memory),
            other => panic!("{}", other.is_some()),
        }
    }

    #[test]
    fn cost_stays_the_same_with_less_memory() {
        let wish = Encryption::default();
        assert_eq!(argon(&wish, 8192 * MIB), (Some(4), 256 * 1024));
        assert_eq!(argon(&wish, 256 * MIB), (Some(16), 64 * 1024));
        assert_eq!(argon(&wish, 10 * 1024), (Some(1000), 32));
    }

    #[test]
    fn the_work_is_shared_out_and_no_less() {
        let threads = |wish: &Encryption| match weighed(wish, 8192 * MIB, Home::New) {
            Some(Stretching::Argon2 { threads, iterations: Some(4), memory: 262_144, .. }) => threads,
            _ => panic!("another cost"),
        };
        assert_eq!(threads(&Encryption::default()), lanes());
        assert!((1..=4).contains(&lanes()));
        assert_eq!(threads(&Encryption { threads: Some(1), ..Encryption::default() }), 1);
    }

    #[test]
    fn only_random_keys_cost_nothing() {
        let wish = Encryption { hash: Some("sha256".into()), ..Encryption::default() };
        let typed = weighed(&wish, 8192 * MIB, Home::New).expect("possible");
        let both = Stretchings { typed, random: of_random(&wish).expect("possible") };
        let (typed, answer) = (Secret::from_text("typed".into()), Secret::from_text("answer".into()));
        let random = [answer.duplicate()];
        let Stretching::Pbkdf2 { iterations: Some(1000), hash, .. } = both.of(&answer, &random) else {
            panic!("not cheap");
        };
        assert_eq!(hash, "sha256");
        assert!(matches!(both.of(&typed, &random), Stretching::Argon2 { .. }));
        assert!(matches!(both.of(&answer, &[]), Stretching::Argon2 { .. }));
    }

    #[test]
    fn the_record_is_honoured_or_refused() {
        let wish = Encryption { memory: Some(1024 * MIB), iterations: Some(5), ..Encryption::default() };
        assert_eq!(argon(&wish, 16_384 * MIB), (Some(5), 1 << 20));
        // What a login would not get is not asked for; who changes a password there is not kept from it.
        assert_eq!(weighed(&wish, 1024 * MIB, Home::New), None);
        let Some(Stretching::Argon2 { memory, .. }) = weighed(&wish, 1024 * MIB, Home::There) else {
            panic!("refused");
        };
        assert_eq!(memory, 512 * 1024);
        let timed = Encryption { time_usec: Some(2_000_000), ..Encryption::default() };
        assert_eq!(argon(&timed, 16_384 * MIB).0, None);
    }

    #[test]
    fn each_kind_has_its_hash_and_its_bounds() {
        let of = |kdf: &str, iterations, hash: &str| {
            let (kdf, hash) = (Some(kdf.to_owned()), Some(hash.to_owned()));
            weighed(&Encryption { kdf, iterations, hash, ..Encryption::default() }, 8192 * MIB, Home::New)
        };
        assert!(matches!(
            of("argon2i", None, "sha256"),
            Some(Stretching::Argon2 { variant: Argon2::I, hash, .. }) if hash == "sha256"
        ));
        assert!(matches!(
            of("argon2id", Some(4), "sha512"),
            Some(Stretching::Argon2 { variant: Argon2::Id, .. })
        ));
        assert!(matches!(
            of("pbkdf2", Some(1000), "sha384"),
            Some(Stretching::Pbkdf2 { iterations: Some(1000), .. })
        ));
        for (kdf, iterations, hash) in [
            ("argon2id", Some(3), "sha512"),
            ("argon2id", Some(33), "sha512"),
            ("pbkdf2", Some(999), "sha512"),
            ("pbkdf2", Some(20_000_001), "sha512"),
            ("pbkdf2", None, "sha9"),
        ] {
            assert!(of(kdf, iterations, hash).is_none(), "{kdf} {iterations:?} {hash}");
        }
    }
}
