//! All orders of verbs, cuts and other programs.

use super::disk::{Key, RECOVERY, World};
use super::others::{self, Other};
use super::promises::{confirm, holds, keep};
use super::verbs::{self, Cut, How, Verb};
use crate::storage::luks::plan::without::{Mend, tests::without};
use std::collections::HashMap;

/// Something that happens to a home.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// This program does something, with these keys.
    Ours(Verb, Vec<Key>, Option<Cut>),
    /// Another one does, as far as that write.
    Other(Other, u32),
}

const VERBS: [Verb; 4] = [Verb::Login, Verb::Passwd, Verb::Recovery, Verb::Update];
const TOKEN_VERBS: [Verb; 4] = [Verb::Login, Verb::Passwd, Verb::Enrol, Verb::Drop];
/// Another program's verb is not cut.
const WHOLE: u32 = 1000;
/// Numbers that one event draws at most.
const DRAWN: u32 = 32;

/// What a user may type.
pub(super) fn offers(world: &World) -> Vec<Vec<Key>> {
    let promise = &world.promise;
    let mut all = vec![vec![promise.confirmed]];
    if let Some(new) = promise.pending.last() {
        all.extend([vec![*new], vec![promise.confirmed, *new], vec![*new, promise.confirmed]]);
    }
    match promise.tokens.last() {
        // (The recovery key's slot is one that nobody shows, then.)
        Some(token) => all.extend([vec![*token], vec![promise.confirmed, *token]]),
        None if world.enrols => {}
        None => all.extend([vec![RECOVERY], vec![promise.confirmed, RECOVERY]]),
    }
    all
}

/// What that user does.
pub(super) fn verbs_of(world: &World) -> [Verb; 4] {
    if world.enrols { TOKEN_VERBS } else { VERBS }
}

/// What happens, to which state it leads, and what of the promises is broken.
pub(super) fn apply(before: &World, event: &Event) -> (World, u32, Result<(), String>) {
    let mut world = before.clone();
    // The same numbers whatever a cut left undrawn, so that equal states are equal.
    world.count = world.count.next_multiple_of(DRAWN);
    match event {
        Event::Ours(verb, given, cut) => {
            if *verb == Verb::Passwd {
                let new = world.new_password();
                world.promise.pending.push(new);
            }
            if *verb == Verb::Enrol {
                let new = world.next();
                world.promise.tokens.push(new);
            }
            let (ended, done) = verbs::run(&mut world, *verb, given, *cut);
            let kept = keep(&mut world, before, (*verb, given), ended);
            (world, done, kept)
        }
        Event::Other(other, most) => {
            let given = world.promise.confirmed;
            let changes = matches!(other, Other::Passwd(_));
            if changes {
                let new = world.new_password();
                world.promise.pending.push(new);
            }
            let done = others::run(&mut world, *other, given, *most);
            match (changes, done) {
                (true, None | Some(0)) => drop(world.promise.pending.pop()),
                (true, Some(_)) if *most == WHOLE => confirm(&mut world),
                (true, Some(_)) => (world.promise.others_cut, world.promise.both) = (true, true),
                (false, _) => {}
            }
            // Which of the keys that this leaves without a slot goes on, is told by both of them together, as above.
            if *other == Other::KillNew && done.is_some_and(|done| done > 0) {
                (world.promise.others_cut, world.promise.both) = (true, true);
                world.promise.recovery &= world.header.read().opened_by(RECOVERY).is_some();
                let token = world.promise.token;
                world.promise.token = token.filter(|token| world.header.read().opened_by(*token).is_some());
            }
            let kept = holds(&world);
            (world, done.unwrap_or(0), kept)
        }
    }
}

/// Whether runs of the last depth are cut too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cuts {
    All,
    None,
}

/// All that may happen next.
fn next(
    world: &World,
    cuts: Cuts,
    found: &mut dyn FnMut(World, Event) -> Result<(), String>,
) -> Result<u64, String> {
    let mut count = 0;
    let mut step = |event: Event| {
        let (after, done, kept) = apply(world, &event);
        count += 1;
        kept.map_err(|why| format!("{event:?}: {why}"))?;
        found(after, event).map(|()| done)
    };
    for given in offers(world) {
        for verb in verbs_of(world) {
            let done = step(Event::Ours(verb, given.clone(), None))?;
            let ways = [How::Kill, How::Power, How::Fail];
            let all = (0..done).flat_map(|at| ways.map(|how| Cut { at, how }));
            for cut in all.filter(|_| cuts == Cuts::All) {
                step(Event::Ours(verb, given.clone(), Some(cut)))?;
            }
        }
    }
    for other in others::ALL {
        let done = step(Event::Other(other, WHOLE))?;
        for most in (0..done).filter(|_| cuts == Cuts::All) {
            step(Event::Other(other, most))?;
        }
    }
    Ok(count)
}

/// Homes to begin with.
pub(super) fn beginnings() -> Vec<World> {
    // As this program makes it, and as systemd-homed and earlier versions do.
    let plain = [[31, 30], [0, 1]].map(|slots| [false, true].map(|recovery| World::new(recovery, slots)));
    let plain = plain.concat();
    let shared: Vec<World> = plain
        .clone()
        .into_iter()
        .map(|mut world| {
            others::run(&mut world, Other::AddKey, 0, WHOLE);
            world
        })
        .collect();
    let [first, .., last] = shared.as_slice() else { return plain };
    plain.iter().chain([first, last]).cloned().collect()
}

/// Homes of users with tokens.
pub(super) fn with_tokens() -> Vec<World> {
    let made = |recovery, slots| World::new(recovery, slots);
    vec![
        made(false, [31, 30]).with_token(None),
        made(false, [31, 30]).with_token(Some(29)),
        made(true, [31, 30]).with_token(Some(29)),
        made(false, [0, 1]).with_token(Some(1)),
    ]
}

