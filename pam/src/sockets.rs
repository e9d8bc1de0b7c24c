//! The daemon over its sockets: the user database for who somebody is, the hand-off socket for everything else.
//! Both paths are fixed: a module in `sudo` must not let a variable decide whom it believes.

use crate::daemon::{AtSuspend, Daemon, Failure};
use crate::host;
use handoff::{Answer, HandoffError, Stream};
use records::credentials::InvalidSecret;
use records::handoff::{Call, Failed, Hold};
use records::{Credentials, HostName, Machine, MachineId, Record, Refusal, Secret, Sections, userdb};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::{Value, json};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DATABASE: &str = "/run/systemd/userdb/io.systemd.Home";
/// Longest answer of the user database, in bytes: records have at most 1 MiB.
const LONGEST: usize = 4 << 20;
/// How long the daemon may take to say who somebody is.
const LOOK_UP: Duration = Duration::from_secs(5);
/// A daemon that is just being started makes its socket, listens, and opens it to everybody (`ATTRIB`): each is seen at once.
/// After this it is asked again even where nothing more is seen.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a call may take: unlocking on a slow machine, with others before us.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection for each call, so that nothing is left open in the program between hooks.
pub struct Sockets;

impl Daemon for Sockets {
    fn local_uid(&mut self, name: &str) -> Option<u32> {
        host::local_uid(name)
    }

    fn is_registered(&mut self, name: &str) -> bool {
        host::is_registered(name)
    }

    fn is_half_restored(&mut self, user: &str) -> bool {
        host::is_half_restored(user)
    }

    fn record(&mut self, user: &str, expected: bool) -> Result<Record, Failure> {
        let deadline = Instant::now() + LOOK_UP;
        let mut folder = None;
        loop {
            match ask(user, deadline) {
                // An update or a crash ends in a moment.
                Err(Failure::Absent) if expected && Instant::now() < deadline => match &folder {
                    // Watched first, and asked again: what came in between is not missed.
                    None => {
                        folder = Some(Folder::watch(Path::new(DATABASE).parent().unwrap_or(Path::new("/"))))
                    }
                    Some(folder) => folder.until_changed(deadline),
                },
                answered => return read(&answered?),
            }
        }
    }

    fn machine(&mut self) -> Result<Machine, Failure> {
        let unreadable = |e: &dyn std::fmt::Display| Failure::Other(format!("/etc/machine-id: {e}"));
        let id = std::fs::read_to_string("/etc/machine-id").map_err(|e| unreadable(&e))?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Machine { id: MachineId::parse(&id).map_err(|e| unreadable(&e))?, host: HostName(host) })
    }

    fn acquire(&mut self, user: &str, secret: &Credentials, suspend: AtSuspend) -> Result<OwnedFd, Failure> {
        reference(call(Call::Acquire(hold(user, suspend)), &[secret])?)
    }

    fn reference(&mut self, user: &str, suspend: AtSuspend) -> Result<OwnedFd, Failure> {
        reference(call(Call::Reference(hold(user, suspend)), &[])?)
    }

    fn release(&mut self, user: &str) -> Result<(), Failure> {
        call(Call::Release { user: user.to_owned() }, &[]).map(drop)
    }

    fn change_password(&mut self, user: &str, new: &Credentials, old: &Credentials) -> Result<(), Failure> {
        call(Call::ChangePassword { user: user.to_owned() }, &[new, old]).map(drop)
    }

    fn now_usec(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A folder in which a socket is to appear.
struct Folder(Option<OwnedFd>);

impl Folder {
    /// Where it cannot be watched, it is only waited.
    fn watch(path: &Path) -> Self {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let watched = inotify::init(flags).ok().filter(|watcher| {
            let seen = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB | WatchFlags::ONLYDIR;
            inotify::add_watch(watcher, path, seen).is_ok()
        });
        Self(watched)
    }

    /// Waits until something appears, but no longer than [`AGAIN`].
    fn until_changed(&self, deadline: Instant) {
        let bound = deadline.saturating_duration_since(Instant::now()).min(AGAIN);
        let Some(watcher) = &self.0 else { return std::thread::sleep(bound) };
        let Ok(bound) = Timespec::try_from(bound) else { return };
        let mut waiting = [PollFd::new(watcher, PollFlags::IN)];
        // Interrupted, or more than was to be seen: it is asked again anyway.
        let _ = rustix::event::poll(&mut waiting, Some(&bound));
        let _ = rustix::io::read(watcher, &mut [0; 4096]);
    }
}

/// One question to the user database, in Varlink's words.
fn ask(user: &str, deadline: Instant) -> Result<Value, Failure> {
    let parameters = json!({ "userName": user, "service": userdb::SERVICE });
    let question = json!({ "method": "io.systemd.UserDatabase.GetUserRecord", "parameters": parameters });
    let mut bytes = question.to_string().into_bytes();
    bytes.push(0);
    let mut stream = Stream::connect(Path::new(DATABASE), deadline).map_err(|e| unheard(&e))?;
    stream.send(&bytes, &[]).map_err(|e| unheard(&e))?;
    let answer = stream.next(0, LONGEST, deadline).map_err(|e| unheard(&e))?;
    let answer = answer.ok_or_else(|| Failure::Silent("no answer in 5 s".to_owned()))?;
    serde_json::from_slice(&answer).map_err(|e| Failure::Silent(e.to_string()))
}

fn unheard(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::Absent,
        _ => Failure::Silent(error.to_string()),
    }
}

