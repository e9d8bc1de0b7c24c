//! Sharing what is free among the homes that are open: who takes part, and in which order sizes change.
//!
//! ```text
//! asked, or a home was tended by itself ─→ measure ─→ shrink ─→ measure ─→ grow ─→ answer
//! ```
//!
//! Homes shrink first, since others grow into what they give; between the two all is counted anew. A change that had to
//! make way for somebody is made the next time. The record stays as it is, so that a home is shared with for ever, and
//! no more than a timer and the kernel's numbers decide: nothing is remembered.

use super::Manager;
use super::groups::Group;
use super::rebalance::{Disk, Share, Shrinks, is_worth, sizes};
use crate::home::effect::{Effect, Failed};
use crate::home::facts::Figures;
use crate::home::resize::Asked;
use crate::home::state::{Resting, Work};
use crate::home::verdict::Verb;
use crate::home::{GroupId, Home, Turn, Waiter, Wanted};
use crate::job::{Care, Size};
use crate::words::request::Answer;
use records::size::spared;
use records::{AutoResize, RebalanceWeight, Refusal, Settings, UserName};
use std::collections::BTreeMap;

/// Smallest and largest image that a share may come to, in bytes: what btrfs needs, and what is claimed to be possible.
const LEAST: u64 = 274 << 20;
const MOST: u64 = 5 << 40;

/// Where sharing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Blocks are reserved or given back.
    Tend,
    /// Homes that have more than their share get smaller.
    Shrink,
    /// Others get larger.
    Grow,
}

/// One open home, by its numbers.
struct Open<'a> {
    user: &'a UserName,
    settings: Settings,
    figures: Figures,
}

/// A home and the size it is to have.
type Plan = Vec<(UserName, u64)>;

/// How large homes are.
type Sizes = BTreeMap<UserName, Figures>;

impl Manager {
    /// Somebody wants it done now, and hears of the end.
    pub(super) fn rebalance(&mut self, waiter: Waiter, turn: &mut Turn) {
        if self.homes.is_empty() {
            return turn.answer(waiter, Err(Refusal::RebalanceNotNeeded.into()));
        }
        let _ = self.all(Verb::Tend, waiter, turn);
    }

    /// Whether this home's own turn of being tended is about to end.
    pub(super) fn is_tended_by_itself(&self, user: &UserName, turn: &Turn) -> bool {
        let tended = |home: &Home| {
            let doing = home.state(turn.facts).doing;
            home.may_be_resized() && matches!(doing, Some(Work::Tending(Care::InUse | Care::Thorough)))
        };
        let is_shared = !self.measuring.is_empty() || self.groups.values().any(|group| group.phase.is_some());
        !is_shared && self.homes.get(user).is_some_and(tended)
    }

    /// A phase has ended: what follows depends on how large homes are now.
    pub(super) fn shared(&mut self, phase: Phase, group: Group, turn: &mut Turn) {
        let id = GroupId(turn.job_id().0);
        turn.effects.push(Effect::Measure(id, self.sharing(turn).map(|home| home.place().clone()).collect()));
        self.measuring.insert(id, (phase, group));
    }

    /// A home was tended by itself: what that has given back may be shared.
    pub(super) fn share(&mut self, turn: &mut Turn) {
        self.shared(Phase::Tend, Group::of(Verb::Tend, Waiter::Nobody, 0), turn);
    }

    /// They are measured. What failed is tried the next time, and does not keep others from their share.
    pub(super) fn measured(&mut self, id: GroupId, figures: Vec<(UserName, Figures)>, turn: &mut Turn) {
        let Some((phase, group)) = self.measuring.remove(&id) else { return };
        self.go_on_after(phase, group, &figures.into_iter().collect(), turn);
    }

