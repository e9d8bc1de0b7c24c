//! `org.freedesktop.home1.Homed1`, beside the original's interface on the manager's object: what the original has
//! no call for. Answers that have a shape of their own are JSON texts (`docs/decisions/0018-own-interface.md`).

use super::action;
use super::argument::Foreign;
use super::context::{Call, Front, Rule};
use super::error::Error;
use super::recovery::Typed;
use crate::daemon::link::{HomeKey, Operation, Original, Repair, Reply, Snapshots, Then, TrustReport};
use serde_json::{Value, json};
use std::sync::Arc;
use zbus::Connection;
use zbus::message::Header;
use zbus::wire::OwnedFd;

/// Flag of `RepairHome`: only say what would be done.
const DRY_RUN: u64 = 1;
/// Flag of `RepairHome`: have the file system repaired too.
const FILE_SYSTEM: u64 = 2;
/// Flag of `RepairHome`: the other machine that has marked the home as open has it not any more.
const CLOSED_ELSEWHERE: u64 = 4;

/// The object.
pub struct Own(pub Arc<Front>);

#[zbus::interface(name = "org.freedesktop.home1.Homed1", introspection_docs = false)]
impl Own {
    /// Looks at every part of a home; the secret may be `{}`.
    #[zbus(out_args("report"))]
    async fn check_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<String, Error> {
        let call = Call { connection, header: &header };
        let key = HomeKey::Name(user_name);
        let operation = Operation::Check(key.clone(), self.0.offer(call, secret).await?);
        self.report(call, Rule::OwnerOrPolkit(action::AUTHENTICATE), key, operation).await
    }

