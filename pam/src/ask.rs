//! From the daemon's "no" to the next question: one thing is gathered, and everything is tried again.
//!
//! A program that gives the same answer to every question (a locker, ssh) is asked once: what has been refused is not
//! tried again, so one typo is one attempt.

use crate::daemon::Failure;
use crate::pam::{Pam, Say};
use ::pam::constants::PamResultCode;
use records::credentials::Permitted;
use records::{Credentials, Refusal, Secret};

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
        Want::Password(question) => {
            let fresh = answer(pam, question, &secret.passwords)?;
            secret.passwords.insert(0, fresh);
        }
        Want::Pin(question) => secret.token_pins = vec![answer(pam, question, &secret.token_pins)?],
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

fn answer(pam: &mut dyn Pam, question: &str, refused: &[Secret]) -> Result<Secret, PamResultCode> {
    let answer = pam.ask(question)?;
    if answer.is_empty() {
        return Err(PamResultCode::PAM_AUTHTOK_ERR);
    }
    match refused.iter().any(|one| one.matches(answer.open())) {
        true => Err(PamResultCode::PAM_PERM_DENIED),
        false => Ok(answer),
    }
}

/// Tells the user why it ends here, and what to do; gives the code. Of one of ours it is never a code that stacks pass
/// over: those written for the original's module heed PAM_AUTHTOK_ERR, PAM_PERM_DENIED and PAM_MAXTRIES.
pub fn give_up(pam: &mut dyn Pam, user: &str, failure: &Failure) -> PamResultCode {
    pam.log(&format!("the home of {user}: {failure:?}"));
    let (text, hint) = match failure {
        Failure::Refused(refusal, text) => (text.clone(), hint(*refusal)),
        Failure::Other(text) => (format!("The home of user {user} is not available: {text}"), ""),
        Failure::Absent | Failure::Silent(_) => (
            format!("The home of user {user} is not available: the service that opens it does not answer."),
            "Nothing was changed. Try again in a moment; an administrator sees more with: systemctl status homed",
        ),
    };
    pam.say(Say::Error, format!("{text} {hint}").trim_end());
    match failure.refusal() {
        Some(Refusal::AuthenticationLimitHit) => PamResultCode::PAM_MAXTRIES,
        _ => PamResultCode::PAM_PERM_DENIED,
    }
}

fn hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HomeAbsent => "Plug in the storage it is on, then log in again.",
        Refusal::TokenPinLocked => "Unlock the token's PIN first.",
        Refusal::TokenActionTimeout => "Try again.",
        Refusal::HomeInUse => "Close it there first.",
        Refusal::HomeLocked => "Unlock it first.",
        Refusal::HomeBusy | Refusal::TooManyOperations => "Try again in a moment.",
        Refusal::HomeDamaged => "Ask an administrator; nothing was changed.",
        Refusal::NoDiskSpace => "Ask an administrator to make room.",
        Refusal::BadSignature => "An administrator can trust its key: homectl add-signing-key.",
        _ => "",
    }
}
