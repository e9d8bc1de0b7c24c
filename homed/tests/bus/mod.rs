//! A private bus, a daemon on it with a simulated machine, and clients.

mod client;
pub mod signatures;

pub use client::{Client, error_name};
use client::{Leaving, Stranger};
use homed::daemon::link::Link;
use homed::daemon::paths::Paths;
use homed::daemon::run::{Daemon, Parts};
use homed::daemon::simulated::Simulated;
use homed::front::dbus::{self, context::Front};
use homed::home::Tuning;
use homed::manager::Manager;
use records::refusal::Refused;
use records::{HostName, Machine, MachineId, Refusal, UserName};
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The password of all homes here.
pub const PASSWORD: &str = r#"{"password":["correct horse"]}"#;

const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:dir=FOLDER</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/></policy></busconfig>"#;

/// A bus of our own.
pub struct Bus {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Bus {
    /// Starts it, and waits until it listens.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("others get in");
        let file = folder.path().join("bus.conf");
        std::fs::write(&file, CONFIG.replace("FOLDER", &folder.path().display().to_string()))
            .expect("written");
        let mut child = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--print-address")
            .arg(format!("--config-file={}", file.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut address).expect("an address");
        Self { child, address: address.trim().to_owned(), folder }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulated machine whose homes are named by text.
pub struct TestMachine(Simulated);

impl Deref for TestMachine {
    type Target = Simulated;
    fn deref(&self) -> &Simulated {
        &self.0
    }
}

fn user(name: &str) -> UserName {
    UserName::parse(name).expect("valid")
}

impl TestMachine {
    pub fn set_busy(&self, name: &str, busy: bool) {
        self.0.set_busy(&user(name), busy);
    }
    pub fn lose_state(&self) {
        self.0.lose_state();
    }
    pub fn lose_state_late(&self) {
        self.0.lose_state_late();
    }
    pub fn bring_storage(&self, name: &str, password: &str) {
        self.0.bring_storage(&user(name), password);
    }
    pub fn mount(&self, name: &str) {
        self.0.mount(&user(name));
    }
}

/// Bus, daemon and machine.
pub struct World {
    pub machine: TestMachine,
    bus: Bus,
    running: Option<RunningDaemon>,
}

struct RunningDaemon {
    link: Link,
    kill: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// Starts after `prepare` has seen the machine and the home root.
    pub async fn start_with(prepare: impl FnOnce(&TestMachine, &Path)) -> Self {
        let mut world = Self { machine: TestMachine(Simulated::default()), bus: Bus::start(), running: None };
        let root = world.bus.folder.path().join("home");
        std::fs::create_dir(&root).expect("made");
        prepare(&world.machine, &root);
        world.restart().await;
        world
    }

    /// Starts a daemon, and waits for its name on the bus.
    pub async fn restart(&mut self) {
        let (machine, folder) = (self.machine.0.clone(), self.bus.folder.path().to_owned());
        let address = self.bus.address().to_owned();
        let (kill, killed) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(daemon(machine, &folder, &address, ready, killed));
        });
        let link = is_ready.await.expect("the daemon starts");
        self.running = Some(RunningDaemon { link, kill, thread });
    }

    /// Ends the daemon without a word to anybody.
    pub async fn kill(&mut self) {
        let running = self.running.take().expect("it runs");
        running.kill.send(()).expect("it hears");
        drop(running.link);
        tokio::task::spawn_blocking(move || running.thread.join()).await.expect("joined").expect("no panic");
    }

    pub fn link(&self) -> &Link {
        &self.running.as_ref().expect("it runs").link
    }

    pub async fn client(&self) -> Client {
        let address = self.bus.address();
        let connection = zbus::connection::Builder::address(address).build().await.expect("connected");
        Client(connection)
    }

    /// Where the bus listens.
    pub fn address(&self) -> &str {
        self.bus.address()
    }

    /// A caller with a UID that has no rights.
    pub fn stranger(&self) -> Stranger<'_> {
        Stranger(self.bus.address())
    }

    /// Waits until that home is there.
    pub async fn home_appeared(&self, name: &str) {
        let mut changes = self.link().changes();
        let client = self.client().await;
        while client.manager("GetHomeByName", &(name,)).await.is_err() {
            changes.recv().await.expect("the daemon lives");
        }
    }

    /// A process that asks for a home to be made, and leaves when it is dropped.
    pub fn leaving_client_creates(&self, name: &str) -> Leaving {
        let record = format!(r#"{{"userName":"{name}","secret":{PASSWORD}}}"#);
        let child = Command::new("dbus-send")
            .arg(format!("--bus={}", self.bus.address()))
            .args(["--print-reply", "--dest=org.freedesktop.home1", "/org/freedesktop/home1"])
            .arg("org.freedesktop.home1.Manager.CreateHome")
            .arg(format!("string:{record}"))
            .spawn();
        Leaving(child.expect("dbus-send runs"))
    }

    /// Waits until a job of that home is at the door.
    pub async fn job_of(&self, name: &str) {
        self.machine.wait_for(|user, _| user.as_str() == name).await;
    }

    /// Waits until such a job is at the door.
    pub async fn job_started(&self, what: &str) {
        self.machine.wait_for(|_, begun| begun == what).await;
    }
}

async fn daemon(
    machine: Simulated,
    folder: &Path,
    address: &str,
    ready: oneshot::Sender<Link>,
    killed: oneshot::Receiver<()>,
) {
    let (link, calls) = Link::new();
    let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
    let this = Machine { id, host: HostName("test".into()) };
    let brief = Duration::from_millis(20);
    let tuning = Tuning { grain: Duration::ZERO, retry: brief, retry_longest: brief, ..Tuning::default() };
    let parts = Parts {
        manager: Manager::new(this, tuning, homed::manager::Defaults::default()),
        facts: Box::new(machine.clone()),
        answers: homed::daemon::answers::Answers::default(),
        outside: Arc::new(machine.clone()),
        spawner: Box::new(machine),
        paths: Paths {
            home_root: folder.join("home"),
            references: folder.join("references"),
            jobs: folder.join("jobs"),
            inhibitors: folder.join("inhibitors"),
            hold: folder.join("hold"),
        },
    };
    let (mut daemon, happened) = Daemon::new(parts, link.clone());
    daemon.load().await.expect("loaded");
    let front = Front::new(
        link.clone(),
        Arc::new(|_, _| None),
        Arc::new(|_| Box::pin(async { Err(Refused::from(Refusal::AccessDenied)) })),
    );
    let serving = async {
        let connection = dbus::serve(address, Arc::new(front)).await.expect("served");
        assert!(ready.send(link).is_ok());
        // Kept for as long as the daemon lives.
        let _connection = connection;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = daemon.run(calls, happened, std::future::pending()) => {}
        () = serving => {}
        _ = killed => {}
    }
}
