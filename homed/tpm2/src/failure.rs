//! Why a TPM gave nothing.

/// Why a TPM gave nothing. Sentences are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is none, or it cannot be opened.
    #[error("there is no TPM that can be used: {0}")]
    NoDevice(String),
    /// None of the TPMs has the key that the secret is sealed under: it was cleared, or is another one.
    #[error("the TPM is another one than that of the enrolment, or was cleared")]
    OtherTpm,
    /// What the computer has started with is not what it was at the enrolment.
    #[error("what this computer has started with has changed (PCRs)")]
    PcrsChanged,
    /// It takes no PIN for a while, whoever asks.
    #[error("the TPM takes no PIN for a while, after too many wrong ones")]
    LockedOut,
    /// A wrong PIN could have it take none for a while, whoever asks.
    #[error("the TPM is close to taking no PIN for a while, after too many wrong ones")]
    NearLockout,
    /// The PIN is wrong.
    #[error("the PIN is not right")]
    BadPin,
    /// The attempt could not be counted, and was not made.
    #[error("the attempt cannot be counted, so it was not made: {0}")]
    NotCounted(String),
    /// It is not for this: it lacks something.
    #[error("the TPM cannot do that: {0}")]
    Unsuitable(String),
    /// It does not work.
    #[error("the TPM does not answer as it should: {0}")]
    Broken(String),
}

/// Numbers of TPM_RC (part 2, 6.6.3).
pub(crate) mod number {
    pub const SUCCESS: u32 = 0;
    /// An authorization failed, and was counted.
    pub const AUTH_FAIL: u32 = 0x08e;
    /// The same, not counted.
    pub const BAD_AUTH: u32 = 0x0a2;
    /// The session's policy is not the object's.
    pub const POLICY_FAIL: u32 = 0x09d;
    /// Something was not made by this TPM.
    pub const INTEGRITY: u32 = 0x09f;
    pub const LOCKOUT: u32 = 0x921;
    /// Warnings that want the command sent again: NV_RATE, RETRY, YIELDED, TESTING.
    pub const AGAIN: [u32; 4] = [0x920, 0x922, 0x908, 0x90a];
}

/// What a response code means; `command` is what was asked for.
pub(crate) fn meaning(code: u32, command: &str) -> Failure {
    // Of format 1 the bits 8 to 11 tell which handle, parameter or session.
    let plain = if code & 0x80 != 0 { code & 0xbf } else { code };
    match plain {
        number::AUTH_FAIL => Failure::BadPin,
        number::POLICY_FAIL => Failure::PcrsChanged,
        number::INTEGRITY => Failure::OtherTpm,
        number::LOCKOUT => Failure::LockedOut,
        number::BAD_AUTH => {
            Failure::Unsuitable(format!("its owner has set a password, which {command} would need"))
        }
        _ => Failure::Broken(format!("{command}: {code:#x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_whatever_they_are_about() {
        assert_eq!(meaning(0x98e, "Unseal"), Failure::BadPin);
        assert_eq!(meaning(0x99d, "Unseal"), Failure::PcrsChanged);
        assert_eq!(meaning(0x1df, "Load"), Failure::OtherTpm);
        assert_eq!(meaning(0x921, "Unseal"), Failure::LockedOut);
        assert!(matches!(meaning(0x9a2, "CreatePrimary"), Failure::Unsuitable(_)));
        assert!(matches!(meaning(0x101, "Create"), Failure::Broken(text) if text == "Create: 0x101"));
    }
}
