//! What is wanted of one home, by whomever, until it is answered.

use super::attempts::Trier;
use super::resize;
use super::turn::Waiter;
use super::verdict::{Favour, Verb};
use crate::job::{RecordChange, Repair, Snapshots};
use crate::words::request::{AtSuspend, Offer};
use records::Credentials;

/// Something wanted of one home.
pub struct Wanted {
    /// Who waits.
    pub waiter: Waiter,
    /// Who tries.
    pub trier: Trier,
    /// What.
    pub verb: Verb,
    /// Proof, and where progress goes.
    pub offer: Offer,
    /// New passwords, for [`Verb::ChangePassword`].
    pub new: Option<Credentials>,
    /// The new record, for [`Verb::Update`] and [`Verb::UpdateOffline`].
    pub change: Option<Box<RecordChange>>,
    /// How far a repair goes, for [`Verb::Repair`].
    pub repair: Repair,
    /// Where it is opened, for [`Verb::Rescue`].
    pub directory: Option<String>,
    /// Folder with its pictures, for [`Verb::Create`].
    pub blobs: Option<String>,
    /// Whether credentials are tried: fixed when it is asked, for they are handed on.
    pub attempt: Attempt,
    /// Whether that was counted already.
    pub counted: bool,
    /// Whether it has waited: then it is not refused for a job that came before it, but waits again.
    pub waited: bool,
    /// The size, for [`Verb::Resize`] and [`Verb::Fit`].
    pub size: Option<resize::Asked>,
    /// What is wanted of snapshots, for [`Verb::Snapshot`].
    pub snapshots: Option<Snapshots>,
    /// Kind of reference, for the verbs that give one.
    pub at_suspend: AtSuspend,
    /// When it was asked, µs since 1970.
    pub asked_usec: u64,
}

impl Wanted {
    /// In whose favour it runs. What nobody waits for (the daemon puts something in order, the caller has gone) is no reason to
    /// refuse the owner: they wait for it.
    pub fn favour(&self) -> Favour {
        if self.waiter == Waiter::Nobody { Favour::Stranger } else { self.trier.favour }
    }

    /// What the daemon itself wants.
    pub fn by_the_daemon(verb: Verb, now_usec: u64) -> Self {
        Self {
            waiter: Waiter::Nobody,
            trier: Trier::ourselves(),
            verb,
            offer: Offer::default(),
            new: None,
            change: None,
            repair: Repair::default(),
            directory: None,
            blobs: None,
            attempt: Attempt::No,
            counted: false,
            waited: false,
            size: None,
            snapshots: None,
            at_suspend: AtSuspend::Stay,
            asked_usec: now_usec,
        }
    }

    /// Whether it counts as an attempt.
    pub fn is_attempt(&self) -> bool {
        self.attempt != Attempt::No
    }
}

/// Whether a request counts as an attempt to get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It needs no proof.
    No,
    /// It needs proof and offers nothing: it asks what is plugged in, and what is needed. Nobody fails by that.
    Asks,
    /// It offers something.
    Offers,
}
