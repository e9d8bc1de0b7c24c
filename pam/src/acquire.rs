//! Getting a reference on the home: by authenticating, or because it is open.

use crate::ask;
use crate::daemon::{AtSuspend, Daemon};
use crate::pam::{Pam, Say, Token};
use ::pam::constants::PamResultCode;
use records::{Credentials, Refusal};
use std::os::fd::OwnedFd;

/// Most calls of one hook; each may bring one more question.
const MOST_CALLS: u32 = 5;

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
    user: &'a str,
    secret: Credentials,
    /// Why an open home could not be referenced.
    closed: Option<Refusal>,
}

/// Gets the reference, unless a hook before this one has.
pub fn acquire(
    pam: &mut dyn Pam,
    daemon: &mut dyn Daemon,
    user: &str,
    insist: Insist,
    suspend: AtSuspend,
) -> Result<(), PamResultCode> {
    if pam.has_reference(user) {
        return Ok(());
    }
    let mut attempt = Attempt { user, secret: Credentials::default(), closed: None };
    let mut prove = insist == Insist::Proof;
    if prove && let Some(token) = pam.token(Token::Current).filter(|token| !token.is_empty()) {
        attempt.secret.passwords.push(token);
    }
    for _ in 0..MOST_CALLS {
        let called = if prove {
            daemon.acquire(user, &attempt.secret, suspend)
        } else {
            daemon.reference(user, suspend)
        };
        let failure = match called {
            Ok(reference) => return done(pam, &attempt, insist, reference),
            Err(failure) => failure,
        };
        match failure.refusal() {
            Some(refusal @ (Refusal::HomeNotActive | Refusal::HomeBusy | Refusal::HomeLocked)) if !prove => {
                attempt.closed = Some(refusal);
                prove = true;
            }
            _ => match ask::gather(pam, user, &failure, &mut attempt.secret) {
                Ok(()) => {}
                Err(PamResultCode::PAM_CONV_ERR) => return Err(nobody_answers(pam, &attempt)),
                Err(code) => return Err(code),
            },
        }
    }
    pam.say(Say::Error, &format!("Too many unsuccessful login attempts for user {user}, refusing."));
    Err(PamResultCode::PAM_MAXTRIES)
}

fn done(
    pam: &mut dyn Pam,
    attempt: &Attempt<'_>,
    insist: Insist,
    reference: OwnedFd,
) -> Result<(), PamResultCode> {
    // The modules that follow (a keyring, say) open with the password that opened the home.
    if insist == Insist::Proof
        && let Some(password) = attempt.secret.passwords.first()
    {
        pam.set_token(Token::Current, password)?;
    }
    pam.keep_reference(attempt.user, reference)
}

/// There is nobody to ask: a cron job, or ssh with a key. A session on a closed home would begin in
/// `/` without any of the user's files, so there is none.
fn nobody_answers(pam: &mut dyn Pam, attempt: &Attempt<'_>) -> PamResultCode {
    let user = attempt.user;
    let state = match attempt.closed {
        Some(Refusal::HomeLocked) => "locked; unlock it",
        Some(_) => "not open; log in",
        None => return PamResultCode::PAM_CONV_ERR,
    };
    pam.say(Say::Error, &format!("Home of user {user} is {state} with its password first."));
    PamResultCode::PAM_PERM_DENIED
}
