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
    acquire(pam, daemon, &user.name, Insist::Proof, arguments.suspend)?;
    Ok(PamResultCode::PAM_SUCCESS)
}
