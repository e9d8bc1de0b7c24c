//! All orders of verbs and cuts.

use super::disk::{Folder, Kept, World};
use super::verbs;
use super::words::{ALL, Cut, Ended, Rules, Verb, WAYS};
use crate::worker::life::plan::{self, Is, Situation, Step, Wish};
use std::collections::HashMap;

/// As it is.
const RIGHT: Rules = Rules {
    planner: plan::next,
    flushes: true,
    flushes_what_is_there: true,
    named_when_whole: true,
    absent_is_removed: true,
    sweeps: true,
    unfinished_goes: true,
};

/// Does a verb, and looks at what must hold.
fn act(begin: &World, (verb, cut): (Verb, Option<Cut>), rules: Rules) -> Result<(World, u32), String> {
    let mut world = *begin;
    let (ended, operations) = verbs::run(&mut world, verb, rules, cut);
    match (verb, ended) {
        (Verb::Create, Ended::Failed) if world.storage.get().is_some() || world.record.get().is_some() => {
            return Err("it is told to have failed, and the home is there".into());
        }
        (Verb::Login, Ended::Done) if world.record.get() != world.storage.get() => {
            return Err("somebody is logged in whom this machine does not know".into());
        }
        (Verb::Create | Verb::Login, Ended::Done) => {
            (world.promised, world.told) = (world.storage.get(), world.storage.get());
        }
        _ => {}
    }
    holds(&world)?;
    let mut lost = world;
    lost.power_cut();
    holds(&lost).map_err(|why| format!("after a power cut {why}"))?;
    if (verb, ended) == (Verb::Remove, Ended::Done)
        && let Some(left) =
            lost.left().or(world.left()).filter(|left| !left.contains("wait") && !left.contains("part"))
    {
        return Err(format!("removed, and {left} is there"));
    }
    ends_well(&world, rules)?;
    // Equal states are equal, whatever was tried before.
    world.forget_numbers();
    Ok((world, operations))
}

/// What holds at every moment.
fn holds(world: &World) -> Result<(), String> {
    if let Some(home) = world.promised
        && world.storage.get() != Some(home)
    {
        return Err("a home that was promised is lost".into());
    }
    if world.promised.is_some() && !world.is_known() {
        return Err("nobody knows of a home that was promised".into());
    }
    if world.kept.get() == Kept::Half {
        return Err("half of what was kept is taken for all of it".into());
    }
    let (pictures, storage) = (world.pictures.get(), world.storage.get());
    if world.promised.is_some() && pictures.is_some() && pictures != storage {
        return Err("a home shows the pictures of another".into());
    }
    Ok(())
}

/// Whoever comes next gets in, or makes it anew; and removed, nothing is left.
fn ends_well(world: &World, rules: Rules) -> Result<(), String> {
    let run = |world: &mut World, verb| verbs::run(world, verb, rules, None).0;
    let mut world = *world;
    run(&mut world, Verb::Start);
    if !world.is_known() && world.storage.get().is_some() {
        if world.storage.get() == world.told && !world.others_removed {
            return Err("nobody knows of a home that somebody had".into());
        }
        // It is named by whoever makes another, and its place is free again once that is moved or deleted.
        world.storage = super::disk::Entry::new(None);
    }
    if world.is_known() {
        if world.storage.get().is_some() && run(&mut world, Verb::Login) != Ended::Done {
            return Err("nobody gets in".into());
        }
        if run(&mut world, Verb::Remove) != Ended::Done {
            return Err("it cannot be removed".into());
        }
    } else if world.folder == Folder::Elsewhere {
        // There nobody looks before a home is made there again.
        world.unfinished = super::disk::Entry::new(false);
    }
    let others = std::mem::replace(&mut world.others_removed, false);
    if let Some(left) = world.left().filter(|left| !(others && left.contains("kept"))) {
        return Err(format!("nobody knows of a home, and {left} is there"));
    }
    for (verb, why) in
        [(Verb::Create, "it cannot be made again"), (Verb::Login, "nobody gets into the new one")]
    {
        if run(&mut world, verb) != Ended::Done {
            return Err(why.into());
        }
    }
    match (run(&mut world, Verb::Remove), world.left()) {
        (Ended::Done, None) => Ok(()),
        (_, left) => Err(format!("the new one is removed, and {left:?} is there")),
    }
}

fn beginnings() -> Vec<World> {
    let folders = [Folder::HomeRoot, Folder::Elsewhere];
    folders
        .into_iter()
        .flat_map(|folder| [true, false].map(|nameless| World::new(folder, nameless)))
        .collect()
}

