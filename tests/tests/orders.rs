//! A verb is killed at one of its steps, another verb follows, and somebody logs in with the right password: nothing
//! that was confirmed is lost, nothing else opens the home, no key is behind a lock, and closed it leaves nothing.
//!
//! By itself a sample of the pairs is walked, `HOMED_PAIRS` of them as `HOMED_SEED` has them. `HOMED_STEPS=all` walks all
//! (thousands: `cargo test -p homed-tests --test orders`), or with `HOMED_SECONDS` as many as are begun by then.
//! `HOMED_PAIR="passwd-closed:3:kill,resize"` walks that one.

use anyhow::{Context, Result, ensure};
use homed_tests::{Ours, START};
use machine::Machine;
use std::time::Duration;

const MACHINE: &str = include_str!("orders/machine.py");
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

#[test]
fn any_verb_may_be_broken_off_and_followed_by_any() -> Result<()> {
    let machine = Ours::small_with(Machine::builder().memory(640))?;
    for (name, text) in [("machine.py", MACHINE), ("walk.py", WALK), ("start", START)] {
        machine.write_file(&format!("/root/{name}"), text)?;
    }
    let wish = wish();
    let bound = if wish.contains(" 0 ") { 24 * 3600 } else { 3600 };
    let walk = machine.command(format!("cd /root && exec python3 walk.py {wish}"));
    let done = walk.timeout(Duration::from_secs(bound)).run()?;
    println!("{}", done.stdout);
    ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, machine.log());
    let summary = done.stdout.lines().last().context("no summary")?;
    let summary: serde_json::Value = serde_json::from_str(summary)?;
    let count = |name: &str| summary[name].as_u64().unwrap_or(0);
    ensure!(
        count("pairs") > 0 && count("hit") * 10 >= count("pairs") * 8,
        "too few came to their step: {summary}"
    );
    ensure!(count("lost") == 0, "{}\n{}", done.stdout, done.stderr);
    Ok(())
}
