//! Snapshots of a home: what it was like, kept in its own space (`docs/decisions/0027-snapshots.md`).
//!
//! | file | what |
//! | --- | --- |
//! | `name` | what they are called |
//! | `keep` | which scheduled ones there are to be |
//! | `plan`, `model` | what is to be done to subvolumes, from what stands, and cut anywhere |
//! | `place` | that done on a disk |
//! | `bring`, `tree` | one file or folder brought back, with its user's rights |
//! | `differ` | what has changed since one |
//! | `view` | what the home is like now, shown inside of it for a backup |
//!
//! Not here: whether the home is open, and how its file system is reached, which its kind of storage knows.

mod bring;
mod differ;
mod keep;
#[cfg(test)]
mod model;
mod name;
mod place;
mod plan;
mod tree;
mod view;

use crate::job::{Context, Failure, Snapshots, Step, Steps, refuse};
use crate::storage::parts::idmap;
use crate::sys::rights::AsUser;
use crate::sys::{beneath, mount};
use bring::Inside;
pub use keep::Schedule;
use name::{LONGEST_LABEL, Name, Origin};
use place::Subvolumes;
use plan::{Place, Standing, in_order, put_back};
use records::{Refusal, Settings};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;

/// Most snapshots of one home: each makes changes of its files a little slower.
pub const MOST: usize = 256;

/// The file system of an open home, and the rest of what has to be known.
pub struct Ground<'a> {
    /// Its top, mounted for this process alone.
    pub top: OwnedFd,
    /// What the home is called in it.
    pub name: &'a str,
    /// The home as it is open.
    pub shown: OwnedFd,
    /// Where that is.
    pub home_directory: &'a str,
    /// Seconds since 1970.
    pub now: u64,
    /// The schedule of its record.
    pub schedule: Schedule,
}

impl Schedule {
    /// As a record has it.
    pub fn of(values: &Settings) -> Self {
        Self {
            hourly: values.snapshot_keep_hourly.unwrap_or(0),
            daily: values.snapshot_keep_daily.unwrap_or(0),
            weekly: values.snapshot_keep_weekly.unwrap_or(0),
        }
    }
}

/// Does what somebody wants, and tells what came of it.
pub fn serve(ground: Ground<'_>, wish: &Snapshots, steps: &mut dyn Steps) -> Result<Value, Failure> {
    let mut kept = Kept::open(ground)?;
    match wish {
        Snapshots::List => kept.list(),
        Snapshots::Show { name, path } => kept.show(name, path),
        Snapshots::Make { label } => kept.make(label, steps),
        Snapshots::Restore { name, path } if path.is_empty() => kept.restore_all(name, steps),
        Snapshots::Restore { name, path } => kept.restore(name, path, steps),
        Snapshots::Delete { name } => kept.delete(name, steps),
        Snapshots::View => kept.view(steps),
        Snapshots::EndView => kept.end_view(steps),
    }
}

/// Follows the schedule: what is due is made, what is outdated goes, and where space is short the oldest one.
pub fn tend(ground: Ground<'_>, steps: &mut dyn Steps) -> Result<(), Failure> {
    let (now, schedule) = (ground.now, ground.schedule);
    let mut kept = Kept::open(ground)?;
    if kept.place.is_read_only() {
        return Ok(());
    }
    let standing = in_order(&mut kept.place, &mut || steps.enter(Step::Snapshot))?;
    kept.sweep_view(view::Patience::Young, steps)?;
    let made = scheduled(&standing).map(|name| name.at).collect::<Vec<_>>();
    for at in schedule.outdated(&made, now) {
        steps.enter(Step::Snapshot)?;
        kept.drop_scheduled(at)?;
    }
    kept.make_room(steps)?;
    let standing = kept.place.look()?;
    let (free, _) = kept.place.space()?;
    let made = scheduled(&standing).map(|name| name.at).collect::<Vec<_>>();
    let has_room = standing.snapshots().len() < MOST && !keep::is_short(free);
    if schedule.is_due(&made, now) && has_room && !standing.waits_for_reopening() {
        let at = standing.free_moment(now);
        steps.enter(Step::Snapshot)?;
        kept.place.perform(&plan::Step::Keep(Name {
            at,
            origin: Origin::Scheduled,
            label: String::new(),
        }))?;
    }
    Ok(())
}

