//! Among thousands of homes what happens to one costs what it costs alone: nobody looks at the others, and nobody is told of them.

use super::*;
use std::cell::Cell;

const HOMES: u32 = 3_000;
const FIRST: u32 = 20_000;
/// The home that something happens to.
const ONE: u32 = 1_234;
/// So often its whereabouts are asked at most, for one event.
const FEW: usize = 24;

/// All storage is there, and nothing is mounted but what was said so; counts who asks.
#[derive(Default)]
struct Counted {
    looks: Cell<usize>,
    open: RefCell<BTreeSet<UserName>>,
}

impl Facts for Counted {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        self.looks.set(self.looks.get() + 1);
        let is_open = self.open.borrow().contains(&place.user);
        Whereabouts { storage: Storage::There, mount: if is_open { Mount::Usable } else { Mount::None } }
    }
    fn parts(&self, _: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }
    fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

fn name(number: u32) -> UserName {
    UserName::parse(&format!("user{number:05}")).expect("valid")
}

fn image(number: u32) -> String {
    format!("/home/{}.home", name(number))
}

/// Every home is found by its UID, names and image, and by nothing else; a call that waits for one is still open.
pub fn is_found_by_what_it_has(manager: &Manager, open: &BTreeSet<RequestId>) {
    let (index, mut uids) = (manager.homes.index(), BTreeSet::new());
    let homes: Vec<&Home> = manager.homes.walk().collect();
    for home in &homes {
        let user = home.user();
        uids.extend(home.uids());
        assert!(
            index.with_uid(home.uid()).eq([user]),
            "{user} is not found by UID {}: {:?}",
            home.uid(),
            index.with_uid(home.uid()).collect::<Vec<_>>()
        );
        assert!(home.names().iter().all(|name| index.called(name).eq([user])), "{user} is not found by name");
        assert!(index.at(&home.place().image).eq([user]), "{user} is not found by image");
    }
    assert_eq!(manager.uids, uids, "who has which UID");
    assert_eq!(index.len(), homes.len(), "homes are found that are none");
    assert!(
        manager.waiting.keys().all(|call| open.contains(call)),
        "{:?} has been answered",
        manager.waiting
    );
}

struct Crowd {
    manager: Manager,
    facts: Counted,
    calls: u64,
}

/// What one event has cost.
struct Cost {
    effects: Vec<Effect>,
    shown: Vec<UserName>,
}

impl Crowd {
    fn new(homes: u32) -> Self {
        let id = "0123456789abcdef0123456789abcdef";
        let machine = Machine { id: MachineId::parse(id).expect("valid"), host: HostName("a".into()) };
        let defaults = Defaults { most_homes: 10_000, uid_range: 1_000..=60_000, ..Defaults::default() };
        let manager = Manager::new(machine, Tuning::default(), defaults);
        let mut crowd = Self { manager, facts: Counted::default(), calls: 0 };
        for number in 0..homes {
            let (user, uid, image) = (name(number), FIRST + number, image(number));
            let text = format!(
                r#"{{"userName":"{user}","aliases":["also{number}"],"privileged":{{"hashedPassword":["x"]}},
                    "binding":{{"{id}":{{"uid":{uid},"gid":{uid},"storage":"luks","imagePath":"{image}"}}}}}}"#
            );
            let record = Box::new(Record::parse(&text, Sections::HOST).expect("valid"));
            crowd.take(Event::Loaded(record, Interrupted::No, Vec::new()));
        }
        crowd
    }

    /// Takes an event, and tells what it has cost; it must not have looked at all homes.
    fn take(&mut self, event: Event) -> Cost {
        let before = (self.facts.looks.get(), self.manager.homes.walks.get());
        let now = Now { usec: 1_000_000, facts: &self.facts };
        let effects = self.manager.handle(event, &now);
        let shown = self.manager.news(&now).into_iter().map(|(user, _)| user).collect();
        assert!(self.facts.looks.get() - before.0 <= FEW, "{} looks", self.facts.looks.get() - before.0);
        assert_eq!(self.manager.homes.walks.get(), before.1, "walked through all homes");
        Cost { effects, shown }
    }

    fn ask(&mut self, operation: Operation) -> Cost {
        self.calls += 1;
        let caller = Caller {
            uid: 0,
            bus_name: None,
            interactive: Interactive::No,
            from: request::Provenance::default(),
        };
        self.take(Event::Asked(RequestId(self.calls), caller, Box::new(operation)))
    }

    /// The worker that was started has done it.
    fn ends_well(&mut self, cost: &Cost) -> Cost {
        let start = cost.effects.iter().find_map(|effect| match effect {
            Effect::Start(start) => Some((start.user.clone(), start.id)),
            _ => None,
        });
        let (user, id) = start.expect("a worker is started");
        self.take(Event::Ended(user, id, Outcome::Done { record: None, warnings: Vec::new() }))
    }
}

