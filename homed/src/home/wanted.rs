//! What is wanted of one home, by whomever, until it is answered.

use super::attempts::Trier;
use super::effect::Quality;
use super::resize;
use super::turn::Waiter;
use super::verdict::{Favour, Verb};
use crate::job::{Original, RecordChange, Repair, Snapshots};
use crate::words::request::{AtSuspend, Offer};
use records::refusal::Refused;
use records::{Credentials, Refusal, UserName};

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
    /// What it is filled with, for [`Verb::Create`].
    pub original: Option<Original>,
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
            original: None,
            attempt: Attempt::No,
            counted: false,
            waited: false,
            size: None,
            snapshots: None,
            at_suspend: AtSuspend::Stay,
            asked_usec: now_usec,
        }
    }

    /// What is checked of a new home: of one that is made of a classic account all but what that has already, its name and
    /// its password.
    pub fn of_an_account(
        &self,
        user: &UserName,
        mut names: Vec<String>,
        quality: Option<Quality>,
    ) -> (Vec<String>, Option<Quality>) {
        if self.original.is_none() {
            return (names, quality);
        }
        names.retain(|name| name != user.as_str());
        (names, None)
    }

    /// Whoever has no right to the home has none to the tries that its security key has for a PIN, nor to make it wait for a
    /// touch.
    pub(super) fn strangers_token(&self) -> Option<Refused> {
        let is_one = self.trier.favour == Favour::Stranger && self.offer.credentials.is_for_tokens();
        let sentence = "Only its user, and services of the system, may use the security key of a home.";
        is_one.then(|| Refused::new(Refusal::AccessDenied, sentence))
    }

    /// Whether somebody wants this home closed, by name.
    pub(super) fn closes_by_name(&self) -> bool {
        self.verb == Verb::Deactivate && matches!(self.waiter, Waiter::Call(_))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_own_name_and_password_and_no_other_name() {
        let user = UserName::parse("bob").expect("a name");
        let mut wanted = Wanted::by_the_daemon(Verb::Create, 0);
        let names = || vec!["bob".to_owned(), "bobby".to_owned()];
        let quality = || Some(Quality { new: Credentials::default(), old: None });
        let (looked_up, judged) = wanted.of_an_account(&user, names(), quality());
        assert_eq!((looked_up, judged.is_some()), (names(), true));
        wanted.original = Some(Original { folder: "/home/bob".into(), gid: 1000 });
        let (looked_up, judged) = wanted.of_an_account(&user, names(), quality());
        assert_eq!((looked_up, judged.is_some()), (vec!["bobby".to_owned()], false));
    }
}
