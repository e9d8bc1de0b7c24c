//! What the user records say of those who are locked: the name for people, and the language. The daemon is asked aside: one that does
//! not answer keeps nobody from the prompt, where the user is called by the user's name then, in the machine's language.

use crate::catalogue::{Language, of_machine};
use crate::sessions;
use records::{HostName, Machine, MachineId, Record, Sections};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Where there is no screen that could be drawn again, the answer is waited for, but not for longer than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// A person, as far as a prompt needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name for people, if it is not the user's name.
    pub called: Option<String>,
    /// What the person reads.
    pub language: Language,
}

/// What has come of asking about somebody.
#[derive(Debug, Clone)]
enum Answer {
    /// Nothing yet.
    Awaited,
    /// There was none.
    None,
    /// This.
    Known(Person),
}

/// Gives a user's record as JSON.
type Ask = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Those who were asked about.
pub struct People {
    machine: Language,
    known: BTreeMap<String, Answer>,
    answers: Receiver<(String, Answer)>,
    answer: Sender<(String, Answer)>,
    /// Readable when there is an answer.
    news: Arc<OwnedFd>,
    ask: Arc<Ask>,
}

impl People {
    /// Nobody yet. The daemon is who knows them.
    pub fn of_daemon() -> io::Result<Self> {
        Self::of(of_machine(), sessions::record)
    }

    /// The same, where this gives their records as JSON, in whatever time it takes.
    fn of(
        machine: Language,
        ask: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (answer, answers) = channel();
        let news = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self { machine, known: BTreeMap::new(), answers, answer, news, ask: Arc::new(ask) })
    }

    /// What is known by now. Who is not known is asked about, once.
    pub fn get(&mut self, user: &str) -> Person {
        self.known.extend(self.answers.try_iter());
        match self.known.get(user) {
            Some(Answer::Known(person)) => return person.clone(),
            Some(Answer::Awaited | Answer::None) => {}
            None => self.begin(user.to_owned()),
        }
        Person { called: None, language: self.machine }
    }

    /// What is known in a moment; who gave no answer before is asked about again.
    pub fn wait(&mut self, user: &str) -> Person {
        self.ask_again();
        let first = !self.known.contains_key(user);
        let person = self.get(user);
        match first.then(|| self.answers.recv_timeout(PATIENCE)) {
            Some(Ok((user, answer))) => drop(self.known.insert(user, answer)),
            Some(Err(_)) | None => return person,
        }
        self.get(user)
    }

    /// Those about whom there was no answer are asked about again.
    pub fn ask_again(&mut self) {
        self.known.retain(|_, answer| !matches!(answer, Answer::None));
    }

    /// Becomes ready when more is known, until [`Self::get`] and [`Self::forget_news`].
    pub fn news(&self) -> PollFd<'_> {
        PollFd::new(&*self.news, PollFlags::IN)
    }

    /// What is known is about to be looked at.
    pub fn forget_news(&self) {
        // Nothing has come: nothing to be forgotten.
        let _ = rustix::io::read(&*self.news, &mut [0; 8]);
    }

    fn begin(&mut self, user: String) {
        self.known.insert(user.clone(), Answer::Awaited);
        let (ask, news) = (Arc::clone(&self.ask), Arc::clone(&self.news));
        let (answer, machine) = (self.answer.clone(), self.machine);
        std::thread::spawn(move || {
            let person = ask(&user).and_then(|record| read(&record, machine));
            // Whoever asked may have ended.
            let _ = answer.send((user, person.map_or(Answer::None, Answer::Known)));
            let _ = rustix::io::write(&*news, &1_u64.to_ne_bytes());
        });
    }
}

fn read(record: &str, machine: Language) -> Option<Person> {
    let here = Machine {
        id: MachineId::parse(&std::fs::read_to_string("/etc/machine-id").ok()?).ok()?,
        host: HostName(rustix::system::uname().nodename().to_string_lossy().into_owned()),
    };
    person(record, &here, machine)
}

fn person(record: &str, here: &Machine, machine: Language) -> Option<Person> {
    let settings = Record::parse(record, Sections::OWNER).ok()?.on(here);
    let called = settings
        .real_name
        .filter(|name| settings.user_name.as_ref() != Some(name) && !name.trim().is_empty());
    let language = settings.preferred_language.map_or(machine, |locale| Language::of_locale(&locale));
    Some(Person { called, language })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::poll;
    use std::sync::Mutex;

    fn here() -> Machine {
        let id = MachineId::parse(&"1".repeat(32)).expect("an id");
        Machine { id, host: HostName("here".into()) }
    }

    fn seen(members: &str) -> Option<Person> {
        person(
            &format!("{{\"userName\":\"alice\",\"disposition\":\"regular\"{members}}}"),
            &here(),
            Language::German,
        )
    }

    #[test]
    fn a_record_says_what_somebody_is_called_and_reads() {
        let alice = Person { called: Some("Alice Liddell".into()), language: Language::French };
        assert_eq!(
            seen(",\"realName\":\"Alice Liddell\",\"preferredLanguage\":\"fr_FR.UTF-8\""),
            Some(alice)
        );
        let nothing = Some(Person { called: None, language: Language::German });
        assert_eq!((seen(""), seen(",\"realName\":\"alice\"")), (nothing.clone(), nothing));
        let of_here = ",\"preferredLanguage\":\"fr_FR\",\"perMachine\":[{\"matchHostname\":\"here\",\"preferredLanguage\":\"ja_JP\"}]";
        assert_eq!(seen(of_here).map(|person| person.language), Some(Language::Japanese));
        assert_eq!(person("no record", &here(), Language::German), None);
    }

    #[test]
    fn who_is_not_known_yet_is_called_by_the_name_and_in_the_language_of_the_machine() {
        let (give, given) = channel::<Option<String>>();
        let given = Mutex::new(given);
        let ask = move |_: &str| given.lock().ok()?.recv().ok()?;
        let mut people = People::of(Language::German, ask).expect("begun");
        let unknown = Person { called: None, language: Language::German };
        assert_eq!((people.get("alice"), people.get("alice")), (unknown.clone(), unknown.clone()));
        let answer = |people: &mut People, record: Option<&str>| {
            give.send(record.map(str::to_owned)).expect("asked once");
            poll(&mut [people.news()], None).expect("waited");
            people.forget_news();
            people.get("alice")
        };
        assert_eq!(answer(&mut people, None), unknown);
        // The daemon is there again.
        people.ask_again();
        assert_eq!(people.get("alice"), unknown);
        let record =
            r#"{"userName":"alice","disposition":"regular","realName":"Alice","preferredLanguage":"es_ES"}"#;
        let alice = Person { called: Some("Alice".into()), language: Language::Spanish };
        // Without a machine id (containers that build) no record is read.
        let known = if std::path::Path::new("/etc/machine-id").exists() { alice } else { unknown };
        assert_eq!((answer(&mut people, Some(record)), people.wait("alice")), (known.clone(), known));
    }
}
