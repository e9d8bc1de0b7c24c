//! Asked by the package before it goes: whose homes would be left with nobody to open, lock or close them.
//!
//! A process of its own that asks the kernel: a daemon that hangs must not keep the package from being removed.

use crate::daemon::open::homes_standing;
use crate::storage::whereabouts::Standing;
use std::process::ExitCode;

/// What comes after the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing that knows homes.
    Nothing,
    /// systemd-homed, which finds open homes, and has no prompt for locked ones whose sessions are frozen.
    AnotherManager,
}

/// Success: the package may be removed. `argument`: `replaced` if another home manager takes its place.
pub fn before(argument: Option<&str>) -> ExitCode {
    let next = if argument == Some("replaced") { Next::AnotherManager } else { Next::Nothing };
    // What cannot be told counts as open.
    let standing = homes_standing().unwrap_or_else(|why| vec![(why, Standing::Open)]);
    match objection(&standing, next) {
        None => ExitCode::SUCCESS,
        Some(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Why it must stay for now, and what to type.
fn objection(homes: &[(String, Standing)], next: Next) -> Option<String> {
    let with = |wanted: &dyn Fn(Standing) -> bool| -> String {
        let users = homes.iter().filter(|(_, standing)| wanted(*standing)).map(|(user, _)| user.as_str());
        users.collect::<Vec<_>>().join(", ")
    };
    let locked = with(&|standing| standing == Standing::Suspended);
    if !locked.is_empty() {
        return Some(format!(
            "homed stays: without it nobody could unlock {locked} (files that were not saved would be lost).\n\
             Unlock at the prompt, or give up what is locked: homectl deactivate USER. Then remove homed again."
        ));
    }
    let open = with(&|standing| standing != Standing::Suspended);
    if open.is_empty() || next == Next::AnotherManager {
        return None;
    }
    Some(format!(
        "homed stays: without it nobody would lock or close the open home of {open}.\n\
         Have the users log out, or: homectl deactivate-all. Then remove homed again."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_left_behind() {
        let home = |standing| vec![("alice".to_owned(), standing)];
        let may = |homes: &[(String, Standing)], next| objection(homes, next).is_none();
        for (standing, alone, replaced) in [
            (Standing::Mounted, false, true),
            (Standing::Open, false, true),
            (Standing::Suspended, false, false),
        ] {
            assert_eq!(may(&home(standing), Next::Nothing), alone, "{standing:?}");
            assert_eq!(may(&home(standing), Next::AnotherManager), replaced, "{standing:?}");
        }
        assert!(may(&[], Next::Nothing) && may(&[], Next::AnotherManager));
    }
}
