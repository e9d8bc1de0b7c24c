//! Why a security key gave nothing.

/// Why a security key gave nothing. Sentences are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// libfido2 is not installed, or lacks something.
    #[error("libfido2 cannot be loaded: {0}")]
    NoLibrary(String),
    /// Nothing that is plugged in has the credential.
    #[error("none of the credentials is on a security key that is plugged in")]
    NotPluggedIn,
    /// The key has the credential, and not for this: it cannot do what is asked.
    #[error("the security key cannot do that: {0}")]
    Unsuitable(String),
    /// Its PIN is needed.
    #[error("the security key needs its PIN")]
    PinNeeded,
    /// Its PIN is needed, and a touch after that.
    #[error("the security key needs its PIN and a touch")]
    PinAndTouchNeeded,
    /// It will wait for a touch, and its user has not been told yet.
    #[error("the security key wants to be touched")]
    PresenceNeeded,
    /// It will wait for a finger or the like, and its user has not been told yet.
    #[error("the security key wants its user verified")]
    VerificationNeeded,
    /// The PIN is wrong; so many tries are left, where the key says so.
    #[error("the PIN is not right")]
    BadPin(Option<u8>),
    /// Too many wrong PINs: until it is plugged in again (`true`), or for good.
    #[error("the PIN is locked")]
    PinLocked(bool),
    /// Nobody touched it in time, or its user said no.
    #[error("nobody has touched the security key in time")]
    Timeout,
    /// What it answers is not what was enrolled.
    #[error("the security key answers another secret than the enrolled one")]
    OtherSecret,
    /// It does not work.
    #[error("the security key does not answer as it should: {0}")]
    Broken(String),
}

/// Numbers of fido/err.h.
mod number {
    pub const NO_CREDENTIALS: i32 = 0x2e;
    pub const USER_ACTION_TIMEOUT: i32 = 0x2f;
    pub const OPERATION_DENIED: i32 = 0x27;
    pub const KEEPALIVE_CANCEL: i32 = 0x2d;
    pub const UNSUPPORTED_OPTION: i32 = 0x2b;
    pub const UNSUPPORTED_ALGORITHM: i32 = 0x26;
    pub const UNSUPPORTED_EXTENSION: i32 = 0x16;
    pub const PIN_INVALID: i32 = 0x31;
    pub const PIN_BLOCKED: i32 = 0x32;
    pub const PIN_AUTH_INVALID: i32 = 0x33;
    pub const PIN_AUTH_BLOCKED: i32 = 0x34;
    pub const PIN_NOT_SET: i32 = 0x35;
    pub const PIN_REQUIRED: i32 = 0x36;
    pub const ACTION_TIMEOUT: i32 = 0x3a;
    pub const UP_REQUIRED: i32 = 0x3b;
    pub const UV_BLOCKED: i32 = 0x3c;
    pub const UV_INVALID: i32 = 0x3f;
    /// libfido2's own: nothing was received.
    pub const RX: i32 = -2;
}

/// What a number of libfido2 means; `text` are the library's words for it.
pub(crate) fn meaning(code: i32, text: &str, tries: impl FnOnce() -> Option<u8>) -> Failure {
    match code {
        number::NO_CREDENTIALS => Failure::NotPluggedIn,
        number::PIN_REQUIRED => Failure::PinNeeded,
        number::UP_REQUIRED => Failure::PresenceNeeded,
        number::PIN_INVALID | number::PIN_AUTH_INVALID => Failure::BadPin(tries()),
        number::PIN_AUTH_BLOCKED => Failure::PinLocked(true),
        number::PIN_BLOCKED | number::UV_BLOCKED => Failure::PinLocked(false),
        // Nothing heard for as long as libfido2 was told to wait is the same for whoever waited.
        number::USER_ACTION_TIMEOUT
        | number::ACTION_TIMEOUT
        | number::OPERATION_DENIED
        | number::KEEPALIVE_CANCEL
        | number::UV_INVALID
        | number::RX => Failure::Timeout,
        number::UNSUPPORTED_OPTION
        | number::UNSUPPORTED_ALGORITHM
        | number::UNSUPPORTED_EXTENSION
        | number::PIN_NOT_SET => Failure::Unsuitable(text.to_owned()),
        _ => Failure::Broken(format!("{text} ({code:#x})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_asked_for_only_after_a_wrong_pin() {
        let unasked = || -> Option<u8> { panic!("asked for the tries") };
        assert_eq!(meaning(0x31, "", || Some(7)), Failure::BadPin(Some(7)));
        assert_eq!(meaning(0x34, "", unasked), Failure::PinLocked(true));
        assert_eq!(meaning(0x32, "", unasked), Failure::PinLocked(false));
        assert_eq!(meaning(0x2e, "", unasked), Failure::NotPluggedIn);
        assert!(matches!(meaning(0x7f, "x", unasked), Failure::Broken(text) if text.contains("0x7f")));
    }
}