fn scheduled(standing: &Standing) -> impl Iterator<Item = Name> {
    let all = standing.snapshots().into_iter().map(|(name, _)| name);
    all.filter(|name| name.origin == Origin::Scheduled).collect::<Vec<_>>().into_iter()
}

/// The snapshots of a home.
struct Kept<'a> {
    place: Subvolumes,
    home_directory: &'a str,
    now: u64,
    schedule: Schedule,
}

impl<'a> Kept<'a> {
    fn open(ground: Ground<'a>) -> Result<Self, Failure> {
        let Ground { top, name, shown, home_directory, now, schedule } = ground;
        Ok(Self { place: Subvolumes::open(top, name, shown)?, home_directory, now, schedule })
    }

    fn list(&mut self) -> Result<Value, Failure> {
        let standing = self.place.look()?;
        let (free, size) = self.place.space()?;
        let one = |(name, other): &(Name, &plan::Other)| {
            json!({
                "name": name.to_string(), "madeUSec": name.at.saturating_mul(1_000_000), "origin": name.origin.word(),
                "label": name.label, "open": other.uuid == standing.shown,
            })
        };
        Ok(json!({
            "snapshots": standing.snapshots().iter().map(one).collect::<Value>(),
            "most": MOST,
            "space": { "free": free, "size": size },
            "keep": { "hourly": self.schedule.hourly, "daily": self.schedule.daily, "weekly": self.schedule.weekly },
            "waitsForReopening": standing.waits_for_reopening(),
        }))
    }

    fn show(&mut self, called: &str, path: &str) -> Result<Value, Failure> {
        let standing = self.place.look()?;
        let name = find(&standing, called)?;
        let (mut old, mut new) = (
            self.place.snapshot(&name).during("opening the snapshot")?,
            self.place.home().during("opening the home")?,
        );
        if !path.is_empty() {
            let path = Inside::parse(path, self.home_directory)?.text();
            (old, new) = (folder(&old, &path)?, folder(&new, &path)?);
        }
        let mut report =
            differ::compare(&old, &new).during("comparing the snapshot with the home")?.to_json();
        report["name"] = json!(name.to_string());
        report["path"] = json!(path);
        Ok(report)
    }

    fn make(&mut self, label: &str, steps: &mut dyn Steps) -> Result<Value, Failure> {
        if !label.is_empty() && !name::is_label(label) {
            return refuse(
                Refusal::InvalidArgs,
                format!(
                    "A label has up to {LONGEST_LABEL} letters from a to z, digits, - and _. No snapshot was made."
                ),
            );
        }
        let standing = self.whole(steps)?;
        if standing.snapshots().iter().any(|(name, _)| !label.is_empty() && name.label == label) {
            return refuse(
                Refusal::InvalidArgs,
                format!(
                    "There is a snapshot called {label:?} already; no other was made. Choose another label."
                ),
            );
        }
        self.make_room(steps)?;
        let standing = self.place.look()?;
        has_place(&standing)?;
        let name = Name { at: standing.free_moment(self.now), origin: Origin::Made, label: label.to_owned() };
        steps.enter(Step::Snapshot)?;
        self.place.perform(&plan::Step::Keep(name.clone()))?;
        Ok(json!({ "name": name.to_string() }))
    }

