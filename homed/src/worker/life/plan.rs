//! Making and removing a home: which step is next.
//!
//! ```text
//! made:        flush → pictures of an earlier home away → storage, with record and pictures inside → host's record → pictures
//! taken back:  storage → host's record
//! removed:     flush → storage → mount point → pictures → what repairs have kept → host's record
//! … unknown:   flush → mount point → pictures → what repairs have kept → storage
//! ```
//!
//! Each step is on disk before the next; the flush is for what others, or a run that was killed, have written and taken
//! away and not waited for. What tells of the home is there first and goes last: a run that was cut short
//! is finished by doing the same again, and that takes somebody who still knows the home. As a rule that is the host's
//! record; a home without one is found by its storage.

use crate::job::Failure;

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Is {
    /// It is.
    There,
    /// It is not.
    Missing,
}

impl Is {
    /// `There`, if so.
    pub fn from(there: bool) -> Self {
        if there { Self::There } else { Self::Missing }
    }
}

/// What stands of one home on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// Its storage, whole.
    pub storage: Is,
    /// The host's record.
    pub record: Is,
    /// Pictures on this machine; where a home is made, those of an earlier one.
    pub pictures: Is,
    /// Pictures that this run has taken on, and that wait to be put in place.
    pub waiting: Is,
    /// What repairs have kept of it.
    pub kept: Is,
    /// The directory that it is mounted at, empty, with nothing mounted.
    pub mount_point: Is,
    /// That all of this stands on disk, too.
    pub flushed: Is,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// The home is there.
    Made,
    /// What this run has made of it is gone.
    TakenBack,
    /// Nothing of it is there.
    Gone,
}

/// One step; it is on disk before the next begins, and has happened or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Makes the storage, with all that belongs inside.
    MakeStorage,
    /// Writes the host's record.
    WriteRecord,
    /// Puts the pictures in place that wait for it.
    PutPictures,
    /// Deletes the storage, and unfinished storage with it.
    RemoveStorage,
    /// Removes the directory that it is mounted at.
    RemoveMountPoint,
    /// Removes the pictures on this machine.
    RemovePictures,
    /// Removes what repairs have kept, which has key slots.
    RemoveKept,
    /// Has on disk what stands.
    Flush,
    /// Removes the host's record.
    RemoveRecord,
}

/// The next step; `None`: it is as wanted.
pub fn next(stands: &Situation, wish: Wish) -> Option<Step> {
    let is = |part: Is, step: Step| (part == Is::There).then_some(step);
    let lacks = |part: Is, step: Step| (part == Is::Missing).then_some(step);
    let storage = is(stands.storage, Step::RemoveStorage);
    let record = is(stands.record, Step::RemoveRecord);
    let beside = is(stands.mount_point, Step::RemoveMountPoint)
        .or_else(|| is(stands.pictures, Step::RemovePictures))
        .or_else(|| is(stands.kept, Step::RemoveKept));
    let flush = lacks(stands.flushed, Step::Flush);
    match wish {
        Wish::Made if stands.storage == Is::Missing => {
            flush.or_else(|| is(stands.pictures, Step::RemovePictures)).or(Some(Step::MakeStorage))
        }
        Wish::Made => {
            lacks(stands.record, Step::WriteRecord).or_else(|| is(stands.waiting, Step::PutPictures))
        }
        Wish::TakenBack => storage.or(record),
        Wish::Gone if stands.record == Is::There => flush.or(storage).or(beside).or(record),
        Wish::Gone => flush.or(beside).or(storage),
    }
}

/// A home that is made or removed: on a real machine, or in the model of one.
pub trait Life {
    /// What stands.
    fn look(&mut self) -> Result<Situation, Failure>;

    /// Does a step.
    fn perform(&mut self, step: Step) -> Result<(), Failure>;
}

/// What comes next, as a function: the tests put wrong ones in its place.
pub type Planner = fn(&Situation, Wish) -> Option<Step>;

/// Why it is not as wanted.
#[derive(Debug)]
pub struct Stopped {
    /// The step that failed; `None`: what stands cannot be told.
    pub at: Option<Step>,
    /// Why.
    pub failure: Failure,
}

/// Does step after step until it is as wanted. `planner` is [`next`].
pub fn reach(life: &mut dyn Life, planner: Planner, wish: Wish) -> Result<(), Stopped> {
    let mut last = None;
    loop {
        let stands = life.look().map_err(|failure| Stopped { at: None, failure })?;
        let Some(step) = planner(&stands, wish) else { return Ok(()) };
        let stopped = |failure| Stopped { at: Some(step), failure };
        if last.replace(step) == Some(step) {
            return Err(stopped(Failure::fault(format!("{step:?} was done, and nothing came of it"))));
        }
        life.perform(step).map_err(stopped)?;
    }
}

/// What became of a home that was to be made.
#[derive(Debug)]
pub enum Made {
    /// It is there.
    Whole,
    /// It is there, and its pictures are copied from inside at the next login.
    WithoutPictures(Failure),
    /// It is not there: what was made of it was taken back.
    TakenBack(Failure),
    /// It failed, and something of it could not be taken back: why each.
    Left(Failure, Failure),
}

/// Makes a home; what fails is taken back.
pub fn make(life: &mut dyn Life, planner: Planner) -> Made {
    let Err(stopped) = reach(life, planner, Wish::Made) else { return Made::Whole };
    if stopped.at == Some(Step::PutPictures) {
        return Made::WithoutPictures(stopped.failure);
    }
    match reach(life, planner, Wish::TakenBack) {
        Ok(()) => Made::TakenBack(stopped.failure),
        Err(left) => Made::Left(stopped.failure, left.failure),
    }
}