impl Cost {
    /// It is about that home, and about no other.
    fn is_of_one(&self) {
        assert!(self.shown.iter().all(|user| *user == name(ONE)), "{:?}", self.shown);
        for effect in &self.effects {
            match effect {
                Effect::Announce(
                    Announcement::Changed(user)
                    | Announcement::Appeared(user)
                    | Announcement::Vanished(user, _)
                    | Announcement::NotLocked(user, _)
                    | Announcement::LockComing(user, _),
                ) => assert_eq!(*user, name(ONE)),
                Effect::Announce(other) => panic!("{other:?}"),
                _ => {}
            }
        }
    }
}

fn with_password() -> Offer {
    let passwords = vec![records::Secret::new(b"right".to_vec())];
    Offer { credentials: records::Credentials { passwords, ..Default::default() }, progress: None }
}

fn key() -> HomeKey {
    HomeKey::Name(name(ONE).to_string())
}

#[test]
fn a_call_about_one_home_looks_at_no_other() {
    let mut crowd = Crowd::new(HOMES);
    let checked = crowd.ask(Operation::Acquire(key(), AtSuspend::Stay, with_password()));
    checked.is_of_one();
    let check = checked.effects.iter().find_map(|effect| match effect {
        Effect::Check(check) => Some((check.user.clone(), check.id, check.uids.len())),
        _ => None,
    });
    let (user, id, uids) = check.expect("its UID is looked up");
    assert!(uids < 1_000, "{uids} UIDs are tried");
    let findings = Findings { uid: Some(FIRST + ONE), ..Findings::default() };
    let started = crowd.take(Event::Checked(user, id, findings));
    started.is_of_one();
    crowd.facts.open.borrow_mut().insert(name(ONE));
    crowd.ends_well(&started).is_of_one();

    for key in [HomeKey::Uid(FIRST + ONE), HomeKey::Name(format!("also{ONE}"))] {
        crowd.ask(Operation::Ref(key, AtSuspend::Stay)).is_of_one();
    }
    let session = request::Session {
        uid: FIRST + ONE,
        has_screen: true,
        locked: true,
        idle_since_usec: None,
        closing: false,
    };
    crowd.ask(Operation::Sessions(vec![session])).is_of_one();
    crowd.take(Event::Seen(name(ONE))).is_of_one();
    crowd.take(Event::Released(name(ONE), AtSuspend::Stay)).is_of_one();
}

#[test]
fn a_call_that_is_given_up_is_found_without_a_search() {
    let mut crowd = Crowd::new(HOMES);
    crowd.ask(Operation::Authenticate(key(), with_password())).is_of_one();
    crowd.take(Event::Abandoned(RequestId(crowd.calls))).is_of_one();
    assert!(crowd.manager.waiting.is_empty());
}

