//! An image as a file: its length, both copies of its table and of its header, its marks. What
//! a table says is really said by one.

use super::disk::File;
use crate::storage::parts::gpt::{self, Copies, Table};

mod run;

pub use run::{Run, VERBS, Verb};

const MIB: u64 = 1 << 20;
/// Bytes of an image that can be both.
pub const SMALL: u64 = 300 * MIB;
pub const LARGE: u64 = 400 * MIB;
/// Bytes of the encryption header.
const HEADER: u64 = 16 * MIB;

/// A copy of a table, as far as images differ in it; `None`: it is not sound.
type Copy = Option<Extent>;

/// One write.
type Write = Box<dyn Fn(&mut Image)>;

/// What a table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    size: u64,
    end: u64,
    /// Another program wrote it: the same in other bytes.
    by_another: bool,
}

/// Who has written in the image that it is open there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    Nobody,
    Here,
    Elsewhere,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    pub length: File<u64>,
    pub first: File<Copy>,
    /// The copy at the end of a small image, and at that of a large one.
    pub second: [File<Copy>; 2],
    /// The note that a change of size has begun.
    pub note: File<bool>,
    pub headers: [File<Option<u64>>; 2],
    pub mark: File<Mark>,
    pub unfinished: bool,
    /// Bytes of the file system inside.
    pub inside: u64,
    /// Somebody has it open who is no program of ours.
    pub used: bool,
}

impl Image {
    /// As it is made by this program, or by another that aligns the end of a partition otherwise.
    pub fn new(size: u64, by_another: bool) -> Self {
        let whole = table_for(size);
        let end = if by_another { size - 20 * 1024 } else { whole.end };
        let extent = Some(Extent { size, end, by_another });
        let is = |at: u64| File::new(extent.filter(|_| at == size));
        Self {
            length: File::new(size),
            first: File::new(extent),
            second: [is(SMALL), is(LARGE)],
            note: File::new(false),
            headers: [File::new(Some(1)), File::new(Some(1))],
            mark: File::new(Mark::Nobody),
            unfinished: false,
            inside: end - MIB - HEADER,
            used: false,
        }
    }

    /// The copy of the table at the end.
    pub fn last(&mut self) -> Option<&mut File<Copy>> {
        let [small, large] = &mut self.second;
        match *self.length.read() {
            SMALL => Some(small),
            LARGE => Some(large),
            _ => None,
        }
    }

    fn find(&self) -> Option<(Table, Copies)> {
        let length = *self.length.read();
        let last = match length {
            SMALL => *self.second[0].read(),
            LARGE => *self.second[1].read(),
            _ => None,
        };
        let found = gpt::choose(length, self.first.read().map(table), last.map(table));
        // As `header::guess`.
        found.or_else(|| Some((table_for(length), Copies::Neither)))
    }

    /// Whether what is inside lies within what a login would find.
    pub fn fits(&self) -> bool {
        let has_header = self.headers.iter().any(|copy| copy.read().is_some());
        has_header && self.find().is_some_and(|(table, _)| self.inside <= room(&table))
    }

    /// Whether all that there is twice is, and alike.
    pub fn is_rebuilt(&self) -> Result<(), String> {
        let odd = |(table, _): &(Table, Copies)| table.size != *self.length.read();
        let is_left =
            |found: &(Table, Copies)| odd(found) || found.1 == Copies::Both || found.1.is_doubtful();
        if let Some((_, copies)) = self.find().filter(|found| !is_left(found)) {
            return Err(format!("repaired, and its table is {copies:?}"));
        }
        if self.headers[0].read() != self.headers[1].read() {
            return Err("repaired, and its headers differ".into());
        }
        if *self.mark.read() == Mark::Elsewhere || self.unfinished {
            return Err("repaired, and another machine's mark or an unfinished image is there".into());
        }
        Ok(())
    }

    /// systemd-homed's change of size, of which only so many writes are done: the file's length, the table (both copies of it are
    /// written, the one at the end first, and flushed then), the file system. It knows nothing of our note and our mark.
    /// `None`: it does not begin, or has not so many.
    pub fn resize_by_another(&mut self, to: u64, writes: usize) -> Option<()> {
        let from = *self.length.read();
        let Some((table, Copies::Both)) = self.find() else { return None };
        if from == to || self.used || !self.fits() {
            return None;
        }
        // What it leaves behind the partition stays as long as it is.
        let end = to - (table.size - table.end);
        let extent = Some(Extent { size: to, end, by_another: true });
        let mut table: Vec<Write> = vec![
            Box::new(move |image| image.length.write(to)),
            Box::new(move |image| {
                let [small, large] = &mut image.second;
                if to == LARGE { large.write(extent) } else { small.write(extent) }
            }),
            Box::new(move |image| image.first.write(extent)),
            Box::new(|image| image.flush()),
        ];
        // A file system has its device flushed before it says that it has another size.
        let inside: Write = Box::new(move |image| {
            image.flush();
            image.inside = end - MIB - HEADER;
        });
        table.insert(if to > from { table.len() } else { 0 }, inside);
        if writes == 0 || writes > table.len() {
            return None;
        }
        table.into_iter().take(writes).for_each(|write| {
            write(self);
            self.forget_beyond();
        });
        Some(())
    }

    /// All that a power cut may leave: what was not flushed is there, or not, or, where it is long, in part.
    pub fn after_power_cut(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        fan(&mut all, |image| &mut image.length, &[]);
        fan(&mut all, |image| &mut image.first, &[None]);
        fan(&mut all, |image| &mut image.second[0], &[None]);
        fan(&mut all, |image| &mut image.second[1], &[None]);
        fan(&mut all, |image| &mut image.note, &[]);
        fan(&mut all, |image| &mut image.headers[0], &[None]);
        fan(&mut all, |image| &mut image.headers[1], &[None]);
        fan(&mut all, |image| &mut image.mark, &[]);
        all.iter_mut().for_each(Self::forget_beyond);
        all.iter_mut().for_each(|image| image.used = false);
        all
    }

    /// All of the file is on disk: fsync(2) knows no parts.
    fn flush(&mut self) {
        self.length.flush();
        self.first.flush();
        self.second.iter_mut().for_each(File::flush);
        self.note.flush();
        self.headers.iter_mut().for_each(File::flush);
        self.mark.flush();
    }

    /// What is beyond the end of a file is gone.
    pub fn forget_beyond(&mut self) {
        if *self.length.read() < LARGE {
            self.second[1] = File::new(None);
        }
    }
}

fn fan<T: Clone + PartialEq>(all: &mut Vec<Image>, part: fn(&mut Image) -> &mut File<T>, torn: &[T]) {
    for mut image in std::mem::take(all) {
        let file = part(&mut image).clone();
        let mut seen = vec![file.on_disk().clone()];
        if file.read() != file.on_disk() {
            seen.push(file.read().clone());
            seen.extend_from_slice(torn);
        }
        for content in seen {
            let mut after = image.clone();
            *part(&mut after) = File::new(content);
            all.push(after);
        }
    }
}

fn table(extent: Extent) -> Table {
    Table { end: extent.end, ..table_for(extent.size) }
}

fn table_for(size: u64) -> Table {
    let (disk, partition) = Default::default();
    Table::covering(size, 512, disk, partition, "")
}

fn extent(table: &Table) -> Extent {
    Extent { size: table.size, end: table.end, by_another: false }
}

fn room(table: &Table) -> u64 {
    table.end.saturating_sub(table.start + HEADER)
}
