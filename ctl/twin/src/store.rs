//! What homed keeps in a home that is on more than one machine: `.homed-sync`.
//!
//! | name | what it is |
//! | --- | --- |
//! | `ID.pair` | what this home and that of the machine ID had when they were last the same (`pair.rs`) |
//! | `ID.taken` | what was taken from there since, by a sync that did not come to its end |
//! | `part/HASH` | what is in a file that has arrived and has no place yet; `HASH.cut`: the beginning of it |
//! | `swap/N` | what is about to be put in a place, or was there before; `swap/journal` says where (`journal.rs`) |

use crate::home::Home;
use crate::node::{Content, Hash, LONGEST_PATH, Path, put_some, some};
use crate::pair::{Ends, Pair};
use crate::tree::Notes;
use crate::wire::{Failure, failed, put_text, text};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RawDir, StatxFlags, flock, mkdirat, openat, renameat, statx,
    syncfs, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// The folder, at the top of the home.
pub(crate) const FOLDER: &[u8] = b".homed-sync";

/// It, for one sync at a time.
pub(crate) struct Store {
    folder: OwnedFd,
    pub part: OwnedFd,
    pub swap: OwnedFd,
}

impl Store {
    /// Opens it, and makes it where it is not.
    pub fn open(home: &Home) -> Result<Self, Failure> {
        let make = |path: &[u8]| match mkdirat(home.top(), path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => home.folder(path),
            Err(errno) => Err(errno),
        };
        let within = |name: &[u8]| make(&[FOLDER, b"/", name].concat());
        let opened = || Ok((make(FOLDER)?, within(b"part")?, within(b"swap")?));
        let (folder, part, swap) = opened().map_err(failed::<Errno>("opening .homed-sync in the home"))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, part, swap }),
            Err(Errno::WOULDBLOCK) => Err(Failure::Runs),
            Err(errno) => Err(failed("locking .homed-sync in the home")(errno)),
        }
    }

    /// The pair with that machine; one that is not there, or broken, is none.
    pub fn pair(&self, ends: Ends) -> Pair {
        let Ok(bound) = self.bound(ends) else { return Pair::default() };
        let file = openat(&self.folder, &*name(&ends), OFlags::RDONLY | FILE, Mode::empty());
        let file = file.map(File::from).map(BufReader::new);
        file.ok().and_then(|mut file| Pair::read(&mut file, bound).ok()).unwrap_or_default()
    }

    /// The same ends, of this very folder: a home that was put back file by file, from a backup that may lack some, has another one.
    /// What is not there was deleted by nobody then.
    fn bound(&self, ends: Ends) -> Result<Ends, Failure> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let look = statx(&self.folder, c"", AtFlags::EMPTY_PATH, wanted);
        let look = look.map_err(failed("looking at .homed-sync in the home"))?;
        let made = (look.stx_btime.tv_sec, look.stx_btime.tv_nsec);
        let mut hash = blake3::Hasher::new();
        hash.update(&ends.here).update(&look.stx_ino.to_le_bytes());
        hash.update(&made.0.to_le_bytes()).update(&made.1.to_le_bytes());
        Ok(Ends { here: *hash.finalize().as_bytes(), ..ends })
    }

    /// Keeps the pair, whole or not at all.
    pub fn keep(&self, pair: &Pair, ends: Ends) -> Result<(), Failure> {
        let failed = |error: std::io::Error| failed("keeping what both ends have")(error);
        let mut file = BufWriter::new(make(&self.folder, "new")?);
        pair.write(&mut file, self.bound(ends)?)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        renameat(&self.folder, "new", &self.folder, &*name(&ends)).map_err(|errno| failed(errno.into()))?;
        self.folder.try_clone().map(File::from).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Notes what is taken from that machine, until the next pair is kept: who changes it there then has changed it alone.
    pub fn take_note(&self, taken: &Notes, ends: Ends) -> Result<(), Failure> {
        let failed = |error: std::io::Error| failed("noting what has arrived")(error);
        let mut file = BufWriter::new(make(&self.folder, "new")?);
        put_taken(&mut file, taken)?;
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        renameat(&self.folder, "new", &self.folder, &*taken_name(&ends)).map_err(|errno| failed(errno.into()))
    }

    /// What was noted; one that is broken is none.
    pub fn taken(&self, ends: Ends) -> Notes {
        let file = openat(&self.folder, &*taken_name(&ends), OFlags::RDONLY | FILE, Mode::empty());
        let file = file.map(File::from).map(BufReader::new);
        file.ok().and_then(|mut file| read_taken(&mut file).ok()).unwrap_or_default()
    }

    /// The pair has it now.
    pub fn forget_taken(&self, ends: Ends) {
        // One that stays says what both had once, and is compared with what is there.
        let _ = unlinkat(&self.folder, &*taken_name(&ends), AtFlags::empty());
    }

    /// Has all that was written go to the disk.
    pub fn sync(&self) -> Result<(), Failure> {
        syncfs(&self.folder).map_err(failed("writing the home to its disk"))
    }

    /// Removes what has arrived and is needed no more.
    pub fn clear_parts(&self) {
        clear(&self.part);
    }

    /// Removes what was about to be put in a place, and has none to go to.
    pub fn clear_swap(&self) {
        clear(&self.swap);
    }
}

const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn name(ends: &Ends) -> String {
    format!("{}.pair", hex(&ends.there[..8]))
}

fn taken_name(ends: &Ends) -> String {
    format!("{}.taken", hex(&ends.there[..8]))
}

/// Path and node or none, to an empty path.
fn put_taken(line: &mut dyn Write, taken: &Notes) -> Result<(), Failure> {
    for (path, node) in taken {
        put_text(line, path)?;
        put_some(line, node.as_ref())?;
    }
    put_text(line, &[])
}

fn read_taken(line: &mut dyn Read) -> Result<Notes, Failure> {
    let mut taken = Notes::new();
    loop {
        let path: Path = text(line, LONGEST_PATH)?.into();
        if path.is_empty() {
            return Ok(taken);
        }
        taken.insert(path, some(line)?);
    }
}

/// Makes a file anew, for its owner alone.
pub(crate) fn make(folder: &OwnedFd, name: &str) -> Result<File, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | FILE;
    let file = openat(folder, name, flags, Mode::RUSR | Mode::WUSR);
    file.map(File::from).map_err(failed("making a file in .homed-sync in the home"))
}

/// Opens one to go on with it, or makes it.
pub(crate) fn go_on(folder: &OwnedFd, name: &str) -> Result<File, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | FILE;
    let file = openat(folder, name, flags, Mode::RUSR | Mode::WUSR);
    file.map(File::from).map_err(failed("making a file in .homed-sync in the home"))
}

/// Digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name under which a content lies that has arrived.
pub(crate) fn part(hash: &Hash) -> String {
    hex(hash)
}

/// The name under which its beginning lies.
pub(crate) fn cut(content: &Content) -> String {
    format!("{}.cut", hex(&content.hash))
}

fn clear(folder: &OwnedFd) {
    let Ok(listed) =
        openat(folder, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    else {
        return;
    };
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(&listed, &mut buffer);
    let mut names: Vec<Path> = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        names.push(entry.file_name().to_bytes().into());
    }
    for name in names.iter().filter(|name| !matches!(&***name, b"." | b"..")) {
        // What cannot be removed is in nobody's way.
        let _ = unlinkat(folder, &**name, AtFlags::empty());
    }
}
