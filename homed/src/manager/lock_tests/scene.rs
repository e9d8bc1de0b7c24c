//! Two homes, and what a daemon would do with them.

use super::*;

/// Homes that are open, and what is to be seen of their locks.
pub struct Scene {
    pub mounts: RefCell<BTreeMap<String, Mount>>,
    pub seal: RefCell<Seal>,
    /// What bob's home can do.
    pub bob: Parts,
    /// Whether what is asked about locks is answered at once.
    pub looks: bool,
    pub manager: Manager,
    pub now: u64,
    pub calls: u64,
    pub last: Vec<Effect>,
}

/// What a home in a folder can do.
pub const FOLDER: Parts = Parts { keyed: false, locks: false, resizes: false, tends: false };
/// The same of one that the kernel encrypts.
pub const ENCRYPTED: Parts = Parts { keyed: true, ..FOLDER };

/// Facts apart from the manager, which is changed meanwhile.
pub struct Seen<'a>(&'a RefCell<BTreeMap<String, Mount>>, Parts);

impl Facts for Seen<'_> {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        let mount = self.0.borrow().get(place.user.as_str()).copied().unwrap_or_default();
        let storage = if place.user.as_str() == "carol" { Storage::Missing } else { Storage::There };
        Whereabouts { storage, mount }
    }
    fn parts(&self, place: &Place) -> Option<Parts> {
        Some(if place.user.as_str() == "bob" { self.1 } else { Parts::ALL })
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

pub fn user(name: &str) -> UserName {
    UserName::parse(name).expect("valid")
}

impl Scene {
    /// alice, whose record says more, and bob; both are open.
    pub fn new(members: &str, change: impl FnOnce(&mut Defaults)) -> Self {
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        let mut defaults = Defaults::default();
        change(&mut defaults);
        let clear = Seal {
            device: Looked::Clear,
            table: Looked::Clear,
            keyring: Looked::Clear,
            swap: Looked::Clear,
            holders: Looked::Clear,
            kernel: Looked::Clear,
        };
        let mut scene = Self {
            mounts: RefCell::default(),
            seal: RefCell::new(clear),
            bob: Parts::ALL,
            looks: true,
            manager: Manager::new(Machine { id, host: HostName("a".into()) }, Tuning::default(), defaults),
            now: 1_000 * SECOND,
            calls: 0,
            last: Vec::new(),
        };
        for (name, uid, more) in [("alice", 60001, members), ("bob", 60002, "")] {
            scene.mounts.borrow_mut().insert(name.into(), Mount::Usable);
            let text = format!(r#"{{"userName":"{name}","storage":"luks","uid":{uid}{more}}}"#);
            let record = Record::parse(&text, Sections::HOST).expect("valid");
            let interrupted = crate::home::effect::Interrupted::No;
            scene.take(Event::Loaded(Box::new(record), interrupted, vec![AtSuspend::Stay]));
        }
        scene
    }

    pub fn take(&mut self, event: Event) -> &[Effect] {
        let facts = Seen(&self.mounts, self.bob);
        self.last = self.manager.handle(event, &Now { usec: self.now, facts: &facts });
        if self.looks {
            self.look();
        }
        &self.last
    }

    /// What was just asked about locks.
    pub fn proofs(&self) -> Vec<(UserName, JobId)> {
        let asked = |effect: &Effect| match effect {
            Effect::Prove(id, place) => Some((place.user.clone(), *id)),
            _ => None,
        };
        self.last.iter().filter_map(asked).collect()
    }

    /// Somebody looks, and tells what is to be seen; what follows comes after what followed before.
    pub fn look(&mut self) {
        for (user, id) in self.proofs() {
            let seen = Event::Proven(user, id, Some(self.seal.borrow().clone()));
            let facts = Seen(&self.mounts, self.bob);
            self.last.extend(self.manager.handle(seen, &Now { usec: self.now, facts: &facts }));
        }
    }

    pub fn ask(&mut self, uid: u32, operation: Operation) -> &[Effect] {
        self.calls += 1;
        let caller =
            Caller { uid, bus_name: None, interactive: Interactive::No, from: Provenance::default() };
        self.take(Event::Asked(RequestId(self.calls), caller, Box::new(operation)))
    }

    pub fn wish(&mut self, for_usec: u64) -> Option<InhibitorId> {
        let wish = Wish { who: "rsync".into(), why: "a copy".into(), pid: 7, for_usec };
        let effects = self.ask(60001, Operation::Inhibit(HomeKey::Name("alice".into()), wish));
        effects.iter().find_map(|effect| match effect {
            Effect::Inhibit(_, inhibitor) => Some(inhibitor.id),
            _ => None,
        })
    }

    /// Whose homes are being locked now.
    pub fn locking(&self) -> Vec<&str> {
        let lock = |start: &StartJob| matches!(start.job.task, Task::Lock { .. });
        self.starts().filter(|start| lock(start)).map(|start| start.user.as_str()).collect()
    }

    pub fn starts(&self) -> impl Iterator<Item = &StartJob> {
        self.last.iter().filter_map(|effect| match effect {
            Effect::Start(start) => Some(&**start),
            _ => None,
        })
    }

    /// Ends the jobs that were just started; gives what follows from the last.
    pub fn end(&mut self, mut outcome: impl FnMut(&str) -> Outcome) {
        let jobs: Vec<(UserName, JobId)> =
            self.starts().map(|start| (start.user.clone(), start.id)).collect();
        for (user, id) in jobs {
            let outcome = outcome(user.as_str());
            if matches!(outcome, Outcome::Done { .. }) {
                self.mounts.borrow_mut().insert(user.to_string(), Mount::Suspended);
            }
            self.take(Event::Ended(user, id, outcome));
        }
    }

    /// Ends the jobs that were just started; nothing moves.
    pub fn end_as_it_is(&mut self, mut outcome: impl FnMut(&str) -> Outcome) {
        let jobs: Vec<(UserName, JobId)> =
            self.starts().map(|start| (start.user.clone(), start.id)).collect();
        for (user, id) in jobs {
            let outcome = outcome(user.as_str());
            self.take(Event::Ended(user, id, outcome));
        }
    }

    /// Whether a settling has just been started.
    pub fn settles(&self) -> bool {
        self.starts().any(|start| matches!(start.job.task, Task::Settle { .. }))
    }

    /// The look-up that was just asked for, and the first UID it is about.
    pub fn check(&self) -> Option<(JobId, u32)> {
        self.last.iter().find_map(|effect| match effect {
            Effect::Check(check) => Some((check.id, check.uids.first().copied().unwrap_or(0))),
            _ => None,
        })
    }

    pub fn answer(&self) -> Option<Result<(), String>> {
        self.last.iter().find_map(|effect| match effect {
            Effect::Answer(_, Ok(_), _) => Some(Ok(())),
            Effect::Answer(_, Err(Failed::Refused(refused)), _) => Some(Err(refused.sentence.clone())),
            Effect::Answer(_, Err(Failed::Fault(chain)), _) => Some(Err(chain.clone())),
            _ => None,
        })
    }

    /// The last timer that was set for that kind: whose, itself, and after how many µs it rings.
    pub fn timer(&self, kind: TimerKind) -> Option<(UserName, Timer, u64)> {
        self.last.iter().rev().find_map(|effect| match effect {
            Effect::SetTimer(timer @ Timer::Home(user, which), after) if which.kind == kind => {
                Some((user.clone(), timer.clone(), u64::try_from(after.as_micros()).expect("short")))
            }
            _ => None,
        })
    }

    pub fn alarm(&self) -> Option<(UserName, Timer, u64)> {
        self.timer(TimerKind::Away)
    }

    pub fn has(&self, is_it: impl Fn(&Effect) -> bool) -> bool {
        self.last.iter().any(is_it)
    }
}

pub fn offer(password: &str) -> Offer {
    let password = records::Secret::new(password.as_bytes().to_vec());
    Offer {
        credentials: records::Credentials { passwords: vec![password], ..Default::default() },
        progress: None,
    }
}

pub fn done(_: &str) -> Outcome {
    Outcome::Done { record: None, warnings: Vec::new() }
}

pub fn busy(name: &str) -> Outcome {
    match name {
        "alice" => Outcome::Refused(Refused::new(records::Refusal::HomeBusy, "a nap cannot be stopped")),
        _ => done(name),
    }
}
