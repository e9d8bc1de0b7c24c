//! What is asked of the core, and by whom.

use super::world::{NAMES, World, user};
use crate::home::effect::Event;
use crate::home::inside::Class;
use crate::home::verdict::Verb;
use crate::job::{Part, Reach, RecordChange, Snapshots};
use crate::words::request::{
    AtSuspend, Caller, HomeKey, Interactive, Later, Offer, Operation, Provenance, RequestId, Session, Then,
    Wish,
};
use records::{Credentials, Record, Secret, Sections, UserName};

/// A call, as it was asked.
pub struct Asked {
    pub id: RequestId,
    pub user: UserName,
    pub class: Class,
    /// Somebody else tries to get in meanwhile.
    pub is_behind: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Owner,
    Root,
    /// Root's program that another user has started.
    Su,
    /// A service of the system, for somebody.
    Greeter,
    Stranger,
}

/// What may be asked. Those that many do stand there twice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    Create,
    Register,
    Adopt,
    Activate,
    ActivateIfReferenced,
    Fixate,
    Acquire,
    Authenticate,
    Ref,
    RefUnrestricted,
    Release,
    Deactivate,
    DeactivateAll,
    Remove,
    Unregister,
    Passwd,
    Update,
    UpdateOffline,
    Check,
    Repair,
    Rescue,
    Resize,
    Snapshot,
    Lock,
    LockAll,
    LockForSleep,
    SleepPrepared,
    SleepOver,
    Unlock,
    GiveUpAll,
    Rebalance,
    Inhibit,
    Locks,
    Sessions,
    Alive,
    Later,
    TrustOf,
}

const ALL: [What; 53] = [
    What::Create,
    What::Create,
    What::Create,
    What::Register,
    What::Adopt,
    What::Activate,
    What::Activate,
    What::ActivateIfReferenced,
    What::Fixate,
    What::Acquire,
    What::Acquire,
    What::Acquire,
    What::Acquire,
    What::Authenticate,
    What::Ref,
    What::RefUnrestricted,
    What::Release,
    What::Deactivate,
    What::Deactivate,
    What::Deactivate,
    What::DeactivateAll,
    What::Remove,
    What::Unregister,
    What::Passwd,
    What::Passwd,
    What::Update,
    What::UpdateOffline,
    What::Check,
    What::Repair,
    What::Rescue,
    What::Resize,
    What::Resize,
    What::Snapshot,
    What::Snapshot,
    What::Lock,
    What::Lock,
    What::LockAll,
    What::LockForSleep,
    What::LockForSleep,
    What::SleepPrepared,
    What::SleepOver,
    What::Unlock,
    What::Unlock,
    What::GiveUpAll,
    What::Rebalance,
    What::Inhibit,
    What::Inhibit,
    What::Inhibit,
    What::Locks,
    What::Sessions,
    What::Alive,
    What::Later,
    What::TrustOf,
];

impl World {
    /// Somebody asks for something.
    pub fn somebody_asks(&mut self) {
        let what = self.draws.one_of(&ALL);
        let who = self.draws.one_of(&[
            Who::Owner,
            Who::Owner,
            Who::Root,
            Who::Root,
            Who::Su,
            Who::Greeter,
            Who::Stranger,
        ]);
        let index = self.draws.below(NAMES.len());
        self.ask(what, who, index);
    }

    /// One program asks for the same again and again.
    pub fn a_crowd_asks(&mut self) {
        let what = self.draws.one_of(&[What::Acquire, What::Authenticate, What::Lock, What::Release]);
        let who = self.draws.one_of(&[Who::Owner, Who::Greeter, Who::Su, Who::Stranger]);
        let index = self.draws.below(NAMES.len());
        for _ in 0..self.draws.below(90) {
            self.ask(what, who, index);
        }
    }

    fn caller(&mut self, who: Who, of: &UserName) -> Caller {
        let owner = self.manager.homes.get(of).map_or(60_001, |home| home.uid());
        let stranger = 1_000 + u32::try_from(self.draws.below(70)).expect("small");
        let from = match who {
            Who::Su => Provenance { real_uid: stranger, ..Provenance::default() },
            Who::Greeter => Provenance { unit: "sshd.service".into(), ..Provenance::default() },
            Who::Owner | Who::Root | Who::Stranger => Provenance::default(),
        };
        let uid = match who {
            Who::Owner => owner,
            Who::Root | Who::Su | Who::Greeter => 0,
            Who::Stranger => stranger,
        };
        Caller { uid, bus_name: None, interactive: Interactive::No, from }
    }

    fn ask(&mut self, what: What, who: Who, index: usize) {
        self.calls += 1;
        let id = RequestId(self.calls);
        let user = user(index);
        let caller = self.caller(who, &user);
        let class = match (what, who) {
            (What::Lock, _) => Class::Urgent,
            (_, Who::Owner | Who::Root | Who::Greeter) => Class::Owner,
            (_, Who::Su | Who::Stranger) => Class::Stranger,
        };
        self.open_calls.insert(id);
        self.tell(|| format!("{id:?}: {who:?} asks: {what:?} {user}"));
        let operation = self.operation(what, &user);
        // That there are too many homes is another thing.
        let makes_one = matches!(what, What::Create | What::Register);
        let is_behind = !is_refused_open(what) && self.is_behind(&caller, &user);
        self.asked = (!makes_one).then_some(Asked { id, user, class, is_behind });
        self.take(Event::Asked(id, caller, Box::new(operation)));
    }

