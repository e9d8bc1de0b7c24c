//! What its user was promised of a home, kept up with what happens to it, and held.

use super::disk::{self, Key, Promise, RECOVERY, World};
use super::verbs::{self, Ended, Verb};
use crate::storage::luks::plan::keys::hidden::{OWN, is_own};
use crate::storage::luks::plan::keys::{Copies, Header, Situation};
use std::cell::RefCell;
use std::collections::HashSet;

/// What is found: nothing opens a home.
const LOST: &str = "no password opens it";
/// A password that nobody confirmed, or that was replaced, opens a slot.
const LEFT: &str = "opens a slot, and must not";
/// A slot of another program was destroyed.
const TAKEN: &str = "of another program is gone";

/// The password of the change that was just made is confirmed.
pub(super) fn confirm(world: &mut World) {
    let promise = &mut world.promise;
    let Some(new) = promise.pending.pop() else { return };
    promise.gone.append(&mut promise.pending);
    promise.gone.push(promise.confirmed);
    promise.confirmed = new;
    promise.both = false;
}

pub(super) fn keep(
    world: &mut World,
    before: &World,
    (verb, given): (Verb, &[Key]),
    ended: Ended,
) -> Result<(), String> {
    let untold = untold(before, verb, given);
    world.promise.untold.extend(untold);
    match ended {
        Ended::Refused => {
            match verb {
                Verb::Passwd => drop(world.promise.pending.pop()),
                Verb::Enrol => drop(world.promise.tokens.pop()),
                Verb::Login | Verb::Recovery | Verb::Update | Verb::Drop => {}
            }
            if world.header != before.header {
                return Err("refused, and changed".into());
            }
        }
        // Whether the recovery key is added or removed is open.
        Ended::Short if verb == Verb::Recovery => world.promise.recovery = false,
        Ended::Short if matches!(verb, Verb::Enrol | Verb::Drop) => world.promise.token = None,
        Ended::Short => {}
        Ended::Done => {
            let header = world.header.read().clone();
            let record = header.record.ok_or("no record in the header")?;
            if verb == Verb::Passwd {
                confirm(world);
            } else {
                resolve(world, record.password)?;
            }
            world.promise.recovery = record.recovery && header.opened_by(RECOVERY).is_some();
            settle_tokens(&mut world.promise, &header, record.token);
            let cut = Situation {
                slots: header.seen(),
                marks: header.marks,
                header: Header::Wanted,
                copies: Copies::Written,
            };
            // A key whose new slot another program destroyed may have its old one still: nothing is destroyed, then.
            let waits = world.promise.others_cut;
            if verb == Verb::Login && cut.is_cut_short() && !waits {
                return Err("settled, and still marked".into());
            }
        }
    }
    holds(world)
}

/// A key that goes, and was not given: its slot is not told from another program's, nor from that of a key that stays and
/// was not given either.
fn untold(before: &World, verb: Verb, given: &[Key]) -> Option<Key> {
    let copies = before.header.read().record.into_iter().chain([*before.host.read()]);
    let record = copies.max_by_key(|record| record.date)?;
    let goes = match verb {
        Verb::Passwd => record.password,
        Verb::Enrol | Verb::Drop => record.token?,
        Verb::Login | Verb::Recovery | Verb::Update => return None,
    };
    let all = [Some(record.password), record.recovery.then_some(RECOVERY), record.token];
    let hidden = all.into_iter().flatten().any(|key| key != goes && !given.contains(&key));
    let slot = before.header.read().opened_by(goes)?;
    let header = before.header.read();
    let is_shown = |number: u32| given.iter().any(|key| header.opened_by(*key) == Some(number));
    let high = header.slots.iter().filter(|slot| slot.number >= OWN && !is_shown(slot.number));
    // More than the one that goes: another program's, or what is left of a key that went untold.
    let named = high.count() > 1;
    let opened = |key: &Key| before.header.read().opened_by(*key).is_some_and(|slot| slot < OWN);
    // How many slots there are when it comes to it depends on what has to be settled first: two at least.
    let lost = !is_own(slot, 2) || hidden || named || given.iter().any(opened);
    (!given.contains(&goes) && lost).then_some(goes)
}

/// What is in force is the token that was enrolled, or none.
fn settle_tokens(promise: &mut Promise, header: &disk::Header, token: Option<Key>) {
    let gone = promise.tokens.iter().copied().filter(|other| Some(*other) != token);
    promise.gone.extend(gone);
    promise.tokens.retain(|other| Some(*other) == token);
    promise.token = token.filter(|token| header.opened_by(*token).is_some());
}

/// Somebody has come in: what is in force is what was confirmed.
fn resolve(world: &mut World, password: Key) -> Result<(), String> {
    let promise = &mut world.promise;
    if password != promise.confirmed && !promise.pending.contains(&password) {
        return Err(format!("the password is {password}, which nobody wants"));
    }
    // What another program left without a slot gets one from whoever gives it.
    if promise.both && world.header.read().opened_by(password).is_none() {
        return Ok(());
    }
    let all = promise.pending.drain(..).chain([promise.confirmed]);
    let gone: Vec<Key> = all.filter(|key| *key != password).collect();
    promise.gone.extend(gone);
    (promise.confirmed, promise.both) = (password, false);
    Ok(())
}

/// What must hold at every moment.
pub(super) fn holds(world: &World) -> Result<(), String> {
    let (promise, header) = (&world.promise, world.header.read());
    for (number, salt) in &promise.strangers {
        if !header.slots.iter().any(|slot| slot.number == *number && slot.salt == *salt && slot.key.is_some())
        {
            return Err(format!("slot {number} {TAKEN}"));
        }
    }
    if !promise.others_cut
        && let Some(key) =
            promise.gone.iter().find(|key| !promise.untold.contains(key) && header.opened_by(**key).is_some())
    {
        return Err(format!("{key} {LEFT}"));
    }
    // Many orders come to the same state.
    if OPENS.with_borrow(|known| known.contains(world)) {
        return Ok(());
    }
    let mut lost = world.clone();
    lost.power_cut();
    opens(&lost).map_err(|why| format!("after a power cut {why}"))?;
    if lost != *world {
        opens(world)?;
    }
    OPENS.with_borrow_mut(|known| known.insert(world.clone()));
    Ok(())
}

thread_local! {
    /// States of this thread's walk that are known to open.
    static OPENS: RefCell<HashSet<World>> = RefCell::default();
}

/// One of the passwords that may be in force opens the home, and so does the recovery key.
fn opens(world: &World) -> Result<(), String> {
    let promise = &world.promise;
    let comes_in = |given: &[Key]| {
        let mut tried = world.clone();
        verbs::run(&mut tried, Verb::Login, given, None).0 == Ended::Done
    };
    let mut all: Vec<Key> = promise.pending.iter().rev().copied().collect();
    all.push(promise.confirmed);
    let one = all.iter().any(|key| comes_in(&[*key]));
    let opens = one || promise.both && comes_in(&all);
    if !opens {
        return Err(LOST.into());
    }
    if promise.recovery && !comes_in(&[RECOVERY]) {
        return Err("the recovery key does not open it".into());
    }
    if promise.token.is_some_and(|token| !comes_in(&[token])) {
        return Err("the token does not open it".into());
    }
    Ok(())
}
