//! The daemon on the bus, as everybody sees it: which homes there are, and which of them something has happened to.

use crate::accounts::plan::{Home, Picture, Presence, Wanted};
use futures_util::Stream;
use records::{MachineId, UserName, buspath};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use zbus::message::{Message, Type};
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, MatchRule, MessageStream};

const NAME: &str = "org.freedesktop.home1";
const PATH: &str = "/org/freedesktop/home1";
const MANAGER: &str = "org.freedesktop.home1.Manager";
/// Whose home it does not know.
const NO_SUCH_HOME: &str = "org.freedesktop.home1.NoSuchHome";
/// The picture's name among a user's blobs.
const AVATAR: &str = "avatar";

/// User, UID, state, GID, real name, home directory, shell, object.
type Row = (String, u32, String, u32, String, String, String, OwnedObjectPath);

/// What is known of homes: a record is read again only when something has happened to its home.
pub struct Homes {
    bus: Connection,
    machine: MachineId,
    known: BTreeMap<UserName, Home>,
}

impl Homes {
    /// Nothing has been asked yet.
    pub fn new(bus: Connection, machine: MachineId) -> Self {
        Self { bus, machine, known: BTreeMap::new() }
    }

    /// All homes there are, with those read again that `touched` names.
    ///
    /// # Errors
    /// The daemon gives no answer: nothing is known of what there is.
    pub async fn all(&mut self, touched: &BTreeSet<String>) -> zbus::Result<Vec<Home>> {
        // Where this fails all are read again: what was touched is not known the next time.
        let mut before = std::mem::take(&mut self.known);
        let reply = self.bus.call_method(Some(NAME), PATH, Some(MANAGER), "ListHomes", &()).await?;
        let rows: Vec<Row> = reply.body().deserialize()?;
        let mut all = BTreeMap::new();
        for (name, _, state, ..) in rows {
            let Ok(user) = UserName::parse(&name) else { continue };
            let known = before.remove(&user).filter(|_| !touched.contains(&name));
            let home = match known {
                Some(known) => known,
                None => match self.read(&user).await? {
                    Some(home) => home,
                    // Gone meanwhile, which is told by itself.
                    None => continue,
                },
            };
            let presence = if state == "absent" { Presence::Away } else { Presence::Here };
            all.insert(user, Home { presence, ..home });
        }
        self.known = all;
        Ok(self.known.values().cloned().collect())
    }

    /// `None`: it is gone. A daemon that gives no answer does not say so.
    async fn read(&self, user: &UserName) -> zbus::Result<Option<Home>> {
        let body = &(user.as_str(),);
        let reply = self.bus.call_method(Some(NAME), PATH, Some(MANAGER), "GetUserRecordByName", body).await;
        let reply = match reply {
            Err(zbus::Error::MethodError(name, ..)) if name.as_str() == NO_SUCH_HOME => return Ok(None),
            reply => reply?,
        };
        let (text, ..): (String, bool, OwnedObjectPath) = reply.body().deserialize()?;
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Some(home(user, &record, &self.machine)))
    }
}

/// What of a record is shown to who has not logged in.
fn home(user: &UserName, record: &Value, machine: &MachineId) -> Home {
    let regular = record["disposition"].as_str().is_none_or(|kind| kind == "regular");
    let wanted = if regular && record["locked"] != true { Wanted::Yes } else { Wanted::No };
    let folder = record["binding"][machine.as_str()]["blobDirectory"].as_str();
    let digest = record["blobManifest"][AVATAR].as_str();
    let picture = folder
        .zip(digest)
        .map(|(folder, digest)| Picture { path: Path::new(folder).join(AVATAR), digest: digest.to_owned() });
    let real_name = record["realName"].as_str().map(str::to_owned);
    Home { user: user.clone(), presence: Presence::Here, wanted, real_name, picture }
}

/// The name of the user whose session this is; `None`: its home is none of homed's.
///
/// # Errors
/// The daemon gives no answer.
pub async fn own_name(bus: &Connection) -> zbus::Result<Option<UserName>> {
    // The empty name is the caller's own.
    let reply = match bus.call_method(Some(NAME), PATH, Some(MANAGER), "GetUserRecordByName", &("",)).await {
        Err(zbus::Error::MethodError(name, ..)) if name.as_str() == NO_SUCH_HOME => return Ok(None),
        reply => reply?,
    };
    let (text, ..): (String, bool, OwnedObjectPath) = reply.body().deserialize()?;
    let record: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(record["userName"].as_str().and_then(|name| UserName::parse(name).ok()))
}

/// Everything that the daemon says, and that it has come back.
///
/// # Errors
/// The bus takes no more subscriptions.
pub async fn signals(
    bus: &Connection,
) -> zbus::Result<impl Stream<Item = zbus::Result<Message>> + Unpin + use<>> {
    let said = MatchRule::builder().msg_type(Type::Signal).sender(NAME).build()?;
    let owner = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(NAME)
        .build()?;
    let said = MessageStream::for_match_rule(said, bus, None).await?;
    let owner = MessageStream::for_match_rule(owner, bus, None).await?;
    Ok(futures_util::stream::select(said, owner))
}

/// Whether the daemon has said it. The bus looks at the sender of what it sends to all; what is sent to one connection alone may be
/// anybody's.
pub async fn is_said_by_homed(bus: &Connection, message: &Message) -> bool {
    const BUS: &str = "org.freedesktop.DBus";
    let asked =
        bus.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "GetNameOwner", &(NAME,)).await;
    let owner = asked.ok().and_then(|reply| reply.body().deserialize::<String>().ok());
    owner.is_some() && message.header().sender().map(ToString::to_string) == owner
}

/// Whose home a signal is about; `None`: about the set of them, or about all.
pub fn about(message: &Message) -> Option<String> {
    let path = message.header().path()?.to_string();
    let label = path.strip_prefix(buspath::HOMES)?.strip_prefix('/')?;
    buspath::unescape(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_record_the_picture_on_this_machine_is_shown() {
        let machine = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        let user = UserName::parse("alice").expect("valid");
        let seen = |record: Value| home(&user, &record, &machine);
        let folder = json!({ machine.as_str(): { "blobDirectory": "/blobs/alice" } });
        let shown = seen(json!({ "binding": folder, "blobManifest": { "avatar": "ab" } }));
        assert_eq!(shown.picture, Some(Picture { path: "/blobs/alice/avatar".into(), digest: "ab".into() }));
        assert_eq!(shown.wanted, Wanted::Yes);
        for (record, wanted) in [
            (json!({ "blobManifest": { "avatar": "ab" } }), Wanted::Yes),
            (json!({ "binding": folder, "disposition": "regular" }), Wanted::Yes),
            (json!({ "binding": folder, "disposition": "system" }), Wanted::No),
            (json!({ "binding": folder, "locked": true }), Wanted::No),
        ] {
            let home = seen(record.clone());
            assert_eq!((home.picture, home.wanted), (None, wanted), "{record}");
        }
    }
}
