//! From the daemon's "no" to the next question: one thing is gathered, and everything is tried again.

use crate::daemon::Failure;
use crate::pam::{Pam, Say};
use ::pam::constants::PamResultCode;
use records::credentials::Permitted;
use records::{Credentials, Refusal};

/// What of the credentials a question adds to.
enum Want {
    Password(&'static str),
    Pin(&'static str),
}

/// Gathers what the refusal asks for. `Err`: there is nothing to gather, the hook ends so.
pub fn gather(
    pam: &mut dyn Pam,
    user: &str,
    failure: &Failure,
    secret: &mut Credentials,
) -> Result<(), PamResultCode> {
    let first = secret.passwords.is_empty();
    let again = format!("Password incorrect or not sufficient for authentication of user {user}.");
    let want = match failure.refusal() {
        Some(Refusal::BadPassword) if first => Want::Password("Password: "),
        Some(Refusal::BadPassword) => error(pam, &again, Want::Password("Sorry, try again: ")),
        Some(Refusal::BadRecoveryKey) if first => Want::Password("Recovery key: "),
        Some(Refusal::BadRecoveryKey) => {
            let text = format!("Recovery key incorrect or not sufficient for authentication of user {user}.");
            error(pam, &text, Want::Password("Sorry, reenter recovery key: "))
        }
        Some(Refusal::BadPasswordAndNoToken) => {
            let text = if first {
                format!("Security token of user {user} not inserted.")
            } else {
                format!("Password incorrect, and security token of user {user} not inserted.")
            };
            error(pam, &text, Want::Password("Try again with password: "))
        }
        Some(Refusal::TokenPinNeeded) => Want::Pin("Security token PIN: "),
        Some(Refusal::BadPin | Refusal::BadPinFewTriesLeft | Refusal::BadPinOneTryLeft) => {
            let left = match failure.refusal() {
                Some(Refusal::BadPinOneTryLeft) => " (one try left!)",
                Some(Refusal::BadPinFewTriesLeft) => " (only a few tries left!)",
                _ => "",
            };
            let text = format!("Security token PIN incorrect for user {user}{left}.");
            error(pam, &text, Want::Pin("Sorry, retry security token PIN: "))
        }
        Some(Refusal::TokenProtectedAuthenticationPathNeeded) => {
            pam.say(Say::Info, &format!("Please authenticate on the security token of user {user}."));
            return permit(&mut secret.protected_authentication_path);
        }
        Some(Refusal::TokenUserPresenceNeeded) => {
            pam.say(Say::Info, &format!("Please touch the security token of user {user}."));
            return permit(&mut secret.user_presence);
        }
        Some(Refusal::TokenUserVerificationNeeded) => {
            pam.say(Say::Info, &format!("Please verify yourself on the security token of user {user}."));
            return permit(&mut secret.user_verification);
        }
        _ => return Err(give_up(pam, user, failure)),
    };
    match want {
        Want::Password(question) => secret.passwords.insert(0, answer(pam, question)?),
        Want::Pin(question) => secret.token_pins = vec![answer(pam, question)?],
    }
    Ok(())
}

fn error(pam: &mut dyn Pam, text: &str, want: Want) -> Want {
    pam.say(Say::Error, text);
    want
}

fn permit(flag: &mut Permitted) -> Result<(), PamResultCode> {
    *flag = Permitted::Yes;
    Ok(())
}

fn answer(pam: &mut dyn Pam, question: &str) -> Result<records::Secret, PamResultCode> {
    let answer = pam.ask(question)?;
    if answer.is_empty() { Err(PamResultCode::PAM_AUTHTOK_ERR) } else { Ok(answer) }
}

/// Tells the user why it ends here, and what to do; gives the code.
pub fn give_up(pam: &mut dyn Pam, user: &str, failure: &Failure) -> PamResultCode {
    pam.log(&format!("the home of {user}: {failure:?}"));
    let Failure::Refused(refusal, text) = failure else {
        return match failure {
            Failure::Absent => PamResultCode::PAM_USER_UNKNOWN,
            _ => PamResultCode::PAM_SERVICE_ERR,
        };
    };
    let (hint, code) = match refusal {
        Refusal::HomeAbsent => {
            ("Plug in the storage it is on, then log in again.", PamResultCode::PAM_PERM_DENIED)
        }
        Refusal::AuthenticationLimitHit => ("", PamResultCode::PAM_MAXTRIES),
        Refusal::TokenPinLocked => ("Unlock the token's PIN first.", PamResultCode::PAM_SERVICE_ERR),
        Refusal::TokenActionTimeout => ("Try again.", PamResultCode::PAM_AUTH_ERR),
        Refusal::HomeInUse => ("Close it there first.", PamResultCode::PAM_PERM_DENIED),
        Refusal::HomeLocked => ("Unlock it first.", PamResultCode::PAM_PERM_DENIED),
        Refusal::HomeBusy | Refusal::TooManyOperations => {
            ("Try again in a moment.", PamResultCode::PAM_PERM_DENIED)
        }
        Refusal::HomeDamaged => {
            ("Ask an administrator; nothing was changed.", PamResultCode::PAM_PERM_DENIED)
        }
        Refusal::NoDiskSpace => ("Ask an administrator to make room.", PamResultCode::PAM_PERM_DENIED),
        Refusal::BadSignature => {
            ("An administrator can trust its key: homectl add-signing-key.", PamResultCode::PAM_PERM_DENIED)
        }
        Refusal::AccessDenied => ("", PamResultCode::PAM_PERM_DENIED),
        _ => ("", PamResultCode::PAM_SERVICE_ERR),
    };
    pam.say(Say::Error, format!("{text} {hint}").trim_end());
    code
}
