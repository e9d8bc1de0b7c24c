//! Notifications, between a bus of the system with a daemon that tells of locks, and a bus of a session with a desktop.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zbus::Connection;
use zbus::wire::{OwnedObjectPath, OwnedVariant};

const POLICY: &str = "org.freedesktop.home1.LockPolicy";
const HOMED: &str = "/org/freedesktop/home1";
/// Nothing here takes so long.
const BOUND: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus, and where it listens.
fn bus() -> (Ends, String) {
    let mut child = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon starts");
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut address).expect("an address");
    (Ends(child), address.trim().to_owned())
}

/// As much of the daemon as is asked.
struct Daemon(Option<&'static str>, UnboundedSender<()>);

#[zbus::interface(name = "org.freedesktop.home1.Manager", introspection_docs = false)]
impl Daemon {
    fn get_user_record_by_name(&self, name: String) -> zbus::fdo::Result<(String, bool, OwnedObjectPath)> {
        let path = OwnedObjectPath::try_from("/org/freedesktop/home1/home/alice").expect("valid");
        let _ = self.1.send(());
        match self.0 {
            Some(user) if name.is_empty() => Ok((format!(r#"{{"userName":"{user}"}}"#), false, path)),
            _ => Err(zbus::fdo::Error::Failed("not asked for".into())),
        }
    }
}

/// Title and text of each notification, and which one it takes the place of.
struct Desktop(UnboundedSender<(u32, String, String)>);

#[zbus::interface(name = "org.freedesktop.Notifications", introspection_docs = false)]
#[allow(clippy::too_many_arguments)] // as the interface has it
impl Desktop {
    fn notify(
        &self,
        program: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedVariant>,
        _milliseconds: i32,
    ) -> u32 {
        assert!(program == "homed" && actions.is_empty() && hints.contains_key("urgency"));
        let _ = self.0.send((replaces, summary, body));
        7
    }
}

async fn serve<I: zbus::object_server::Interface>(
    address: &str,
    (name, path): (&'static str, &'static str),
    object: I,
) -> Connection {
    zbus::connection::Builder::address(address)
        .serve_at(path, object)
        .name(name)
        .build()
        .await
        .expect("served")
}

async fn next<T>(from: &mut UnboundedReceiver<T>) -> T {
    tokio::time::timeout(BOUND, from.recv()).await.expect("in time").expect("it lives")
}

#[tokio::test]
async fn a_user_hears_of_the_own_home_and_of_no_other() {
    let ((_one, system), (_other, session)) = (bus(), bus());
    let (told, mut notices) = unbounded_channel();
    let (asked, mut questions) = unbounded_channel();
    let daemon = serve(&system, ("org.freedesktop.home1", HOMED), Daemon(Some("alice"), asked)).await;
    let _desktop =
        serve(&session, ("org.freedesktop.Notifications", "/org/freedesktop/Notifications"), Desktop(told))
            .await;
    let program = Command::new(env!("CARGO_BIN_EXE_homed-desk"))
        .arg("notify")
        .env("DBUS_SYSTEM_BUS_ADDRESS", &system)
        .env("DBUS_SESSION_BUS_ADDRESS", &session)
        .spawn();
    let _program = Ends(program.expect("it starts"));
    // It listens before it asks.
    next(&mut questions).await;
    let nobody: Option<&str> = None;
    let say = async |member: &'static str, name: &'static str| {
        daemon.emit_signal(nobody, HOMED, POLICY, member, &(name, "a holder")).await.expect("said");
    };
    say("NotLocked", "bob").await;
    daemon.emit_signal(nobody, HOMED, POLICY, "LockComing", &("bob", 7_u64)).await.expect("said");
    daemon.emit_signal(nobody, HOMED, POLICY, "LockComing", &("alice", 7_u64)).await.expect("said");
    let (replaces, summary, body) = next(&mut notices).await;
    assert_eq!((replaces, summary.as_str()), (0, "Your home will be locked in a minute"));
    assert!(body.contains("Press a key"), "{body}");
    say("NotLocked", "alice").await;
    say("NotLocked", "alice").await;
    let (first, summary, _) = next(&mut notices).await;
    let (second, again, body) = next(&mut notices).await;
    assert_eq!((first, second), (0, 7), "the second takes the place of the first");
    assert_eq!((summary.as_str(), again.as_str()), ("Your home could not be locked", summary.as_str()));
    assert!(!body.contains("holder"), "what everybody may read is not said again: {body}");
    daemon.emit_signal(nobody, HOMED, POLICY, "SleepRefused", &()).await.expect("said");
    assert_eq!(next(&mut notices).await.1, "The computer stays awake");
}
