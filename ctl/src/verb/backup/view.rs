//! What restic reads: the home as it is at one moment, where its kind of storage can show that.

use crate::backup::inside::Start;
use crate::backup::program::Account;
use crate::bus::{Failure, Question};
use crate::context::Context;
use records::Refusal;
use serde_json::Value;
use std::path::PathBuf;

/// A folder to read from.
pub enum View {
    /// The home itself.
    Home(PathBuf),
    /// A view of it. restic has a lock on it, by which homed knows that it is read: should this program be killed, the view is there for
    /// as long as restic runs. This program, which may be root's, opens nothing there.
    Shown(PathBuf),
}

impl View {
    /// Has it made.
    pub fn begin(ctx: &Context<'_>, account: &Account) -> Result<Self, Failure> {
        let report = match ctx.daemon.own("MakeView", Question::Name(&account.name)) {
            Err(failure) if failure.is(Refusal::NotSupported) => {
                ctx.asker.notice(&format!(
                    "A home of this kind has no snapshots: what is changed in {} while the backup is made may be in it half.",
                    account.home
                ));
                return Ok(Self::Home(PathBuf::from(&account.home)));
            }
            other => other?,
        };
        let report: Value = serde_json::from_str(&report).map_err(|e| Failure::say(e.to_string()))?;
        let path = report["path"].as_str().map(PathBuf::from);
        let path =
            path.ok_or_else(|| Failure::say("homed gave no view of the home. Nothing was changed."))?;
        Ok(Self::Shown(path))
    }

    /// Where restic begins.
    pub fn start(&self) -> Start<'_> {
        match self {
            Self::Home(path) => Start::Folder(path),
            Self::Shown(path) => Start::View(path),
        }
    }

    /// Nobody reads it any more.
    pub fn end(&self, ctx: &Context<'_>, user: &str) {
        if matches!(self, Self::Shown(_)) {
            end(ctx, user);
        }
    }
}

/// A home that was closed or locked meanwhile keeps it until it is open again.
fn end(ctx: &Context<'_>, user: &str) {
    if let Err(failure) = ctx.daemon.own("EndView", Question::Name(user)) {
        ctx.asker.notice(&format!(
            "The view of the home is still there, and is taken away some minutes after the home is open the next time: {}",
            match failure {
                Failure::Refused(_, text) | Failure::Other(text) => text,
            }
        ));
    }
}
