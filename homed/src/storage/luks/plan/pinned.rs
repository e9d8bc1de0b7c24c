//! Locking a home that is open, and not mounted at its directory: which step is next. No IO.
//!
//! ```text
//! locked:      unmount what nobody uses → all gone? → clear second table → freeze → suspend → wipe → evict │ revoke
//! taken back:  goes on → thaw
//! ```
//!
//! Four rules hold:
//!
//! * What somebody uses in the machine's own tree is named, and nothing of it is stopped: whoever stood still there could not
//!   be let go by a login, which finds the place taken.
//! * What is used in other mount namespaces alone is sealed from here: its owner takes it over at the next login. So is what no
//!   table of mounts shows any more (unmounted lazily): the kernel still tells that a file system runs on the device.
//! * No key is wiped under a file system that was not frozen: what it has not written would be lost with the machine's power.
//!   Where something lies in between, nobody here can freeze it, and that is named.
//! * Where the seal fails, nobody is left standing still over a device that has its key.

use super::lock::{Device, Frozen, Kept, Key};
use super::without::{Mend, has};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Closed, or without a key in memory.
    Locked,
    /// As before a seal that has failed.
    TakenBack,
}

/// What stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// Somebody else has made a device of its content, which has a key.
    pub by_another: bool,
    /// The home's device, unless it is sealed.
    pub open: Option<Device>,
    /// This run has unmounted what nobody uses.
    pub unmounted: bool,
    /// It has given the kernel time to take down what was below.
    pub waited: bool,
    /// A file system runs on its device: another mount namespace has it mounted, or no table of mounts shows where.
    pub elsewhere: bool,
    /// Another block device lies on it.
    pub carries: bool,
    /// Whether its file system is frozen.
    pub frozen: Frozen,
    /// This run has sealed it, and what is in memory of its files is still there.
    pub evicts: bool,
    /// Whether a keyring has the volume key, too.
    pub kept: Kept,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Takes mounts away, here and elsewhere, that nobody uses; fails, by name, where somebody uses one here.
    Unmount,
    /// The kernel takes down what was below.
    AwaitClosed,
    /// The second table is cleared, and with it its key.
    ClearTable,
    /// The file system takes no writes, in whichever namespace.
    Freeze,
    /// The device takes no requests. Where this run has frozen nothing, the kernel freezes what it knows on it.
    Suspend,
    /// The key of the suspended device is wiped.
    Wipe,
    /// What is in memory of its files goes.
    Evict,
    /// The keyring has the key no more.
    Revoke,
    /// The suspended device, which has its key, goes on.
    Resume,
    /// The file system takes writes again.
    Thaw,
}

/// Why it cannot be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Somebody else has it open.
    ByAnother,
    /// It was cut off, and is still used: frozen over it, a file system would never be thawed again.
    CutOff,
    /// Another device lies on it, and whatever runs on that one cannot be frozen from here.
    Carries,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// This step.
    Do(Step),
    /// Nothing.
    Done,
    /// Nothing can be done.
    Refuse(Why),
}

/// The next step. Those that have `failed` and can be done without are not tried again.
pub fn next(stands: &Situation, wish: Wish, failed: &[Step]) -> Next {
    let steps = match wish {
        Wish::TakenBack => taken_back(stands),
        Wish::Locked if stands.by_another => return Next::Refuse(Why::ByAnother),
        Wish::Locked => match stands.open {
            Some(device) if stands.waited && device.key == Key::CutOff => return Next::Refuse(Why::CutOff),
            Some(device) if stands.waited && stands.carries && !device.suspended => {
                return Next::Refuse(Why::Carries);
            }
            Some(device) => sealed(stands, device),
            None => vec![(stands.evicts, Step::Evict), (revokes(stands), Step::Revoke)],
        },
    };
    let step = steps.into_iter().find(|(due, step)| *due && !failed.contains(step));
    step.map_or(Next::Done, |(_, step)| Next::Do(step))
}

fn revokes(stands: &Situation) -> bool {
    stands.kept != Kept::No && has(Mend::RevokedWhenSealed)
}

fn sealed(stands: &Situation, device: Device) -> Vec<(bool, Step)> {
    let freezes = stands.elsewhere && stands.frozen != Frozen::Yes && !device.suspended;
    vec![
        (!stands.unmounted, Step::Unmount),
        (!stands.waited, Step::AwaitClosed),
        (device.second_table && has(Mend::SecondTable), Step::ClearTable),
        (freezes, Step::Freeze),
        (!device.suspended, Step::Suspend),
        (true, Step::Wipe),
    ]
}

fn taken_back(stands: &Situation) -> Vec<(bool, Step)> {
    let Some(device) = stands.open.filter(|_| has(Mend::PinnedGoesOn)) else { return Vec::new() };
    let stopped = device.suspended && device.key == Key::Present;
    // What this run has frozen is thawed, whoever is seen to use it by now.
    let frozen = (stands.elsewhere || stands.frozen == Frozen::Yes)
        && !device.suspended
        && stands.frozen != Frozen::No;
    vec![(stopped, Step::Resume), (frozen, Step::Thaw)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Situation = Situation {
        by_another: false,
        open: Some(Device { suspended: false, key: Key::Present, second_table: false }),
        unmounted: true,
        waited: true,
        elsewhere: false,
        carries: false,
        frozen: Frozen::Unknown,
        evicts: false,
        kept: Kept::Unknown,
    };

    /// A volume of root's on the home's device lost what it had not written.
    #[test]
    fn what_lies_on_the_device_is_named_and_its_key_stays() {
        let carries = Situation { carries: true, ..OPEN };
        assert_eq!(next(&OPEN, Wish::Locked, &[]), Next::Do(Step::Suspend));
        assert_eq!(next(&carries, Wish::Locked, &[]), Next::Refuse(Why::Carries));
        // What this run can unmount may have been all that was on it.
        let before = Situation { unmounted: false, waited: false, ..carries };
        assert_eq!(next(&before, Wish::Locked, &[]), Next::Do(Step::Unmount));
        assert_eq!(next(&Situation { elsewhere: true, ..OPEN }, Wish::Locked, &[]), Next::Do(Step::Freeze));
    }
}