    fn go_on_after(&mut self, phase: Phase, group: Group, sizes: &Sizes, turn: &mut Turn) {
        let takes_part = self.open(sizes, turn).iter().any(Open::takes_part);
        match phase {
            // Those that do not take part may still have been promised more.
            Phase::Tend if !takes_part => self.resize_all(Phase::Grow, group.waiter, sizes, turn),
            Phase::Tend => self.resize_all(Phase::Shrink, group.waiter, sizes, turn),
            Phase::Shrink => self.resize_all(Phase::Grow, group.waiter, sizes, turn),
            Phase::Grow => {
                let answer = if takes_part {
                    group.failed.map_or(Ok(Answer::Done), Err::<Answer, Failed>)
                } else {
                    Err(Refusal::RebalanceNotNeeded.into())
                };
                turn.answer(group.waiter, answer);
            }
        }
    }

    fn resize_all(&mut self, phase: Phase, waiter: Waiter, sizes: &Sizes, turn: &mut Turn) {
        let plan = self.plan(phase, sizes, turn);
        let group = Group { phase: Some(phase), ..Group::of(Verb::Fit, waiter, plan.len()) };
        if plan.is_empty() {
            return self.go_on_after(phase, group, sizes, turn);
        }
        let id = GroupId(turn.job_id().0);
        self.groups.insert(id, group);
        for (user, size) in plan {
            let wanted = Wanted {
                waiter: Waiter::Group(id),
                size: Some(Asked::Size(Size::Near(size))),
                ..Wanted::by_the_daemon(Verb::Fit, turn.now_usec)
            };
            self.on(&user, turn, |home, turn| home.want(wanted, turn));
        }
    }

    fn plan(&self, phase: Phase, figures: &Sizes, turn: &Turn) -> Plan {
        let open = self.open(figures, turn);
        let (sharing, others): (Vec<&Open>, Vec<&Open>) = open.iter().partition(|home| home.takes_part());
        let disk = disk(&open, &others);
        let shares: Vec<Share> = sharing.iter().filter_map(|home| home.share()).collect();
        let mut plan: Plan = Vec::new();
        for ((home, share), size) in sharing.iter().zip(&shares).zip(sizes(disk, &shares)) {
            let wanted = if phase == Phase::Shrink { size < share.size } else { size > share.size };
            if wanted {
                plan.push((home.user.clone(), size));
            }
        }
        if phase == Phase::Grow {
            plan.extend(others.iter().filter_map(|home| Some((home.user.clone(), home.own_size(disk)?))));
        }
        plan
    }

    /// Homes in images that are open, and not locked.
    fn sharing<'a>(&'a self, turn: &'a Turn) -> impl Iterator<Item = &'a Home> {
        self.homes.may_be_open().filter(|home| {
            let state = home.state(turn.facts);
            let is_open = state.resting == Resting::Active && state.doing.is_none_or(Work::gives_way);
            is_open && turn.facts.parts(home.place()).is_some_and(|parts| parts.tends)
        })
    }

    /// Those of them that were measured.
    fn open<'a>(&'a self, sizes: &Sizes, turn: &'a Turn) -> Vec<Open<'a>> {
        let open = self.sharing(turn).filter_map(|home| {
            let figures = *sizes.get(home.user())?;
            Some(Open { user: home.user(), settings: home.record().on(turn.machine), figures })
        });
        open.filter(|home| home.share().is_some()).collect()
    }
}

impl Open<'_> {
    /// Whether its size is for the daemon to choose.
    fn takes_part(&self) -> bool {
        self.settings.effective_rebalance_weight() != RebalanceWeight::Off
            && self.settings.effective_auto_resize_mode() != AutoResize::Off
    }

    /// `None`: the kernel does not tell its numbers.
    fn share(&self) -> Option<Share> {
        let weight = match self.settings.effective_rebalance_weight() {
            RebalanceWeight::Off => 1,
            RebalanceWeight::Weight(weight) => weight,
        };
        let (size, free) = (self.figures.size?, self.figures.free?);
        let can = self.settings.file_system_type.as_deref().is_none_or(|kind| kind == "btrfs");
        let may = self.settings.effective_auto_resize_mode() == AutoResize::ShrinkAndGrow;
        Some(Share {
            weight,
            size,
            used: size.saturating_sub(free),
            allocated: self.figures.allocated?.min(size),
            least: LEAST,
            most: MOST,
            shrinks: if can && may { Shrinks::Yes } else { Shrinks::No },
        })
    }

    /// The size that a home gets by itself whose size somebody has chosen: that, as far as there is room.
    fn own_size(&self, disk: Disk) -> Option<u64> {
        if self.settings.effective_auto_resize_mode() == AutoResize::Off {
            return None;
        }
        let (chosen, share) = (self.settings.disk_size?, self.share()?);
        let room = share.allocated.saturating_add(disk.free);
        let size = chosen.min(room) >> 20 << 20;
        (size > share.size && is_worth(share.size, size)).then_some(size)
    }
}

