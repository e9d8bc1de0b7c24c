//! What happens to the core beside calls.

use super::rules::takes_key;
use super::world::World;
use crate::home::effect::{Event, Findings, Found, StartJob, Timer};
use crate::home::facts::{Figures, Mount, Storage};
use crate::home::rules::{AtWake, LockRules, Proof};
use crate::job::{Outcome, Task};
use crate::manager::{Defaults, LockFailure};
use crate::words::seal::Seal;
use records::health::Report;
use records::refusal::Refused;
use records::{FullName, Refusal, UserName};

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    Refused(Refusal),
    /// It was killed, by the kernel or by its bound.
    Killed,
}

const ENDS: [End; 8] = [
    End::Good,
    End::Good,
    End::Good,
    End::Good,
    End::Refused(Refusal::BadPassword),
    End::Refused(Refusal::HomeBusy),
    End::Killed,
    End::Killed,
];

impl World {
    /// Anything may.
    pub fn happens(&mut self) {
        self.now_usec += [1, 40_000, 900_000, 6_000_000][self.draws.below(4)];
        match self.draws.below(100) {
            0..35 => self.somebody_asks(),
            35 if self.draws.once_in(6) => self.a_crowd_asks(),
            35..60 => self.a_worker_ends(),
            60..72 => self.a_question_comes_back(),
            72..80 => self.a_timer_rings(),
            80..84 => self.a_holder_lets_go(),
            84..87 => self.a_caller_leaves(),
            87..90 => self.a_worker_tells(),
            90..94 => self.storage_changes(),
            94..98 => self.the_machine_does(),
            98 if self.draws.once_in(8) => self.the_daemon_is_killed(),
            _ => self.settings_change(),
        }
    }

    fn a_worker_ends(&mut self) {
        if self.running.is_empty() {
            return;
        }
        // Whoever has a home left out of locks and lets it go while others are being locked for a sleep is rare, and matters.
        if self.holding.is_some() && !self.inhibitors.is_empty() && self.draws.once_in(2) {
            self.an_inhibitor_goes();
        }
        let start = self.running.remove(self.draws.below(self.running.len()));
        let end = self.draws.one_of(&ENDS);
        self.ends(start, end);
    }

    fn ends(&mut self, start: StartJob, end: End) {
        let was_stopped = self.stopped.remove(&start.id);
        let end = if was_stopped && end != End::Good { End::Killed } else { end };
        let end = if end == End::Good && !self.can(&start) { End::Refused(Refusal::HomeAbsent) } else { end };
        self.tell(|| format!("{} of {} ends: {end:?}", start.what, start.user));
        let outcome = match end {
            End::Good => self.done(&start),
            End::Refused(refusal) => Outcome::Refused(Refused::from(refusal)),
            End::Killed => {
                self.cut(&start);
                match was_stopped {
                    true => Outcome::Stopped,
                    false => Outcome::Fault { chain: "killed".into() },
                }
            }
        };
        self.take(Event::Ended(start.user, start.id, outcome));
    }

    /// Whether what it does can be done at all.
    fn can(&self, start: &StartJob) -> bool {
        let needs_storage =
            !matches!(start.job.task, Task::Create { .. } | Task::Settle { .. } | Task::Deactivate { .. });
        let open = self.disks.0.get(&start.user).is_some_and(|at| at.mount != Mount::None);
        !needs_storage || open || self.is_there(&start.user) || matches!(start.job.task, Task::Remove)
    }

