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

/// Being stopped, the unit says itself that the sleep is over.
fn is_locked(said: &[u8]) -> bool {
    matches!(said.trim_ascii(), b"active" | b"activating" | b"reloading")
}

fn is_prepared(said: &[u8]) -> bool {
    said.trim_ascii() == b"b true"
}

async fn ask(words: &[&str], says_yes: fn(&[u8]) -> bool) -> Known {
    let [program, words @ ..] = words else { return Known::No };
    let asked = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Output { stdout, .. })) if says_yes(&stdout) => Known::Comes,
        Ok(Ok(_)) => Known::No,
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
    fn what_is_said_is_understood() {
        for (said, yes) in [("active\n", true), ("activating\n", true), ("deactivating\n", false)] {
            assert_eq!(is_locked(said.as_bytes()), yes, "{said}");
        }
        for said in ["inactive\n", "failed\n", "unknown\n", ""] {
            assert!(!is_locked(said.as_bytes()), "{said}");
        }
        assert!(is_prepared(b"b true\n") && !is_prepared(b"b false\n") && !is_prepared(b""));
    }

    #[tokio::test]
    async fn where_nobody_has_machines_sleep_none_comes() {
        assert_eq!(ask(&["no-such-program-of-a-test"], is_locked).await, Known::No);
        assert_eq!(ask(&["echo", "active"], is_locked).await, Known::Comes);
        assert_eq!(ask(&["false"], is_locked).await, Known::No);
    }
}
