//! Whose home: the name as typed, with its area, and the record behind it.

use crate::daemon::{Daemon, Failure};
use crate::pam::Pam;
use ::pam::constants::PamResultCode;
use records::{Record, Refusal, UserName, kinds};

/// The user of a login.
pub struct User {
    /// The primary name.
    pub name: String,
    /// `user%area`: the area; empty: explicitly none.
    pub area: Option<String>,
    /// The record, as fresh as this hook.
    pub record: Record,
}

/// Finds out. Users that are not ours end the hook with PAM_USER_UNKNOWN: other modules know them.
pub fn find(pam: &mut dyn Pam, daemon: &mut dyn Daemon) -> Result<User, PamResultCode> {
    let typed = pam.user()?;
    let (name, area) = split(&typed);
    if name.is_empty() || matches!(name, "root" | "nobody") {
        return Err(PamResultCode::PAM_USER_UNKNOWN);
    }
    let bare = name.split('@').next().unwrap_or(name);
    if UserName::parse(bare).is_err() {
        return Err(PamResultCode::PAM_USER_UNKNOWN);
    }
    let record = match daemon.record(name) {
        Ok(record) => record,
        Err(Failure::Absent | Failure::Refused(Refusal::NoSuchHome, _)) => {
            return Err(PamResultCode::PAM_USER_UNKNOWN);
        }
        Err(failure) => {
            pam.log(&format!("the record of {name} cannot be had: {failure:?}"));
            return Err(PamResultCode::PAM_SERVICE_ERR);
        }
    };
    if !record.is_called(name) {
        pam.log(&format!("homed gave another user's record for {name}"));
        return Err(PamResultCode::PAM_SERVICE_ERR);
    }
    let primary = record.user().as_str().to_owned();
    if primary != typed {
        pam.set_user(&primary)?;
    }
    Ok(User { name: primary, area: area.map(str::to_owned), record })
}

/// Splits `user%area` at the last `%`, where what follows can be an area.
fn split(typed: &str) -> (&str, Option<&str>) {
    match typed.rsplit_once('%') {
        Some((name, area)) if area.is_empty() || kinds::is_file_name(area) => (name, Some(area)),
        _ => (typed, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_follows_the_last_percent_sign() {
        for (typed, name, area) in [
            ("alice", "alice", None),
            ("alice%work", "alice", Some("work")),
            ("alice%", "alice", Some("")),
            ("alice%a%b", "alice%a", Some("b")),
            ("alice%..", "alice%..", None),
        ] {
            assert_eq!(split(typed), (name, area), "{typed}");
        }
    }
}
