//! Who is at his screen, and who leaves: logind's sessions, told to the loop whenever one of them changes.
//!
//! A session is locked when it says so (`LockedHint`), and from when logind told it to lock itself (the signal
//! `Lock`, of `loginctl lock-session`) until it is told the reverse: a console has nothing that would say so.
//!
//! What is sent to one connection alone may be anybody's: only what the owner of logind's name says is heard.

use crate::daemon::link::{Link, Operation, Reply, Session};
use futures_util::{Stream, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Proxy};

const SERVICE: &str = "org.freedesktop.login1";
/// The bus daemon's own name; it lets nobody else have it as sender.
const BUS: &str = "org.freedesktop.DBus";
const MANAGER: &str = "/org/freedesktop/login1";
const SESSION: &str = "org.freedesktop.login1.Session";
/// Changes that come together are told together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Signals that may wait.
const KEPT: NonZero<usize> = NonZero::new(64).expect("more than none");

/// id, UID, user, seat, path.
type Row = (String, u32, String, String, OwnedObjectPath);

/// What logind's signals have told, until the loop is told. One task only hears, and never waits: the bus library stops
/// reading for everybody on the connection while nobody takes a signal out, the answers to the other task's own
/// questions included.
#[derive(Default)]
struct Heard {
    something: Notify,
    /// Paths of sessions that were told to lock themselves; of what `false` stands for, the reverse.
    locks: Mutex<BTreeMap<String, bool>>,
}

/// Listens for as long as it is polled. Without logind nobody says anything.
pub async fn follow(bus: Connection, link: Link) {
    let heard = Arc::new(Heard::default());
    let ended = match signals(&bus).await {
        Ok((owner, signals)) => {
            let hearing = tokio::spawn(hear(owner, signals, heard.clone()));
            tell_changes(&bus, &link, &heard).await;
            hearing.abort();
            return;
        }
        Err(error) => error,
    };
    tracing::warn!("homes are not locked by time: {ended}");
}

async fn hear(
    mut owner: Option<String>,
    mut signals: impl Stream<Item = zbus::Result<Message>> + Unpin,
    heard: Arc<Heard>,
) {
    while let Some(signal) = signals.next().await {
        // What is no message tells nothing.
        let Ok(signal) = signal else { continue };
        let sender = signal.header().sender().map(ToString::to_string);
        if sender.as_deref() == Some(BUS) {
            owner = new_owner(&signal).unwrap_or(owner);
        } else if sender.is_some() && sender == owner {
            heard.note(&signal);
        } else {
            continue;
        }
        heard.something.notify_one();
    }
}

/// Who owns logind's name from now on, where the message is about that.
fn new_owner(message: &Message) -> Option<Option<String>> {
    let is_news = message.header().member().is_some_and(|member| member.as_str() == "NameOwnerChanged");
    let (name, _, owner): (String, String, String) = message.body().deserialize().ok().filter(|_| is_news)?;
    (name == SERVICE).then(|| Some(owner).filter(|owner| !owner.is_empty()))
}

impl Heard {
    /// Remembers who was told to lock himself.
    fn note(&self, message: &Message) {
        let header = message.header();
        let (Some(path), Some(member)) = (header.path(), header.member()) else { return };
        if header.interface().is_none_or(|interface| interface.as_str() != SESSION) {
            return;
        }
        let locks = match member.as_str() {
            "Lock" => true,
            "Unlock" => false,
            _ => return,
        };
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_string(), locks);
    }

    /// Takes what was heard into account.
    fn into(&self, told: &mut BTreeSet<String>) {
        for (path, locks) in std::mem::take(&mut *self.locks.lock().unwrap_or_else(PoisonError::into_inner)) {
            if locks {
                told.insert(path)
            } else {
                told.remove(&path)
            };
        }
    }
}

/// Ends with the loop.
async fn tell_changes(bus: &Connection, link: &Link, heard: &Heard) {
    let mut changes = link.changes();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut hinted: BTreeMap<String, bool> = BTreeMap::new();
    loop {
        heard.into(&mut told);
        // Without a login manager there are no sessions; one that is started again is heard of.
        let again = tell(bus, link, (&mut told, &mut hinted)).await.unwrap_or(None);
        let again = async {
            match again {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = heard.something.notified() => {}
            // A home that is locked now: whether it is to be told of again is another question now.
            change = changes.recv() => if change == Err(RecvError::Closed) { return },
            () = again => continue,
        }
        // No longer, however much more comes: all of it is told then.
        tokio::time::sleep(TOGETHER).await;
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = changes.try_recv() {}
    }
}

/// Who owns logind's name, and from then on who takes it and all that is sent as if logind said it of its sessions.
async fn signals(
    bus: &Connection,
) -> zbus::Result<(Option<String>, impl Stream<Item = zbus::Result<Message>> + Unpin + use<>)> {
    let rule = || MatchRule::builder().msg_type(Type::Signal);
    // Nobody but the bus itself can fill this one, so that the questions below are answered.
    let owners = rule().sender(BUS).member("NameOwnerChanged").add_arg(SERVICE).build()?;
    let owners = MessageStream::for_match_rule(owners, bus, Some(KEPT)).await?;
    // The manager's, and those of all sessions.
    let said = rule().sender(SERVICE).path_namespace(MANAGER).build()?;
    let said = MessageStream::for_match_rule(said, bus, Some(KEPT)).await?;
    // Whoever takes the name after this is told of by the bus.
    let asked = bus.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "GetNameOwner", &(SERVICE,));
    let owner = asked.await.ok().and_then(|reply| reply.body().deserialize::<String>().ok());
    Ok((owner, futures_util::stream::select(owners, said)))
}

