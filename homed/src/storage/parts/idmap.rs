//! Which user and group IDs of the disk appear as which on this machine.
//!
//! One home's files are stored under one ID (the owner of its top directory) and appear under the
//! user's. So are the IDs that she gives to her containers (`records::subordinate`). System users, containers and the
//! foreign range pass as they are. All else, the IDs of other homes first of all, does not exist in the home.

use crate::sys;
use records::subordinate;
use records::uid::PASSED;
use std::io;
use std::os::fd::AsFd;

/// Gives a detached mount the map of a home: `stored` on disk, `exposed` on this machine.
pub fn apply(mount: impl AsFd, stored: u32, exposed: u32) -> io::Result<()> {
    let namespace = sys::userns::with_map(&map(stored, exposed))?;
    sys::mount::map_ids(mount, namespace)
}

/// The same for files that come from elsewhere: what is given to that user, or to that group, is stored as the home's own.
pub fn apply_own(mount: impl AsFd, stored: u32, own: Own) -> io::Result<()> {
    let namespace = sys::userns::with_maps(&map(stored, own.uid), &map_without(stored, own.gid, own.uid))?;
    sys::mount::map_ids(mount, namespace)
}

/// Whose files are the home's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Their user.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
}

/// The map in the kernel's form, a line for each range: on disk, seen, how many.
fn map(stored: u32, exposed: u32) -> String {
    map_without(stored, exposed, exposed)
}

/// The same without one more ID. The group of a home has its user's number: what belongs to another group with that number
/// would be nobody's there.
fn map_without(stored: u32, exposed: u32, missing: u32) -> String {
    let mut ranges = PASSED.to_vec();
    for id in [stored, exposed, missing] {
        ranges = ranges.into_iter().flat_map(|range| without(range, id)).collect();
    }
    let passed = ranges.into_iter().map(|(first, last)| format!("{first} {first} {}\n", last - first + 1));
    let containers = subordinate::first(exposed)
        .map(|first| format!("{} {first} {}\n", subordinate::STORED, subordinate::COUNT));
    format!("{stored} {exposed} 1\n{}{}", passed.collect::<String>(), containers.unwrap_or_default())
}

/// A range with one ID taken out: up to two ranges.
fn without((first, last): (u32, u32), id: u32) -> Vec<(u32, u32)> {
    if id < first || id > last {
        return vec![(first, last)];
    }
    let below = id.checked_sub(1).filter(|end| *end >= first && id > first).map(|end| (first, end));
    let above = id.checked_add(1).filter(|start| *start <= last).map(|start| (start, last));
    below.into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stored: u32, exposed: u32) -> Vec<(u32, u32, u32)> {
        let number = |field: Option<&str>| field.and_then(|f| f.parse().ok()).expect("a number");
        map(stored, exposed)
            .lines()
            .map(|line| {
                let mut fields = line.split(' ');
                (number(fields.next()), number(fields.next()), number(fields.next()))
            })
            .collect()
    }

    fn overlaps(ranges: &[(u32, u32)]) -> bool {
        let cross = |a: &(u32, u32), b: &(u32, u32)| a.0 < b.0 + b.1 && b.0 < a.0 + a.1;
        (0..ranges.len()).any(|i| (0..i).any(|j| cross(&ranges[i], &ranges[j])))
    }

    #[test]
    fn the_usual_map() {
        assert_eq!(
            lines(65534, 60101),
            [
                (65534, 60101, 1),
                (0, 0, 60001),
                (60514, 60514, 5020),
                (65_536, 65_536, 1_878_982_656),
                (2_147_352_576, 2_147_352_576, 65536),
                (2_147_483_646, 2_147_483_646, 1),
                (1_879_048_192, 1_885_601_792, 65536),
            ]
        );
    }

    #[test]
    fn no_id_is_mapped_twice_on_either_side() {
        for (stored, exposed) in [
            (60101, 60101),
            (1000, 60101),
            (65534, 1000),
            (0, 60513),
            (60513, 524_288),
            (5, 6),
            (65534, 60001),
        ] {
            let map = lines(stored, exposed);
            assert!(!overlaps(&map.iter().map(|l| (l.0, l.2)).collect::<Vec<_>>()), "{stored} {exposed}");
            assert!(!overlaps(&map.iter().map(|l| (l.1, l.2)).collect::<Vec<_>>()), "{stored} {exposed}");
            assert!(map.len() <= 340, "the kernel takes 340 lines at most");
        }
    }
}
