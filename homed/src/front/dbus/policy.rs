//! `org.freedesktop.home1.LockPolicy`: what the original has no word for, beside its manager on the same object.
//!
//! Who wants a home left out of locks, what weakens locks, and what went wrong with one.

use super::action;
use super::context::{Call, Front, Rule};
use super::error::Error;
use crate::daemon::link::{
    Admitted, Conclusion, HomeKey, HomeLock, Inhibitor, Locks, Operation, Reply, Weakness, Wish,
};
use serde_json::{Value, json};
use std::sync::Arc;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::object_server::SignalEmitter;
use zbus::wire::OwnedFd;

/// user, who, UID, process, why, until (µs since 1970).
type InhibitorRow = (String, String, u32, u32, String, u64);

/// The object.
pub struct Policy(pub Arc<Front>);

#[zbus::interface(name = "org.freedesktop.home1.LockPolicy", introspection_docs = false)]
impl Policy {
    /// Leaves a home out of locks at sleep, after waking and by time, until the descriptor is closed, and for
    /// `usec` µs at most.
    #[zbus(out_args("fd"))]
    async fn inhibit(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        who: String,
        why: String,
        usec: u64,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let key = HomeKey::Name(user_name);
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::OwnerOrPolkit(action::INHIBIT), Some(&key)).await?;
        let pid = process(connection, caller.bus_name.as_deref()).await;
        let wish = Wish { who, why, pid, for_usec: usec };
        match self.0.ask(call, &caller, Operation::Inhibit(key, wish)).await? {
            Reply::Reference(fd) => Ok(fd.into()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    /// All inhibitors in force.
    #[zbus(out_args("inhibitors"))]
    async fn list_inhibitors(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<InhibitorRow>, Error> {
        let caller = self.0.caller(Call { connection, header: &header }).await?;
        Ok(self.locks(&caller).await?.inhibitors.into_iter().map(row).collect())
    }

    /// What weakens locks on this machine, and what became of the last ones; JSON.
    #[zbus(out_args("report"))]
    async fn describe_security(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        let caller = self.0.caller(Call { connection, header: &header }).await?;
        let locks = self.locks(&caller).await?;
        match self.0.link.ask(&caller, Operation::Weaknesses).await? {
            Reply::Weaknesses(all) => Ok(report(&locks, &all).to_string()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    /// A home should have been locked, and is not: for desktops to tell their user.
    #[zbus(signal)]
    pub async fn not_locked(emitter: &SignalEmitter<'_>, user_name: &str, reason: &str) -> zbus::Result<()>;

    /// A home will be locked at `at_usec` (µs since 1970), because nobody has touched anything in any session of its user's.
    #[zbus(signal)]
    pub async fn lock_coming(emitter: &SignalEmitter<'_>, user_name: &str, at_usec: u64) -> zbus::Result<()>;

    /// The machine was to go to sleep and stays awake, as not every home could be locked. Whose, `NotLocked` says.
    #[zbus(signal)]
    pub async fn sleep_refused(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// The machine has slept for `usec` µs while these homes were open.
    #[zbus(signal)]
    pub async fn slept_open(
        emitter: &SignalEmitter<'_>,
        user_names: Vec<String>,
        usec: u64,
    ) -> zbus::Result<()>;
}

impl Policy {
    async fn locks(&self, caller: &Admitted) -> Result<Locks, Error> {
        match self.0.link.ask(caller, Operation::Locks).await? {
            Reply::Locks(locks) => Ok(*locks),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }
}

/// The caller's process, by the bus daemon's word; 0 where it cannot be told.
async fn process(connection: &Connection, name: Option<&str>) -> u32 {
    let ask = async {
        let name = BusName::try_from(name?.to_owned()).ok()?;
        DBusProxy::new(connection).await.ok()?.get_connection_unix_process_id(name).await.ok()
    };
    ask.await.unwrap_or(0)
}

fn row(inhibitor: Inhibitor) -> InhibitorRow {
    let Inhibitor { id: _, user, who, why, uid, pid, until_usec } = inhibitor;
    (user.to_string(), who, uid, pid, why, until_usec)
}

fn report(locks: &Locks, weaknesses: &[Weakness]) -> Value {
    let weakness = |weakness: &Weakness| {
        json!({
            "id": weakness.id, "weight": weakness.weight.word(),
            "what": weakness.what, "advice": weakness.advice,
        })
    };
    let open_sleep = locks.open_sleep.as_ref().map(|sleep| {
        let users: Vec<&str> = sleep.users.iter().map(records::UserName::as_str).collect();
        json!({ "wokeUSec": sleep.woke_usec, "sleptUSec": sleep.slept_usec, "userNames": users })
    });
    json!({
        "weaknesses": weaknesses.iter().map(weakness).collect::<Vec<_>>(),
        "homes": locks.homes.iter().map(home).collect::<Vec<_>>(),
        "inhibitors": locks.inhibitors.iter().map(Inhibitor::to_json).collect::<Vec<_>>(),
        "lastOpenSleep": open_sleep,
    })
}

fn home(home: &HomeLock) -> Value {
    let last = home.last_lock.as_ref().map(|(checked, verdict)| {
        let (word, reasons) = match verdict {
            Conclusion::Proven => ("proven", &[][..]),
            Conclusion::Unproven(doubts) => ("unproven", doubts.as_slice()),
            Conclusion::Broken(leaks) => ("broken", leaks.as_slice()),
        };
        json!({ "checkedUSec": checked, "verdict": word, "reasons": reasons })
    });
    json!({ "userName": home.user.as_str(), "state": home.state, "lockable": home.lockable, "lastLock": last })
}