    /// It has done what it should.
    fn done(&mut self, start: &StartJob) -> Outcome {
        let user = &start.user;
        let at = self.at(user);
        let mut record = None;
        match &start.job.task {
            Task::Create { .. } => {
                at.storage = Storage::There;
                record = Some(start);
            }
            Task::Activate { .. } => {
                at.mount = Mount::Usable;
                record = Some(start);
            }
            Task::Rescue { .. } => at.mount = Mount::Usable,
            Task::Deactivate { .. } | Task::GiveUp { .. } => at.mount = Mount::None,
            Task::Remove => {
                (at.storage, at.mount) = (Storage::Missing, Mount::None);
                self.records.remove(user);
            }
            Task::Lock { .. } if at.mount == Mount::Usable => at.mount = Mount::Suspended,
            Task::Lock { .. } => drop(self.wiped.insert(user.clone())),
            Task::Unlock { .. } => at.mount = Mount::Usable,
            Task::Settle { .. } => {
                if at.mount == Mount::Open {
                    at.mount = Mount::None;
                }
                self.left_open.remove(user);
            }
            Task::Check { .. } | Task::Repair { .. } => {
                return Outcome::Checked { report: Report::default(), record: None, warnings: Vec::new() };
            }
            Task::Authenticate { .. }
            | Task::ChangePassword { .. }
            | Task::Update { .. }
            | Task::Resize { .. }
            | Task::Tend { .. } => {}
            Task::Snapshot { .. } => {
                return Outcome::Told { report: serde_json::json!({}), warnings: Vec::new() };
            }
        }
        let record = record.map(|start| {
            self.records.insert(user.clone(), start.job.record.clone());
            serde_json::Value::Object(start.job.record.members().clone())
        });
        Outcome::Done { record, warnings: Vec::new() }
    }

    /// It was killed: what it had open may be open still, and what it had stopped may stand still.
    pub fn cut(&mut self, start: &StartJob) {
        let late = self.draws.once_in(2);
        let leaves = self.draws.once_in(2) && takes_key(start);
        let at = self.at(&start.user);
        match (&start.job.task, at.mount) {
            (Task::Deactivate { .. } | Task::GiveUp { .. }, _) if late => at.mount = Mount::None,
            (Task::Lock { .. }, Mount::Usable) if late => at.mount = Mount::Suspended,
            (Task::Unlock { .. }, Mount::Suspended) if late => at.mount = Mount::Usable,
            (Task::Remove, _) if late => (at.storage, at.mount) = (Storage::Missing, Mount::None),
            (Task::Activate { .. }, Mount::None) if late => at.mount = Mount::Usable,
            (_, Mount::None) if leaves && at.storage != Storage::Missing => at.mount = Mount::Open,
            _ => {}
        }
        let by_itself = matches!(
            start.job.task,
            Task::Deactivate { .. }
                | Task::Remove
                | Task::Settle { .. }
                | Task::Snapshot { .. }
                | Task::Tend { .. }
        );
        if !by_itself {
            self.left_open.insert(start.user.clone());
        }
    }

    /// A look-up, a look at a lock or a measuring ends.
    fn a_question_comes_back(&mut self) {
        if !self.checks.is_empty() && !self.draws.once_in(3) {
            let check = self.checks.remove(self.draws.below(self.checks.len()));
            let uid = match self.draws.below(8) {
                0 => None,
                1 => check.uids.last().copied(),
                _ => check.uids.first().copied(),
            };
            let taken = self.draws.once_in(12).then(|| check.user.to_string());
            let weak = (check.quality.is_some() && self.draws.once_in(4)).then(|| "short".to_owned());
            self.take(Event::Checked(check.user, check.id, Findings { taken, uid, weak }));
        } else if !self.proofs.is_empty() {
            let (user, id) = self.proofs.remove(self.draws.below(self.proofs.len()));
            let seal = self.draws.once_in(2).then(|| Seal::unseen("it is dark"));
            self.take(Event::Proven(user, id, seal));
        } else if let Some(timer) = self.sleep_asked.take() {
            self.sleep_is_seen(timer);
        } else if !self.measures.is_empty() {
            let (id, users) = self.measures.remove(0);
            let free = u64::try_from(self.draws.below(8)).expect("small");
            let known: Vec<UserName> = users.into_iter().filter(|_| !self.draws.once_in(4)).collect();
            self.take(Event::Measured(id, known.into_iter().zip(std::iter::repeat(figures(free))).collect()));
        }
    }

    /// The next that is due, and now and then one that has rung before, or that nobody waits for any more.
    fn a_timer_rings(&mut self) {
        self.next_rings(|_| true);
    }

