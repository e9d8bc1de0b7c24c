//! Getting a reference on the home: by authenticating, or because it is open.

use crate::ask;
use crate::daemon::{AtSuspend, Daemon, Failure};
use crate::pam::{Pam, Say, Seat, Token};
use crate::user::User;
use ::pam::constants::PamResultCode;
use records::{Credentials, Refusal};
use std::os::fd::OwnedFd;

/// Most calls of one hook; each may bring one more question.
const MOST_CALLS: u32 = 5;
/// Most calls that only say what a token needs: its PIN, a touch, a finger, and once more after each went wrong.
const MOST_NEEDS: u32 = 8;

/// What the hook insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insist {
    /// The user proves who it is (auth).
    Proof,
    /// An open home is enough (account, session).
    Open,
}

/// How it is to be got.
struct Attempt<'a> {
    user: &'a User,
    secret: Credentials,
    suspend: AtSuspend,
    /// Why an open home could not be referenced.
    closed: Option<Refusal>,
}

/// Gets the reference. A hook that does not insist on proof is content with that of a hook before it.
pub fn acquire(
    pam: &mut dyn Pam,
    daemon: &mut dyn Daemon,
    user: &User,
    insist: Insist,
    suspend: AtSuspend,
) -> Result<(), PamResultCode> {
    if insist == Insist::Open && pam.memory().borrow().holds(&user.name) {
        return Ok(());
    }
    let mut attempt = Attempt { user, secret: Credentials::default(), suspend, closed: None };
    if insist == Insist::Open {
        match daemon.reference(&user.name, suspend) {
            Ok(reference) => return keep(pam, user, reference),
            Err(failure) => match failure.refusal() {
                Some(refusal @ (Refusal::HomeNotActive | Refusal::HomeBusy | Refusal::HomeLocked)) => {
                    attempt.closed = Some(refusal);
                }
                // A program without root's rights, for its own user: there is nothing it could hold.
                Some(Refusal::AccessDenied) if is_open(daemon, user) => return Ok(()),
                Some(Refusal::AccessDenied) => attempt.closed = Some(Refusal::HomeNotActive),
                _ => return Err(ask::give_up(pam, &user.name, &failure)),
            },
        }
    }
    // What another module has asked for.
    if let Some(token) = pam.token(Token::Current).filter(|token| !token.is_empty()) {
        attempt.secret.passwords.push(token);
    }
    let reference = prove(pam, daemon, &mut attempt)?;
    // The modules that follow (a keyring, say) open with the password that opened the home. Where a token did, there is
    // none.
    if insist == Insist::Proof
        && !attempt.secret.is_for_tokens()
        && let Some(password) = attempt.secret.passwords.first()
    {
        pam.set_token(Token::Current, password)?;
    }
    keep(pam, user, reference)
}

/// Opens the home with what the user brings, one question more at each turn.
fn prove(
    pam: &mut dyn Pam,
    daemon: &mut dyn Daemon,
    attempt: &mut Attempt<'_>,
) -> Result<OwnedFd, PamResultCode> {
    let user = &attempt.user.name;
    let whose = attempt.user.whose();
    let (mut calls, mut needs) = (0, 0);
    while calls < MOST_CALLS && needs < MOST_NEEDS {
        let failure = match daemon.acquire(user, &attempt.secret, attempt.suspend) {
            Ok(reference) => return Ok(reference),
            Err(failure) => failure,
        };
        match is_a_need(&failure) {
            true => needs += 1,
            false => calls += 1,
        }
        // A service has nobody before it: systemd would ask all terminals there are.
        if attempt.closed.is_some() && pam.seat() == Seat::None && is_a_question(&failure) {
            return Err(nobody_answers(pam, attempt));
        }
        match ask::gather(pam, whose, &failure, &mut attempt.secret) {
            Ok(()) => {}
            Err(PamResultCode::PAM_CONV_ERR) => return Err(nobody_answers(pam, attempt)),
            Err(code) => return Err(code),
        }
    }
    pam.say(Say::Error, &format!("Too many unsuccessful login attempts for user {user}, refusing."));
    Err(PamResultCode::PAM_MAXTRIES)
}

fn keep(pam: &mut dyn Pam, user: &User, reference: OwnedFd) -> Result<(), PamResultCode> {
    pam.memory().borrow_mut().keep(&user.name, reference);
    Ok(())
}

fn is_a_question(failure: &Failure) -> bool {
    let secrets = [Refusal::BadPassword, Refusal::BadRecoveryKey, Refusal::BadPasswordAndNoToken];
    is_a_need(failure) || failure.refusal().is_some_and(|refusal| secrets.contains(&refusal))
}

/// Whether nothing was wrong, and a token needs more.
fn is_a_need(failure: &Failure) -> bool {
    matches!(
        failure.refusal(),
        Some(
            Refusal::TokenPinNeeded
                | Refusal::TokenProtectedAuthenticationPathNeeded
                | Refusal::TokenUserPresenceNeeded
                | Refusal::TokenUserVerificationNeeded
        )
    )
}

/// Whether the record says that the home is open now.
fn is_open(daemon: &mut dyn Daemon, user: &User) -> bool {
    let Ok(machine) = daemon.machine() else { return false };
    let status = &user.record.members()["status"][machine.id.as_str()]["state"];
    matches!(status.as_str(), Some("active" | "lingering"))
}

/// There is nobody to ask: a cron job, or ssh with a key. A session on a closed home would begin in
/// `/` without any of the user's files, so there is none.
fn nobody_answers(pam: &mut dyn Pam, attempt: &Attempt<'_>) -> PamResultCode {
    let user = &attempt.user.name;
    let state = match attempt.closed {
        Some(Refusal::HomeLocked) => "locked; unlock it",
        Some(_) => "not open; log in",
        None => return PamResultCode::PAM_PERM_DENIED,
    };
    let how = match pam.seat() {
        Seat::Ssh => ", over ssh: ssh -o PubkeyAuthentication=no",
        Seat::Here | Seat::None | Seat::Answered => "",
    };
    pam.say(Say::Error, &format!("Home of user {user} is {state} with its password first{how}."));
    PamResultCode::PAM_PERM_DENIED
}
