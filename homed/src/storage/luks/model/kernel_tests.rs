//! All orders of verbs and cuts on the model of the kernel.

use super::kernel::{ANOTHERS, Act, How, Kernel, VERBS, Verb, WAYS};
use crate::storage::luks::plan::without::Mend;
use crate::storage::luks::plan::without::tests::without;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// No verb has so many steps.
const MOST: usize = 64;
/// How many sequences are drawn.
const DRAWN: usize = 500_000;
/// So many acts each.
const LONG: usize = 6;

/// What each act comes to, in each state: most sequences share their ways.
#[derive(Default)]
struct Walked {
    numbers: HashMap<Kernel, usize>,
    states: Vec<Kernel>,
    /// For each state what every act leads to, by number.
    acts: Vec<Option<Vec<(Act, usize)>>>,
}

impl Walked {
    fn number(&mut self, kernel: Kernel) -> Result<usize, String> {
        match self.numbers.entry(kernel) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                new.key().ends_well().map_err(|why| format!("{why}: {:?}", new.key()))?;
                let number = self.states.len();
                self.states.push(new.key().clone());
                self.acts.push(None);
                new.insert(number);
                Ok(number)
            }
        }
    }

    fn acts(&mut self, state: usize) -> Result<&[(Act, usize)], String> {
        if self.acts[state].is_none() {
            let kernel = self.states[state].clone();
            let mut all = Vec::new();
            for verb in VERBS {
                all.push((Act { verb, cut: None }, self.came(&kernel, Act { verb, cut: None })?.0));
                for how in WAYS.into_iter().chain(ANOTHERS) {
                    for at in 0..MOST {
                        let act = Act { verb, cut: Some((at, how)) };
                        match self.came(&kernel, act)? {
                            (number, true) => all.push((act, number)),
                            (_, false) => break,
                        }
                    }
                }
            }
            self.acts[state] = Some(all);
        }
        Ok(self.acts[state].as_deref().unwrap_or_default())
    }

    fn came(&mut self, kernel: &Kernel, act: Act) -> Result<(usize, bool), String> {
        let came = kernel.act(act).map_err(|why| format!("{why}: {act:?} on {kernel:?}"))?;
        Ok((self.number(came.kernel)?, came.cut))
    }
}

fn beginnings() -> impl Iterator<Item = Kernel> {
    [(true, true), (true, false), (false, true), (false, false)]
        .into_iter()
        .map(|(writes_at_thaw, keyrings)| Kernel::closed(writes_at_thaw, keyrings))
}

/// An open home, and every sequence of three acts on it, each cut everywhere in every way or not at all.
fn all_of_depth_three(walked: &mut Walked) -> Result<u64, String> {
    let mut sequences = 0;
    for closed in beginnings() {
        let open = closed.act(Act { verb: Verb::Activate, cut: None })?.kernel;
        for begin in [closed, open] {
            let mut level = HashMap::from([(walked.number(begin)?, 1u64)]);
            for _ in 0..3 {
                let mut next: HashMap<usize, u64> = HashMap::new();
                for (state, ways) in level {
                    for (_, to) in walked.acts(state)? {
                        *next.entry(*to).or_default() += ways;
                    }
                }
                level = next;
            }
            sequences += level.values().sum::<u64>();
        }
    }
    Ok(sequences)
}

/// Numbers by chance, the same each time (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}

fn drawn(walked: &mut Walked, sequences: usize) -> Result<(), String> {
    let mut chance = Chance(1);
    let starts = beginnings().map(|begin| walked.number(begin)).collect::<Result<Vec<_>, _>>()?;
    for sequence in 0..sequences {
        let mut state = starts[sequence % starts.len()];
        for _ in 0..LONG {
            let acts = walked.acts(state)?;
            state = acts[chance.below(acts.len())].1;
        }
    }
    Ok(())
}

#[test]
fn no_order_of_verbs_and_cuts_leaves_a_key_or_a_home_that_nobody_can_use() {
    let mut walked = Walked::default();
    let sequences = all_of_depth_three(&mut walked).expect("depth 3");
    drawn(&mut walked, DRAWN).expect("drawn");
    println!("{sequences} sequences of depth 3, {} states", walked.states.len());
    assert!(sequences >= 1_000_000, "only {sequences} sequences");
}

/// What is taken out, and a word of what is found.
pub(super) const FAULTS: &[(&[Mend], &str)] = &[
    (&[Mend::SecondTable], "there is a key"),
    (&[Mend::Others], "there is a key"),
    (&[Mend::RevokedWhenSealed], "there is a key"),
    (&[Mend::RevokedWhenClosed], "something is left"),
    (&[Mend::AsksTheKernel], "suspended device"),
    (&[Mend::SettledBeforeThaw], "thawed over a suspended device"),
    (&[Mend::OpenFails], "thawed over a suspended device"),
    (&[Mend::FinishesGivingUp], "cannot be used"),
    (&[Mend::Thaws], ""),
    (&[Mend::Uncovers], ""),
    (&[Mend::Barriers], ""),
    (&[Mend::Unmarks], "other machines are refused"),
    (&[Mend::MarkedFirst], "another machine may open it"),
    (&[Mend::LooksAgain], "has it open is written over"),
    (&[Mend::ReadsBack], "another machine has it open"),
    (&[Mend::Vouched], "a stranger's file system is mounted"),
    (&[Mend::KeptLast], "a key is left"),
    (&[Mend::FrozenBefore], "it is not locked, and nobody is named"),
    (&[Mend::SeenRunning], "its file system is not frozen"),
    (&[Mend::GoesOn], "stands still"),
    (&[Mend::PinnedGoesOn], "whoever is at it elsewhere stands still"),
    (&[Mend::UsedHere], ""),
];

#[test]
fn the_model_finds_each_fault() {
    for (mend, words) in FAULTS {
        let found = without(mend, || all_of_depth_three(&mut Walked::default()));
        let why = found.expect_err(&format!("without {mend:?} nothing is found"));
        println!("without {mend:?}: {why}");
        assert!(why.contains(words), "without {mend:?}: {why}");
    }
}

#[test]
fn a_late_suspend_is_a_lock_that_goes_on() {
    let open = Kernel::closed(true, true).act(Act { verb: Verb::Activate, cut: None }).expect("open").kernel;
    for at in 0..MOST {
        let came = open.act(Act { verb: Verb::Lock, cut: Some((at, How::Late)) }).expect("nothing wrong");
        came.kernel.ends_well().expect("ends well");
    }
}
