//! From the daemon's "no" to the next question: one thing is gathered, and everything is tried again.
//!
//! A program that gives the same answer to every question (a locker, ssh) is asked once: what has been refused is not
//! tried again, so one typo is one attempt.

use crate::daemon::Failure;
use crate::pam::{Pam, Say};
use ::pam::constants::PamResultCode;
use records::credentials::Permitted;
use records::keys::AND_A_TOUCH;
use records::{Credentials, Refusal, Secret};

/// What of the credentials a question adds to.
enum Want {
    Password(&'static str),
    /// The same, and an empty answer tries again with what is plugged in by now.
    PasswordOrToken(&'static str),
    /// An empty answer: the password instead.
    Pin(&'static str),
    /// The PIN of this computer or a password, whichever it is; an empty answer as [`Want::Pin`], or tries again.
    PinOrPassword(&'static str, Empty),
    /// Nothing: a token is to be used, which was said.
    Permit(fn(&mut Credentials) -> &mut Permitted),
    /// A password, or, where nothing is typed, the same.
    PasswordOrPermit(&'static str, fn(&mut Credentials) -> &mut Permitted),
}

const OR_TOKEN_AGAIN: &str = "Password (or Enter, to try the token again): ";
/// What an empty answer is, where a PIN of this computer can be typed.
enum Empty {
    Password,
    TriesAgain,
}

/// Whose home is to be opened.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    /// Its user.
    pub user: &'a str,
    /// Whether this computer knows a PIN for it.
    pub has_pin: bool,
}

impl Whose<'_> {
    /// A question for a password, in whose place the PIN of this computer can be typed, too, if there is one.
    fn question(&self, question: &str) -> String {
        match question.strip_prefix("Password") {
            Some(rest) if self.has_pin => format!("PIN of this computer or password{rest}"),
            _ => question.to_owned(),
        }
    }

    /// Takes the answer.
    fn add(&self, typed: Secret, secret: &mut Credentials) -> Result<(), PamResultCode> {
        secret.computer_pin = self.has_pin.then(|| typed.duplicate());
        add(typed, secret)
    }
}

const OR_TOUCH: &str = "Password (or Enter, to use the security token): ";

/// Gathers what the refusal asks for. `Err`: there is nothing to gather, the hook ends so.
pub fn gather(
    pam: &mut dyn Pam,
    whose: Whose<'_>,
    failure: &Failure,
    secret: &mut Credentials,
) -> Result<(), PamResultCode> {
    let user = whose.user;
    let want = if whose.has_pin { want_with_pin(pam, failure, secret) } else { None };
    let want = want.map_or_else(|| self::want(pam, user, failure, secret), Ok)?;
    match want {
        Want::Password(question) => password(pam, question, secret),
        Want::PasswordOrToken(question) => {
            let typed = pam.ask(&whose.question(question))?;
            if typed.is_empty() { Ok(()) } else { whose.add(typed, secret) }
        }
        Want::Pin(question) => {
            pin(pam, question, whose, secret)?;
            touch_after_pin(pam, user, failure, secret);
            Ok(())
        }
        Want::PinOrPassword(question, empty) => pin_or_password(pam, question, &empty, secret),
        Want::Permit(of) => permit(of(secret)),
        Want::PasswordOrPermit(question, of) => {
            let typed = pam.ask(&whose.question(question))?;
            if !typed.is_empty() {
                return whose.add(typed, secret);
            }
            say_use(pam, user, failure);
            permit(of(secret))
        }
    }
}

/// Where the PIN of this computer opens the home, too: it is typed in the password's place. What was wrong is told in the
/// daemon's words, which say whether the PIN is tried at all.
fn want_with_pin(pam: &mut dyn Pam, failure: &Failure, secret: &Credentials) -> Option<Want> {
    let Failure::Refused(refusal, text) = failure else { return None };
    let no_token = match refusal {
        Refusal::BadPassword => false,
        Refusal::BadPasswordAndNoToken => true,
        _ => return None,
    };
    if !secret.passwords.is_empty() {
        pam.say(Say::Error, text);
    }
    Some(match (no_token, secret.passwords.is_empty()) {
        (false, true) => Want::PinOrPassword("PIN of this computer or password: ", Empty::Password),
        (false, false) => Want::PinOrPassword("Sorry, try again (PIN or password): ", Empty::Password),
        (true, _) => Want::PinOrPassword(
            "PIN of this computer or password (or insert the token, and press Enter): ",
            Empty::TriesAgain,
        ),
    })
}

fn want(
    pam: &mut dyn Pam,
    user: &str,
    failure: &Failure,
    secret: &mut Credentials,
) -> Result<Want, PamResultCode> {
    let first = secret.passwords.is_empty();
    let again = format!("Password incorrect or not sufficient for authentication of user {user}.");
    Ok(match failure.refusal() {
        Some(Refusal::BadPassword) if first => Want::Password("Password: "),
        Some(Refusal::BadPassword) => {
            error(pam, of_its_own(failure).unwrap_or(&again), Want::Password("Sorry, try again: "))
        }
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
            error(pam, &text, Want::PasswordOrToken("Password (or insert the token, and press Enter): "))
        }
        Some(Refusal::TokenPinNeeded) => {
            if !first {
                pam.say(Say::Error, &again);
            }
            say_which(pam, failure);
            Want::Pin("Security token PIN (or Enter, for the password): ")
        }
        Some(Refusal::BadPin | Refusal::BadPinFewTriesLeft | Refusal::BadPinOneTryLeft) => {
            bad_pin(pam, user, failure, secret)
        }
        Some(Refusal::TokenProtectedAuthenticationPathNeeded) => {
            use_it(pam, user, failure, secret, |all| &mut all.protected_authentication_path)
        }
        Some(Refusal::TokenUserPresenceNeeded) => {
            use_it(pam, user, failure, secret, |all| &mut all.user_presence)
        }
        Some(Refusal::TokenUserVerificationNeeded) => {
            use_it(pam, user, failure, secret, |all| &mut all.user_verification)
        }
        // The password works without it.
        Some(Refusal::TokenActionTimeout | Refusal::TokenPinLocked) => without_token(pam, failure, secret),
        _ => return Err(give_up(pam, user, failure)),
    })
}

/// A wrong PIN. Where it was typed on the token's pad there is nothing to be typed here but the password.
fn bad_pin(pam: &mut dyn Pam, user: &str, failure: &Failure, secret: &mut Credentials) -> Want {
    if secret.protected_authentication_path == Permitted::Yes {
        return without_token(pam, failure, secret);
    }
    let left = match failure.refusal() {
        Some(Refusal::BadPinOneTryLeft) => " (one try left!)",
        Some(Refusal::BadPinFewTriesLeft) => " (only a few tries left!)",
        _ => "",
    };
    let text = format!("Security token PIN incorrect for user {user}{left}.");
    error(pam, &text, Want::Pin("Sorry, retry security token PIN (or Enter, for the password): "))
}

/// The token is left alone, unless its user wants to try again.
fn without_token(pam: &mut dyn Pam, failure: &Failure, secret: &mut Credentials) -> Want {
    forget_token(secret);
    if let Failure::Refused(_, text) = failure {
        pam.say(Say::Error, text);
    }
    Want::PasswordOrToken(OR_TOKEN_AGAIN)
}

/// Which token it is, where that is known: whoever has several has several PINs.
fn say_which(pam: &mut dyn Pam, failure: &Failure) {
    if let Some(text) = of_its_own(failure) {
        pam.say(Say::Info, text);
    }
}

/// What is said of this case alone: more than the refusal says of all.
fn of_its_own(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Refused(refusal, text) if text != refusal.sentence() => Some(text),
        Failure::Refused(..) | Failure::Other(_) | Failure::Absent | Failure::Silent(_) => None,
    }
}

fn error(pam: &mut dyn Pam, text: &str, want: Want) -> Want {
    pam.say(Say::Error, text);
    want
}

/// A token is to be touched or the like. Where nothing has shown yet that its user wants to use it, the password can be
/// typed as well: nobody has to wait for a token that gives up.
fn use_it(
    pam: &mut dyn Pam,
    user: &str,
    failure: &Failure,
    secret: &Credentials,
    of: fn(&mut Credentials) -> &mut Permitted,
) -> Want {
    if secret.is_for_plugged_in() {
        say_use(pam, user, failure);
        return Want::Permit(of);
    }
    if !secret.passwords.is_empty() {
        let text = format!("Password incorrect or not sufficient for authentication of user {user}.");
        pam.say(Say::Error, &text);
    }
    Want::PasswordOrPermit(OR_TOUCH, of)
}

fn say_use(pam: &mut dyn Pam, user: &str, failure: &Failure) {
    let text = match failure.refusal() {
        Some(Refusal::TokenUserPresenceNeeded) => format!("Please touch the security token of user {user}."),
        Some(Refusal::TokenUserVerificationNeeded) => {
            format!("Please verify yourself on the security token of user {user}.")
        }
        _ => format!("Please authenticate on the security token of user {user}."),
    };
    pam.say(Say::Info, &text);
}

/// A key that wants its PIN and then a touch is told both at once: nothing is begun twice.
fn touch_after_pin(pam: &mut dyn Pam, user: &str, failure: &Failure, secret: &mut Credentials) {
    let is_wanted = matches!(failure, Failure::Refused(_, text) if text.contains(AND_A_TOUCH));
    if is_wanted && !secret.token_pins.is_empty() {
        pam.say(Say::Info, &format!("Please touch the security token of user {user}."));
        secret.user_presence = Permitted::Yes;
    }
}

fn permit(flag: &mut Permitted) -> Result<(), PamResultCode> {
    *flag = Permitted::Yes;
    Ok(())
}

fn password(pam: &mut dyn Pam, question: &str, secret: &mut Credentials) -> Result<(), PamResultCode> {
    let typed = pam.ask(question)?;
    add(typed, secret)
}

fn add(typed: Secret, secret: &mut Credentials) -> Result<(), PamResultCode> {
    let fresh = fresh(typed, &secret.passwords)?;
    secret.passwords.insert(0, fresh);
    Ok(())
}

/// A PIN; the password in its place, where nothing is typed.
fn pin(
    pam: &mut dyn Pam,
    question: &str,
    whose: Whose<'_>,
    secret: &mut Credentials,
) -> Result<(), PamResultCode> {
    let typed = pam.ask(question)?;
    if typed.is_empty() {
        forget_token(secret);
        let instead = whose.question("Password: ");
        return match whose.has_pin {
            true => pin_or_password(pam, &instead, &Empty::Password, secret),
            false => password(pam, &instead, secret),
        };
    }
    let typed = fresh(typed, &secret.token_pins)?;
    // Whoever was told to touch it before a wrong PIN is told again.
    forget_token(secret);
    secret.token_pins = vec![typed];
    Ok(())
}

/// One of both: homed looks whether it is a password before it has the TPM look. (It is never left for other modules: if it
/// was the PIN, a keyring would be made with it.)
fn pin_or_password(
    pam: &mut dyn Pam,
    question: &str,
    empty: &Empty,
    secret: &mut Credentials,
) -> Result<(), PamResultCode> {
    let typed = pam.ask(question)?;
    forget_token(secret);
    match (typed.is_empty(), empty) {
        (true, Empty::TriesAgain) => Ok(()),
        (true, Empty::Password) => password(pam, "Password: ", secret),
        (false, _) => {
            secret.computer_pin = Some(typed.duplicate());
            add(typed, secret)
        }
    }
}

/// What was said of the token counts no longer.
fn forget_token(secret: &mut Credentials) {
    let passwords = std::mem::take(&mut secret.passwords);
    *secret = Credentials { passwords, ..Credentials::default() };
}

fn fresh(answer: Secret, refused: &[Secret]) -> Result<Secret, PamResultCode> {
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
        Refusal::HomeInUse => "Close it there first.",
        Refusal::HomeLocked => "Unlock it first.",
        Refusal::HomeBusy | Refusal::TooManyOperations => "Try again in a moment.",
        Refusal::HomeDamaged => "Ask an administrator; nothing was changed.",
        Refusal::NoDiskSpace => "Ask an administrator to make room.",
        Refusal::BadSignature => "An administrator can trust its key: homectl add-signing-key.",
        _ => "",
    }
}
