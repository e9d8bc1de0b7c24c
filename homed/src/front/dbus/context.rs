//! One call: who asks, whether it may, and the way to the loop and back.

use super::argument;
use super::error::Error;
use crate::daemon::link::{
    AtSuspend, Caller, Failure, HomeKey, HomeView, Interactive, Link, Offer, Operation, ProgressSink, Reply,
};
use futures_util::StreamExt;
use records::refusal::Refused;
use records::{Record, Refusal, Secret, Sections};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::{BusName, UniqueName};
use zbus::wire::OwnedFd;

/// Callers whose UID is remembered; a bus name is never given to another client.
const CALLERS_KEPT: usize = 4096;
/// After this a call counts as long: its caller is watched.
const LONG: Duration = Duration::from_millis(300);

/// Redeems a ticket for a caller's UID.
pub type Tickets = Arc<dyn Fn(u32, &str) -> Option<(Secret, Option<ProgressSink>)> + Send + Sync>;

/// What polkit is asked.
pub struct Question {
    /// The bus.
    pub connection: Connection,
    /// The caller's unique name.
    pub sender: String,
    /// Action id.
    pub action: &'static str,
    /// What the user may be shown.
    pub details: HashMap<&'static str, String>,
    /// Whether the user may be asked.
    pub interactive: Interactive,
}

/// An answer of polkit, in the future.
pub type Authorizing = Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>>;

/// Asks polkit.
pub type Authorize = Arc<dyn Fn(Question) -> Authorizing + Send + Sync>;

/// What all objects share.
pub struct Front {
    /// The way to the loop.
    pub link: Link,
    /// The hand-off socket's tickets.
    pub tickets: Tickets,
    /// Polkit.
    pub authorize: Authorize,
    uids: Mutex<HashMap<String, u32>>,
}

/// Who may call a method.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Everybody.
    Anyone,
    /// UID 0.
    Root,
    /// Root, and whoever polkit lets do this.
    Polkit(&'static str),
    /// Root, the home's owner, and whoever polkit lets do this.
    OwnerOrPolkit(&'static str),
}

/// One call, as it came.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The bus.
    pub connection: &'a Connection,
    /// The message's header.
    pub header: &'a Header<'a>,
}

impl Front {
    /// Nobody has called yet.
    pub fn new(link: Link, tickets: Tickets, authorize: Authorize) -> Self {
        Self { link, tickets, authorize, uids: Mutex::default() }
    }

