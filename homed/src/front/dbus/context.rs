//! One call: who asks, whether it may, and the way to the loop and back.

use super::argument::{self, Foreign};
use super::error::Error;
use super::recovery::ShownKeys;
use crate::daemon::link::{
    Admitted, AtSuspend, Caller, Failure, Good, HomeKey, HomeView, Interactive, Link, Offer, Operation,
    ProgressSink, Provenance, Reply,
};
use crate::front::provenance;
use futures_util::StreamExt;
use records::refusal::Refused;
use records::{Record, Refusal, Secret, Sections};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::{BusName, UniqueName};
use zbus::wire::OwnedFd;

/// Callers that are remembered; a bus name is never given to another client.
const CALLERS_KEPT: usize = 4096;
/// Callers that the bus daemon is asked about at a time; the others wait.
const ASKED_ABOUT: usize = 256;
/// After this a call counts as long: its caller is watched.
const LONG: Duration = Duration::from_millis(300);
/// How long a user may take to answer polkit's question, and polkit to ask it.
const QUESTION: Duration = Duration::from_secs(120);

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
    /// Recovery keys that were shown and are not enrolled.
    pub(super) shown_keys: ShownKeys,
    callers: Mutex<HashMap<String, Known>>,
    asking: Semaphore,
}

/// Who is behind a name on the bus.
#[derive(Debug, Clone)]
struct Known {
    uid: u32,
    from: Provenance,
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
        let (shown_keys, callers) = Default::default();
        Self { link, tickets, authorize, shown_keys, callers, asking: Semaphore::new(ASKED_ABOUT) }
    }

    /// Who calls, by the bus daemon's word, with a place that is kept as long as the call lasts.
    pub async fn caller(&self, call: Call<'_>) -> Result<Admitted, Error> {
        self.caller_for(call, Good::Call).await
    }

    /// The same, with a place of that kind.
    pub async fn caller_for(&self, call: Call<'_>, good: Good) -> Result<Admitted, Error> {
        let sender = call.header.sender().ok_or_else(|| Error::invalid("The call has no sender."))?;
        let interactive = if call.header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) {
            Interactive::Yes
        } else {
            Interactive::No
        };
        let Known { uid, from } = self.known(call.connection, sender).await?;
        let caller = Caller { uid, bus_name: Some(sender.to_string()), interactive, from };
        Ok(self.link.admit(caller, good)?)
    }

    async fn known(&self, connection: &Connection, sender: &UniqueName<'_>) -> Result<Known, Error> {
        let known = self.callers().get(sender.as_str()).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let _turn = self.asking.acquire().await.map_err(Error::unexpected)?;
        let bus = DBusProxy::new(connection).await.map_err(Error::unexpected)?;
        // A caller that is gone needs no answer.
        let gone = || Error::from(Refused::from(Refusal::AccessDenied));
        let credentials = bus.get_connection_credentials(BusName::from(sender.to_owned())).await;
        let credentials = credentials.map_err(|_| gone())?;
        let uid = credentials.unix_user_id().ok_or_else(gone)?;
        let from = match (uid, credentials.process_id()) {
            (0, Some(pid)) => provenance::of(pid),
            _ => Provenance::default(),
        };
        let known = Known { uid, from };
        let mut callers = self.callers();
        if callers.len() >= CALLERS_KEPT {
            callers.clear();
        }
        callers.insert(sender.to_string(), known.clone());
        Ok(known)
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rule lets the caller do it; to `home`, where it is about one.
    pub async fn permit(
        &self,
        call: Call<'_>,
        caller: &Admitted,
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
            let view = &self.link.look(caller, key)?.view;
            if matches!(rule, Rule::OwnerOrPolkit(_)) && caller.uid == view.unix.uid {
                return Ok(());
            }
            details.insert("uid", view.unix.uid.to_string());
            details.insert("username", view.unix.name.to_string());
        }
        let _place = self.link.take(Good::Question, caller.uid, 1)?;
        let name = caller.bus_name.clone().unwrap_or_default();
        let question = Question {
            connection: call.connection.clone(),
            sender: name.clone(),
            action,
            details,
            interactive: caller.interactive,
        };
        tokio::select! {
            biased;
            answer = (self.authorize)(question) => Ok(answer?),
            () = gone(call.connection, &name) => Err(denied("The caller has gone; nothing was changed.")),
            () = tokio::time::sleep(QUESTION) => {
                Err(denied("Polkit was not answered in time; nothing was changed."))
            }
        }
    }

    /// Asks the loop; a caller that leaves the bus meanwhile is asked for no longer.
    pub async fn ask(&self, call: Call<'_>, caller: &Admitted, operation: Operation) -> Result<Reply, Error> {
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
        self.ask(call, &caller, operation).await.map(|_| ())
    }

    /// The same for root, with the room of what a sleep depends on.
    pub async fn for_sleep(&self, call: Call<'_>, operation: Operation) -> Result<Reply, Error> {
        let caller = self.may_sleep(call).await?;
        self.ask(call, &caller, operation).await
    }

    /// The caller, who has the machine sleep: root, with that room.
    pub async fn may_sleep(&self, call: Call<'_>) -> Result<Admitted, Error> {
        let caller = self.caller_for(call, Good::Sleep).await?;
        self.permit(call, &caller, Rule::Root, None).await?;
        Ok(caller)
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
        match self.ask(call, &caller, operation).await? {
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
    pub async fn record(
        &self,
        call: Call<'_>,
        text: String,
        foreign: Foreign,
    ) -> Result<(Record, Offer), Error> {
        let uid = self.caller(call).await?.uid;
        argument::record(text, foreign, &|ticket| (self.tickets)(uid, ticket))
    }
}

/// A reference's kind, as the `pleaseSuspend` argument says it.
pub fn at_suspend(please_suspend: bool) -> AtSuspend {
    if please_suspend { AtSuspend::Lock } else { AtSuspend::Stay }
}

/// The record as that UID may see it, and whether something was left out.
pub fn visible(view: &HomeView, record: &Record, uid: u32) -> (String, bool) {
    if view.shows_all_to(uid) {
        return (record.to_compact(), false);
    }
    let incomplete = record.members().contains_key("privileged");
    (record.only(Sections::STRANGER).to_compact(), incomplete)
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
