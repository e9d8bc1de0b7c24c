//! A change of size as it is asked for: what the number means, and how it makes way for others.

use super::effect::Effect;
use super::facts::SignedLocally;
use super::state::Work;
use super::verdict::Verb;
use super::{Fate, Home, Turn, Wanted};
use crate::job::{Remember, Size};
use records::kinds::RebalanceWeight;
use records::refusal::Refused;
use records::{Machine, Refusal};

/// Stands for the size the record has.
const AS_IN_RECORD: u64 = u64::MAX;
/// Stands for the largest possible size.
const MOST: u64 = u64::MAX - 1;
/// Sizes that are possible at all, in bytes: 5 MiB to 5 TiB, as in the original.
const POSSIBLE: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 40;

/// The size that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// As ResizeHome gives it: bytes, 0 for the smallest possible, 2⁶⁴−2 for the largest, 2⁶⁴−1 for that of the
    /// record.
    Number(u64),
    /// By the daemon itself; the record does not change.
    Size(Size),
}

impl Home {
    /// What a change of size comes to: the size, and whether the record is to say so.
    pub(super) fn size_asked(
        &self,
        asked: Option<Asked>,
        machine: &Machine,
    ) -> Result<(Size, Remember), Refused> {
        let bytes = match asked {
            None => return Ok((Size::AsIs, Remember::No)),
            Some(Asked::Size(size)) => return Ok((size, Remember::No)),
            Some(Asked::Number(AS_IN_RECORD)) => return self.size_in_record(machine),
            Some(Asked::Number(bytes)) => bytes,
        };
        if self.signed_locally == Some(SignedLocally::No) || self.is_restricted() {
            return Err(Refusal::RecordSigned.into());
        }
        let size = match bytes {
            0 => Size::Least,
            MOST => Size::Most,
            bytes if POSSIBLE.contains(&bytes) => Size::Exactly(bytes),
            _ => {
                return Err(Refused::new(
                    Refusal::BadHomeSize,
                    "A home can have 5 MiB to 5 TiB; nothing was changed.",
                ));
            }
        };
        Ok((size, Remember::Yes))
    }

    fn size_in_record(&self, machine: &Machine) -> Result<(Size, Remember), Refused> {
        let settings = self.record().on(machine);
        let no = |sentence| Err(Refused::new(Refusal::InvalidArgs, sentence));
        let size = settings.disk_size.map(Size::Near);
        let size = size.or(settings.disk_size_relative.map(|share| Size::Share(share.0)));
        match (settings.rebalance_weight, size) {
            (Some(RebalanceWeight::Off), Some(size)) => Ok((size, Remember::No)),
            (Some(RebalanceWeight::Off), None) => no("The record does not say how large the home is to be."),
            (Some(RebalanceWeight::Weight(_)) | None, _) => no(
                "The home's size is balanced with that of the others; name a size, or take it out of that with \
                    homectl update --rebalance-weight=off.",
            ),
        }
    }

    /// Whether the caller is to be asked for credentials first: an open home needs none to change its size.
    pub(super) fn resizes_without_password(&self, wanted: &Wanted, turn: &Turn) -> bool {
        wanted.verb == Verb::Resize && self.state(turn.facts).is_active()
    }

    /// Finishes or takes back a change of size that a daemon left unfinished; of a home that is not open that waits
    /// for the next use.
    pub fn settle_size(&mut self, turn: &mut Turn) {
        // What was left of it is settled first.
        let wanted = Wanted { waited: true, ..Wanted::by_the_daemon(Verb::Fit, turn.now_usec) };
        let Fate::Stays = self.want(wanted, turn) else { return };
    }

    /// The running change of size is broken off; it leaves the home as it was, or as it is to be.
    pub(super) fn make_way(&mut self, turn: &mut Turn) {
        if let Some(running) = &mut self.running
            && !running.makes_way
        {
            running.makes_way = true;
            turn.effects.push(Effect::Stop(running.id));
        }
    }
}

/// Whether a job of that name ([`super::effect::StartJob::what`]) is a change of size.
pub fn is_resize(what: &str) -> bool {
    super::run::what(Work::Resizing) == what
}

/// Whether somebody who wants this does not wait for a change of size, or for work on snapshots.
pub(super) fn makes_way(doing: Option<Work>, verb: Verb) -> bool {
    matches!(doing, Some(Work::Resizing | Work::Snapshotting))
        && match verb {
            Verb::Activate
            | Verb::ActivateIfReferenced
            | Verb::Fixate
            | Verb::Authenticate
            | Verb::Acquire
            | Verb::Release
            | Verb::HolderGone
            | Verb::Deactivate
            | Verb::DeactivateAll
            | Verb::StorageGone
            | Verb::ChangePassword
            | Verb::Update
            | Verb::UpdateOffline
            | Verb::Lock
            | Verb::LockAll
            | Verb::Unlock
            | Verb::GiveUp => true,
            Verb::Ref
            | Verb::RefUnrestricted
            | Verb::Create
            | Verb::Remove
            | Verb::Unregister
            | Verb::Settle
            | Verb::Check
            | Verb::Repair
            | Verb::Rescue
            | Verb::Resize
            | Verb::Fit
            | Verb::Snapshot
            | Verb::Tend
            | Verb::Later(_) => false,
        }
}
