//! Who calls the daemon: root, other users, and processes that leave.

use super::PASSWORD;
use homed::front::dbus;
use records::buspath::HOMES;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use zbus::fdo::ManagedObjects;
use zbus::wire::{DynamicType, OwnedFd, OwnedVariant};
use zbus::{Connection, Message};

/// A client on the bus, as root.
#[derive(Clone)]
pub struct Client(pub(super) Connection);

impl Client {
    pub async fn manager<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let interface = Some("org.freedesktop.home1.Manager");
        self.0.call_method(Some(dbus::NAME), dbus::MANAGER, interface, method, body).await
    }

    /// Calls a method of homed's own interface.
    pub async fn policy<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let interface = Some("org.freedesktop.home1.LockPolicy");
        self.0.call_method(Some(dbus::NAME), dbus::MANAGER, interface, method, body).await
    }

    /// The same, of the interface beside the original's.
    pub async fn own<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let interface = Some("org.freedesktop.home1.Homed1");
        self.0.call_method(Some(dbus::NAME), dbus::MANAGER, interface, method, body).await
    }

    /// The record of a user.
    pub async fn record(&self, name: &str) -> String {
        let reply = self.manager("GetUserRecordByName", &(name,)).await.expect("known");
        let (text, ..): (String, bool, zbus::wire::OwnedObjectPath) =
            reply.body().deserialize().expect("a record");
        text
    }

    /// Makes a recovery key: its text, and the group that is asked for.
    pub async fn make_recovery_key(&self, name: &str) -> (String, String) {
        let reply = self.own("MakeRecoveryKey", &(name,)).await.expect("made");
        let (fd, group): (zbus::wire::OwnedFd, u32) =
            reply.body().deserialize().expect("as in the interface");
        let mut text = [0; records::recovery::LENGTH];
        let memory = std::fs::File::from(std::os::fd::OwnedFd::from(fd));
        memory.read_exact_at(&mut text, 0).expect("readable");
        let text = String::from_utf8(text.to_vec()).expect("text");
        let group = text.split('-').nth(group as usize - 1).expect("a group").to_owned();
        (text, group)
    }

    pub async fn create(&self, name: &str) -> zbus::Result<Message> {
        let record = format!(
            r#"{{"userName":"{name}","privileged":{{"hashedPassword":["$6$x$y"]}},"secret":{PASSWORD}}}"#
        );
        self.manager("CreateHome", &(record,)).await
    }

    pub async fn acquire(&self, name: &str, secret: &str) -> zbus::Result<OwnedFd> {
        self.manager("AcquireHome", &(name, secret, false)).await?.body().deserialize()
    }

    pub async fn state(&self, name: &str) -> String {
        let reply = self.manager("GetHomeByName", &(name,)).await.expect("known");
        let (_, state, ..): (u32, String, u32, String, String, String, zbus::wire::OwnedObjectPath) =
            reply.body().deserialize().expect("as in the interface");
        state
    }

    /// Asks until the home is in that state: what others do in between shows for a moment, too.
    pub async fn becomes(&self, name: &str, state: &str) {
        while self.state(name).await != state {
            tokio::task::yield_now().await;
        }
    }

    pub async fn list(&self) -> Vec<(String, String)> {
        type Row = (String, u32, String, u32, String, String, String, zbus::wire::OwnedObjectPath);
        let reply = self.manager("ListHomes", &()).await.expect("listed");
        let rows: Vec<Row> = reply.body().deserialize().expect("as in the interface");
        rows.into_iter().map(|row| (row.0, row.2)).collect()
    }

    pub async fn property(&self, path: &str, name: &str) -> String {
        let interface = Some("org.freedesktop.DBus.Properties");
        let body = ("org.freedesktop.home1.Home", name);
        let reply = self.0.call_method(Some(dbus::NAME), path, interface, "Get", &body).await.expect("had");
        let value: OwnedVariant = reply.body().deserialize().expect("a value");
        String::try_from(value).expect("text")
    }

    /// The objects of all homes, and one property of each.
    pub async fn objects(&self, property: &str) -> Vec<(String, String)> {
        let interface = Some("org.freedesktop.DBus.ObjectManager");
        let reply = self.0.call_method(Some(dbus::NAME), HOMES, interface, "GetManagedObjects", &()).await;
        let objects: ManagedObjects = reply.expect("told").body().deserialize().expect("as in the interface");
        let mut shown = Vec::new();
        for (path, interfaces) in objects {
            let values: Vec<_> = interfaces.into_values().map(|mut values| values.remove(property)).collect();
            let [Some(value)] = <[_; 1]>::try_from(values).expect("one interface") else { panic!("{path}") };
            shown.push((path.to_string(), String::try_from(value).expect("text")));
        }
        shown.sort();
        shown
    }

    pub async fn introspect(&self, path: &str) -> String {
        let interface = Some("org.freedesktop.DBus.Introspectable");
        let reply = self.0.call_method(Some(dbus::NAME), path, interface, "Introspect", &()).await;
        reply.expect("told").body().deserialize().expect("XML")
    }
}

/// A client that is killed when it is dropped.
pub struct Leaving(pub(super) Child);

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process of another user.
pub struct Stranger<'a>(pub(super) &'a str);

impl Stranger<'_> {
    /// What `dbus-send` prints, errors included.
    pub fn call(&self, method: &str, arguments: &[&str]) -> String {
        let ran = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "dbus-send"])
            .arg(format!("--bus={}", self.0))
            .args(["--print-reply", "--dest=org.freedesktop.home1", "/org/freedesktop/home1"])
            .arg(format!("org.freedesktop.home1.{method}"))
            .args(arguments)
            .output()
            .expect("dbus-send runs");
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    }
}

/// The D-Bus error name of a failed call.
pub fn error_name(reply: zbus::Result<Message>) -> String {
    match reply {
        Err(zbus::Error::MethodError(name, _, _)) => name.to_string(),
        // The library has types of its own for the standard names.
        Err(zbus::Error::FDO(standard)) => zbus::DBusError::name(&*standard).to_string(),
        Err(other) => panic!("not an answer of the daemon: {other}"),
        Ok(_) => "no error".into(),
    }
}
