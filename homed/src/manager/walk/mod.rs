//! Random walks over everything that may happen to the core: calls of owners, root and strangers, workers that end, hang or
//! are killed, timers, sleeps, storage, sessions, and a daemon that is killed and started again. After each event it is
//! checked what must hold always (`rules.rs`), and from time to time everything comes to rest.
//!
//! | file | what |
//! | --- | --- |
//! | `world` | the machine around the core: disks, workers, callers, clocks, and what survives a daemon |
//! | `calls` | what is asked, and by whom |
//! | `happen` | what else happens |
//! | `rules` | what holds after each event |

mod calls;
mod happen;
pub mod rules;
mod world;

use crate::home::without::{self, Rule};
use std::panic::AssertUnwindSafe;
use world::{Told, World};

/// Events of each test: a million in all.
const EVENTS: u64 = 250_000;
/// Walks without a rule, at most: one is found broken in fewer.
const WALKS_WITHOUT: u64 = 2_000;
/// Events of one walk, until everything comes to rest and the next begins.
const LENGTH: u64 = 2_000;

/// Numerical Recipes' generator: the same walk for the same seed.
#[derive(Debug, Clone, Copy)]
pub struct Draws(u64);

impl Draws {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// One walk; how many events there were.
fn walk(seed: u64, told: Option<Told>) -> u64 {
    let mut world = World::new(seed);
    world.told = told;
    while world.events < LENGTH {
        world.happens();
    }
    world.comes_to_rest();
    world.events
}

/// Walks until so many events have happened. A walk that breaks something is walked once more, and told.
fn walks(first: u64, events: u64) {
    let (mut seed, mut total) = (first, 0);
    while total < events {
        match broken(|| walk(seed, None)) {
            Ok(happened) => total += happened,
            Err(_) => {
                let told = Told::default();
                let why =
                    broken(|| walk(seed, Some(told.clone()))).expect_err("the same walk breaks the same");
                panic!("{}\n{why}\nin walk {seed}", told.borrow().join("\n"));
            }
        }
        seed += 1;
    }
}

/// What was broken, if anything.
fn broken(walk: impl FnOnce() -> u64) -> Result<u64, String> {
    std::panic::catch_unwind(AssertUnwindSafe(walk)).map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "?".into(), |text| (*text).to_owned()),
    })
}

macro_rules! walks {
    ($( $name:ident: $seed:literal, )*) => {
        $(
            #[test]
            fn $name() {
                walks($seed, EVENTS);
            }
        )*
    };
}

// Four tests, so that they run side by side.
walks! {
    no_order_of_events_breaks_a_promise_1: 1_000_000,
    no_order_of_events_breaks_a_promise_2: 2_000_000,
    no_order_of_events_breaks_a_promise_3: 3_000_000,
    no_order_of_events_breaks_a_promise_4: 4_000_000,
}

#[test]
fn the_walk_finds_what_each_rule_is_for() {
    let is_missed = |rule: &&Rule| {
        without::without(Some(**rule));
        let missed = (0..WALKS_WITHOUT).any(|seed| broken(|| walk(seed, None)).is_err());
        without::without(None);
        missed
    };
    let needless: Vec<_> = without::ALL.iter().filter(|rule| !is_missed(rule)).collect();
    assert!(needless.is_empty(), "without {needless:?} nothing is found");
}