/// Walks from a home: every order of this length, of which the last run is not cut. How many there are.
fn walk(begin: &World, depth: usize) -> Result<u64, String> {
    // Orders that lead to the same state go on alike: the state goes on once, and counts for all of them.
    let mut states = HashMap::from([(begin.clone(), (1u64, String::new()))]);
    let mut total = 0;
    for level in 1..=depth {
        let cuts = if level < depth { Cuts::All } else { Cuts::None };
        let mut after: HashMap<World, (u64, String)> = HashMap::new();
        for (world, (ways, how)) in &states {
            let count = next(world, cuts, &mut |world, event| {
                if level < depth {
                    let entry = after.entry(world).or_insert_with(|| (0, format!("{how}\n{event:?}")));
                    entry.0 += ways;
                }
                Ok(())
            });
            total += if level == depth { ways * count.clone().unwrap_or(0) } else { 0 };
            count.map_err(|why| format!("{how}\n{why}\nfrom {begin:?}"))?;
        }
        states = after;
    }
    Ok(total)
}

#[test]
fn no_order_of_events_loses_a_home_or_leaves_a_password() {
    let begin = beginnings().into_iter().chain(with_tokens());
    let walks = begin.map(|begin| std::thread::spawn(move || walk(&begin, 3)));
    let walks: Vec<_> = walks.collect();
    let total: u64 =
        walks.into_iter().map(|walk| walk.join().expect("ends").unwrap_or_else(|why| panic!("{why}"))).sum();
    println!("{total} sequences");
    assert!(total >= 1_000_000, "only {total} sequences");
}

/// What is taken out, and a home that misses it.
pub(super) const FAULTS: &[(&[Mend], usize)] = &[
    // What was reproduced on a real machine: a newer record, and the only slot is destroyed.
    (&[Mend::OpenedStays, Mend::Digest, Mend::WholeBefore], 0),
    (&[Mend::OpenedStays, Mend::Digest], 1),
    (&[Mend::WholeBefore], 1),
    (&[Mend::WaitingStays], 1),
    (&[Mend::Digest], 3),
    (&[Mend::Salts], 2),
    (&[Mend::NewByNumber], 0),
    (&[Mend::TopNumbers], 0),
    (&[Mend::NewIsNoProof], 1),
    (&[Mend::RecordBeforeDrop], 0),
    (&[Mend::Strangers], 4),
    (&[Mend::NamedNumbers], 1),
    (&[Mend::Priorities], 0),
    (&[Mend::Settled], 0),
    (&[Mend::Flushed], 0),
    (&[Mend::AllKinds], TOKENS),
];
/// The first home with tokens.
const TOKENS: usize = 6;

#[test]
fn the_model_finds_each_fault() {
    let walks = FAULTS.iter().map(|(mends, home)| {
        let begin = [beginnings(), with_tokens()].concat().swap_remove(*home);
        (mends, std::thread::spawn(move || without(mends, || walk(&begin, 3)).err()))
    });
    for (mends, walk) in walks.collect::<Vec<_>>() {
        let found = walk.join().expect("ends");
        assert!(found.is_some(), "without {mends:?} nothing is found");
        println!(
            "without {mends:?}: {}",
            found.unwrap_or_default().lines().take(4).collect::<Vec<_>>().join(" ")
        );
    }
}

/// While a change was cut short another program writes a record with keys that neither the old nor the new one has. Who shows an
/// old slot then has the change taken back; all others have it wait, which is why no walk has this other program.
#[test]
fn a_record_of_another_program_in_between_does_not_hide_that_a_change_was_not_made() {
    let order = [
        // The new slot is there, and the record is the old one.
        Event::Ours(Verb::Passwd, vec![0], Some(Cut { at: 4, how: How::Kill })),
        Event::Other(Other::HalfEnrol, WHOLE),
        Event::Ours(Verb::Login, vec![0], None),
    ];
    let walked = || {
        let mut world = World::new(false, [31, 30]);
        for event in &order {
            let (after, done, kept) = apply(&world, event);
            kept.map_err(|why| format!("{event:?}: {why}"))?;
            assert!(done > 0, "{event:?}");
            world = after;
        }
        Ok(world)
    };
    let world = walked().unwrap_or_else(|why: String| panic!("{why}"));
    assert_eq!(world.header.read().slots.len(), 1, "{world:?}");
    let found = without(&[Mend::OpenedStays], walked);
    assert!(found.is_err_and(|why| why.contains("still marked")));
}

#[test]
fn longer_orders_chosen_at_random_lose_nothing_either() {
    // Numerical Recipes' generator: the same orders in every run.
    let mut state = 1u64;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("fits") % below
    };
    let begin = [beginnings(), with_tokens()].concat();
    for _ in 0..10_000 {
        let mut world = begin[draw(begin.len())].clone();
        let mut told = format!("{world:?}");
        for _ in 0..7 {
            let event = if draw(3) == 0 {
                Event::Other(others::ALL[draw(others::ALL.len())], [WHOLE, 2][draw(2)])
            } else {
                let offers = offers(&world);
                let how = [How::Kill, How::Power, How::Fail][draw(3)];
                let at = u32::try_from(draw(16)).expect("small");
                let cut = (draw(2) == 0).then_some(Cut { at, how });
                Event::Ours(verbs_of(&world)[draw(4)], offers[draw(offers.len())].clone(), cut)
            };
            told = format!("{told}\n{event:?}");
            let (after, _, kept) = apply(&world, &event);
            assert!(kept.is_ok(), "{kept:?}: {told}");
            world = after;
        }
    }
}
