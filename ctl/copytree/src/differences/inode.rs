//! Two inodes of one type, compared.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, IFlags, OFlags, readlinkat};
use rustix::io::Errno;

use super::{Difference, What};
use crate::content::{Comparer, Stop, holes};
use crate::error::{Error, at};
use crate::look::{Look, read};
use crate::terms::Terms;
use crate::xattrs::{Attribute, Of, Reader, is_the_targets};
use crate::{flags, mark};

/// How much of each piece of data a file system may round up to its blocks.
const BLOCK: u64 = 128 * 1024;

/// Two inodes of one type that were found, and not opened.
pub(crate) struct Pair<'a> {
    pub looks: (&'a Look, &'a Look),
    pub found: (&'a OwnedFd, &'a OwnedFd),
    pub path: &'a Path,
}

/// Compares inodes, with room to read them.
pub(crate) struct Inodes<'a> {
    stop: Stop<'a>,
    reader: Reader,
    comparer: Comparer,
    terms: Terms,
}

impl<'a> Inodes<'a> {
    pub fn new(terms: Terms, stop: Stop<'a>) -> Self {
        Self { stop, reader: Reader::new(), comparer: Comparer::new(), terms }
    }

    /// Compares two inodes that are no folders.
    pub fn compare(&mut self, pair: Pair, told: &mut Vec<Difference>) -> Result<(), Error> {
        let Pair { looks: (a, b), found, path } = pair;
        if a.is_file() {
            let opened = (read(found.0, OFlags::empty()), read(found.1, OFlags::empty()));
            let (one, other) = match opened {
                (Ok(one), Ok(other)) => (one, other),
                (Err(errno), _) | (_, Err(errno)) => return Err(at(path, "open it")(errno)),
            };
            let files = (one.as_fd(), other.as_fd());
            self.open_pair(files, (a, b), path, told)?;
            return self.content(files, (a, b), told, path);
        }
        let mut add = |what| told.push(Difference { path: path.to_owned(), what });
        looks(a, b, &mut add);
        match a.kind() {
            FileType::Symlink => {
                let leads =
                    |found| readlinkat(found, c"", Vec::new()).map_err(at(path, "read where it leads"));
                if leads(found.0)? != leads(found.1)? {
                    add(What::Target);
                }
            }
            FileType::CharacterDevice | FileType::BlockDevice if a.device() != b.device() => {
                add(What::Device(a.device(), b.device()));
            }
            _ => {}
        }
        self.attributes(&Of::found(found.0), &Of::found(found.1), path, told)
    }

    /// Compares what is around the content of two files or folders.
    pub fn open_pair(
        &mut self,
        ends: (BorrowedFd, BorrowedFd),
        (a, b): (&Look, &Look),
        path: &Path,
        told: &mut Vec<Difference>,
    ) -> Result<(), Error> {
        let mut add = |what| told.push(Difference { path: path.to_owned(), what });
        looks(a, b, &mut add);
        let of = |end| flags::of(end).map_err(at(path, "read its flags"));
        let (one, other) = (of(ends.0)?, of(ends.1)?);
        if one != other {
            add(What::Flags(number(one), number(other)));
        }
        self.attributes(&Of::Open(ends.0), &Of::Open(ends.1), path, told)
    }

    fn attributes(
        &mut self,
        one: &Of,
        other: &Of,
        path: &Path,
        told: &mut Vec<Difference>,
    ) -> Result<(), Error> {
        let mut read = |of| self.reader.all(of).map_err(at(path, "read its attributes"));
        let (mut one, mut other) = (read(one)?, read(other)?);
        self.terms.attributes(&mut one);
        // A copy is made without marks, wherever they are.
        let counts = |of: &Attribute| !mark::is_one(&of.0);
        one.retain(counts);
        other.retain(|of| counts(of) && (one.iter().any(|one| one.0 == of.0) || !is_the_targets(&of.0)));
        let only = |these: &[Attribute], those: &[Attribute]| -> Vec<Vec<u8>> {
            these.iter().filter(|this| !those.contains(this)).map(|this| this.0.clone()).collect()
        };
        let mut names = only(&one, &other);
        names.extend(only(&other, &one));
        names.sort();
        names.dedup();
        told.extend(names.iter().map(|name| Difference {
            path: path.to_owned(),
            what: What::Attribute(String::from_utf8_lossy(name).into_owned()),
        }));
        Ok(())
    }

    fn content(
        &mut self,
        (one, other): (BorrowedFd, BorrowedFd),
        (a, b): (&Look, &Look),
        told: &mut Vec<Difference>,
        path: &Path,
    ) -> Result<(), Error> {
        let mut add = |what| told.push(Difference { path: path.to_owned(), what });
        if a.size() != b.size() {
            add(What::Size(a.size(), b.size()));
            return Ok(());
        }
        let differ = self.comparer.differ((one, a), (other, b), self.stop);
        if let Some(place) = differ.map_err(|ended| ended.at(path))? {
            add(What::Content(place));
        }
        if let Some((wanted, there)) =
            less_holes((one, a), (other, b)).map_err(at(path, "look for holes in it"))?
        {
            add(What::Holes(wanted, there));
        }
        // What was written meanwhile may have been compared before it was.
        let still = |file, look: &Look| Look::at(file).is_ok_and(|again| again.same_as(look));
        if !(still(one, a) && still(other, b)) {
            add(What::Changed);
        }
        Ok(())
    }
}

fn looks(a: &Look, b: &Look, add: &mut dyn FnMut(What)) {
    if a.mode() != b.mode() {
        add(What::Mode(a.mode().as_raw_mode(), b.mode().as_raw_mode()));
    }
    if a.owner() != b.owner() {
        add(What::Owner(a.owner(), b.owner()));
    }
    if a.modified() != b.modified() {
        add(What::Time(a.modified(), b.modified()));
    }
}

/// The bytes of holes of both, where the second has less than what blocks of another size explain.
fn less_holes(one: (BorrowedFd, &Look), other: (BorrowedFd, &Look)) -> Result<Option<(u64, u64)>, Errno> {
    if one.1.allocated() >= one.1.size() {
        return Ok(None);
    }
    let (wanted, pieces) = holes(one.0, one.1)?;
    let (there, _) = holes(other.0, other.1)?;
    Ok((there + (pieces + 1) * BLOCK < wanted).then_some((wanted, there)))
}

fn number(flags: IFlags) -> u32 {
    flags.bits()
}
