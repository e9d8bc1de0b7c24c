//! What to type next, for each refusal. The sentence of what happened comes from homed.

use crate::bus::Failure;
use records::Refusal;

/// The lines for a failure: what happened, whether anything was lost, what to type next.
pub fn explain(failure: &Failure, user: &str) -> String {
    match failure {
        Failure::Other(text) => text.clone(),
        Failure::Refused(refusal, sentence) => match advice(*refusal) {
            None => sentence.clone(),
            Some(advice) => format!(
                "{sentence}\n  {}",
                advice.replace("USER", if user.is_empty() { "USER" } else { user })
            ),
        },
    }
}

/// For each refusal: whether anything was lost, and the next step.
const ADVICE: &[(Refusal, &str)] = &[
    (Refusal::NoSuchHome, "Nothing was changed. See which homes there are: homectl list"),
    (Refusal::UidInUse, "Nothing was made. Leave --uid= out, and a free one is chosen."),
    (
        Refusal::UserNameExists,
        "Nothing was made. Choose another name; see who has it: getent passwd USER; getent group USER",
    ),
    (
        Refusal::HomeExists,
        "Nothing was changed. To use what is there: homectl activate USER. To begin anew: homectl remove USER",
    ),
    (Refusal::HomeAlreadyActive, "There is nothing to do."),
    (Refusal::HomeAlreadyFixated, "There is nothing to do."),
    (Refusal::HomeUnfixated, "Nothing was changed. Log in as USER once, or type: homectl activate USER"),
    (Refusal::HomeNotActive, "Nothing was changed. To open it: homectl activate USER"),
    (
        Refusal::HomeAbsent,
        "Nothing was lost by this. Plug in the disk with the home, or see where it is expected: homectl inspect USER",
    ),
    (Refusal::HomeBusy, "Nothing was changed. See who uses it: fuser -vm /home/USER. Then try again."),
    (Refusal::BadPassword, "Nothing was changed. Try again; a recovery key works in the password's place."),
    (
        Refusal::BadRecoveryKey,
        "Nothing was changed. It has eight groups of eight letters; case does not matter.",
    ),
    (
        Refusal::LowPasswordQuality,
        "The password is as before. Choose a better one, or create the user with --enforce-password-policy=no",
    ),
    (Refusal::BadPasswordAndNoToken, "Nothing was changed. Plug in the security token and try again."),
    (
        Refusal::TokenPinNeeded,
        "Nothing was changed. Try again on a terminal, where the PIN can be asked for.",
    ),
    (
        Refusal::TokenProtectedAuthenticationPathNeeded,
        "Nothing was changed. Type the PIN on the token's own pad.",
    ),
    (Refusal::TokenUserPresenceNeeded, "Nothing was changed. Touch the token when it blinks."),
    (Refusal::TokenUserVerificationNeeded, "Nothing was changed. Verify yourself on the token."),
    (Refusal::TokenActionTimeout, "Nothing was changed. Try again, and be quicker."),
    (
        Refusal::TokenPinLocked,
        "Nothing was changed. Unlock it with the tool of the token's maker, or use the password.",
    ),
    (Refusal::BadPin, "Nothing was changed. Try again."),
    (Refusal::BadPinFewTriesLeft, "Nothing was changed. Try again."),
    (
        Refusal::BadPinOneTryLeft,
        "Nothing was changed. One more wrong PIN locks the token; the password works, too.",
    ),
    (
        Refusal::BadSignature,
        "Nothing was changed. If you trust the machine it comes from: homectl get-signing-key there, homectl add-signing-key here. To open homes of strangers: TrustForeignHomes=restricted in homed.conf.",
    ),
    (
        Refusal::RecordMismatch,
        "Nothing was changed. Compare both: homectl inspect USER. If the clock is behind, set it.",
    ),
    (
        Refusal::RecordDowngrade,
        "Nothing was changed. Somebody changed the record meanwhile: take the newer one (homectl inspect -E USER) and repeat.",
    ),
    (Refusal::RecordSigned, "Nothing was changed. Change it on the machine that signed it."),
    (
        Refusal::BadHomeSize,
        "The home has its old size. See what is possible (Disk Floor, Disk Ceiling): homectl inspect USER",
    ),
    (Refusal::NoPrivateKey, "Nothing was changed. See the log: journalctl -u homed"),
    (Refusal::HomeLocked, "Nothing was lost. To open it again: homectl unlock USER"),
    (Refusal::HomeNotLocked, "There is nothing to do."),
    (
        Refusal::NotLocked,
        "The keys of these are still in memory; nothing was lost. See why: journalctl -u homed",
    ),
    (
        Refusal::NoDiskSpace,
        "What was there is as it was. Free some space (df -h /home) and try again, or choose a smaller --disk-size=",
    ),
    (Refusal::TooManyOperations, "Nothing was changed. Try again when those are done."),
    (Refusal::AuthenticationLimitHit, "Nothing was changed. See when (Next Try): homectl inspect USER"),
    (
        Refusal::HomeCantAuthenticate,
        "Nothing was changed. Restore a record that has a password: homectl register FILE",
    ),
    (
        Refusal::HomeInUse,
        "Nothing was changed. Another machine or program has the image open: close it there first.",
    ),
    (Refusal::RebalanceNotNeeded, "There is nothing to do."),
    (Refusal::HomeNotReferenced, "Nothing was changed. Log in as USER first."),
    (Refusal::NoSuchKey, "See which there are: homectl list-signing-keys"),
    (
        Refusal::UnrecognizedHomeFormat,
        "Nothing was changed. A home is an image that says whose it is, a file NAME.home or a folder NAME.homedir.",
    ),
    (
        Refusal::HomeDamaged,
        "The password was not the problem. See what is wrong: homectl check USER. Make a copy of the image before you do more.",
    ),
    (Refusal::InvalidArgs, "Nothing was changed."),
    (Refusal::NotSupported, "Nothing was changed."),
    (Refusal::AccessDenied, "Nothing was changed. Try it as root, or as USER."),
];

fn advice(refusal: Refusal) -> Option<&'static str> {
    ADVICE.iter().find(|(row, _)| *row == refusal).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_next_step_of_its_own_user() {
        for refusal in Refusal::ALL {
            let text = explain(&Failure::Refused(*refusal, "What happened.".to_owned()), "anna");
            assert!(text.lines().count() == 2, "{refusal:?}");
            assert!(!text.contains("USER"), "{refusal:?}");
        }
    }

    #[test]
    fn a_damaged_image_is_not_called_a_wrong_password() {
        let text = explain(
            &Failure::Refused(Refusal::HomeDamaged, Refusal::HomeDamaged.sentence().to_owned()),
            "anna",
        );
        assert!(text.contains("damaged") && text.contains("The password was not the problem"));
    }
}
