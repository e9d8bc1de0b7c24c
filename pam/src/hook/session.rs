//! session: the home stays open as long as the session lasts.

use super::Ended;
use crate::acquire::{Insist, acquire};
use crate::arguments::Arguments;
use crate::daemon::{AtSuspend, Daemon, Failure};
use crate::pam::{Pam, Say, Seat};
use crate::user;
use ::pam::constants::PamResultCode;
use records::Refusal;

/// pam_sm_open_session. Sessions of users that are not ours are none of our business.
pub fn open(pam: &mut dyn Pam, daemon: &mut dyn Daemon, arguments: &Arguments) -> Ended {
    let user = match user::find(pam, daemon) {
        Err(PamResultCode::PAM_USER_UNKNOWN) => return Ok(PamResultCode::PAM_SUCCESS),
        found => found?,
    };
    acquire(pam, daemon, &user, Insist::Open, arguments.suspend)?;
    if pam.seat() != Seat::None && daemon.is_half_restored(&user.name) {
        pam.say(
            Say::Info,
            &format!(
                "Not all of the backup that this home is made of is in it yet. An administrator goes on with: homectl backup {} restore",
                user.name
            ),
        );
    }
    // Nobody compares it any more, and the modules that follow know users by their primary names.
    pam.set_user(&user.name)?;
    pam.set_variable("SYSTEMD_HOME", "1")?;
    pam.set_variable("SYSTEMD_HOME_SUSPEND", if arguments.suspend == AtSuspend::Lock { "1" } else { "0" })?;
    Ok(PamResultCode::PAM_SUCCESS)
}

/// pam_sm_close_session: lets the home go, and waits until it is closed if nobody else holds it.
pub fn close(pam: &mut dyn Pam, daemon: &mut dyn Daemon, _arguments: &Arguments) -> Ended {
    let typed = pam.user()?;
    let memory = pam.memory();
    let Some(user) = memory.borrow().primary(&typed).filter(|user| memory.borrow().holds(user)) else {
        return Ok(PamResultCode::PAM_SUCCESS);
    };
    memory.borrow_mut().let_go();
    match daemon.release(&user) {
        Ok(()) => Ok(PamResultCode::PAM_SUCCESS),
        Err(Failure::Refused(Refusal::HomeBusy, _)) => {
            pam.log(&format!("the home of {user} is still in use and stays open"));
            Ok(PamResultCode::PAM_SUCCESS)
        }
        Err(failure) => {
            pam.log(&format!("the home of {user} could not be closed: {failure:?}"));
            Err(PamResultCode::PAM_SESSION_ERR)
        }
    }
}
