//! password: changes what opens the home. Only who knows the old one can: nobody, root included, can
//! open the home's key slots without.

use super::Ended;
use crate::arguments::Arguments;
use crate::ask;
use crate::daemon::Daemon;
use crate::pam::{Pam, Say, Token};
use crate::user;
use ::pam::constants::PamResultCode;
use records::{Credentials, Refusal, Secret};

/// libpam calls twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Is there somebody to change something for?
    Check,
    /// Change it.
    Update,
}

/// Most calls of one change.
const MOST_CALLS: u32 = 5;

/// pam_sm_chauthtok.
pub fn change(pam: &mut dyn Pam, daemon: &mut dyn Daemon, arguments: &Arguments, phase: Phase) -> Ended {
    let user = match user::find(pam, daemon) {
        Err(PamResultCode::PAM_USER_UNKNOWN) if arguments.first && phase == Phase::Update => {
            pam.new_token()?;
            return Err(PamResultCode::PAM_USER_UNKNOWN);
        }
        found => found?,
    };
    if phase == Phase::Check {
        current(pam)?;
        return Ok(PamResultCode::PAM_SUCCESS);
    }
    let mut old = Credentials::default();
    if let Some(token) = pam.token(Token::Old).or_else(|| pam.token(Token::Current)).filter(|t| !t.is_empty())
    {
        old.passwords.push(token);
    }
    let mut new = fresh(pam)?;
    for _ in 0..MOST_CALLS {
        let failure = match daemon.change_password(&user.name, &new, &old) {
            Ok(()) => {
                if let Some(password) = new.passwords.first() {
                    pam.set_token(Token::Current, password)?;
                }
                return Ok(PamResultCode::PAM_SUCCESS);
            }
            Err(failure) => failure,
        };
        match failure.refusal() {
            Some(Refusal::LowPasswordQuality) => {
                if let crate::daemon::Failure::Refused(_, text) = &failure {
                    pam.say(Say::Error, text);
                }
                new = another(pam)?;
            }
            _ => ask::gather(pam, user.whose(), &failure, &mut old)?,
        }
    }
    pam.say(Say::Error, &format!("Too many unsuccessful attempts for user {}, refusing.", user.name));
    Err(PamResultCode::PAM_MAXTRIES)
}

/// The password that is good now, asked for before the new one, as people know it.
fn current(pam: &mut dyn Pam) -> Result<(), PamResultCode> {
    if pam.token(Token::Old).is_some_and(|token| !token.is_empty()) {
        return Ok(());
    }
    if pam.is_root() {
        pam.say(Say::Info, "Only its own password opens a home: the current one is needed, from root too.");
    }
    let token = pam.ask("Current password: ")?;
    if token.is_empty() {
        return Err(PamResultCode::PAM_AUTHTOK_RECOVERY_ERR);
    }
    pam.set_token(Token::Old, &token)
}

fn fresh(pam: &mut dyn Pam) -> Result<Credentials, PamResultCode> {
    let token = pam.new_token()?;
    wanted(token)
}

/// Another new password, after one was too weak.
fn another(pam: &mut dyn Pam) -> Result<Credentials, PamResultCode> {
    let first = pam.ask("New password: ")?;
    let second = pam.ask("Retype new password: ")?;
    if !first.matches(second.open()) {
        pam.say(Say::Error, "Sorry, passwords do not match.");
        return Err(PamResultCode::PAM_TRY_AGAIN);
    }
    wanted(first)
}

fn wanted(token: Secret) -> Result<Credentials, PamResultCode> {
    if token.is_empty() {
        return Err(PamResultCode::PAM_AUTHTOK_ERR);
    }
    Ok(Credentials { passwords: vec![token], ..Credentials::default() })
}
