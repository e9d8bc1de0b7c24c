//! What is to be done to the subvolumes of a home, from what stands. Pure: `place` does it, and a model of it in tests.
//!
//! ```text
//! restore all of it:   copy of the snapshot ─→ the record in force into it ─→ change places with the home ─→ name
//!                      `.restoring.WHEN.UUID`                                  one step
//! ```
//!
//! The home that made way lies where the copy lay. Killed before that step, what lies there is a copy, and goes; killed after
//! it, it is the home as it was, and becomes a snapshot. Its UUID tells which, and nothing has to be remembered.

use super::name::{Name, Origin, Working};
use uuid::Uuid;

/// What stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The home that opens the next time.
    pub home: Uuid,
    /// The one that is open now.
    pub shown: Uuid,
    /// What else there is, in the order of names.
    pub others: Vec<Other>,
}

/// A subvolume beside the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// What it is called.
    pub name: String,
    /// Its own.
    pub uuid: Uuid,
    /// Whether its files can be changed.
    pub writable: bool,
}

/// One step. Each is done whole or not at all, and is on disk when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Keep what the home is like.
    Keep(Name),
    /// Make a copy of that snapshot that can be changed.
    Copy(Name, Working),
    /// Put the record in force into the copy.
    WriteRecord(Working),
    /// Have copy and home change places.
    Exchange(Working),
    /// Give the former home its name.
    Rename(Working, Name),
    /// Have its files be read alone from now on.
    Seal(String),
    /// Take it away.
    Delete(String),
}

impl Standing {
    /// The snapshots among them, the oldest first.
    pub fn snapshots(&self) -> Vec<(Name, &Other)> {
        let mut all: Vec<_> =
            self.others.iter().filter_map(|other| Some((Name::parse(&other.name)?, other))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Whether the home was restored, and what is open is the former one still.
    pub fn waits_for_reopening(&self) -> bool {
        self.home != self.shown
    }

    /// The first moment from that one on which no snapshot has in its name.
    pub fn free_moment(&self, now: u64) -> u64 {
        let taken = |at: u64| {
            self.others.iter().any(|other| {
                Name::parse(&other.name).is_some_and(|name| name.at == at)
                    || Working::parse(&other.name).is_some_and(|working| working.at == at)
            })
        };
        (now..).find(|at| !taken(*at)).unwrap_or(now)
    }
}

/// What is left of a restore that was cut short, finished or taken back. `None`: all is in order.
pub fn settle(standing: &Standing) -> Option<Step> {
    standing.others.iter().find_map(|other| {
        if let Some(working) = Working::parse(&other.name) {
            return Some(match other.uuid == working.former {
                true => Step::Rename(working, former(standing, working)),
                false => Step::Delete(other.name.clone()),
            });
        }
        // What is open is changed for as long as it is.
        let is_done_with =
            other.writable && other.uuid != standing.shown && Name::parse(&other.name).is_some();
        is_done_with.then(|| Step::Seal(other.name.clone()))
    })
}

fn former(standing: &Standing, working: Working) -> Name {
    let is_taken = |at: u64| {
        standing.others.iter().any(|other| Name::parse(&other.name).is_some_and(|name| name.at == at))
    };
    let at = (working.at..).find(|at| !is_taken(*at)).unwrap_or(working.at);
    Name { at, origin: Origin::Former, label: String::new() }
}

/// The steps that put a snapshot in the home's place.
pub fn restore(standing: &Standing, snapshot: &Name, now: u64) -> [Step; 3] {
    let working = Working { at: standing.free_moment(now), former: standing.home };
    [
        Step::Copy(snapshot.clone(), working),
        Step::WriteRecord(working),
        // The rest is settled, by whoever comes.
        Step::Exchange(working),
    ]
}

/// Where the subvolumes are: a disk, or a model of one.
pub trait Place {
    /// How it fails.
    type Error;

    /// What stands.
    fn look(&mut self) -> Result<Standing, Self::Error>;

    /// Does one step.
    fn perform(&mut self, step: &Step) -> Result<(), Self::Error>;
}

/// What is called before each step; where it fails, nothing more is done.
pub type Enter<'a, E> = &'a mut dyn FnMut() -> Result<(), E>;

/// Puts in order what was cut short, and tells what stands then.
pub fn in_order<P: Place>(place: &mut P, enter: Enter<'_, P::Error>) -> Result<Standing, P::Error> {
    loop {
        let standing = place.look()?;
        let Some(step) = settle(&standing) else { return Ok(standing) };
        enter()?;
        place.perform(&step)?;
    }
}

/// Puts a snapshot in the home's place, and tells what stands then.
pub fn put_back<P: Place>(
    place: &mut P,
    (snapshot, now): (&Name, u64),
    enter: Enter<'_, P::Error>,
) -> Result<Standing, P::Error> {
    let standing = in_order(place, enter)?;
    for step in restore(&standing, snapshot, now) {
        enter()?;
        place.perform(&step)?;
    }
    in_order(place, enter)
}
