//! Who has a home left out of the locks that nobody asked for by name: at sleep, after waking, by time.
//!
//! An inhibitor is seen by everybody, says why, and ends: when its holder lets go of it, or at its time, whichever
//! comes first. References of the original's kind `dont-suspend` are none: a user manager or a cron job has one
//! without anybody having asked for it.

use super::request::InhibitorId;
use records::UserName;
use records::span::show_span;
use serde_json::{Value, json};

/// Somebody has a home left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibitor {
    /// Its name.
    pub id: InhibitorId,
    /// Whose home.
    pub user: UserName,
    /// Who asked, in the asker's own words.
    pub who: String,
    /// Why.
    pub why: String,
    /// UID of who asked.
    pub uid: u32,
    /// Process that asked.
    pub pid: u32,
    /// When it ends at the latest, µs since 1970.
    pub until_usec: u64,
}

impl Inhibitor {
    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "userName": self.user.as_str(), "who": self.who, "why": self.why,
            "uid": self.uid, "pid": self.pid, "untilUSec": self.until_usec,
        })
    }

    /// For the log and for people: who, why, and for how much longer.
    pub fn words(&self, now_usec: u64) -> String {
        let left = self.until_usec.saturating_sub(now_usec) / 1_000_000 * 1_000_000;
        format!(
            "{} (UID {}, process {}) has it left out for another {}: {}",
            self.who,
            self.uid,
            self.pid,
            show_span(left),
            self.why
        )
    }
}
