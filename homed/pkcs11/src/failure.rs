//! Why a token gave nothing.

use serde::{Deserialize, Serialize};

/// How often a PIN may be given wrong still, as tokens tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tries {
    /// It does not say, or as often as ever.
    Unsaid,
    /// Less often than at first (`CKF_USER_PIN_COUNT_LOW`).
    Few,
    /// Once (`CKF_USER_PIN_FINAL_TRY`).
    One,
}

/// Why a token gave nothing. Sentences are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// p11-kit is not installed, or does not work.
    #[error("p11-kit cannot be loaded: {0}")]
    NoLibrary(String),
    /// Its PIN is needed.
    #[error("the smart card needs its PIN")]
    PinNeeded,
    /// Its PIN is to be typed on a pad of its own, and its user has not been told yet.
    #[error("the smart card wants its PIN typed on the reader's pad")]
    PadNeeded,
    /// The PIN is wrong.
    #[error("the PIN is not right")]
    BadPin(Tries),
    /// Too many wrong PINs.
    #[error("the PIN is locked")]
    PinLocked,
    /// Nobody typed a PIN on the pad in time, or its user said no.
    #[error("nobody has typed the PIN in time")]
    Timeout,
    /// Several tokens are plugged in that it may be.
    #[error("several smart cards are plugged in that it may be")]
    Several,
    /// There is no key on it that can be used for this.
    #[error("the smart card has no private key that can decrypt for a home")]
    NoKey,
    /// What it gives is not what was enrolled.
    #[error("the smart card gives another key than the enrolled one")]
    OtherSecret,
    /// It cannot do what is asked.
    #[error("the smart card cannot do that: {0}")]
    Unsuitable(String),
    /// It does not work.
    #[error("the smart card does not answer as it should: {0}")]
    Broken(String),
}