/// What the homes' disk has: what is spared for others is not theirs.
fn disk(open: &[Open], others: &[&Open]) -> Disk {
    let figures = open.first().map(|home| home.figures).unwrap_or_default();
    let spared = spared(figures.disk.unwrap_or(0));
    let missing = |home: &&Open| home.share().map_or(0, |share| share.size - share.allocated);
    Disk {
        free: figures.outside.unwrap_or(0).saturating_sub(spared),
        promised: others.iter().map(missing).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Tuning;
    use crate::home::effect::{Effect, Event, Interrupted, StartJob};
    use crate::home::facts::{Facts, Mount, Parts, Place, SignedLocally, Storage as Stored, Whereabouts};
    use crate::job::{Outcome, Remember, Task};
    use crate::manager::{Defaults, Now};
    use crate::words::request::{Caller, Interactive, Operation, Provenance, RequestId};
    use records::{HostName, Machine, MachineId, Record, Sections};
    use serde_json::json;

    const GIB: u64 = 1 << 30;
    const ID: &str = "0123456789abcdef0123456789abcdef";

    /// A disk of 100 GiB and the homes on it: image, blocks, free inside; in GiB.
    struct Disks(BTreeMap<&'static str, (u64, u64, u64)>, u64);

    impl Facts for Disks {
        fn whereabouts(&self, _: &Place) -> Whereabouts {
            Whereabouts { storage: Stored::There, mount: Mount::Usable }
        }
        fn parts(&self, _: &Place) -> Option<Parts> {
            Some(Parts::ALL)
        }
        fn signed_locally(&self, _: &Record) -> Option<SignedLocally> {
            None
        }
    }

    impl Disks {
        fn figures(&self, user: &UserName) -> Figures {
            let (size, allocated, free) = self.0[user.as_str()];
            let gib = |n: u64| Some(n * GIB);
            Figures {
                size: gib(size),
                free: gib(free),
                allocated: gib(allocated),
                outside: gib(self.1),
                disk: gib(100),
                ..Figures::default()
            }
        }
    }

    struct Scene {
        manager: Manager,
        disks: Disks,
        running: Vec<StartJob>,
        answers: Vec<Result<Answer, Failed>>,
        stopped: usize,
    }

    impl Scene {
        fn new(homes: &[(&'static str, (u64, u64, u64), u64)], outside: u64) -> Self {
            let defaults = Defaults::default();
            let machine = Machine { id: MachineId::parse(ID).expect("valid"), host: HostName("a".into()) };
            let figures = homes.iter().map(|(name, numbers, _)| (*name, *numbers)).collect();
            let mut scene = Self {
                manager: Manager::new(machine, Tuning::default(), defaults),
                disks: Disks(figures, outside),
                running: Vec::new(),
                answers: Vec::new(),
                stopped: 0,
            };
            for (place, (name, _, weight)) in homes.iter().enumerate() {
                let record = json!({
                    "userName": name, "disposition": "regular", "rebalanceWeight": weight, "diskSize": 30 * GIB,
                    "binding": { ID: {
                        "uid": 60100 + place, "gid": 60100 + place, "storage": "luks", "fileSystemType": "btrfs",
                        "imagePath": format!("/home/{name}.home"), "homeDirectory": format!("/home/{name}"),
                    }},
                });
                let record = Record::from_value(record, Sections::HOST).expect("valid");
                scene.take(Event::Loaded(Box::new(record), Interrupted::No, Vec::new()));
            }
            scene
        }

        fn take(&mut self, event: Event) {
            for effect in self.manager.handle(event, &Now { usec: 1, facts: &self.disks }) {
                match effect {
                    Effect::Start(start) => self.running.push(*start),
                    Effect::Measure(id, places) => {
                        let user = places.into_iter().map(|place| place.user);
                        let sizes = user.map(|user| (user.clone(), self.disks.figures(&user))).collect();
                        self.take(Event::Measured(id, sizes));
                    }
                    Effect::Answer(_, answer, _) => self.answers.push(answer),
                    Effect::Stop(_) => self.stopped += 1,
                    _ => {}
                }
            }
        }

        fn ask(&mut self, operation: Operation) {
            let caller =
                Caller { uid: 0, interactive: Interactive::No, bus_name: None, from: Provenance::default() };
            self.take(Event::Asked(RequestId(7), caller, Box::new(operation)));
        }

        /// What runs, as words; it ends well, and has done what it should.
        fn end(&mut self) -> Vec<String> {
            let mut words = Vec::new();
            for start in std::mem::take(&mut self.running) {
                words.push(match &start.job.task {
                    Task::Tend { .. } => format!("tend {}", start.user),
                    Task::Resize { size: Size::Near(size), remember: Remember::No, .. } => {
                        let name = self.disks.0.keys().copied().find(|name| *name == start.user.as_str());
                        let numbers = self.disks.0.get_mut(name.expect("one of them")).expect("one of them");
                        let (before, now) = (numbers.0, size / GIB);
                        *numbers = (now, numbers.1.min(now), numbers.2 + now - before.min(numbers.2 + now));
                        format!("{} {before} to {now}", start.user)
                    }
                    _ => panic!("another job"),
                });
                self.take(Event::Ended(
                    start.user,
                    start.id,
                    Outcome::Done { record: None, warnings: Vec::new() },
                ));
            }
            words
        }
    }

    #[test]
    fn those_who_have_too_much_shrink_before_others_grow() {
        let mut scene =
            Scene::new(&[("alice", (60, 2, 58), 100), ("bob", (4, 2, 2), 100), ("carol", (9, 9, 1), 0)], 80);
        scene.ask(Operation::Rebalance);
        assert_eq!(scene.end(), ["tend alice", "tend bob", "tend carol"]);
        // 80 GiB without the 2 that are spared: by 100 to 100 to 20.
        assert_eq!(scene.end(), ["alice 60 to 37"]);
        assert_eq!(scene.end(), ["bob 4 to 37", "carol 9 to 30"]);
        assert_eq!(scene.answers, [Ok(Answer::Done)]);
        scene.ask(Operation::Rebalance);
        assert_eq!(scene.end().len(), 3);
        assert!(scene.running.is_empty(), "what was shared is shared anew");
        assert_eq!(scene.answers.len(), 2);
    }

    #[test]
    fn nobody_takes_part_and_a_chosen_size_is_kept() {
        let mut scene = Scene::new(&[("alice", (30, 2, 20), 0)], 80);
        scene.ask(Operation::Rebalance);
        assert_eq!(scene.end(), ["tend alice"]);
        assert_eq!(scene.answers, [Err(Refusal::RebalanceNotNeeded.into())]);
    }

    #[test]
    fn who_wants_the_home_does_not_wait_and_the_next_time_finishes() {
        let mut scene = Scene::new(&[("alice", (60, 2, 58), 100)], 20);
        scene.ask(Operation::Rebalance);
        assert_eq!(scene.end(), ["tend alice"]);
        scene.ask(Operation::LockAll(Default::default()));
        assert_eq!(scene.stopped, 1);
        let resize = scene.running.remove(0);
        scene.take(Event::Ended(resize.user, resize.id, Outcome::Stopped));
        // What the worker left is seen to first.
        let settle = scene.running.remove(0);
        assert!(matches!(settle.job.task, Task::Settle { .. }));
        scene.take(Event::Ended(
            settle.user,
            settle.id,
            Outcome::Done { record: None, warnings: Vec::new() },
        ));
        assert!(matches!(scene.running[0].job.task, Task::Lock { .. }));
        assert!(matches!(scene.answers[..], [Err(_)]), "{:?}", scene.answers);
    }
}