    /// Whether a job runs by which somebody from elsewhere tries to get in.
    fn is_behind(&self, caller: &Caller, user: &UserName) -> bool {
        let Some(home) = self.manager.homes.get(user).filter(|home| !home.hangs()) else { return false };
        let asks = crate::manager::asked::trier(caller, home);
        home.runs().is_some_and(|(_, runs)| {
            matches!(runs.verb, Verb::Acquire | Verb::Activate | Verb::Authenticate | Verb::Unlock)
                && runs.is_attempt
                && runs.origin != asks.origin
        })
    }

    fn offer(&mut self) -> Offer {
        let offered = !self.draws.once_in(3);
        let passwords = offered.then(|| Secret::new(b"right".to_vec())).into_iter().collect();
        Offer { credentials: Credentials { passwords, ..Default::default() }, progress: None }
    }

    fn operation(&mut self, what: What, user: &UserName) -> Operation {
        let key = HomeKey::Name(user.to_string());
        let kind = self.draws.one_of(&AtSuspend::ALL);
        let offer = self.offer();
        match what {
            What::Create => Operation::Create(Box::new(self.record(user, &[])), None, offer),
            What::Register => Operation::Register(self.record(user, &[])),
            What::Adopt => Operation::Later(key, Later::Realize),
            What::Activate => Operation::Activate(key, offer),
            What::ActivateIfReferenced => Operation::ActivateIfReferenced(key, offer),
            What::Fixate => Operation::Fixate(key, offer),
            What::Acquire => Operation::Acquire(key, kind, offer),
            What::Authenticate => Operation::Authenticate(key, offer),
            What::Ref => Operation::Ref(key, kind),
            What::RefUnrestricted => Operation::RefUnrestricted(key, kind),
            What::Release => Operation::Release(key),
            What::Deactivate => Operation::Deactivate(key),
            What::DeactivateAll => Operation::DeactivateAll,
            What::Remove => Operation::Remove(key),
            What::Unregister => Operation::Unregister(key),
            What::Passwd => Operation::ChangePassword { home: key, new: Credentials::default(), old: offer },
            What::Update => self.change(key, user, Reach::Everywhere, offer),
            What::UpdateOffline => self.change(key, user, Reach::HostOnly, offer),
            What::Check => Operation::Check(key, offer),
            What::Repair => Operation::Repair(key, Default::default(), offer),
            What::Rescue => Operation::Rescue(key, None, offer),
            What::Resize => Operation::Resize(key, 0, offer),
            What::Snapshot => Operation::Snapshot(key, Snapshots::List),
            What::Lock => Operation::Lock(key),
            What::LockAll => Operation::LockAll(Then::GoOn),
            What::LockForSleep => Operation::LockAll(Then::Hold),
            What::SleepPrepared => Operation::SleepPrepared,
            What::SleepOver => Operation::SleepOver,
            What::Unlock => Operation::Unlock(key, offer),
            What::GiveUpAll => Operation::GiveUpAll,
            What::Rebalance => Operation::Rebalance,
            What::Inhibit => Operation::Inhibit(key, wish()),
            What::Locks => Operation::Locks,
            What::Sessions => Operation::Sessions(self.sessions()),
            What::Alive => Operation::Alive,
            What::Later => Operation::Later(key, Later::Realize),
            What::TrustOf => Operation::TrustOf(key),
        }
    }

    /// A record of that user, which is newer than all before.
    pub fn record(&self, user: &UserName, more: &[(&str, &str)]) -> Record {
        let mut members = serde_json::json!({ "userName": user.as_str(), "lastChangeUSec": self.calls });
        more.iter().for_each(|(member, value)| members[*member] = (*value).into());
        Record::from_value(members, Sections::EMBEDDED).expect("valid")
    }

    fn change(&self, key: HomeKey, user: &UserName, reach: Reach, offer: Offer) -> Operation {
        let record = self.record(user, &[]);
        Operation::Update(
            key,
            Box::new(RecordChange { record, blobs: None, reach, part: Part::Whole }),
            offer,
        )
    }

    /// What the login manager tells of sessions: some have gone, some are idle or locked.
    fn sessions(&mut self) -> Vec<Session> {
        let uids: Vec<u32> = self.manager.homes.walk().map(|home| home.uid()).collect();
        let mut all = Vec::new();
        for uid in uids {
            if self.draws.once_in(2) {
                all.push(Session {
                    uid,
                    has_screen: !self.draws.once_in(3),
                    locked: self.draws.once_in(2),
                    closing: self.draws.once_in(4),
                    idle_since_usec: self.draws.once_in(2).then_some(self.now_usec),
                });
            }
        }
        all
    }
}

/// Whether it is refused as busy of a home that is open, whoever else wants something.
fn is_refused_open(what: What) -> bool {
    matches!(what, What::Remove | What::Unregister | What::Repair | What::Release | What::Later | What::Adopt)
}

fn wish() -> Wish {
    Wish { who: "a backup".into(), why: "it runs".into(), pid: 1, for_usec: 3_600_000_000 }
}
