//! What the numbers of PKCS#11 mean.

use crate::{Failure, Tries};
use cryptoki_sys as ck;

/// What an answer means, and a function's name for those that mean nothing to users.
pub fn ok(code: ck::CK_RV, function: &str) -> Result<(), Failure> {
    Err(match code {
        ck::CKR_OK | ck::CKR_USER_ALREADY_LOGGED_IN => return Ok(()),
        ck::CKR_PIN_INCORRECT | ck::CKR_PIN_LEN_RANGE | ck::CKR_PIN_INVALID => Failure::BadPin(Tries::Unsaid),
        ck::CKR_PIN_LOCKED => Failure::PinLocked,
        ck::CKR_CANCEL | ck::CKR_FUNCTION_CANCELED => Failure::Timeout,
        ck::CKR_USER_PIN_NOT_INITIALIZED => Failure::Unsuitable("it has no PIN".into()),
        ck::CKR_PIN_EXPIRED => Failure::Unsuitable("its PIN has expired".into()),
        ck::CKR_MECHANISM_INVALID | ck::CKR_FUNCTION_NOT_SUPPORTED | ck::CKR_KEY_FUNCTION_NOT_PERMITTED => {
            Failure::Unsuitable(format!("it does not know {function} for this key"))
        }
        ck::CKR_TOKEN_NOT_PRESENT | ck::CKR_DEVICE_REMOVED | ck::CKR_TOKEN_NOT_RECOGNIZED => {
            Failure::Broken("it was pulled out".into())
        }
        _ => Failure::Broken(format!("{function} ended with {code:#x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_do_something_about_is_told_apart() {
        assert_eq!(ok(0, ""), Ok(()));
        assert_eq!(ok(0xa0, ""), Err(Failure::BadPin(Tries::Unsaid)));
        assert_eq!(ok(0xa2, ""), Err(Failure::BadPin(Tries::Unsaid)));
        assert_eq!(ok(0xa4, ""), Err(Failure::PinLocked));
        assert_eq!(ok(0x50, ""), Err(Failure::Timeout));
        assert!(
            matches!(ok(0x5, "C_Login"), Err(Failure::Broken(text)) if text.contains("C_Login ended with 0x5"))
        );
    }
}
