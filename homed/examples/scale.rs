//! What many homes cost the daemon. Called by `cargo xtask bench scale`; prints "NAME VALUE": times in ns, memory in KiB,
//! processor time in hundredths of a second.
//!
//! The daemon is the true one, with records on disk that it has signed, images beside them, the user database's socket and
//! a message bus of its own; only its workers are not. The argument is how many homes there are.

use homed::daemon::answers::Answers;
use homed::daemon::link::{HomeKey, Link, Operation};
use homed::daemon::neighbours::Neighbours;
use homed::daemon::outside::Outside;
use homed::daemon::paths::Paths;
use homed::daemon::run::{Daemon, Parts};
use homed::daemon::simulated::Simulated;
use homed::daemon::system::System;
use homed::front::dbus::{self, context::Front};
use homed::front::varlink;
use homed::home::Tuning;
use homed::manager::{Defaults, Manager};
use homed::statedir::Folders;
use records::refusal::Refused;
use records::{HostName, Machine, MachineId, Record, Refusal, Sections};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixListener;

const ID: &str = "0123456789abcdef0123456789abcdef";
/// The UID of the first home.
const FIRST: usize = 20_000;
/// How often each is measured.
const ROUNDS: usize = 2_000;
/// How long nothing is asked.
const IDLE: Duration = Duration::from_secs(3);

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:dir=FOLDER</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/></policy></busconfig>"#;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let count: usize = std::env::args().nth(1).unwrap_or_default().parse()?;
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    write(folder.path(), count)?;
    let bus = Bus::start(folder.path())?;
    let measured = runtime.block_on(measure(folder.path(), &bus.address, count));
    runtime.shutdown_background();
    measured
}

/// A message bus.
struct Bus {
    child: Child,
    address: String,
}

impl Bus {
    fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let file = folder.join("bus.conf");
        std::fs::write(&file, BUS.replace("FOLDER", &folder.display().to_string()))?;
        let config = format!("--config-file={}", file.display());
        let mut command = Command::new("dbus-daemon");
        let child = command.args(["--nofork", "--print-address", &config]).stdout(Stdio::piped()).spawn()?;
        let mut bus = Self { child, address: String::new() };
        let stdout = bus.child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut bus.address)?;
        bus.address.truncate(bus.address.trim_end().len());
        Ok(bus)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(number: usize) -> String {
    format!("user{number:05}")
}

fn folders(folder: &Path) -> Folders {
    let state = folder.join("state");
    Folders { keys: vec![state.clone()], blobs: folder.join("blobs"), state }
}

/// Homes that are closed: records, signed as the daemon writes them, and images, of no size.
fn write(folder: &Path, count: usize) -> Done {
    let (folders, root) = (folders(folder), folder.join("home"));
    folders.make()?;
    std::fs::create_dir_all(&folders.blobs)?;
    std::fs::create_dir_all(&root)?;
    let neighbours = Neighbours::new(folders);
    for number in 0..count {
        let (name, uid) = (name(number), FIRST + number);
        let (image, directory) = (root.join(format!("{name}.home")), root.join(&name));
        std::fs::write(&image, "")?;
        let record = json!({
            "userName": name, "disposition": "regular", "realName": format!("Number {number}"), "lastChangeUSec": 1,
            "privileged": { "hashedPassword": [
                "$y$j9T$abcdefghijklmnopqrstuv$0123456789012345678901234567890123456789012"
            ]},
            "binding": { ID: {
                "uid": uid, "gid": uid, "storage": "luks", "fileSystemType": "btrfs",
                "luksUuid": format!("6f5a1b9c-8d3e-4f2a-9b7c-{number:012x}"),
                "imagePath": image, "homeDirectory": directory,
            }},
        });
        neighbours.save(&Record::parse(&record.to_string(), Sections::HOST)?)?;
    }
    Ok(())
}

fn parts(folder: &Path, count: usize) -> Result<Parts, Box<dyn Error>> {
    let outside = Arc::new(Neighbours::new(folders(folder)));
    let range = u32::try_from(FIRST)?..=u32::try_from(FIRST + count)?;
    let defaults = Defaults { most_homes: count, uid_range: range, ..Defaults::default() };
    let (signer, answers) = (outside.clone(), Answers::default());
    let at = |name: &str| folder.join(name);
    Ok(Parts {
        manager: Manager::new(machine()?, Tuning::default(), defaults),
        facts: Box::new(System::new(Box::new(move |record| signer.signed_locally(record)), answers.clone())),
        answers,
        outside,
        spawner: Box::new(Simulated::default()),
        paths: Paths {
            home_root: at("home"),
            references: at("references"),
            jobs: at("jobs"),
            inhibitors: at("inhibitors"),
            hold: at("hold"),
        },
    })
}

