//! How free space is shared among homes: numbers in, numbers out.
//!
//! What can be shared is what the disk has free, and what homes have blocks for and do not use. The disk itself takes
//! part with a weight of its own, so that something is left. Each home gets what is in it, and its share on top.
//!
//! Invariants, held by the properties below: no home gets less than what is in it and a reserve; homes that grow have,
//! all together, no more than is there; what was shared once is not shared anew as long as nobody has written much.

/// The weight of the disk itself (as in the original).
const WEIGHT_OF_DISK: u64 = 20;
/// What a home has at least beyond what is in it, in bytes: a file system without air cannot even delete.
const RESERVE: u64 = 64 << 20;
/// Changes that are smaller than this part of a home, and than [`LEAST_CHANGE`], are not worth the work: 5 %, as in the
/// original.
const WORTH: u64 = 20;
/// In bytes.
const LEAST_CHANGE: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

/// A home that takes part, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its weight, from 1.
    pub weight: u32,
    /// Size of the image.
    pub size: u64,
    /// What of it is in use, headers and all.
    pub used: u64,
    /// What of it has blocks on the disk.
    pub allocated: u64,
    /// The smallest size its kind has.
    pub least: u64,
    /// The largest size it may have.
    pub most: u64,
    /// Whether it may become smaller.
    pub shrinks: Shrinks,
}

/// Whether a home may become smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrinks {
    /// Its file system can, and its record lets it.
    Yes,
    /// It only grows.
    No,
}

/// What a disk has left, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Free for anybody, without what is spared for others than homes.
    pub free: u64,
    /// What open homes that take no part have been promised and have no blocks for.
    pub promised: u64,
}

/// The size that each home is to have; the one it has, where a change is not worth the work.
pub fn sizes(disk: Disk, homes: &[Share]) -> Vec<u64> {
    let unused: u64 = homes.iter().map(|home| home.allocated.saturating_sub(home.used)).sum();
    let there = disk.free.saturating_add(unused);
    let shares = shares(there, homes);
    let wanted: Vec<u64> = homes.iter().zip(&shares).map(|(home, share)| goal(home, *share)).collect();
    // What was promised to others keeps homes from growing; it does not make them smaller.
    within(there.saturating_sub(disk.promised), homes, wanted)
}

/// What each gets beyond what is in it: by weight, but no less than it needs.
fn shares(there: u64, homes: &[Share]) -> Vec<u64> {
    let needs: Vec<u64> = homes.iter().map(need).collect();
    let mut shares: Vec<Option<u64>> = vec![None; homes.len()];
    loop {
        let taken: u64 = shares.iter().flatten().sum();
        let left = there.saturating_sub(taken);
        let open = || (0..homes.len()).filter(|place| shares[*place].is_none());
        let weights: u64 = WEIGHT_OF_DISK + open().map(|place| u64::from(homes[place].weight)).sum::<u64>();
        let part = |place: usize| {
            let part = u128::from(left) * u128::from(homes[place].weight) / u128::from(weights);
            u64::try_from(part).unwrap_or(left)
        };
        let short = open().find(|place| part(*place) < needs[*place]);
        match short {
            Some(place) => shares[place] = Some(needs[place]),
            None => {
                let all = (0..homes.len()).map(|place| shares[place].unwrap_or_else(|| part(place)));
                return all.collect();
            }
        }
    }
}

/// What a home must have beyond what is in it.
fn need(home: &Share) -> u64 {
    match home.shrinks {
        Shrinks::Yes => RESERVE.max(home.least.saturating_sub(home.used)),
        Shrinks::No => RESERVE.max(home.size.saturating_sub(home.used)),
    }
}

fn goal(home: &Share, share: u64) -> u64 {
    let floor = home.used.saturating_add(RESERVE).max(home.least).next_multiple_of(MIB);
    let goal = (home.used.saturating_add(share) / MIB * MIB).max(floor);
    let goal = if home.shrinks == Shrinks::No { goal.max(home.size) } else { goal };
    // Who is larger than he may become stays so; nothing is taken from him for that.
    goal.min(home.most.max(home.size))
}

/// Leaves out what is not worth it, and lets nobody grow into what is not there.
fn within(there: u64, homes: &[Share], wanted: Vec<u64>) -> Vec<u64> {
    let mut sizes: Vec<u64> = homes
        .iter()
        .zip(wanted)
        .map(|(home, goal)| if is_worth(home.size, goal) { goal } else { home.size })
        .collect();
    let promised: u64 = homes.iter().zip(&sizes).map(|(home, size)| size.saturating_sub(home.used)).sum();
    let mut excess = promised.saturating_sub(there);
    for (home, size) in homes.iter().zip(&mut sizes).filter(|(home, size)| **size > home.size) {
        let back = excess.min(*size - home.size).next_multiple_of(MIB).min(*size - home.size);
        excess = excess.saturating_sub(back);
        let less = *size - back;
        *size = if is_worth(home.size, less) {
            less
        } else {
            excess = excess.saturating_sub(less - home.size);
            home.size
        };
    }
    sizes
}

