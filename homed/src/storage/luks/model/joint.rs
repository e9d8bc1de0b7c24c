//! Disk and kernel together: a change of keys that was cut short, and the home is locked, unlocked, closed, cut off from
//! its power. Whoever has a password that may be in force gets in, whether the home is closed or sealed, and nothing is
//! written to what stands still.

use super::disk::{Key, RECOVERY, World};
use super::kernel::{self, Act, Kernel, WAYS};
use super::verbs::{Cut, How, Verb, gets_in};
use super::walk::{self, Event};
use crate::home::facts::{Mount, Storage, Whereabouts};
use crate::home::state::{Lingering, Purpose, State, Work};
use crate::home::verdict::{Favour, Held, Situation, Verb as Asked, Verdict, Waits, verdict};
use crate::job::Known;
use crate::storage::luks::plan::without::tests::without;
use crate::storage::luks::plan::without::{Mend, has};
use std::collections::HashMap;
use std::rc::Rc;

/// No verb has so many steps.
const MOST: usize = 64;
/// What this program does to the kernel alone.
const ALONE: [(kernel::Verb, Asked); 4] = [
    (kernel::Verb::Lock, Asked::Lock),
    (kernel::Verb::Settle, Asked::Settle),
    (kernel::Verb::Deactivate, Asked::Deactivate),
    (kernel::Verb::GiveUp, Asked::GiveUp),
];

/// A home: what is on disk, and what the kernel has of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Joint {
    world: World,
    kernel: Kernel,
    /// Something was broken off, and is not in order yet.
    unsettled: bool,
}

/// Whether what is done is cut as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cuts {
    All,
    None,
}

/// What each act of the kernel comes to, by state, and whether it was done: most orders share their ways.
type Came = Rc<[(Kernel, bool)]>;

/// Takes a state that something led to, and what that was.
type Tell<'a> = dyn FnMut(Joint, &dyn Fn() -> String) -> Result<(), String> + 'a;

#[derive(Default)]
struct Walk {
    kernel: HashMap<(Kernel, kernel::Verb, bool), Came>,
    well: HashMap<Kernel, ()>,
}

impl Walk {
    /// Every way in which a verb of the kernel may go.
    fn act(&mut self, kernel: &Kernel, verb: kernel::Verb, cuts: Cuts) -> Result<Came, String> {
        let key = (kernel.clone(), verb, cuts == Cuts::All);
        if let Some(known) = self.kernel.get(&key) {
            return Ok(known.clone());
        }
        let whole = kernel.act(Act { verb, cut: None })?;
        let mut all = vec![(whole.kernel, whole.done)];
        for how in WAYS.into_iter().filter(|_| cuts == Cuts::All) {
            for at in 0..MOST {
                let came = kernel.act(Act { verb, cut: Some((at, how)) })?;
                if !came.cut {
                    break;
                }
                all.push((came.kernel, came.done));
            }
        }
        for (after, _) in &all {
            if self.well.insert(after.clone(), ()).is_none() {
                after.ends_well()?;
            }
        }
        let all: Came = all.into();
        self.kernel.insert(key, all.clone());
        Ok(all)
    }

    /// All that may happen next; how much that was.
    fn next(
        &mut self,
        begin: &Joint,
        cuts: Cuts,
        found: &mut dyn FnMut(Joint, &dyn Fn() -> String),
    ) -> Result<u64, String> {
        let mut count = 0;
        let mut tell = |joint: Joint, what: &dyn Fn() -> String| {
            joint.holds().map_err(|why| format!("{}: {why}", what()))?;
            count += 1;
            found(joint, what);
            Ok::<(), String>(())
        };
        for (verb, asked) in ALONE {
            let Some(work) = begin.starts(asked) else { continue };
            for (kernel, done) in self.act(&begin.kernel, verb, cuts)?.iter() {
                let joint = begin.after(kernel.clone(), work, *done);
                tell(joint, &|| format!("{verb:?}"))?;
            }
        }
        for given in walk::offers(&begin.world) {
            if let Some(work) = begin.starts(Asked::Unlock).filter(|_| gets_in(&begin.world, &given)) {
                for (kernel, done) in self.act(&begin.kernel, kernel::Verb::Unlock, cuts)?.iter() {
                    let joint = begin.after(kernel.clone(), work, *done);
                    tell(joint, &|| format!("unlock with {given:?}"))?;
                }
            }
            for verb in walk::verbs_of(&begin.world).into_iter().filter(|verb| begin.may(*verb)) {
                self.changed(begin, (verb, &given), cuts, &mut tell)?;
            }
        }
        Ok(count)
    }