fn machine() -> Result<Machine, Box<dyn Error>> {
    Ok(Machine { id: MachineId::parse(ID)?, host: HostName("scale".into()) })
}

async fn measure(folder: &Path, bus: &str, count: usize) -> Done {
    let (link, calls) = Link::new();
    let (begun, worked) = (Instant::now(), processor()?);
    let (mut daemon, happened) = Daemon::new(parts(folder, count)?, link.clone());
    daemon.load().await?;
    tell("load", begun.elapsed());
    let refuse = Arc::new(|_| Box::pin(async { Err(Refused::from(Refusal::AccessDenied)) }) as _);
    let front = Front::new(link.clone(), Arc::new(|_, _| None), refuse);
    let _bus = dbus::serve(bus, Arc::new(front)).await?;
    tell("start", begun.elapsed());
    println!("start-worked {}", processor()? - worked);
    // As the thread of the fronts does it when all is ready.
    homed::sys::memory::give_back();
    let socket = folder.join("users");
    let listener = UnixListener::bind(&socket)?;
    let service = varlink::Service { link: link.clone(), machine: Arc::new(machine()?) };
    tokio::select! {
        () = daemon.run(calls, happened, std::future::pending()) => Err("the loop has ended".into()),
        () = varlink::serve(listener, service) => Err("the user database has ended".into()),
        done = ask(&link, &socket, count) => done,
    }
}

async fn ask(link: &Link, socket: &Path, count: usize) -> Done {
    let who = link.ourselves();
    for round in 0..ROUNDS {
        let number = round * 7919 % count;
        let uid = u32::try_from(FIRST + number)?;
        for (what, key) in [("by-name", HomeKey::Name(name(number))), ("by-uid", HomeKey::Uid(uid))] {
            let begun = Instant::now();
            let found = link.look(&who, &key)?.view.unix.uid;
            tell(what, begun.elapsed());
            if found != uid {
                return Err(format!("{what} gives {found} for {uid}").into());
            }
        }
    }
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || users(&socket, count).map_err(|error| error.to_string())).await??;
    for round in 0..ROUNDS.min(200) {
        let key = HomeKey::Name(name(round * 7919 % count));
        let begun = Instant::now();
        link.ask(&who, Operation::Release(key)).await?;
        tell("call", begun.elapsed());
    }
    let before = processor()?;
    tokio::time::sleep(IDLE).await;
    println!("idle {}", processor()? - before);
    println!("memory {}", resident()?);
    let mut changes = link.changes();
    let begun = Instant::now();
    link.ask(&who, Operation::Unregister(HomeKey::Name(name(count / 2)))).await?;
    tell("change", begun.elapsed());
    println!("announced {}", std::iter::from_fn(|| changes.try_recv().ok()).count());
    Ok(())
}

/// Questions to the user database, over its socket.
fn users(socket: &Path, count: usize) -> Done {
    let mut stream = UnixStream::connect(socket)?;
    for round in 0..ROUNDS {
        let number = round * 7919 % count;
        let by = [
            ("database-name", json!({ "userName": name(number), "service": "io.systemd.Home" })),
            ("database-uid", json!({ "uid": FIRST + number, "service": "io.systemd.Home" })),
        ];
        for (what, parameters) in by {
            let begun = Instant::now();
            let question =
                json!({ "method": "io.systemd.UserDatabase.GetUserRecord", "parameters": parameters });
            stream.write_all(question.to_string().as_bytes())?;
            stream.write_all(&[0])?;
            let mut answer = Vec::new();
            let mut byte = [0; 65536];
            while answer.last() != Some(&0) {
                let length = stream.read(&mut byte)?;
                answer.extend_from_slice(
                    byte.get(..length).filter(|read| !read.is_empty()).ok_or("it has hung up")?,
                );
            }
            tell(what, begun.elapsed());
            answer.pop();
            let answer: Value = serde_json::from_slice(&answer)?;
            if answer["parameters"]["record"]["userName"] != name(number).as_str() {
                return Err(format!("{what}: {answer}").into());
            }
        }
    }
    Ok(())
}

fn tell(what: &str, taken: Duration) {
    println!("{what} {}", taken.as_nanos());
}

/// Processor time of this process, in hundredths of a second.
fn processor() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number).ok_or("a short line");
    Ok(field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?)
}

/// What it has in memory, in KiB.
fn resident() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