/// Whether a change is worth the work.
pub fn is_worth(size: u64, goal: u64) -> bool {
    let change = size.abs_diff(goal);
    change >= LEAST_CHANGE && change >= size / WORTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn home(weight: u32, size: u64, used: u64) -> Share {
        Share { weight, size, used, allocated: used, least: 274 * MIB, most: 5 << 40, shrinks: Shrinks::Yes }
    }

    #[test]
    fn one_home_gets_five_sixths_and_two_share_by_weight() {
        let disk = Disk { free: 120 * GIB, promised: 0 };
        assert_eq!(sizes(disk, &[home(100, 10 * GIB, GIB)]), [101 * GIB]);
        let two = sizes(disk, &[home(100, 10 * GIB, GIB), home(300, 10 * GIB, 2 * GIB)]);
        assert_eq!(two.iter().map(|size| size / GIB).collect::<Vec<_>>(), [29, 87]);
        // Others were promised all of it: nobody grows.
        let promised = Disk { free: 120 * GIB, promised: 120 * GIB };
        assert_eq!(sizes(promised, &[home(100, GIB, GIB - RESERVE)]), [GIB]);
    }

    #[test]
    fn reserved_blocks_count_as_free_and_as_nothing_twice() {
        let sparse = [home(100, 50 * GIB, GIB)];
        let reserved = [Share { allocated: 50 * GIB, ..sparse[0] }];
        let there = 100 * GIB;
        assert_eq!(
            sizes(Disk { free: there, promised: 0 }, &sparse),
            sizes(Disk { free: there - 49 * GIB, promised: 0 }, &reserved)
        );
    }

    #[test]
    fn who_only_grows_is_not_shrunk() {
        let stays = Share { shrinks: Shrinks::No, ..home(1, 40 * GIB, GIB) };
        let disk = Disk { free: 10 * GIB, promised: 0 };
        assert_eq!(sizes(disk, &[stays])[0], 40 * GIB);
    }

    fn any_home() -> impl Strategy<Value = Share> {
        let parts =
            (1..=10_000_u32, 300 * MIB..2000 * GIB, 0.0..1.0_f64, 0.0..1.0_f64, any::<bool>(), 1..4000_u64);
        parts.prop_map(|(weight, size, used, blocks, shrinks, most)| {
            let size = size / MIB * MIB;
            let of = |part: f64, whole: u64| (part * whole as f64) as u64;
            let used = of(used, size);
            let shrinks = if shrinks { Shrinks::Yes } else { Shrinks::No };
            let allocated = used + of(blocks, size - used);
            Share { weight, size, used, allocated, least: 274 * MIB, most: most * GIB, shrinks }
        })
    }

    fn any_scene() -> impl Strategy<Value = (Disk, Vec<Share>)> {
        let disk = (0..4000 * GIB, 0..4000 * GIB).prop_map(|(free, promised)| Disk { free, promised });
        (disk, prop::collection::vec(any_home(), 1..12))
    }

    /// The same homes with other sizes, their blocks reserved or not as before.
    fn resized(disk: Disk, homes: &[Share], sizes: &[u64]) -> (Disk, Vec<Share>) {
        let mut disk = disk;
        let mut after = Vec::new();
        for (home, size) in homes.iter().zip(sizes) {
            let allocated = home.allocated.min(*size);
            disk.free += home.allocated - allocated;
            after.push(Share { size: *size, allocated, ..*home });
        }
        (disk, after)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nobody_gets_less_than_what_is_in_it_or_more_than_may_be((disk, homes) in any_scene()) {
            for (home, size) in homes.iter().zip(sizes(disk, &homes)) {
                prop_assert!(size == home.size || size >= home.used + RESERVE, "{home:?} {size}");
                prop_assert!(size == home.size || (home.least..=home.most.max(home.size)).contains(&size));
                prop_assert!(home.shrinks == Shrinks::Yes || size >= home.size);
                prop_assert!(size == home.size || size % MIB == 0);
            }
        }

        #[test]
        fn who_grows_grows_into_what_is_there((disk, homes) in any_scene()) {
            let sizes = sizes(disk, &homes);
            let unused: u64 = homes.iter().map(|home| home.allocated - home.used).sum();
            let there = (disk.free + unused).saturating_sub(disk.promised);
            let promised: u64 = homes.iter().zip(&sizes).map(|(home, size)| size.saturating_sub(home.used)).sum();
            let grows = homes.iter().zip(&sizes).any(|(home, size)| *size > home.size);
            prop_assert!(!grows || promised <= there, "{promised} of {there}");
        }

        #[test]
        fn what_was_shared_is_not_shared_anew((disk, homes) in any_scene()) {
            let mut scene = (disk, homes);
            for _ in 0..3 {
                let sizes = sizes(scene.0, &scene.1);
                scene = resized(scene.0, &scene.1, &sizes);
            }
            let sizes = sizes(scene.0, &scene.1);
            for (home, size) in scene.1.iter().zip(sizes) {
                prop_assert_eq!(home.size, size);
            }
        }

        #[test]
        fn a_little_writing_moves_nothing((disk, homes) in any_scene(), written in 0..MIB) {
            let first = sizes(disk, &homes);
            let (disk, homes) = resized(disk, &homes, &first);
            let settled = sizes(disk, &homes);
            let (disk, mut homes) = resized(disk, &homes, &settled);
            let settled = sizes(disk, &homes);
            prop_assume!(homes.iter().zip(&settled).all(|(home, size)| home.size == *size));
            // Far enough from every threshold, a MiB more in one home changes nobody's size by more than a little.
            homes[0].used = (homes[0].used + written).min(homes[0].allocated);
            for (home, size) in homes.iter().zip(sizes(disk, &homes)) {
                let moved = home.size.abs_diff(size);
                prop_assert!(moved == 0 || moved >= LEAST_CHANGE);
            }
        }
    }
}
