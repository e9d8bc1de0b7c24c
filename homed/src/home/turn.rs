//! One event's turn in the core: what it may know, and what it wants done.

use super::effect::{Effect, Failed, JobId};
use super::facts::Facts;
use super::rules::LockRules;
use super::{Sleep, Tuning};
use crate::words::request::{Answer, RequestId};
use records::{LockLevel, Machine};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One turn of the loop: the facts it may use, and what it wants done.
pub struct Turn<'a> {
    /// Wall clock, µs since 1970.
    pub now_usec: u64,
    /// This machine.
    pub machine: &'a Machine,
    /// Kernel and disk.
    pub facts: &'a dyn Facts,
    /// Times.
    pub tuning: Tuning,
    /// What goes out of memory at a lock, where the record does not say.
    pub lock_level: LockLevel,
    /// How large all images of a disk may be together, in per cent of the disk.
    pub overcommit: u32,
    /// What else is set about locks.
    pub rules: LockRules,
    /// What homes of strangers are.
    pub strangers: records::stranger::Strangers,
    /// What a removal of keys needs.
    pub removal: records::keys::Removal,
    /// Whether the machine is going to sleep.
    pub sleep: Sleep,
    /// UIDs of the homes that are known: none is given twice.
    pub uids: &'a BTreeSet<u32>,
    /// The UIDs that new homes get.
    pub uid_range: RangeInclusive<u32>,
    /// Answers to calls that stand for several homes: group, and what became of one home.
    pub group_news: Vec<(GroupId, Result<(), Failed>)>,
    /// Homes that a call for several could not lock: group, and which and why.
    pub not_locked: Vec<(GroupId, String)>,
    /// The number of the next job.
    pub next_job: u64,
    /// What is to be done.
    pub effects: Vec<Effect>,
}

impl Turn<'_> {
    /// A fresh name for a job.
    pub fn job_id(&mut self) -> JobId {
        self.next_job += 1;
        JobId(self.next_job)
    }

    /// Answers whoever waits.
    pub fn answer(&mut self, waiter: Waiter, answer: Result<Answer, Failed>) {
        self.answer_after(waiter, answer, Duration::ZERO);
    }

    pub(super) fn answer_after(&mut self, waiter: Waiter, answer: Result<Answer, Failed>, delay: Duration) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Call(id) => self.effects.push(Effect::Answer(id, answer, delay)),
            Waiter::Group(id) => self.group_news.push((id, answer.map(|_| ()))),
        }
    }
}

/// Names a call that stands for several homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// The daemon itself wants it, or the caller has gone.
    Nobody,
    /// A call.
    Call(RequestId),
    /// A call that stands for several homes.
    Group(GroupId),
}