    /// A verb that works on the disk, cut wherever that can be; a login of a closed home opens it.
    fn changed(
        &mut self,
        begin: &Joint,
        (verb, given): (Verb, &[Key]),
        cuts: Cuts,
        tell: &mut Tell<'_>,
    ) -> Result<(), String> {
        let whole = Event::Ours(verb, given.to_vec(), None);
        let (world, steps, kept) = walk::apply(&begin.world, &whole);
        kept.map_err(|why| format!("{whole:?}: {why}"))?;
        begin.may_write(&world).map_err(|why| format!("{whole:?}: {why}"))?;
        let opens = verb == Verb::Login && begin.kernel.is_closed() && gets_in(&begin.world, given);
        let ways = if opens { self.act(&begin.kernel, kernel::Verb::Activate, cuts)? } else { Rc::from([]) };
        for (kernel, done) in ways.iter() {
            let begin = Joint { world: world.clone(), ..begin.clone() };
            let joint = begin.after(kernel.clone(), Work::Activating(Purpose::Itself), *done);
            tell(joint, &|| format!("{whole:?} and opened"))?;
        }
        if !opens {
            tell(Joint { world, ..begin.clone() }, &|| format!("{whole:?}"))?;
        }
        let all = (0..steps).flat_map(|at| [How::Kill, How::Power, How::Fail].map(|how| Cut { at, how }));
        for cut in all.filter(|_| cuts == Cuts::All) {
            let event = Event::Ours(verb, given.to_vec(), Some(cut));
            let (world, _, kept) = walk::apply(&begin.world, &event);
            kept.map_err(|why| format!("{event:?}: {why}"))?;
            // What a worker has open goes with it.
            let kernel = match cut.how {
                How::Power => begin.kernel.act(Act { verb: kernel::Verb::PowerCut, cut: None })?.kernel,
                How::Kill | How::Fail => begin.kernel.clone(),
            };
            // A daemon that starts settles what it finds a marker of.
            tell(Joint { world, kernel, unsettled: begin.unsettled }, &|| format!("{event:?}"))?;
        }
        Ok(())
    }
}

impl Joint {
    /// What the daemon starts for what is asked of it, if anything: by its own table, and what goes before all else.
    fn starts(&self, asked: Asked) -> Option<Work> {
        let mount = match (self.kernel.is_mounted(), self.kernel.is_closed()) {
            (true, _) if self.kernel.is_sealed() => Mount::Suspended,
            (true, _) => Mount::Usable,
            (false, false) => Mount::Open,
            (false, true) => Mount::None,
        };
        let resting = Whereabouts { storage: Storage::There, mount }.resting(Known::Yes);
        let state = State { resting, doing: None, lingering: Lingering::No };
        match verdict(Situation { state, held: Held::No, favour: Favour::Owner, waits: Waits::No }, asked) {
            Verdict::Start(work) if !self.unsettled || work.mends() => Some(work),
            _ => None,
        }
    }

    /// Whether a change may be made.
    fn may(&self, verb: Verb) -> bool {
        let asked = match verb {
            Verb::Login => Asked::Acquire,
            Verb::Passwd => Asked::ChangePassword,
            Verb::Recovery | Verb::Update | Verb::Enrol | Verb::Drop => Asked::Update,
        };
        let work = self.starts(asked);
        work.is_some_and(|work| !matches!(work, Work::Unlocking(_))) || !has(Mend::Unchanged)
    }