    fn next_rings(&mut self, may_ring: impl Fn(&Timer) -> bool) {
        let may_ring = |(_, (_, timer)): &(usize, &(u64, Timer))| may_ring(timer);
        let all = self.timers.iter().enumerate().filter(may_ring);
        let due = all.min_by_key(|(_, (due, _))| *due).map(|(at, _)| at);
        let Some(at) = due else { return };
        let (due, timer) = self.timers.remove(at);
        self.now_usec = self.now_usec.max(due);
        self.rings(timer.clone());
        if let Some(old) = self.rung.replace(timer).filter(|_| self.draws.once_in(4)) {
            self.rings(old);
        }
    }

    fn rings(&mut self, timer: Timer) {
        self.tell(|| format!("{timer:?} rings"));
        self.take(Event::Rang(timer));
    }

    fn a_holder_lets_go(&mut self) {
        if self.draws.once_in(2) && !self.inhibitors.is_empty() {
            return self.an_inhibitor_goes();
        }
        if !self.references.is_empty() {
            let (user, kind) = self.references.remove(self.draws.below(self.references.len()));
            if !self.references.contains(&(user.clone(), kind)) {
                self.tell(|| format!("the last {kind:?} of {user} is let go"));
                self.take(Event::Released(user, kind));
            }
        }
    }

    fn an_inhibitor_goes(&mut self) {
        let inhibitor = self.inhibitors.remove(self.draws.below(self.inhibitors.len()));
        self.take(Event::LetGo(inhibitor.user, inhibitor.id));
    }

    fn a_caller_leaves(&mut self) {
        let at = self.draws.below(self.open_calls.len().max(1));
        if let Some(id) = self.open_calls.iter().nth(at).copied() {
            self.open_calls.remove(&id);
            self.left.insert(id);
            self.tell(|| format!("{id:?} leaves"));
            self.take(Event::Abandoned(id));
        }
    }

    /// A worker asks tokens, or does not any more, is past its point of no return, hangs, or is heard again.
    fn a_worker_tells(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let start = &self.running[self.draws.below(self.running.len())];
        let (user, id) = (start.user.clone(), start.id);
        match self.draws.below(5) {
            0 => self.take(Event::Committed(user, id)),
            asks @ 1..3 => self.take(Event::Asking(user, id, asks == 1)),
            tells => self.take(Event::Silent(user, id, (tells == 3).then(|| "Mounting".into()))),
        }
    }

    /// Disks are pulled out, give no answer, or come back; images appear and vanish.
    fn storage_changes(&mut self) {
        // What is pulled out while something of it is to be put in order is what matters most.
        let unsettled = self.left_open.first().cloned().filter(|_| self.draws.once_in(2));
        let user = unsettled.unwrap_or_else(|| self.any_user());
        let image = format!("/home/{user}.home");
        match self.draws.below(7) {
            0 => self.take(Event::MountsChanged),
            1 => {
                if self.is_there(&user) {
                    let name = FullName { user, realm: None };
                    self.take(Event::Found(Found { name, image, storage: records::Storage::MADE }));
                }
            }
            2 => {
                if self.left_open.contains(&user) {
                    self.at(&user).storage = Storage::Missing;
                }
                self.take(Event::Vanished(image));
            }
            3 => self.take(Event::TokenGone(user)),
            _ => {
                let storage = self.draws.one_of(&[
                    Storage::There,
                    Storage::There,
                    Storage::There,
                    Storage::Dirty,
                    Storage::Missing,
                    Storage::Unanswered,
                ]);
                if self.disks.0.contains_key(&user) {
                    self.at(&user).storage = storage;
                    self.tell(|| format!("the storage of {user} is {storage:?}"));
                }
                self.take(Event::Seen(user));
            }
        }
    }

