//! Taking away what killed workers have left of a home in the kernel: from the top down, and nothing that is in use.
//!
//! ```text
//! device that nobody has open → second table that was never swapped in → loop device that nothing lies on → key in the keyring that no device uses
//! ```
//!
//! It runs before whatever opens or closes a home, and after a worker that ended without a word. What somebody else has
//! made is left alone: whoever wants the home then names it.

use crate::storage::luks::whereabouts::is_own;

/// A device-mapper device with the content of the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// How often it is open.
    pub open_count: u32,
    /// A second table, with a key of its own, waits to be swapped in.
    pub second_table: bool,
    /// The name of its key in a keyring, where its table speaks of one.
    pub key: Option<String>,
}

/// A loop device that shows the home's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Its name.
    pub name: String,
    /// It was attached to go with its last user, as all of ours are.
    pub goes_by_itself: bool,
    /// Something lies on it.
    pub carries: bool,
}

/// What stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// The user.
    pub user: String,
    /// All devices of the home.
    pub devices: Vec<Device>,
    /// All loop devices of its image.
    pub loops: Vec<Loop>,
    /// The names of its keys in keyrings.
    pub keys: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Throw away the second table of this device: a change of size was killed before it was swapped in.
    ClearTable(String),
    /// Remove this device, and its key with it.
    RemoveDevice(String),
    /// Detach this loop device.
    Detach(String),
    /// Make the key of this name void.
    ForgetKey(String),
}

/// How far a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What killed workers have left.
    OwnDevices,
    /// Also loop devices that somebody has attached by hand and that nothing lies on: an administrator asks for it.
    BareLoopsOfOthers,
}

/// The next step that was not `tried` yet; `None`: nothing is left that may go.
pub fn next(stands: &Situation, reach: Reach, tried: &[Step]) -> Option<Step> {
    let own = || stands.devices.iter().filter(|one| is_own(&one.name, &stands.user));
    let unused = own().filter(|one| one.open_count == 0);
    let may_go = |one: &&Loop| one.goes_by_itself || reach == Reach::BareLoopsOfOthers;
    let bare = stands.loops.iter().filter(|one| !one.carries).filter(may_go);
    let used = |key: &&String| stands.devices.iter().any(|one| one.key.as_ref() == Some(*key));
    let void = stands.keys.iter().filter(|key| !used(key));
    let steps = unused
        .map(|one| Step::RemoveDevice(one.name.clone()))
        .chain(own().filter(|one| one.second_table).map(|one| Step::ClearTable(one.name.clone())))
        .chain(bare.map(|one| Step::Detach(one.name.clone())))
        .chain(void.map(|key| Step::ForgetKey(key.clone())));
    steps.into_iter().find(|step| !tried.contains(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "cryptsetup:x-d0";

    /// Every device may be there or not, open or not, and so on: all that can stand.
    fn all() -> Vec<Situation> {
        let names = ["home-alice", "home-alice+check", "by-hand"];
        let mut all = Vec::new();
        for bits in 0..1u32 << 11 {
            let bit = |at: u32| bits >> at & 1 == 1;
            let device = |(at, name): (usize, &&str)| {
                let at = u32::try_from(at).unwrap_or_default() * 2;
                bit(at).then(|| Device {
                    name: (*name).into(),
                    open_count: u32::from(bit(at + 1)),
                    second_table: bit(10),
                    key: bit(9).then(|| KEY.into()),
                })
            };
            let devices: Vec<Device> = names.iter().enumerate().filter_map(device).collect();
            let carries = !devices.is_empty();
            let attached = Loop { name: "loop0".into(), goes_by_itself: bit(7), carries };
            let loops = if carries || bit(6) { vec![attached] } else { Vec::new() };
            let keys = if bit(8) { vec![KEY.into()] } else { Vec::new() };
            all.push(Situation { user: "alice".into(), devices, loops, keys });
        }
        all
    }

    fn take(mut stands: Situation, step: &Step) -> Situation {
        match step {
            Step::ClearTable(name) => {
                stands
                    .devices
                    .iter_mut()
                    .filter(|one| one.name == *name)
                    .for_each(|one| one.second_table = false);
            }
            Step::RemoveDevice(name) => stands.devices.retain(|one| one.name != *name),
            Step::Detach(name) => stands.loops.retain(|one| one.name != *name),
            Step::ForgetKey(name) => stands.keys.retain(|one| one != name),
        }
        let carries = !stands.devices.is_empty();
        stands.loops.iter_mut().for_each(|one| one.carries = carries);
        stands
    }

    #[test]
    fn what_is_left_is_in_use_or_somebody_elses() {
        for begin in all() {
            let (mut stands, mut tried) = (begin.clone(), Vec::new());
            while let Some(step) = next(&stands, Reach::OwnDevices, &tried) {
                stands = take(stands, &step);
                tried.push(step);
                assert!(tried.len() < 10, "it never ends: {begin:?}");
            }
            let theirs = |one: &Device| one.open_count > 0 || one.name == "by-hand";
            assert!(stands.devices.iter().all(theirs), "{begin:?} → {stands:?}");
            let second = |one: &Device| one.second_table && one.name != "by-hand";
            assert!(!stands.devices.iter().any(second), "{begin:?} → {stands:?}");
            let lost = begin
                .devices
                .iter()
                .filter(|one| theirs(one) && !stands.devices.iter().any(|left| left.name == one.name))
                .count();
            assert_eq!(lost, 0, "{begin:?} → {stands:?}");
            assert!(
                stands.loops.iter().all(|one| one.carries || !one.goes_by_itself),
                "{begin:?} → {stands:?}"
            );
            assert!(
                stands.keys.is_empty() || stands.devices.iter().any(|one| one.key.is_some()),
                "{begin:?} → {stands:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_done_is_tried_once() {
        let left = Device { name: "home-alice".into(), open_count: 0, second_table: false, key: None };
        let stands = Situation { user: "alice".into(), devices: vec![left], ..Situation::default() };
        let step = next(&stands, Reach::OwnDevices, &[]).expect("a step");
        assert_eq!(step, Step::RemoveDevice("home-alice".into()));
        assert_eq!(next(&stands, Reach::OwnDevices, &[step]), None);
    }

    #[test]
    fn what_was_attached_by_hand_goes_only_where_that_is_asked_for() {
        let bare = |carries| Loop { name: "loop0".into(), goes_by_itself: false, carries };
        let stands = |carries| Situation { loops: vec![bare(carries)], ..Situation::default() };
        assert_eq!(next(&stands(false), Reach::OwnDevices, &[]), None);
        assert_eq!(next(&stands(true), Reach::BareLoopsOfOthers, &[]), None);
        let detach = Some(Step::Detach("loop0".into()));
        assert_eq!(next(&stands(false), Reach::BareLoopsOfOthers, &[]), detach);
    }
}