    /// After a job: one that ended without an outcome has left something to settle.
    fn after(&self, kernel: Kernel, work: Work, done: bool) -> Self {
        let unsettled = match work {
            Work::Settling => !done,
            work => self.unsettled || !done && work.leaves_something(),
        };
        Self { kernel, unsettled, world: self.world.clone() }
    }

    fn may_write(&self, after: &World) -> Result<(), String> {
        let is_written = after.header != self.world.header || after.home != self.world.home;
        match self.kernel.stands_still() && is_written {
            true => Err("something is written to what stands still".into()),
            false => Ok(()),
        }
    }

    /// Of a sealed home: somebody with a password that may be in force unlocks it.
    fn holds(&self) -> Result<(), String> {
        if !self.kernel.is_sealed() {
            return Ok(());
        }
        let promise = &self.world.promise;
        let mut all: Vec<Key> = promise.pending.clone();
        all.push(promise.confirmed);
        let one = all.iter().any(|key| gets_in(&self.world, &[*key]));
        if !(one || promise.both && gets_in(&self.world, &all)) {
            return Err("it is locked, and no password unlocks it".into());
        }
        if promise.recovery && !gets_in(&self.world, &[RECOVERY]) {
            return Err("it is locked, and the recovery key does not unlock it".into());
        }
        if promise.token.is_some_and(|token| !gets_in(&self.world, &[token])) {
            return Err("it is locked, and the token does not unlock it".into());
        }
        Ok(())
    }
}

/// Every order of so many acts on a home that is open, of which the last is not cut. How many there are.
fn all_orders(begin: World, depth: usize) -> Result<u64, String> {
    let mut walk = Walk::default();
    let closed = Kernel::closed(true, true);
    let open = closed.act(Act { verb: kernel::Verb::Activate, cut: None })?.kernel;
    let begin = Joint { world: begin, kernel: open, unsettled: false };
    let mut states = HashMap::from([(begin, (1u64, String::new()))]);
    let mut total = 0;
    for level in 1..=depth {
        let cuts = if level < depth { Cuts::All } else { Cuts::None };
        let mut after: HashMap<Joint, (u64, String)> = HashMap::new();
        for (joint, (ways, how)) in &states {
            let mut found = |next: Joint, what: &dyn Fn() -> String| {
                if level < depth {
                    after.entry(next).or_insert_with(|| (0, format!("{how}\n{}", what()))).0 += ways;
                }
            };
            let count = walk.next(joint, cuts, &mut found).map_err(|why| format!("{how}\n{why}"))?;
            total += if level == depth { ways * count } else { 0 };
        }
        states = after;
    }
    Ok(total)
}

#[test]
fn no_order_of_changes_and_locks_keeps_the_owner_out() {
    let begin = walk::beginnings().into_iter().take(2).chain(walk::with_tokens().into_iter().skip(1).take(1));
    let walks: Vec<_> = begin.map(|world| std::thread::spawn(move || all_orders(world, 3))).collect();
    let total: u64 =
        walks.into_iter().map(|walk| walk.join().expect("ends").unwrap_or_else(|why| panic!("{why}"))).sum();
    println!("{total} sequences");
    assert!(total >= 1_000_000, "only {total} sequences");
}

/// What is taken out, and a word of what is found.
pub(super) const FAULTS: &[(&[Mend], &str)] = &[
    (&[Mend::Unchanged], "stands still"),
    (&[Mend::HeaderRead], "unlock"),
    (&[Mend::RecordBeforeDrop], ""),
    (&[Mend::Flushed], ""),
    (&[Mend::SettledBeforeThaw], "thawed over a suspended device"),
];

#[test]
fn both_models_together_find_each_fault() {
    for (mends, words) in FAULTS {
        let begin = walk::beginnings().swap_remove(1);
        let found = without(mends, || all_orders(begin, 3)).err();
        let why = found.unwrap_or_else(|| panic!("without {mends:?} nothing is found"));
        println!("without {mends:?}: {}", why.lines().last().unwrap_or_default());
        assert!(why.contains(words), "without {mends:?}: {why}");
    }
}