    fn the_machine_does(&mut self) {
        match self.draws.below(4) {
            0 => {
                self.now_usec += 8 * 3_600_000_000;
                self.tell(|| "the machine has slept".into());
                self.take(Event::Slept(8 * 3_600_000_000));
            }
            1 => self.take(Event::KeysChanged),
            2 => self.now_usec += 600_000_000,
            _ => {
                let user = self.any_user();
                if let Some(home) = self.manager.homes.get(&user) {
                    let record = Box::new(home.host_record());
                    self.take(Event::Signed(record));
                }
            }
        }
    }

    fn the_daemon_is_killed(&mut self) {
        self.tell(|| "THE DAEMON IS KILLED, and started again".into());
        self.daemon_dies();
    }

    fn settings_change(&mut self) {
        let lock_failure = self.draws.one_of(&[LockFailure::Abort, LockFailure::PowerOff]);
        let at_wake = self.draws.one_of(&[AtWake::Say, AtWake::Lock]);
        let proof = self.draws.one_of(&[Proof::Wanted, Proof::Wanted, Proof::Required]);
        let after_idle = self.draws.once_in(2).then_some(600_000_000);
        let lock_rules = LockRules { at_wake, proof, after_idle, ..LockRules::default() };
        let most_homes = self.draws.one_of(&[500, 500, 4]);
        self.manager.follow(Defaults { lock_failure, lock_rules, most_homes, ..Defaults::default() });
    }

    /// Everybody lets go, everything goes well: then nobody waits, nothing is held, and nothing was left.
    pub fn comes_to_rest(&mut self) {
        self.manager.follow(Defaults::default());
        for name in super::world::NAMES {
            let user = UserName::parse(name).expect("valid");
            if self.disks.0.contains_key(&user) {
                self.at(&user).storage = Storage::There;
                self.take(Event::Seen(user));
            }
        }
        for _ in 0..20_000 {
            if !self.running.is_empty() {
                let start = self.running.remove(0);
                self.ends(start, End::Good);
            } else if let Some(check) = self.checks.pop() {
                let uid = check.uids.first().copied();
                self.take(Event::Checked(check.user, check.id, Findings { uid, ..Findings::default() }));
            } else if let Some((user, id)) = self.proofs.pop() {
                self.take(Event::Proven(user, id, Some(Seal::unseen("it is dark"))));
            } else if let Some((id, _)) = self.measures.pop() {
                self.take(Event::Measured(id, Vec::new()));
            } else if let Some(timer) = self.sleep_asked.take() {
                self.sleep_is_seen(timer);
            } else if let Some(inhibitor) = self.inhibitors.pop() {
                self.take(Event::LetGo(inhibitor.user, inhibitor.id));
            } else if !self.references.is_empty() {
                let (user, kind) = self.references.remove(0);
                if !self.references.contains(&(user.clone(), kind)) {
                    self.take(Event::Released(user, kind));
                }
            } else if self.timers.iter().any(|(_, timer)| !is_care(timer)) {
                self.next_rings(|timer| !is_care(timer));
            } else {
                return self.is_at_rest();
            }
        }
        panic!("it never comes to rest");
    }

    fn is_at_rest(&self) {
        assert!(self.open_calls.is_empty(), "unanswered: {:?}", self.open_calls);
        assert!(self.manager.groups.is_empty() && self.manager.pending.is_empty(), "something is waited for");
        assert!(self.holding.is_none(), "nobody may open a home any more");
        for home in self.manager.homes.walk() {
            let user = home.user();
            assert!(!self.left_open.contains(user), "{user} was never settled");
            assert!(home.runs().is_none() && home.waits().is_empty(), "{user} does something");
        }
    }
}

/// Caring for space goes on for as long as a home is open.
fn is_care(timer: &Timer) -> bool {
    use crate::home::TimerKind::{Away, Tend};
    matches!(timer, Timer::Home(_, timer) if matches!(timer.kind, Tend | Away))
}

/// Sizes of a home of 8 GiB on a disk of 100 GiB, with so many GiB free inside.
fn figures(free: u64) -> Figures {
    let gib = |count: u64| Some(count << 30);
    let (size, allocated) = (gib(8), gib(8 - free));
    Figures { size, free: gib(free), allocated, outside: gib(50), disk: gib(100), ..Figures::default() }
}
