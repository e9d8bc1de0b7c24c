//! Whether a sleep is on its way, asked of those who know: systemd, whose `homed-lock.service` is active from the lock until the
//! sleep is over or given up, and logind, which prepares one.

use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// How long each of them may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);
const LOCKED: [&str; 3] = ["systemctl", "is-active", "homed-lock.service"];
/// Its property, of type "b" (org.freedesktop.login1(5)). A logind that does not run prepares nothing.
const PREPARED: [&str; 7] = [
    "busctl",
    "--auto-start=no",
    "get-property",
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
    "PreparingForSleep",
];

/// What is known of a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One is on its way.
    Comes,
    /// None is, or nobody here has machines sleep.
    No,
    /// Who knows gives no answer.
    Silent,
}

/// Whether one is on its way, by systemd or by logind; what cannot be told counts as one.
pub async fn is_on_its_way() -> bool {
    locked_for_one().await != Known::No || ask(&PREPARED, is_prepared).await != Known::No
}

/// Whether systemd has had all homes locked for one, and it is not over.
pub async fn locked_for_one() -> Known {
    ask(&LOCKED, is_locked).await
}

/// Being stopped, the unit says itself that the sleep is over. Only a word that is known counts: systemctl fails without one, too
/// (systemd is being replaced, for one).
fn is_locked(said: &str, complaint: &str) -> Known {
    match said.trim() {
        "active" | "activating" | "reloading" => Known::Comes,
        "inactive" | "failed" | "deactivating" | "unknown" => Known::No,
        _ if complaint.contains("not been booted with systemd") => Known::No,
        _ => Known::Silent,
    }
}

/// What the message buses say of a name that nobody has.
const NOBODY: [&str; 5] =
    ["does not exist", "not provided by any", "no such name", "not activatable", "does not have an owner"];

fn is_prepared(said: &str, complaint: &str) -> Known {
    match said.trim() {
        "b true" => Known::Comes,
        "b false" => Known::No,
        _ if NOBODY.iter().any(|nobody| complaint.contains(nobody)) => Known::No,
        _ => Known::Silent,
    }
}

async fn ask(words: &[&str], judge: fn(&str, &str) -> Known) -> Known {
    let [program, words @ ..] = words else { return Known::No };
    let asked = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Output { stdout, stderr, .. })) => {
            let (said, complaint) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            let known = judge(&said, &complaint);
            if known == Known::Silent {
                let complaint = complaint.trim();
                tracing::warn!("{program} does not say whether a sleep is on its way: {complaint}");
            }
            known
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Known::No,
        Ok(Err(error)) => {
            tracing::warn!("whether a sleep is on its way cannot be asked: {program}: {error}");
            Known::Silent
        }
        Err(_) => Known::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_is_understood() {
        for (said, known) in [
            ("active\n", Known::Comes),
            ("activating\n", Known::Comes),
            ("deactivating\n", Known::No),
            ("inactive\n", Known::No),
            ("failed\n", Known::No),
            ("unknown\n", Known::No),
            ("", Known::Silent),
        ] {
            let complaint = "Failed to retrieve unit state: Connection reset by peer";
            assert_eq!(is_locked(said, complaint), known, "{said}");
        }
        let container = "System has not been booted with systemd as init system (PID 1). Can't operate.";
        assert_eq!(is_locked("", container), Known::No);
        assert_eq!(is_prepared("b true\n", ""), Known::Comes);
        assert_eq!(is_prepared("b false\n", ""), Known::No);
        let nobody = "Failed to get property PreparingForSleep on interface org.freedesktop.login1.Manager: Name \"org.freedesktop.login1\" does not exist";
        assert_eq!(is_prepared("", nobody), Known::No);
        assert_eq!(is_prepared("", "Failed to connect to system scope bus: No buffer space"), Known::Silent);
    }

    #[tokio::test]
    async fn where_nobody_has_machines_sleep_none_comes() {
        assert_eq!(ask(&["no-such-program-of-a-test"], is_locked).await, Known::No);
        assert_eq!(ask(&["echo", "active"], is_locked).await, Known::Comes);
        assert_eq!(ask(&["false"], is_locked).await, Known::Silent);
    }
}