/// Tells the loop of all sessions; gives when to do so again though nothing is heard.
async fn tell(
    bus: &Connection,
    link: &Link,
    (told, hinted): (&mut BTreeSet<String>, &mut BTreeMap<String, bool>),
) -> zbus::Result<Option<Duration>> {
    let manager = Proxy::new(bus, SERVICE, MANAGER, "org.freedesktop.login1.Manager").await?;
    let rows: Vec<Row> = manager.call("ListSessions", &()).await?;
    let mut sessions = Vec::new();
    let mut now = BTreeMap::new();
    for (_, uid, _, seat, path) in rows {
        // One that has ended meanwhile is none.
        let Ok(mut facts) = facts(bus, &path).await else { continue };
        if text(&mut facts, "Class").is_none_or(|class| !class.starts_with("user")) {
            continue;
        }
        let hint = flag(&mut facts, "LockedHint");
        // Unlocked by itself: it was told the reverse in its own way.
        if hinted.get(path.as_str()) == Some(&true) && !hint {
            told.remove(path.as_str());
        }
        now.insert(path.to_string(), hint);
        sessions.push(session(uid, &seat, &mut facts, hint || told.contains(path.as_str())));
    }
    told.retain(|path| now.contains_key(path));
    *hinted = now;
    match link.ask(&link.ourselves(), Operation::Sessions(sessions)).await {
        Ok(Reply::LookAgain(after)) => Ok(after),
        Ok(_) | Err(_) => Ok(None),
    }
}

type Facts = HashMap<String, OwnedVariant>;

async fn facts(bus: &Connection, path: &ObjectPath<'_>) -> zbus::Result<Facts> {
    let properties = Proxy::new(bus, SERVICE, path, "org.freedesktop.DBus.Properties").await?;
    properties.call("GetAll", &(SESSION,)).await
}

fn session(uid: u32, seat: &str, facts: &mut Facts, locked: bool) -> Session {
    let graphical =
        text(facts, "Type").is_some_and(|kind| matches!(kind.as_str(), "x11" | "wayland" | "mir"));
    let since = facts.remove("IdleSinceHint").and_then(|value| u64::try_from(value).ok());
    Session {
        uid,
        has_screen: graphical || !seat.is_empty(),
        locked,
        closing: text(facts, "State").is_some_and(|state| state == "closing"),
        idle_since_usec: since.filter(|since| *since > 0 && flag(facts, "IdleHint")),
    }
}

fn flag(facts: &mut Facts, name: &str) -> bool {
    facts.remove(name).and_then(|value| bool::try_from(value).ok()).unwrap_or(false)
}

fn text(facts: &mut Facts, name: &str) -> Option<String> {
    facts.remove(name).and_then(|value| String::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIND: &str = ":1.7";
    const STRANGER: &str = ":1.66";

    fn said(sender: &str, path: &str, member: &str) -> zbus::Result<Message> {
        Message::signal(path, SESSION, member).sender(sender).build(&())
    }

    fn taken(by: &str) -> zbus::Result<Message> {
        Message::signal("/org/freedesktop/DBus", BUS, "NameOwnerChanged")
            .sender(BUS)
            .build(&(SERVICE, "", by))
    }

    /// What is noted of that, where logind's name has that owner at first.
    async fn noted(owner: Option<&str>, signals: Vec<zbus::Result<Message>>) -> BTreeSet<String> {
        let (heard, mut told) = (Arc::new(Heard::default()), BTreeSet::from(["/b".to_owned()]));
        hear(owner.map(str::to_owned), futures_util::stream::iter(signals), heard.clone()).await;
        Heard::into(&heard, &mut told);
        told
    }

    fn paths(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[tokio::test]
    async fn only_logind_tells_a_session_to_lock_itself_or_not_to() {
        let both = |sender| vec![said(sender, "/a", "Lock"), said(sender, "/b", "Unlock")];
        assert_eq!(noted(Some(LOGIND), both(LOGIND)).await, paths(&["/a"]));
        assert_eq!(noted(Some(LOGIND), both(STRANGER)).await, paths(&["/b"]));
        assert_eq!(noted(None, both(STRANGER)).await, paths(&["/b"]));
    }

    #[tokio::test]
    async fn logind_is_believed_when_it_comes_back_and_who_takes_its_name_is_said_by_the_bus_alone() {
        let later = vec![taken(LOGIND), said(LOGIND, "/a", "Lock"), taken(""), said(LOGIND, "/b", "Unlock")];
        assert_eq!(noted(Some(":1.2"), later).await, paths(&["/a", "/b"]));
        let forged = Message::signal("/org/freedesktop/DBus", BUS, "NameOwnerChanged").sender(STRANGER);
        let forged = forged.build(&(SERVICE, "", STRANGER));
        let later = vec![forged, said(STRANGER, "/a", "Lock")];
        assert_eq!(noted(Some(LOGIND), later).await, paths(&["/b"]));
    }
}
