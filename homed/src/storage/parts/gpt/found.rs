//! Which of its two copies a table is read from.

use super::{ReadAt, Table};

/// Which copies of the table are sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copies {
    /// Both.
    Both,
    /// The one at the end is damaged or elsewhere.
    FirstOnly,
    /// The one at the beginning is damaged.
    SecondOnly,
    /// Neither: the table is what an image has that homed made.
    Neither,
    /// The image ends before the one at the beginning says, and has none at its end: it was cut off. The table
    /// found is the one that fits what is left.
    CutShort,
    /// The same, and there is one at its end, as a growth leaves where the image ended before. It is the table found; whether
    /// the file system is that small, only that can tell.
    CutToFormer,
}

impl Copies {
    /// Whether nothing says that all of the image is there: the table is not written before its file system is known to fit.
    pub fn is_doubtful(self) -> bool {
        matches!(self, Self::CutShort | Self::CutToFormer | Self::Neither)
    }
}

/// Finds the table of an image of `size` bytes, in sectors of 512 or 4096.
pub fn find(size: u64, read: &mut ReadAt<'_>) -> Option<(Table, Copies)> {
    [512, 4096].into_iter().find_map(|sector| {
        let first = Table::read_at(sector, sector, read);
        let last = (size / sector).checked_sub(1)?.checked_mul(sector)?;
        choose(size, first, Table::read_at(last, sector, read))
    })
}

/// The table of an image of `size` bytes whose first and last sectors have these.
pub fn choose(size: u64, first: Option<Table>, second: Option<Table>) -> Option<(Table, Copies)> {
    match (first, second) {
        (Some(table), Some(second)) if table == second => Some((table, Copies::Both)),
        (Some(table), _) if table.size <= size => Some((table, Copies::FirstOnly)),
        (None, Some(table)) => Some((table, Copies::SecondOnly)),
        (Some(_), Some(second)) => Some((second, Copies::CutToFormer)),
        (Some(table), None) => table.resized(size).map(|table| (table, Copies::CutShort)),
        (None, None) => None,
    }
}
