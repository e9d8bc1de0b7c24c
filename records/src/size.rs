//! Sizes in bytes.

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// One mebibyte: what image, partition and file system sizes are rounded to.
    pub const MIB: u64 = 1 << 20;

    /// Rounded down to a whole mebibyte.
    pub fn floor_mib(self) -> Self {
        Self(self.0 / Self::MIB * Self::MIB)
    }
}
