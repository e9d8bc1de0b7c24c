//! How large an image is made.

use super::superblock::Kind;

/// The unit of sizes, in bytes.
pub const MIB: u64 = 1 << 20;
/// What a partition table (2 MiB) and a LUKS2 header (16 MiB) take of an image.
pub const OVERHEAD: u64 = 18 * MIB;
/// Largest image: 5 TiB.
pub const MOST: u64 = 5 << 40;

/// What the record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// So many bytes.
    Bytes(u64),
    /// A share of the free space, in units of 1/2³².
    Share(u32),
    /// Nothing said: 100/120 of the free space.
    Unset,
}

/// Smallest image that this file system fits in.
pub fn least(kind: Kind) -> u64 {
    OVERHEAD + least_inside(kind)
}

/// Smallest file system of this kind.
pub fn least_inside(kind: Kind) -> u64 {
    match kind {
        Kind::Btrfs => 256 * MIB,
        Kind::Xfs => 300 * MIB,
        Kind::Ext4 => 32 * MIB,
    }
}

/// What a disk has for a new image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Free, all of it.
    pub all: u64,
    /// Free, without what is spared for others.
    pub free: u64,
    /// How much larger all images together may become.
    pub promisable: u64,
}

/// The size of a new image, a whole number of MiB; or how many bytes would be needed at least. Who wants more than there
/// is gets what is there; who says nothing leaves half of what may be promised to those who come later. What is spared
/// for others makes homes smaller, and does not refuse the smallest.
pub fn initial(wish: Wish, offer: Offer, kind: Kind) -> Result<u64, u64> {
    let least = least(kind);
    let free = offer.free.min(offer.promisable);
    if free < least {
        return if offer.all.min(offer.promisable) < least { Err(least) } else { Ok(least) };
    }
    let asked = match wish {
        Wish::Bytes(bytes) => bytes.min(free),
        Wish::Share(part) => share(free, part),
        Wish::Unset => u64::try_from(u128::from(free) * 100 / 120).unwrap_or(free).min(offer.promisable / 2),
    };
    Ok((asked.min(MOST) / MIB * MIB).max(least))
}

/// So much of it, in parts of 2³² (`diskSizeRelative`).
pub fn share(of: u64, part: u32) -> u64 {
    u64::try_from((u128::from(of) * u128::from(part)) >> 32).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_mebibytes_between_the_limits() {
        let gib = 1 << 30;
        let open = |free| Offer { all: free, free, promisable: u64::MAX };
        assert_eq!(initial(Wish::Bytes(gib + 17), open(10 * gib), Kind::Btrfs), Ok(gib));
        assert_eq!(initial(Wish::Bytes(20 * gib), open(10 * gib + 5), Kind::Btrfs), Ok(10 * gib));
        assert_eq!(initial(Wish::Bytes(1), open(10 * gib), Kind::Btrfs), Ok(274 * MIB));
        assert_eq!(initial(Wish::Bytes(1), open(10 * gib), Kind::Ext4), Ok(50 * MIB));
        assert_eq!(initial(Wish::Share(1 << 31), open(10 * gib), Kind::Ext4), Ok(5 * gib));
        assert_eq!(initial(Wish::Unset, open(12 * gib), Kind::Ext4), Ok(10 * gib));
        assert_eq!(initial(Wish::Unset, open(10 << 50), Kind::Ext4), Ok(5 << 40));
        assert_eq!(initial(Wish::Unset, open(100 * MIB), Kind::Btrfs), Err(274 * MIB));
        let small = Offer { all: 290 * MIB, ..open(226 * MIB) };
        assert_eq!(initial(Wish::Bytes(0), small, Kind::Btrfs), Ok(274 * MIB));
        assert_eq!(initial(Wish::Unset, small, Kind::Btrfs), Ok(274 * MIB));
    }

    #[test]
    fn promises_are_bounded_and_something_is_left_to_promise() {
        let gib = 1 << 30;
        let offer = Offer { all: 100 * gib, free: 100 * gib, promisable: 30 * gib };
        assert_eq!(initial(Wish::Bytes(80 * gib), offer, Kind::Btrfs), Ok(30 * gib));
        assert_eq!(initial(Wish::Unset, offer, Kind::Btrfs), Ok(15 * gib));
        assert_eq!(initial(Wish::Unset, Offer { promisable: 100 * MIB, ..offer }, Kind::Ext4), Ok(50 * MIB));
        assert_eq!(initial(Wish::Bytes(1), Offer { promisable: 0, ..offer }, Kind::Ext4), Err(50 * MIB));
    }
}
