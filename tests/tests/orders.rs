//! A verb is killed at one of its steps, another verb follows, and somebody logs in with the right password: nothing
//! that was confirmed is lost, nothing else opens the home, no key is behind a lock, and closed it leaves nothing.
//!
//! By itself a sample of the pairs is walked, `HOMED_PAIRS` of them as `HOMED_SEED` has them. `HOMED_STEPS=all` walks all
//! (thousands: `cargo test -p homed-tests --test orders`), or with `HOMED_SECONDS` as many as are begun by then. With
//! `HOMED_MACHINES=4` four machines share them: one for each processor.
//! `HOMED_PAIR="passwd-closed:3:kill,resize"` walks that one.

use anyhow::{Context, Result, ensure};
use homed_tests::{Ours, START};
use machine::Machine;
use std::time::Duration;

const MACHINE: &str = include_str!("orders/machine.py");
const VERBS: &str = include_str!("orders/verbs.py");
const WALK: &str = include_str!("orders/walk.py");

/// Pairs in the ordinary run, of which as many are walked as are begun within so many seconds.
const SAMPLE: &str = "40 210";

/// What is walked, in the words of walk.py.
fn wish() -> String {
    let word = |name: &str| std::env::var(name).ok();
    if let Some(pairs) = word("HOMED_PAIR") {
        return pairs;
    }
    let all = word("HOMED_STEPS").is_some_and(|text| text == "all");
    let bound = word("HOMED_SECONDS").unwrap_or_default();
    let count = if all { format!("0 {bound}") } else { word("HOMED_PAIRS").unwrap_or_else(|| SAMPLE.into()) };
    format!("{} {count}", word("HOMED_SEED").unwrap_or_else(|| "1".into()))
}

/// What one machine has walked.
struct Walked {
    pairs: u64,
    hit: u64,
    lost: u64,
    said: String,
}

/// Has a machine walk its part of the pairs.
fn walked(part: usize, parts: usize) -> Result<Walked> {
    let machine = Ours::small_with(Machine::builder().memory(640))?;
    for (name, text) in [("machine.py", MACHINE), ("verbs.py", VERBS), ("walk.py", WALK), ("start", START)] {
        machine.write_file(&format!("/root/{name}"), text)?;
    }
    let wish = wish();
    let bound = if wish.contains(" 0 ") { 24 * 3600 } else { 3600 };
    let walk = machine.command(format!("cd /root && PART={part}/{parts} exec python3 walk.py {wish}"));
    let done = walk.timeout(Duration::from_secs(bound)).run()?;
    println!("{}", done.stdout);
    ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, machine.log());
    let summary = done.stdout.lines().last().context("no summary")?;
    let summary: serde_json::Value = serde_json::from_str(summary)?;
    let count = |name: &str| summary[name].as_u64().unwrap_or(0);
    let said = format!("{}\n{}", done.stdout, done.stderr);
    Ok(Walked { pairs: count("pairs"), hit: count("hit"), lost: count("lost"), said })
}

#[test]
fn any_verb_may_be_broken_off_and_followed_by_any() -> Result<()> {
    let parts = std::env::var("HOMED_MACHINES").map_or(Ok(1), |text| text.parse::<usize>())?;
    let walks: Vec<_> = (0..parts).map(|part| std::thread::spawn(move || walked(part, parts))).collect();
    let all: Result<Vec<_>> = walks.into_iter().map(|walk| walk.join().expect("ends")).collect();
    let all = all?;
    let sum = |of: fn(&Walked) -> u64| all.iter().map(of).sum::<u64>();
    let (pairs, hit, lost) = (sum(|one| one.pairs), sum(|one| one.hit), sum(|one| one.lost));
    println!("{pairs} pairs, {hit} came to their step, {lost} lost");
    ensure!(pairs > 0 && hit * 10 >= pairs * 8, "too few came to their step: {hit} of {pairs}");
    let said: String = all.iter().map(|one| one.said.as_str()).collect();
    ensure!(lost == 0, "{said}");
    Ok(())
}
