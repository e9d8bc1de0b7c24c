//! Disk and kernel together: a change of keys that was cut short, and the home is locked, unlocked, closed, cut off from
//! its power. Whoever has a password that may be in force gets in, whether the home is closed or sealed, and nothing is
//! written to what stands still.

use super::disk::{Key, RECOVERY, World};
use super::kernel::{self, Act, Kernel, WAYS};
use super::verbs::{Cut, How, Verb};
use super::walk::{self, Event};
use crate::storage::luks::plan::without::tests::without;
use crate::storage::luks::plan::without::{Mend, has};
use std::collections::HashMap;
use std::rc::Rc;

/// No verb has so many steps.
const MOST: usize = 64;
/// What this program does to the kernel alone.
const ALONE: [kernel::Verb; 4] =
    [kernel::Verb::Lock, kernel::Verb::Settle, kernel::Verb::Deactivate, kernel::Verb::GiveUp];

/// A home: what is on disk, and what the kernel has of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Joint {
    world: World,
    kernel: Kernel,
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
        for verb in ALONE {
            for (kernel, _) in self.act(&begin.kernel, verb, cuts)?.iter() {
                let joint = Joint { kernel: kernel.clone(), ..begin.clone() };
                tell(joint, &|| format!("{verb:?}"))?;
            }
        }
        for given in walk::offers(&begin.world) {
            if begin.kernel.is_sealed() && begin.unlocks(&given) {
                for (kernel, _) in self.act(&begin.kernel, kernel::Verb::Unlock, cuts)?.iter() {
                    let joint = Joint { kernel: kernel.clone(), ..begin.clone() };
                    tell(joint, &|| format!("unlock with {given:?}"))?;
                }
            }
            let may = begin.kernel.is_closed() || begin.kernel.is_usable() || !has(Mend::Unchanged);
            for verb in walk::VERBS.into_iter().filter(|_| may) {
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
        let opens = verb == Verb::Login && begin.kernel.is_closed() && steps_in(&begin.world, given);
        let ways = if opens { self.act(&begin.kernel, kernel::Verb::Activate, cuts)? } else { Rc::from([]) };
        for (kernel, _) in ways.iter() {
            let joint = Joint { world: world.clone(), kernel: kernel.clone() };
            tell(joint, &|| format!("{whole:?} and opened"))?;
        }
        if !opens {
            tell(Joint { world, kernel: begin.kernel.clone() }, &|| format!("{whole:?}"))?;
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
            tell(Joint { world, kernel }, &|| format!("{event:?}"))?;
        }
        Ok(())
    }
}

/// Whether a login with these keys gets in.
fn steps_in(world: &World, given: &[Key]) -> bool {
    let header = world.header.read();
    let newest = header.record.into_iter().chain([*world.host.read(), *world.home.read()]);
    let record = newest.max_by_key(|record| record.date);
    record.is_some_and(|record| given.iter().any(|key| record.has(*key)))
        && given.iter().any(|key| header.opened_by(*key).is_some())
}

impl Joint {
    /// As `worker/unlock.rs`: what is in the home cannot be read yet, and nothing is written.
    fn unlocks(&self, given: &[Key]) -> bool {
        let header = self.world.header.read();
        let read = header.record.filter(|_| has(Mend::HeaderRead));
        let newest = read.into_iter().chain([*self.world.host.read()]).max_by_key(|record| record.date);
        newest.is_some_and(|record| given.iter().any(|key| record.has(*key)))
            && given.iter().any(|key| header.opened_by(*key).is_some())
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
        let one = all.iter().any(|key| self.unlocks(&[*key]));
        if !(one || promise.both && self.unlocks(&all)) {
            return Err("it is locked, and no password unlocks it".into());
        }
        if promise.recovery && !self.unlocks(&[RECOVERY]) {
            return Err("it is locked, and the recovery key does not unlock it".into());
        }
        Ok(())
    }
}

/// Every order of so many acts on a home that is open, of which the last is not cut. How many there are.
fn all_orders(begin: World, depth: usize) -> Result<u64, String> {
    let mut walk = Walk::default();
    let closed = Kernel::closed(true, true);
    let open = closed.act(Act { verb: kernel::Verb::Activate, cut: None })?.kernel;
    let begin = Joint { world: begin, kernel: open };
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
    let begin = walk::beginnings().into_iter().take(2);
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