/// The record in an answer.
fn read(answer: &Value) -> Result<Record, Failure> {
    match answer["error"].as_str() {
        None => Record::from_value(answer["parameters"]["record"].clone(), Sections::HOST)
            .map_err(|e| Failure::Silent(e.to_string())),
        Some("io.systemd.UserDatabase.NoRecordFound") => {
            Err(Failure::Refused(Refusal::NoSuchHome, Refusal::NoSuchHome.sentence().to_owned()))
        }
        Some(error) => Err(Failure::Silent(error.to_owned())),
    }
}

fn hold(user: &str, suspend: AtSuspend) -> Hold {
    Hold { user: user.to_owned(), suspend: suspend == AtSuspend::Lock }
}

fn call(call: Call, credentials: &[&Credentials]) -> Result<Answer, Failure> {
    for secret in credentials {
        // Left out, it would look like a wrong password.
        let refused =
            |e: InvalidSecret| Failure::Refused(Refusal::InvalidArgs, format!("Not tried: {}.", e.0));
        secret.check().map_err(refused)?;
    }
    let secrets: Vec<Secret> = credentials.iter().map(|secret| secret.to_json()).collect();
    let secrets: Vec<&Secret> = secrets.iter().collect();
    match handoff::call(call, &secrets, PATIENCE).map_err(|e| failure(&e))? {
        Answer::Failed(failed) => Err(answered(failed)),
        done => Ok(done),
    }
}

fn reference(answer: Answer) -> Result<OwnedFd, Failure> {
    match answer {
        Answer::Reference(fd) => Ok(fd),
        other => Err(Failure::Other(format!("homed gave {other:?} for a reference"))),
    }
}

fn failure(error: &HandoffError) -> Failure {
    match error {
        HandoffError::Unreachable(cause) => unheard(cause),
        other => Failure::Silent(other.to_string()),
    }
}

/// What the daemon says it did not do.
fn answered(failed: Failed) -> Failure {
    match failed.name.as_deref().and_then(Refusal::from_bus_name) {
        Some(refusal) => Failure::Refused(refusal, failed.sentence),
        None => Failure::Other(failed.sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_told_from_who_is_not_there() {
        assert_eq!(unheard(&ErrorKind::ConnectionRefused.into()), Failure::Absent);
        assert_eq!(unheard(&ErrorKind::NotFound.into()), Failure::Absent);
        assert!(matches!(unheard(&ErrorKind::TimedOut.into()), Failure::Silent(_)));
    }

    #[test]
    fn a_socket_that_appears_ends_the_wait_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let watched = Folder::watch(folder.path());
        assert!(watched.0.is_some());
        std::fs::write(folder.path().join("socket"), "").expect("written");
        let begin = Instant::now();
        watched.until_changed(begin + Duration::from_secs(3600));
        assert!(begin.elapsed() < AGAIN, "it was not seen");
        // Seen once, and then waited for again.
        watched.until_changed(Instant::now() + Duration::from_millis(1));
    }

    #[test]
    fn answers_of_the_database_are_read() {
        let none = json!({"error": "io.systemd.UserDatabase.NoRecordFound", "parameters": {}});
        assert_eq!(read(&none).expect_err("none").refusal(), Some(Refusal::NoSuchHome));
        for broken in [json!({"error": "io.systemd.UserDatabase.ServiceNotAvailable"}), json!({}), json!(3)] {
            assert!(matches!(read(&broken), Err(Failure::Silent(_))), "{broken}");
        }
        let one = json!({"parameters": {"record": {"userName": "alice"}, "incomplete": false}});
        assert_eq!(read(&one).expect("a record").user().as_str(), "alice");
    }

    #[test]
    fn refusals_keep_their_words_and_faults_are_no_refusals() {
        let failed = |name: Option<&str>| Failed { name: name.map(str::to_owned), sentence: "x".into() };
        let refused = answered(failed(Some(Refusal::HomeBusy.bus_name())));
        assert_eq!(refused, Failure::Refused(Refusal::HomeBusy, "x".into()));
        assert_eq!(answered(failed(None)), Failure::Other("x".into()));
    }

    #[test]
    fn a_password_that_is_not_utf8_is_refused_before_anything_is_sent() {
        let credentials = |bytes: &[u8]| Credentials {
            passwords: vec![Secret::new(bytes.to_vec())],
            ..Credentials::default()
        };
        let (good, bad) = (credentials(b"geheim"), credentials(b"gr\xfc\xdfe"));
        for secrets in [&[&bad][..], &[&good, &bad], &[&bad, &good]] {
            let Err(Failure::Refused(refusal, text)) =
                call(Call::Acquire(hold("a", AtSuspend::Lock)), secrets)
            else {
                panic!("not refused");
            };
            assert_eq!(refusal, Refusal::InvalidArgs);
            assert!(text.contains("not UTF-8") && !text.contains("geheim"), "{text}");
        }
    }
}