    fn delete(&mut self, called: &str, steps: &mut dyn Steps) -> Result<Value, Failure> {
        self.writable()?;
        let standing = in_order(&mut self.place, &mut || steps.enter(Step::Snapshot))?;
        let name = find(&standing, called)?;
        if standing.snapshots().iter().any(|(other, facts)| *other == name && facts.uuid == standing.shown) {
            return refuse(
                Refusal::HomeBusy,
                "That is the home as it is open now, until it is closed: log out first, then delete it. Nothing was deleted.",
            );
        }
        steps.enter(Step::Snapshot)?;
        if !self.place.delete(&name)? {
            steps.warn(format!("{name} is deleted; its space is still being freed."));
        }
        Ok(json!({ "name": name.to_string() }))
    }

    fn restore(&mut self, called: &str, path: &str, steps: &mut dyn Steps) -> Result<Value, Failure> {
        let path = Inside::parse(path, self.home_directory)?;
        let standing = self.whole(steps)?;
        let name = find(&standing, called)?;
        let ids = self.place.ids()?;
        let view = mount::clone_tree(&self.place.top).during("making a mount of the snapshot")?;
        match idmap::apply(&view, ids.stored, ids.exposed) {
            Err(_) if ids.stored == ids.exposed => {}
            other => other.during("mapping the owner of the files")?,
        }
        let seen = |fd: std::io::Result<OwnedFd>| fd.during("opening the snapshot");
        let folder = seen(crate::sys::durable::directory_at(&view, place::FOLDER))?;
        let from = seen(crate::sys::durable::directory_at(&folder, &name.to_string()))?;
        let home = seen(self.place.seen_in(&view))?;
        if ids.exposed == 0 {
            return refuse(
                Refusal::NotSupported,
                "The home belongs to root, and only a user's files are restored. Nothing was changed.",
            );
        }
        // They are given back before the mount is let go of, which takes root's.
        let _as_user = AsUser::new(ids.exposed).during("taking the rights of the user")?;
        steps.enter(Step::Snapshot)?;
        let moment = self.moment();
        let brought = bring::bring((&from, &home), (&path, &moment), &mut || steps.enter(Step::Snapshot))?;
        if brought.tally.left_out > 0 {
            steps.warn(format!("{} files were left out of what was restored.", brought.tally.left_out));
        }
        Ok(json!({
            "name": name.to_string(), "path": path.text(), "keptAs": brought.kept_as, "restored": brought.tally.copied,
            "leftOut": brought.tally.left_out,
        }))
    }

    fn restore_all(&mut self, called: &str, steps: &mut dyn Steps) -> Result<Value, Failure> {
        let standing = self.whole(steps)?;
        let name = find(&standing, called)?;
        has_place(&standing)?;
        // It would stay in the former home, where nobody looks for it, and which could not be deleted with it.
        if self.sweep_view(view::Patience::Young, steps)? == view::Swept::Held {
            return refuse(
                Refusal::HomeBusy,
                "A backup of this home runs, or began a moment ago: restore all of it when that has ended. Nothing was changed.",
            );
        }
        let before = standing.home;
        let standing = put_back(&mut self.place, (&name, self.now), &mut || steps.enter(Step::Snapshot))?;
        let former = standing.snapshots().into_iter().find(|(_, other)| other.uuid == before);
        Ok(json!({
            "name": name.to_string(), "former": former.map(|(name, _)| name.to_string()),
            "waitsForReopening": standing.waits_for_reopening(),
        }))
    }

    fn view(&mut self, steps: &mut dyn Steps) -> Result<Value, Failure> {
        self.whole(steps)?;
        self.make_room(steps)?;
        if self.sweep_view(view::Patience::None, steps)? == view::Swept::Held {
            return refuse(
                Refusal::HomeBusy,
                "Somebody has a view of this home already: a backup of it runs. No second one was begun.",
            );
        }
        let home = self.place.home().during("opening the home")?;
        steps.enter(Step::Snapshot)?;
        view::show(&home, &mut || steps.enter(Step::Snapshot))?;
        Ok(json!({ "path": format!("{}/{}", self.home_directory, view::PATH) }))
    }