/// Every order of so many verbs, each cut everywhere in every way or not at all. How many there are.
fn all_orders(rules: Rules, depth: usize) -> Result<u64, String> {
    let mut total = 0;
    let mut known: HashMap<World, Vec<World>> = HashMap::new();
    for begin in beginnings() {
        let mut states = HashMap::from([(begin, (1u64, String::new()))]);
        for _ in 0..depth {
            let mut after: HashMap<World, (u64, String)> = HashMap::new();
            for (world, (ways, how)) in &states {
                if !known.contains_key(world) {
                    known.insert(*world, next(world, rules).map_err(|why| format!("{how}\n{why}"))?);
                }
                for next in &known[world] {
                    after.entry(*next).or_insert_with(|| (0, format!("{how}\n{next:?}"))).0 += ways;
                }
            }
            states = after;
        }
        total += states.values().map(|(ways, _)| ways).sum::<u64>();
    }
    Ok(total)
}

/// All that one verb may lead to.
fn next(world: &World, rules: Rules) -> Result<Vec<World>, String> {
    let mut all = Vec::new();
    for verb in ALL {
        let told = |cut| act(world, (verb, cut), rules).map_err(|why| format!("{verb:?} {cut:?}: {why}"));
        let (after, operations) = told(None)?;
        all.push(after);
        for cut in (0..operations).flat_map(|at| WAYS.map(|how| (at, how))) {
            all.push(told(Some(cut))?.0);
        }
    }
    Ok(all)
}

#[test]
fn no_order_of_making_and_removing_loses_a_home_or_leaves_something() {
    let sequences = all_orders(RIGHT, 4).unwrap_or_else(|why| panic!("{why}"));
    println!("{sequences} sequences");
    assert!(sequences >= 1_000_000, "only {sequences} sequences");
}

/// The plan, with one step put off until nothing else is to be done.
fn put_off(stands: &Situation, wish: Wish, last: Step) -> Option<Step> {
    match plan::next(stands, wish) {
        Some(step) if step == last => {
            let mut without = *stands;
            match last {
                Step::RemoveStorage => without.storage = Is::Missing,
                Step::RemovePictures => without.pictures = Is::Missing,
                Step::RemoveKept => without.kept = Is::Missing,
                Step::RemoveMountPoint => without.mount_point = Is::Missing,
                Step::MakeStorage => without.storage = Is::There,
                _ => return Some(step),
            }
            plan::next(&without, wish).or(Some(step))
        }
        step => step,
    }
}

/// Removes all but one thing.
fn leave(stands: &Situation, wish: Wish, step: Step) -> Option<Step> {
    let mut without = *stands;
    match step {
        Step::RemoveRecord => without.record = Is::Missing,
        Step::RemoveStorage => without.storage = Is::Missing,
        _ => {}
    }
    if wish == Wish::TakenBack { plan::next(&without, wish) } else { plan::next(stands, wish) }
}

const FAULTS: &[(&str, Rules, &str)] = &[
    (
        "the storage is deleted after the record",
        Rules { planner: |s, w| put_off(s, w, Step::RemoveStorage), ..RIGHT },
        "nobody knows of a home",
    ),
    (
        "the pictures are removed after the record",
        Rules { planner: |s, w| put_off(s, w, Step::RemovePictures), ..RIGHT },
        "pictures is there",
    ),
    (
        "what repairs have kept is removed after the record",
        Rules { planner: |s, w| put_off(s, w, Step::RemoveKept), ..RIGHT },
        "kept is there",
    ),
    (
        "the mount point is removed after the record",
        Rules { planner: |s, w| put_off(s, w, Step::RemoveMountPoint), ..RIGHT },
        "mount point is there",
    ),
    (
        "the storage of a new home is not taken back",
        Rules { planner: |s, w| leave(s, w, Step::RemoveStorage), ..RIGHT },
        "told to have failed",
    ),
    (
        "the record of a new home is not taken back",
        Rules { planner: |s, w| leave(s, w, Step::RemoveRecord), ..RIGHT },
        "told to have failed",
    ),
    ("nothing is flushed", Rules { flushes: false, ..RIGHT }, "after a power cut"),
    ("what others have named is not flushed", Rules { flushes_what_is_there: false, ..RIGHT }, "is there"),
    ("what is kept has its name at once", Rules { named_when_whole: false, ..RIGHT }, "half of"),
    ("a home without storage is forgotten at once", Rules { absent_is_removed: false, ..RIGHT }, "is there"),
    ("a daemon sweeps nothing", Rules { sweeps: false, ..RIGHT }, "is there"),
    ("unfinished storage stays", Rules { unfinished_goes: false, ..RIGHT }, "unfinished storage is there"),
];

#[test]
fn each_wrong_order_is_found() {
    for (name, rules, words) in FAULTS {
        let why = all_orders(*rules, 3).err().unwrap_or_else(|| panic!("{name}: nothing is found"));
        let last = why.lines().last().unwrap_or_default();
        println!("{name}: {last}");
        assert!(why.contains(words), "{name}: {why}");
    }
}
