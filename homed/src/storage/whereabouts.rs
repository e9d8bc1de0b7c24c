//! Whether a home is open, and how: asked of the kernel, by daemon and worker alike.

use super::kind;
use crate::sys::apart::apart;
use crate::sys::devmapper::{self, Device, Listed};
use crate::sys::file;
pub use crate::sys::mount::Spot;
use crate::sys::mount::{self, Entry};
use records::Storage as Kind;
use std::cell::OnceCell;
use std::io::{self, ErrorKind};
use std::path::Path;
use uuid::Uuid;

/// What the kernel shows at one moment, each asked once, when it is needed: what cannot be told is not asked again either. No
/// file system is asked.
#[derive(Default)]
pub struct Kernel {
    devices: Once<Vec<Listed>>,
    mounts: Once<Vec<Entry>>,
}

type Once<T> = OnceCell<Result<T, (ErrorKind, String)>>;

impl Kernel {
    fn listed(&self) -> io::Result<&[Listed]> {
        once(&self.devices, devmapper::listed).map(Vec::as_slice)
    }

    /// All devices that are accepted, as they are now.
    pub fn devices(&self, accept: impl Fn(&Listed) -> bool) -> io::Result<Vec<Device>> {
        devmapper::chosen(self.listed()?, accept)
    }

    /// What is mounted where.
    pub fn mounts(&self) -> io::Result<&[Entry]> {
        once(&self.mounts, || mount::table("self")).map(Vec::as_slice)
    }
}

fn once<T>(cell: &Once<T>, ask: impl FnOnce() -> io::Result<T>) -> io::Result<&T> {
    let told = cell.get_or_init(|| ask().map_err(|error| (error.kind(), error.to_string())));
    told.as_ref().map_err(|(kind, text)| io::Error::new(*kind, text.clone()))
}

/// What a home's parts are known by on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Clues<'a> {
    /// The kind of its storage.
    pub kind: Kind,
    /// Whose.
    pub user: &'a str,
    /// Its storage: the image file or the directory.
    pub image: &'a Path,
    /// Where it is to be mounted.
    pub home_directory: &'a Path,
    /// The UUID of its LUKS header, where it is known.
    pub luks: Option<Uuid>,
    /// How it is known where the home directory is.
    pub walk: Walk<'a>,
}

/// How it is known where a walk to the home directory ends.
#[derive(Debug, Clone, Copy)]
pub enum Walk<'a> {
    /// It is walked when it is needed, and may wait for a file system.
    Now,
    /// It was walked; `None`: it is not known, and the table of mounts alone counts.
    Before(Option<&'a Spot>),
}

impl<'a> Clues<'a> {
    /// The same, with the UUID as the record has it.
    pub fn with_luks(self, luks: Option<&str>) -> Self {
        Self { luks: luks.and_then(|text| Uuid::try_parse(text).ok()), ..self }
    }

    /// The home directory's place in this table of mounts; where its name leads first, then where a walk does.
    pub(super) fn spots(&self, mounts: &[Entry]) -> io::Result<Vec<Spot>> {
        let walked = match self.walk {
            Walk::Before(spot) => spot.cloned(),
            Walk::Now => match Spot::of(self.home_directory) {
                Err(error) if is_not_there(&error) => return Ok(Vec::new()),
                walked => return Ok(vec![walked?]),
            },
        };
        Ok(Spot::by_name(self.home_directory, mounts).into_iter().chain(walked).collect())
    }
}

/// Whose homes have devices of ours, by their names and UUIDs: of homes that this machine has no record of, too.
pub fn users_with_devices() -> io::Result<Vec<String>> {
    let user = |name: &str| Some(name.strip_prefix("home-")?.split('+').next()?.to_owned());
    let mut users: Vec<String> = crate::sys::devmapper::named(|name| user(name).is_some())?
        .iter()
        .filter(|device| device.luks_uuid.is_some())
        .filter_map(|device| user(&device.name))
        .collect();
    users.sort();
    users.dedup();
    Ok(users)
}

/// Whether storage is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Not there.
    Missing,
    /// There, cleanly closed or open now.
    There,
    /// There, not cleanly closed the last time.
    Dirty,
}

/// What file systems tell of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whether its storage is there.
    pub storage: Storage,
    /// Where a walk to its home directory ends; `None`: nowhere.
    pub spot: Option<Spot>,
}

/// Asks the file systems of a home. It may wait for them, for ever; the thread that does has nothing of the process open.
pub fn ask((kind, image): (Kind, &Path), home_directory: &Path) -> Found {
    let (image, home_directory) = (image.to_owned(), home_directory.to_owned());
    // Whether a server is there is seen by who opens the home: nobody else is kept waiting for that.
    let storage = move || if kind.is_on_server() { on_server(&image) } else { storage(&image) };
    apart(move || Found { storage: storage(), spot: Spot::of(&home_directory).ok() })
}

/// Asks the same, and has the first block of the image read from where it is stored: names and marks may be answered from
/// memory by a disk that is long gone. For those who are about to use it.
pub fn ask_before_use((kind, image): (Kind, &Path), home_directory: &Path) -> Found {
    let path = image.to_owned();
    if !kind.is_on_server() {
        // What cannot be read is told by whoever uses it.
        apart(move || drop(file::read_past_memory(&path)));
    }
    ask((kind, image), home_directory)
}

/// Tells into which mounts the names of a home's paths lead, by their ids: what hangs there may be let go of, and others mounted
/// instead. The table of mounts is that of now, whoever is asked about. No file system is asked, so a symlink on the way is not
/// followed.
pub fn mounts_below() -> impl Fn(&Path, &Path) -> [Option<u64>; 2] {
    let table = mount::table("self").unwrap_or_default();
    move |image, home_directory| {
        [image, home_directory].map(|path| Spot::by_name(path, &table).map(|spot| spot.around()))
    }
}

/// How far a home is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of it is there: neither is its key.
    Closed,
    /// Mounted at the home directory, its key in the kernel.
    Mounted,
    /// Mounted at the home directory, its key out of memory.
    Suspended,
    /// Not mounted at the home directory, and open all the same: it is shown elsewhere, another mount namespace has a
    /// copy of the mount, a killed process has left it, or somebody has opened it by hand.
    Open,
}

fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// It is there as far as the record says where.
fn on_server(place: &Path) -> Storage {
    if place.as_os_str().is_empty() { Storage::Missing } else { Storage::There }
}

fn storage(image: &Path) -> Storage {
    // A link of /dev may lead to a device that was just pulled out: the kernel takes the node away, and later udev the link.
    let facts =
        if image.starts_with("/dev") { std::fs::metadata(image) } else { std::fs::symlink_metadata(image) };
    // A disk that gives no answer now may give one later: only what is not there is missing.
    if facts.is_err_and(|error| is_not_there(&error)) {
        return Storage::Missing;
    }
    let mut value = [0; 16];
    match rustix::fs::getxattr(image, super::parts::image::DIRTY, &mut value) {
        Ok(1) if value[0] == b'1' => Storage::Dirty,
        Ok(_) | Err(_) => Storage::There,
    }
}

/// How far it is open.
pub fn standing(clues: &Clues<'_>) -> io::Result<Standing> {
    standing_in(clues, &Kernel::default())
}

/// How far it is open, by what the kernel has shown.
pub fn standing_in(clues: &Clues<'_>, kernel: &Kernel) -> io::Result<Standing> {
    // Of a kind that cannot be used here, nothing can have been opened here.
    kind::of(clues.kind).map_or(Ok(Standing::Closed), |kind| (kind.standing)(clues, kernel))
}
