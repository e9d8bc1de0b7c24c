//! Which UID a user gets on a machine: the original's range and its suggestion from the name.

use crate::names::UserName;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::ops::RangeInclusive;

/// The UIDs homed hands out. Source: systemd's UIDS-GIDS document.
pub const RANGE: RangeInclusive<u32> = 60001..=60513;

/// The original's SipHash key, so that both suggest the same UID for a name.
const KEY: [u8; 16] =
    [0xa3, 0xb8, 0x82, 0x69, 0x9a, 0x71, 0xf7, 0xa9, 0xe0, 0x7c, 0xf6, 0xf1, 0x21, 0x69, 0xd2, 0x1e];

/// The UID to try first.
pub fn suggestion(user: &UserName) -> u32 {
    suggestion_in(user, &RANGE)
}

/// The same of another range.
pub fn suggestion_in(user: &UserName, range: &RangeInclusive<u32>) -> u32 {
    let mut hasher = SipHasher24::new_with_key(&KEY);
    hasher.write(user.as_str().as_bytes());
    let low = (hasher.finish() & u64::from(u32::MAX)) as u32;
    // One of all UIDs there are does not overflow: the range of a setting is smaller.
    range.start() + low % (range.end() - range.start()).saturating_add(1)
}

/// Whether a home may have that UID: not the system's, not of the ranges for dynamic users, greeters,
/// nobody, containers (systemd's, and those of homes' users: [`crate::subordinate`], which has a test for that) and the
/// invalid ones.
pub fn is_allowed(uid: u32) -> bool {
    let is_system = uid < 1000;
    let is_greeter = (60578..=60705).contains(&uid);
    let is_dynamic = (61184..=65519).contains(&uid);
    let is_nobody = (65534..=65535).contains(&uid);
    let is_container = (524_288..=1_912_668_159).contains(&uid);
    !(is_system || is_greeter || is_dynamic || is_nobody || is_container || uid >= 0x7FFF_FFFF)
}

/// IDs that are in a home what they are on the disk, first and last of each range; all others but the user's own do not exist
/// in it. Source: systemd-homed's map of a home's mount, which has no 65536 to 524287.
pub const PASSED: [(u32, u32); 5] = [
    (0, 60000),
    // Between the homes' own range (60001…60513) and the overflow ID.
    (60514, 65533),
    // What `useradd` gives to the containers of users, from 100000 on (Debian) or 524288 (Fedora), and systemd's
    // container range.
    (65_536, 1_879_048_191),
    // systemd's foreign range: trees that belong to no user of this machine.
    (2_147_352_576, 2_147_418_111),
    // What systemd-nspawn maps its outer root to.
    (2_147_483_646, 2_147_483_646),
];

/// Whether files of that owner can be in the home of the user with UID `own`.
pub fn is_in_home(owner: u32, own: u32) -> bool {
    owner == own || PASSED.iter().any(|(first, last)| (*first..=*last).contains(&owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_containers_of_an_ordinary_user_have_a_place_in_a_home() {
        for (owner, is) in [
            (0, true),
            (1000, true),
            (60101, true),
            (60102, false),
            (65534, false),
            (65535, false),
            (100_000, true),
            (600_000, true),
        ] {
            assert_eq!(is_in_home(owner, 60101), is, "{owner}");
        }
    }

    #[test]
    fn suggests_what_the_original_suggests() {
        for (name, uid) in [
            ("alice", 60456),
            ("bob", 60076),
            ("test-user", 60081),
            ("lennart", 60122),
            ("waldo", 60341),
            ("signtest", 60228),
        ] {
            assert_eq!(suggestion(&UserName::parse(name).expect("valid")), uid, "{name}");
        }
    }
}