    /// Rebuilds what can be rebuilt; without a secret what needs none.
    #[zbus(out_args("report"))]
    async fn repair_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
        flags: u64,
    ) -> Result<String, Error> {
        let call = Call { connection, header: &header };
        if flags & !(DRY_RUN | FILE_SYSTEM | CLOSED_ELSEWHERE) != 0 {
            return Err(Error::invalid(
                "The flags that are known are 1 (dry run), 2 (file system) and 4 (closed elsewhere).",
            ));
        }
        let how = Repair {
            dry_run: flags & DRY_RUN != 0,
            file_system: flags & FILE_SYSTEM != 0,
            closed_elsewhere: flags & CLOSED_ELSEWHERE != 0,
        };
        let key = HomeKey::Name(user_name);
        let operation = Operation::Repair(key.clone(), how, self.0.offer(call, secret).await?);
        self.report(call, Rule::Polkit(action::UPDATE), key, operation).await
    }

    /// Makes a home of a classic account, whose folder in `/home` becomes what is in it; `group` is the account's own group on
    /// its files. The home wins over the account's line of /etc/passwd from the moment it is there.
    async fn convert_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
        folder: String,
        group: u32,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::Root, None).await?;
        if folder.len() > LONGEST_PATH || !folder.starts_with('/') {
            return Err(Error::invalid("The folder needs a path that begins with a slash."));
        }
        let (record, offer) = self.0.record(call, home_record, Foreign::Refused).await?;
        let original = Original { folder, gid: group };
        self.0.ask(call, &caller, Operation::Convert(Box::new(record), original, offer)).await.map(drop)
    }

    /// Opens what is left of a home, to be read only: at a directory, or (empty) at the home directory. Gives the
    /// directory.
    #[zbus(out_args("directory"))]
    async fn rescue_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
        directory: String,
    ) -> Result<String, Error> {
        let call = Call { connection, header: &header };
        if !directory.is_empty() && !directory.starts_with('/') {
            return Err(Error::invalid("The directory needs a path that begins with a slash."));
        }
        let key = HomeKey::Name(user_name);
        let target = (!directory.is_empty()).then_some(directory);
        let operation = Operation::Rescue(key.clone(), target.clone(), self.0.offer(call, secret).await?);
        self.0.done(call, Rule::Root, None, operation).await?;
        let caller = self.0.caller(call).await?;
        match target {
            Some(directory) => Ok(directory),
            None => Ok(self.0.link.look(&caller, &key)?.view.unix.home_directory.clone()),
        }
    }

    /// What of a home's record is believed, and what not because a stranger has signed it; JSON.
    #[zbus(out_args("report"))]
    async fn describe_trust(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<String, Error> {
        let call = Call { connection, header: &header };
        let key = HomeKey::Name(user_name);
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::OwnerOrPolkit(action::UPDATE), Some(&key)).await?;
        self.trust_report(call, key).await
    }

    /// Believes claims of a home's record that a stranger has signed: all that `DescribeTrust` has shown, and no others.
    /// Gives the report that is true then.
    #[zbus(out_args("report"))]
    async fn trust_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        claims: String,
    ) -> Result<String, Error> {
        let call = Call { connection, header: &header };
        let claims = match records::json::parse(&claims) {
            Ok(Value::Object(claims)) => claims,
            _ => return Err(Error::invalid("The claims have to be a JSON object.")),
        };
        let key = HomeKey::Name(user_name);
        self.0.done(call, Rule::Polkit(action::UPDATE), None, Operation::Trust(key.clone(), claims)).await?;
        self.trust_report(call, key).await
    }

    /// Makes a recovery key and shows it: its text, readable at the descriptor until it is enrolled, and which of its eight
    /// groups is to be typed. Nothing is changed yet.
    #[zbus(out_args("key", "group"))]
    async fn make_recovery_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(OwnedFd, u32), Error> {
        self.0.make_recovery_key(Call { connection, header: &header }, user_name).await
    }

    /// Enrols the recovery key that was shown to the caller, in the place of former ones, if `typed` is the group that was asked
    /// for. Refused for want of a password or the like, it may be called again.
    async fn confirm_recovery_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        typed: String,
        key_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0
            .confirm_recovery_key(call, Typed { user: user_name, group: typed, name: key_name }, secret)
            .await
    }

    /// Which snapshots there are of an open home; JSON.
    #[zbus(out_args("report"))]
    async fn list_snapshots(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::List).await
    }

    /// Keeps what an open home is like; the label may be empty. Gives the name.
    #[zbus(out_args("report"))]
    async fn make_snapshot(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        label: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::Make { label }).await
    }

    /// What has changed since a snapshot: in a folder, or (empty) in all of the home.
    #[zbus(out_args("report"))]
    async fn show_snapshot(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        name: String,
        path: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::Show { name, path }).await
    }

    /// Has a file or folder be as it was in a snapshot, or (empty) all of the home, from when it is opened the next time. What
    /// is there now is kept, and the report says where.
    #[zbus(out_args("report"))]
    async fn restore_snapshot(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        name: String,
        path: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::Restore { name, path })
            .await
    }

    /// Takes a snapshot away.
    #[zbus(out_args("report"))]
    async fn delete_snapshot(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        name: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::Delete { name }).await
    }

    /// Shows what an open home is like now inside of it, to be read only; the path. Whoever reads holds a lock (flock) on it, and
    /// where nobody does it is taken away some time later.
    #[zbus(out_args("report"))]
    async fn make_view(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::View).await
    }

    /// Takes that away now, if nobody holds it.
    #[zbus(out_args("report"))]
    async fn end_view(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<String, Error> {
        self.snapshots(Call { connection, header: &header }, user_name, Snapshots::EndView).await
    }

    /// Has all homes locked because the machine is to sleep: nothing starts that takes a key into memory, until
    /// `SleepIsOver`, logind's own word, or 300 s awake without a sleep where none is on its way. Gives the homes that stay open with
    /// their keys in memory: somebody has left them out, or nobody can lock them.
    #[zbus(out_args("left_out"))]
    async fn lock_all_for_sleep(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<String>, Error> {
        let call = Call { connection, header: &header };
        self.0.may_sleep(call).await?;
        let locked = self.0.for_sleep(call, Operation::LockAll(Then::Hold)).await?;
        // What is not confirmed by now is in no memory that sleeps, nor on the disk of who hibernates.
        self.0.shown_keys.forget_all();
        match locked {
            Reply::LeftOut(users) => Ok(users.iter().map(ToString::to_string).collect()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    /// Says that the loop lives: a question that only it can answer, and that costs nothing.
    async fn alive(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.0.for_sleep(Call { connection, header: &header }, Operation::Alive).await.map(drop)
    }

    /// The machine has woken, or does not sleep after all.
    async fn sleep_is_over(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.for_sleep(call, Operation::SleepOver).await.map(drop)
    }
}

/// Names and labels of snapshots are shorter, in bytes.
const LONGEST_NAME: usize = 128;
/// linux/limits.h: PATH_MAX.
const LONGEST_PATH: usize = 4096;

/// Refuses what is too long to be kept while it waits for its turn.
fn bounded(wish: &Snapshots) -> Result<(), Error> {
    let (name, path) = match wish {
        Snapshots::List | Snapshots::View | Snapshots::EndView => ("", ""),
        Snapshots::Make { label: name } | Snapshots::Delete { name } => (name.as_str(), ""),
        Snapshots::Show { name, path } | Snapshots::Restore { name, path } => (name.as_str(), path.as_str()),
    };
    if name.len() > LONGEST_NAME || path.len() > LONGEST_PATH {
        return Err(Error::invalid(
            "No snapshot has so long a name, or no file so long a path. Nothing was changed.",
        ));
    }
    Ok(())
}

fn trust_report(report: &TrustReport) -> Value {
    json!({
        "userName": report.user.as_str(),
        "trust": if report.restricted { "restricted" } else { "full" },
        "signers": report.signers,
        "claims": report.claims,
        "accepted": report.accepted,
    })
}

impl Own {
    async fn trust_report(&self, call: Call<'_>, key: HomeKey) -> Result<String, Error> {
        let caller = self.0.caller(call).await?;
        match self.0.ask(call, &caller, Operation::TrustOf(key)).await? {
            Reply::Trust(report) => Ok(trust_report(&report).to_string()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    async fn snapshots(&self, call: Call<'_>, user_name: String, wish: Snapshots) -> Result<String, Error> {
        bounded(&wish)?;
        let key = HomeKey::Name(user_name);
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::OwnerOrPolkit(action::UPDATE), Some(&key)).await?;
        match self.0.ask(call, &caller, Operation::Snapshot(key, wish)).await? {
            Reply::Told(report) => Ok(report.to_string()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    async fn report(
        &self,
        call: Call<'_>,
        rule: Rule,
        key: HomeKey,
        operation: Operation,
    ) -> Result<String, Error> {
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, rule, Some(&key)).await?;
        match self.0.ask(call, &caller, operation).await? {
            Reply::Report(report) => Ok(report.to_json().to_string()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_with_a_name_or_path_that_is_too_long_never_waits() {
        let show =
            |name: usize, path: usize| Snapshots::Show { name: "x".repeat(name), path: "x".repeat(path) };
        assert!(bounded(&show(128, 4096)).is_ok() && bounded(&Snapshots::List).is_ok());
        assert!(bounded(&show(129, 0)).is_err() && bounded(&show(1, 4097)).is_err());
        assert!(bounded(&Snapshots::Make { label: "x".repeat(129) }).is_err());
    }
}