#[test]
fn a_new_home_and_one_that_goes_are_matters_of_their_own() {
    let mut crowd = Crowd::new(ONE);
    let found = |user| Found {
        name: records::FullName { user, realm: None },
        image: image(ONE),
        storage: records::Storage::Luks,
    };
    let looked_up = crowd.take(Event::Found(found(name(ONE))));
    let Some(Effect::Check(check)) = looked_up.effects.first() else { panic!("it is looked up") };
    assert!(crowd.take(Event::Found(found(name(ONE)))).effects.is_empty(), "once is enough");
    let findings = Findings { uid: Some(1_500), ..Findings::default() };
    crowd.take(Event::Checked(check.user.clone(), check.id, findings)).is_of_one();
    crowd.take(Event::Vanished(image(ONE))).is_of_one();

    let text = format!(r#"{{"userName":"{}"}}"#, name(ONE));
    let record = Box::new(Record::parse(&text, Sections::EMBEDDED).expect("valid"));
    crowd.ask(Operation::Create(record, None, with_password())).is_of_one();
    let text = r#"{"userName":"else","aliases":["also7"]}"#;
    let record = Box::new(Record::parse(text, Sections::EMBEDDED).expect("valid"));
    let refused = crowd.ask(Operation::Create(record, None, with_password()));
    let Some(Effect::Answer(_, Err(Failed::Refused(refused)), _)) = refused.effects.first() else {
        panic!("the name is taken")
    };
    assert_eq!(refused.refusal, Refusal::UserNameExists);
}

#[test]
fn a_lock_of_all_is_told_of_those_alone_that_are_open() {
    let mut crowd = Crowd::new(HOMES);
    crowd.facts.open.borrow_mut().insert(name(ONE));
    crowd.manager.handle(Event::MountsChanged, &Now { usec: 1, facts: &crowd.facts });
    let now = Now { usec: 2, facts: &crowd.facts };
    assert_eq!(crowd.manager.news(&now).len(), 1);
    let caller =
        Caller { uid: 0, bus_name: None, interactive: Interactive::No, from: request::Provenance::default() };
    let all = Box::new(Operation::LockAll(request::Then::GoOn));
    let effects = crowd.manager.handle(Event::Asked(RequestId(1), caller, all), &now);
    let news = crowd.manager.news(&now);
    let shown = news.into_iter().map(|(user, _)| user).collect();
    Cost { effects, shown }.is_of_one();
}

#[test]
fn how_many_there_are_and_which_uids_they_get_is_set() {
    let mut crowd = Crowd::new(2);
    let create = |crowd: &mut Crowd, user: &str| {
        let record =
            Record::parse(&format!(r#"{{"userName":"{user}"}}"#), Sections::EMBEDDED).expect("valid");
        crowd.ask(Operation::Create(Box::new(record), None, with_password())).effects
    };
    let defaults = Defaults { most_homes: 2, ..Defaults::default() };
    crowd.manager.follow(Defaults { uid_range: 30_000..=30_001, ..defaults.clone() });
    let effects = create(&mut crowd, "carol");
    let Some(Effect::Answer(_, Err(Failed::Refused(refused)), _)) = effects.first() else {
        panic!("too many")
    };
    assert!(refused.refusal == Refusal::TooManyHomes && refused.sentence.contains("MostHomes="));

    crowd.manager.follow(Defaults { uid_range: 30_000..=30_001, most_homes: 10, ..defaults });
    for user in ["carol", "dave"] {
        let effects = create(&mut crowd, user);
        let Some(Effect::Check(check)) = effects.iter().find(|effect| matches!(effect, Effect::Check(_)))
        else {
            panic!("looked up")
        };
        assert!(check.uids.iter().all(|uid| (30_000..=30_001).contains(uid)), "{:?}", check.uids);
    }
    let effects = create(&mut crowd, "erin");
    let Some(Effect::Answer(_, Err(Failed::Refused(refused)), _)) = effects.first() else { panic!("no UID") };
    assert!(refused.refusal == Refusal::UidInUse && refused.sentence.contains("UIDRange="));
}
