//! auth: the user proves who it is, and the home is opened.

use super::Ended;
use crate::acquire::{Insist, acquire};
use crate::arguments::Arguments;
use crate::daemon::Daemon;
use crate::pam::Pam;
use crate::user;
use ::pam::constants::PamResultCode;

/// pam_sm_authenticate.
pub fn authenticate(pam: &mut dyn Pam, daemon: &mut dyn Daemon, arguments: &Arguments) -> Ended {
    let user = user::find(pam, daemon)?;
    acquire(pam, daemon, &user, Insist::Proof, arguments.suspend)?;
    Ok(PamResultCode::PAM_SUCCESS)
}

/// pam_sm_setcred: there are no credentials of ours, and strangers' are set by the modules that follow.
pub fn credentials(pam: &mut dyn Pam, daemon: &mut dyn Daemon, _arguments: &Arguments) -> Ended {
    match user::is_ours(pam, daemon) {
        true => Ok(PamResultCode::PAM_SUCCESS),
        false => Err(PamResultCode::PAM_USER_UNKNOWN),
    }
}