    fn end_view(&mut self, steps: &mut dyn Steps) -> Result<Value, Failure> {
        self.writable()?;
        let swept = self.sweep_view(view::Patience::None, steps)?;
        Ok(json!({ "removed": swept == view::Swept::Removed, "held": swept == view::Swept::Held }))
    }

    /// Takes away what a backup has left that has ended, or was killed.
    fn sweep_view(
        &mut self,
        patience: view::Patience,
        steps: &mut dyn Steps,
    ) -> Result<view::Swept, Failure> {
        let home = self.place.home().during("opening the home")?;
        view::sweep(&home, (self.now, patience), &mut || steps.enter(Step::Snapshot))
    }

    /// The moment that it is, as names have it.
    fn moment(&self) -> String {
        name::moment(self.now)
    }

    fn writable(&self) -> Result<(), Failure> {
        if self.place.is_read_only() {
            return refuse(
                Refusal::NoDiskSpace,
                "The home can only be read at the moment, so nothing was changed. Free some space on the disk around it, \
                 close it and open it again.",
            );
        }
        Ok(())
    }

    /// In order, and what is open is the home that opens the next time.
    fn whole(&mut self, steps: &mut dyn Steps) -> Result<Standing, Failure> {
        self.writable()?;
        let standing = in_order(&mut self.place, &mut || steps.enter(Step::Snapshot))?;
        if standing.waits_for_reopening() {
            return refuse(
                Refusal::HomeBusy,
                "All of the home was restored, and that shows when it is closed and opened again: log out first. Nothing \
                 else was changed.",
            );
        }
        Ok(standing)
    }

    /// Where space is short, the oldest scheduled one goes. One at a time: the next only where it is short at the next care, too.
    fn make_room(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        if !keep::is_short(self.place.space()?.0) {
            return Ok(());
        }
        let Some(oldest) = scheduled(&self.place.look()?).next() else { return Ok(()) };
        self.place.delete(&oldest)?;
        steps.warn(format!("{oldest} was deleted: the home has little space left."));
        Ok(())
    }

    fn drop_scheduled(&mut self, at: u64) -> Result<(), Failure> {
        let name = Name { at, origin: Origin::Scheduled, label: String::new() };
        self.place.perform(&plan::Step::Delete(name.to_string()))
    }
}

fn has_place(standing: &Standing) -> Result<(), Failure> {
    if standing.snapshots().len() < MOST {
        return Ok(());
    }
    refuse(
        Refusal::TooManyOperations,
        format!("There are {MOST} snapshots, and no home has more; no other was made. Delete some of them."),
    )
}

/// The one that is called so: by its name, else by its moment or label, if only one is.
fn find(standing: &Standing, called: &str) -> Result<Name, Failure> {
    let all: Vec<Name> = standing.snapshots().into_iter().map(|(name, _)| name).collect();
    if let Some(name) = all.iter().find(|name| name.to_string() == called) {
        return Ok(name.clone());
    }
    let shortened: String = called.chars().take(80).collect();
    let mut fitting = all.into_iter().filter(|name| name.is_called(called));
    match (fitting.next(), fitting.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => refuse(
            Refusal::InvalidArgs,
            format!(
                "More than one snapshot is called {shortened:?}: give the whole name. Nothing was changed."
            ),
        ),
        (None, _) => refuse(
            Refusal::InvalidArgs,
            format!(
                "No snapshot is called {shortened:?}; nothing was changed. To see those there are: homectl snapshot USER."
            ),
        ),
    }
}

fn folder(top: &OwnedFd, path: &str) -> Result<OwnedFd, Failure> {
    match beneath::directory(top, path).during("opening the folder")? {
        beneath::Reached::There(fd) => Ok(fd),
        beneath::Reached::Missing | beneath::Reached::Barred => refuse(
            Refusal::InvalidArgs,
            format!(
                "{path:?} is no folder both in the snapshot and in the home, so there is nothing to compare."
            ),
        ),
    }
}
