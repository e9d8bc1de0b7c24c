//! What is to be seen of a home's storage, as data: nothing of it is judged here.

use crate::job::Seen;
use records::signature::Vouched;
use records::{Record, Secret};

/// What to look at.
pub struct Examination<'a> {
    /// Whether the home is in use meanwhile.
    pub seen: Seen,
    /// Keys to try; without any, what lies behind them stays unseen.
    pub keys: &'a [Secret],
    /// Who vouches for the file system, given the record in the header; `None`: nobody, and it is not looked at.
    pub vouch: &'a dyn Fn(Option<&Record>) -> Option<Vouched>,
}

/// All that was seen. What could not be reached has its default.
#[derive(Default)]
pub struct Examined {
    /// The image file.
    pub image: Image,
    /// Whether another program or machine has it locked.
    pub locked_elsewhere: bool,
    /// The other machine that has marked it as open.
    pub open_elsewhere: Option<String>,
    /// Its partition table.
    pub table: Option<Table>,
    /// The copies of its encryption header.
    pub headers: Option<Headers>,
    /// What is in the header that was read.
    pub header: Option<Header>,
    /// Whether the image is marked as open.
    pub dirty: bool,
    /// Devices of killed runs.
    pub stale: Vec<String>,
    /// Unfinished images of killed runs.
    pub leftovers: Vec<String>,
    /// A change of the size that was cut short.
    pub unfinished_resize: Option<String>,
    /// What a key opened.
    pub unlocked: Option<Unlocked>,
    /// What lies behind it, or in the folder; `None`: it was not reached.
    pub inside: Option<Looked>,
}

/// The image file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Image {
    /// It is not there.
    #[default]
    Missing,
    /// It is something else than a regular file.
    NotAFile,
    /// It cannot be read, and why.
    Unreadable(String),
    /// There is none: the files lie in a folder of the machine.
    Folder,
    /// There is none: the files are on a server.
    OnServer,
    /// It is there.
    There {
        /// Bytes.
        size: u64,
        /// Bytes it may still take of its disk.
        wanting: u64,
        /// Bytes that disk has left.
        room: u64,
        /// Whether each write goes to another place of that disk.
        copied: bool,
        /// Bytes that a snapshot of that disk, or a copy on it, has too.
        shared: u64,
    },
}

/// What the partition table is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Both copies are sound.
    Sound,
    /// There is none, and the image is encrypted as a whole.
    NotNeeded,
    /// The first copy is damaged.
    FirstDamaged,
    /// The second copy is damaged, or not where it belongs.
    SecondDamaged,
    /// The image ends before its table says; how many bytes are missing.
    CutShort(u64),
    /// Both are damaged; the encrypted part is where homes have it.
    BothDamaged,
    /// The partition is that of another home.
    OfAnother,
}

/// The copies of the LUKS2 header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Headers {
    /// The first one's number of changes; `None`: damaged.
    pub first: Option<u64>,
    /// The second one's.
    pub second: Option<u64>,
}

/// What is in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whether it is the one the record knows.
    pub is_ours: bool,
    /// Whether its record is in a form that only a newer systemd knows.
    pub is_newer: bool,
    /// Key slots.
    pub slots: usize,
    /// Whether some of them are marked as being changed.
    pub marked: bool,
    /// The record beside the key slots.
    pub record: Beside,
}

/// Whether there is a record beside the key slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// There is one.
    There,
    /// There should be one.
    Missing,
    /// This kind of storage has no place for one.
    Nowhere,
}

/// What a key has opened.
pub struct Unlocked {
    /// Which key fitted.
    pub key: usize,
    /// The slot it opens.
    pub slot: u32,
    /// The record in the header, or why it cannot be read.
    pub record: Result<Record, String>,
}

/// Whether the file system was looked at.
pub enum Looked {
    /// It was.
    At(Inside),
    /// It was not: the home is in use.
    InUse,
    /// It was not: no signature that counts vouches for it.
    NotVouched,
}

impl Looked {
    /// What was seen.
    pub fn seen(&self) -> Option<&Inside> {
        match self {
            Self::At(inside) => Some(inside),
            Self::InUse | Self::NotVouched => None,
        }
    }
}

/// The file system and the home in it.
pub struct Inside {
    /// What it is like.
    pub file_system: FileSystem,
    /// The record in the home, or why it cannot be read.
    pub record: Result<Record, String>,
}

/// What the file system is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    /// Its own program finds nothing wrong; its kind and label.
    Sound(String),
    /// Nothing that is known.
    Unknown,
    /// Not the one the record knows.
    OfAnother,
    /// Its program is not installed.
    NoChecker(String),
    /// It was cut off, and mounting it will put it right; nothing was checked.
    Unsettled(String),
    /// Its program finds errors, and says so.
    Errors(String),
    /// It has errors for its program to name, but none that keep it from being mounted: why it cannot be.
    NotMounted(String),
    /// It has no directory of the user.
    NoHome,
    /// It is the machine's, and not looked at.
    OfTheMachine,
}