    /// Who calls, by the bus daemon's word.
    pub async fn caller(&self, call: Call<'_>) -> Result<Caller, Error> {
        let sender = call.header.sender().ok_or_else(|| Error::invalid("The call has no sender."))?;
        let interactive = if call.header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) {
            Interactive::Yes
        } else {
            Interactive::No
        };
        Ok(Caller {
            uid: self.uid(call.connection, sender).await?,
            bus_name: Some(sender.to_string()),
            interactive,
        })
    }

    async fn uid(&self, connection: &Connection, sender: &UniqueName<'_>) -> Result<u32, Error> {
        let known = |uids: &Mutex<HashMap<String, u32>>| {
            uids.lock().unwrap_or_else(PoisonError::into_inner).get(sender.as_str()).copied()
        };
        if let Some(uid) = known(&self.uids) {
            return Ok(uid);
        }
        let bus = DBusProxy::new(connection).await.map_err(Error::unexpected)?;
        let uid = bus.get_connection_unix_user(BusName::from(sender.to_owned())).await;
        // A caller that is gone needs no answer.
        let uid = uid.map_err(|_| Error::from(Refused::from(Refusal::AccessDenied)))?;
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.len() >= CALLERS_KEPT {
            uids.clear();
        }
        uids.insert(sender.to_string(), uid);
        Ok(uid)
    }

    /// Whether the rule lets the caller do it; to `home`, where it is about one.
    pub async fn permit(
        &self,
        call: Call<'_>,
        caller: &Caller,
        rule: Rule,
        home: Option<&HomeKey>,
    ) -> Result<(), Error> {
        let action = match rule {
            Rule::Anyone => return Ok(()),
            _ if caller.uid == 0 => return Ok(()),
            Rule::Root => return Err(denied("Only root may do that.")),
            Rule::Polkit(action) | Rule::OwnerOrPolkit(action) => action,
        };
        let mut details = HashMap::new();
        if let Some(key) = home {
            let view = self.look(caller, key.clone()).await?;
            if matches!(rule, Rule::OwnerOrPolkit(_)) && caller.uid == view.unix.uid {
                return Ok(());
            }
            details.insert("uid", view.unix.uid.to_string());
            details.insert("username", view.unix.name.to_string());
        }
        let question = Question {
            connection: call.connection.clone(),
            sender: caller.bus_name.clone().unwrap_or_default(),
            action,
            details,
            interactive: caller.interactive,
        };
        Ok((self.authorize)(question).await?)
    }

    /// One home as it is now.
    pub async fn look(&self, caller: &Caller, key: HomeKey) -> Result<HomeView, Error> {
        match self.link.ask(caller.clone(), Operation::Look(key)).await? {
            Reply::Home(view) => Ok(*view),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    /// Asks the loop; a caller that leaves the bus meanwhile is asked for no longer.
    pub async fn ask(&self, call: Call<'_>, caller: Caller, operation: Operation) -> Result<Reply, Error> {
        let name = caller.bus_name.clone().unwrap_or_default();
        let asking = self.link.ask(caller, operation);
        tokio::select! {
            biased;
            reply = asking => Ok(reply?),
            () = gone(call.connection, &name) => {
                Err(Failure::from(Refusal::HomeBusy).into())
            }
        }
    }

    /// A call that gives nothing back: permission, question, done.
    pub async fn done(
        &self,
        call: Call<'_>,
        rule: Rule,
        home: Option<HomeKey>,
        operation: Operation,
    ) -> Result<(), Error> {
        let caller = self.caller(call).await?;
        self.permit(call, &caller, rule, home.as_ref()).await?;
        self.ask(call, caller, operation).await.map(|_| ())
    }

    /// A call that gives a reference back.
    pub async fn reference(
        &self,
        call: Call<'_>,
        rule: Rule,
        operation: Operation,
    ) -> Result<OwnedFd, Error> {
        let caller = self.caller(call).await?;
        self.permit(call, &caller, rule, None).await?;
        match self.ask(call, caller, operation).await? {
            Reply::Reference(fd) => Ok(fd.into()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    /// Reads a secret argument for this caller.
    pub async fn offer(&self, call: Call<'_>, text: String) -> Result<Offer, Error> {
        let uid = self.caller(call).await?.uid;
        argument::secret(text, &|ticket| (self.tickets)(uid, ticket))
    }

    /// Reads a record argument for this caller.
    pub async fn record(&self, call: Call<'_>, text: String) -> Result<(Record, Offer), Error> {
        let uid = self.caller(call).await?.uid;
        argument::record(text, &|ticket| (self.tickets)(uid, ticket))
    }
}

/// A reference's kind, as the `pleaseSuspend` argument says it.
pub fn at_suspend(please_suspend: bool) -> AtSuspend {
    if please_suspend { AtSuspend::Lock } else { AtSuspend::Stay }
}

/// The record as that UID may see it, and whether something was left out.
pub fn visible(view: &HomeView, uid: u32) -> (String, bool) {
    if view.shows_all_to(uid) {
        return (view.record.to_compact(), false);
    }
    let incomplete = view.record.members().contains_key("privileged");
    (view.record.only(Sections::STRANGER).to_compact(), incomplete)
}

fn denied(sentence: &str) -> Error {
    Refused::new(Refusal::AccessDenied, sentence).into()
}

/// Ends when that client has left the bus. Only long calls cost a subscription.
async fn gone(connection: &Connection, name: &str) {
    tokio::time::sleep(LONG).await;
    if watch(connection, name).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn watch(connection: &Connection, name: &str) -> zbus::Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let mut changes = bus.receive_name_owner_changed_with_args(&[(0, name)]).await?;
    let unique = UniqueName::try_from(name)?;
    if !bus.name_has_owner(BusName::from(unique)).await? {
        return Ok(());
    }
    while let Some(change) = changes.next().await {
        if change.args()?.new_owner().is_none() {
            return Ok(());
        }
    }
    std::future::pending().await
}
