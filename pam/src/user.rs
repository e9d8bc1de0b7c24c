//! Whose home: the name as typed, with its area, and the record behind it.

use crate::ask;
use crate::daemon::{Daemon, Failure};
use crate::pam::{Pam, Say, Seat};
use ::pam::constants::PamResultCode;
use records::{Record, Refusal, UserName, kinds};

/// The user of a login.
pub struct User {
    /// The primary name.
    pub name: String,
    /// The record, as fresh as this hook.
    pub record: Record,
    /// Whether this computer knows a PIN for the home.
    pub has_pin: bool,
}

impl User {
    /// For questions.
    pub fn whose(&self) -> ask::Whose<'_> {
        ask::Whose { user: &self.name, has_pin: self.has_pin }
    }
}

/// Finds out. Users that are not ours end the hook with PAM_USER_UNKNOWN: other modules know them. Who is in
/// /etc/passwd and has no home of ours costs the daemon no question, and whoever it does not answer for is asked about
/// once for all hooks. One of ours never ends so: where nothing can be had of the daemon the hook ends with a sentence.
pub fn find(pam: &mut dyn Pam, daemon: &mut dyn Daemon) -> Result<User, PamResultCode> {
    let typed = pam.user().map_err(|_| PamResultCode::PAM_USER_UNKNOWN)?;
    let (name, area) = split(&typed);
    let record = match record(pam, daemon, name) {
        Found::Ours(record) => record,
        Found::Strange => {
            pam.memory().borrow_mut().is_strange(name);
            return Err(PamResultCode::PAM_USER_UNKNOWN);
        }
        Found::Unanswered(failure) => return Err(ask::give_up(pam, name, &failure)),
    };
    let primary = record.user().as_str().to_owned();
    other_line(pam, daemon, &primary, &record)?;
    pam.memory().borrow_mut().is_ours(name, &primary);
    if let Some(area) = area {
        // The name loses it here, and the session's hook comes last.
        pam.set_variable("XDG_AREA", area)?;
    }
    // sshd ends a login whose name changes before the session.
    if primary != typed && pam.seat() != Seat::Ssh {
        pam.set_user(&primary)?;
    }
    let has_pin = daemon.machine().is_ok_and(|machine| record.has_pin_on(&machine.id));
    Ok(User { name: primary, record, has_pin })
}

/// Whether the user is one of ours, as far as it is known without telling anybody.
pub fn is_ours(pam: &mut dyn Pam, daemon: &mut dyn Daemon) -> bool {
    let Ok(typed) = pam.user() else { return false };
    let (name, _) = split(&typed);
    pam.memory().borrow().primary(name).is_some() || matches!(record(pam, daemon, name), Found::Ours(_))
}

/// Whose a name is.
enum Found {
    Ours(Record),
    Strange,
    /// One of ours, and the daemon does not say more.
    Unanswered(Failure),
}

fn record(pam: &mut dyn Pam, daemon: &mut dyn Daemon, name: &str) -> Found {
    let memory = pam.memory();
    let bare = UserName::parse(name.split('@').next().unwrap_or(name));
    if matches!(name, "" | "root" | "nobody") || bare.is_err() {
        return Found::Strange;
    }
    if memory.borrow().knows_stranger(name) {
        return Found::Strange;
    }
    let is_registered = daemon.is_registered(name);
    if !is_registered && daemon.local_uid(name).is_some() {
        return Found::Strange;
    }
    let ours = is_registered || memory.borrow().primary(name).is_some();
    let failure = match memory.borrow().silent {
        true => Failure::Silent("it did not answer before".to_owned()),
        false => match daemon.record(name, ours) {
            Ok(record) if record.is_called(name) => return Found::Ours(record),
            Ok(_) => Failure::Silent(format!("it gave another user's record for {name}")),
            Err(Failure::Refused(Refusal::NoSuchHome, _)) => return Found::Strange,
            Err(failure) => failure,
        },
    };
    if failure != Failure::Absent || ours {
        pam.log(&format!("homed cannot be asked about {name}: {failure:?}"));
    }
    memory.borrow_mut().silent = true;
    if ours { Found::Unanswered(failure) } else { Found::Strange }
}

/// A line of /etc/passwd with another UID would be logged in beside the home.
fn other_line(
    pam: &mut dyn Pam,
    daemon: &mut dyn Daemon,
    primary: &str,
    record: &Record,
) -> Result<(), PamResultCode> {
    let Some(line) = daemon.local_uid(primary) else { return Ok(()) };
    let uid = daemon.machine().ok().and_then(|machine| record.on(&machine).uid);
    if uid.is_none_or(|uid| uid == line) {
        return Ok(());
    }
    let text = format!(
        "/etc/passwd has another user {primary}, with the UID {line}. An administrator has to remove the line, or the home."
    );
    pam.say(Say::Error, &text);
    Err(PamResultCode::PAM_PERM_DENIED)
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
