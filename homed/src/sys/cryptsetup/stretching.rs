//! How a passphrase becomes the key of a slot.

use libcryptsetup_rs::CryptPbkdfType;
use libcryptsetup_rs::consts::flags::CryptPbkdf;
use libcryptsetup_rs::consts::vals::CryptKdf;

/// The variants of Argon2 that LUKS2 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argon2 {
    /// Argon2i.
    I,
    /// Argon2id.
    Id,
}

/// How a passphrase is stretched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretching {
    /// Memory-hard Argon2.
    Argon2 {
        /// Which of both.
        variant: Argon2,
        /// Hash by which the key is spread in its slot.
        hash: String,
        /// Passes; `None`: as many as fit into `milliseconds`, measured now.
        iterations: Option<u32>,
        /// Memory in KiB.
        memory: u32,
        /// Lanes.
        threads: u32,
        /// Target in ms where `iterations` is `None`.
        milliseconds: u32,
    },
    /// PBKDF2.
    Pbkdf2 {
        /// Rounds; `None`: measured.
        iterations: Option<u32>,
        /// Hash name, such as `sha512`.
        hash: String,
        /// Target in ms where `iterations` is `None`.
        milliseconds: u32,
    },
}

/// The same for the library.
pub(super) fn pbkdf(stretching: &Stretching) -> CryptPbkdfType {
    match stretching {
        Stretching::Argon2 { variant, hash, iterations, memory, threads, milliseconds } => CryptPbkdfType {
            type_: match variant {
                Argon2::I => CryptKdf::Argon2I,
                Argon2::Id => CryptKdf::Argon2Id,
            },
            hash: Some(hash.clone()),
            time_ms: if iterations.is_some() { 0 } else { *milliseconds },
            iterations: iterations.unwrap_or(0),
            max_memory_kb: *memory,
            parallel_threads: *threads,
            flags: measuring(*iterations),
        },
        Stretching::Pbkdf2 { iterations, hash, milliseconds } => CryptPbkdfType {
            type_: CryptKdf::Pbkdf2,
            hash: Some(hash.clone()),
            time_ms: if iterations.is_some() { 0 } else { *milliseconds },
            iterations: iterations.unwrap_or(0),
            max_memory_kb: 0,
            parallel_threads: 0,
            flags: measuring(*iterations),
        },
    }
}

fn measuring(iterations: Option<u32>) -> CryptPbkdf {
    if iterations.is_some() { CryptPbkdf::NO_BENCHMARK } else { CryptPbkdf::empty() }
}
