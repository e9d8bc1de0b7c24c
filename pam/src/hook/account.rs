//! account: whether the user may log in now, and what the password needs. Attempts are counted where passwords are
//! tried: somebody else's wrong ones keep nobody out who has got this far.

use super::Ended;
use crate::acquire::{Insist, acquire};
use crate::arguments::Arguments;
use crate::ask;
use crate::daemon::Daemon;
use crate::pam::{Pam, Say};
use crate::user;
use ::pam::constants::PamResultCode;
use records::Settings;
use records::account::{LoginVerdict, PasswordVerdict, is_from_the_future, login_verdict, password_verdict};

/// pam_sm_acct_mgmt.
pub fn check(pam: &mut dyn Pam, daemon: &mut dyn Daemon, arguments: &Arguments) -> Ended {
    let user = user::find(pam, daemon)?;
    acquire(pam, daemon, &user, Insist::Open, arguments.suspend)?;
    // Opening may have brought a newer record in.
    let user = user::find(pam, daemon)?;
    let machine = daemon.machine().map_err(|failure| ask::give_up(pam, &user.name, &failure))?;
    let settings = user.record.on(&machine);
    let now = daemon.now_usec();
    if is_from_the_future(&settings, now) {
        pam.log("the record was changed in the future: the clock of this machine is behind, or another's was ahead");
    }
    login(pam, &settings, now)?;
    password(pam, &settings, now)
}

fn login(pam: &mut dyn Pam, settings: &Settings, now: u64) -> Result<(), PamResultCode> {
    let why = match login_verdict(settings, now) {
        LoginVerdict::Allowed => return Ok(()),
        LoginVerdict::Locked => "User record is blocked, prohibiting access.",
        LoginVerdict::NotYet => "User record is not valid yet, prohibiting access.",
        LoginVerdict::NoLonger => "User record is not valid anymore, prohibiting access.",
    };
    pam.say(Say::Error, why);
    Err(PamResultCode::PAM_ACCT_EXPIRED)
}

fn password(pam: &mut dyn Pam, settings: &Settings, now: u64) -> Ended {
    let (text, code) = match password_verdict(settings, now) {
        PasswordVerdict::Fine | PasswordVerdict::ChangeNotPermitted => return Ok(PamResultCode::PAM_SUCCESS),
        PasswordVerdict::ClockWrong => {
            pam.log("the password was changed in the future: the clock of this machine is wrong");
            return Ok(PamResultCode::PAM_SUCCESS);
        }
        PasswordVerdict::ExpiresSoon(usec) => {
            let days = usec / 86_400_000_000;
            let text = format!("Your password will expire in {days} days, please change it.");
            pam.say(Say::Info, &text);
            return Ok(PamResultCode::PAM_SUCCESS);
        }
        PasswordVerdict::ChangeNow => ("Password change required.", PamResultCode::PAM_NEW_AUTHTOK_REQD),
        PasswordVerdict::Expired => {
            ("Password expired, change required.", PamResultCode::PAM_NEW_AUTHTOK_REQD)
        }
        PasswordVerdict::ExpiredForGood => (
            "Password is expired, but can't change, refusing login. Ask an administrator.",
            PamResultCode::PAM_AUTHTOK_EXPIRED,
        ),
        PasswordVerdict::NoTimestamp => (
            "The record does not say when the password was changed, refusing login. Ask an administrator.",
            PamResultCode::PAM_AUTHTOK_EXPIRED,
        ),
    };
    pam.say(Say::Error, text);
    Err(code)
}
