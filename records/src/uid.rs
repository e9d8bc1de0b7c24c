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

#[cfg(test)]
mod tests {
    use super::*;

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
