//! Pages of files that processes have mapped: whose they are, and how many are left.
//!
//! The kernel throws out pages by control group, and a page belongs to the group of who touched it first, which
//! need not be the one that has it mapped. proc(5) tells: `maps` → `pagemap` → `kpagecgroup`.
//!
//! A process can make its `maps` as long as it likes, and each page of it wait for the lock on its memory, which it may hold as often
//! as it likes. So nobody is listened to for longer than [`EACH`], and users take turns: whoever has many such processes is late with
//! them, and nobody else.

use super::{holders, procfs};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Entries of `pagemap` that are read at a time.
const ENTRIES: usize = 8192;
/// Bit 63 of an entry: the page is in memory. Bits 0 to 54: its number.
const PRESENT: u64 = 1 << 63;
const NUMBER: u64 = (1 << 55) - 1;
/// How long one process is listened to: 65530 areas, the most that it may have (vm.max_map_count), are some tens of ms.
const EACH: Duration = Duration::from_millis(200);
/// The same for one of whose home it is.
const OWN: Duration = Duration::from_secs(1);
/// All of them together.
const ALL: Duration = Duration::from_secs(2);

/// What processes have mapped of the files of one file system.
#[derive(Debug, Default)]
pub struct Mapped {
    /// Pages of it in memory.
    pub pages: usize,
    /// Where it is mapped, by process: addresses.
    pub areas: BTreeMap<u32, Vec<Range<usize>>>,
    /// The control groups they belong to, by inode.
    pub groups: BTreeSet<u64>,
}

/// Looks at the files of one file system, more than once.
pub struct Lookout {
    device: Option<String>,
    uid: u32,
    /// Processes that did not tell in time: they are not asked again.
    late: BTreeSet<u32>,
}

/// What one process has mapped.
type Seen = (usize, Vec<Range<usize>>, BTreeSet<u64>);

impl Lookout {
    /// `device` is the file system's `major:minor` in the table of mounts (what stat(2) gives is another with btrfs), and `uid` whose
    /// processes come first.
    pub fn new(device: &str, uid: u32) -> Self {
        Self { device: shown(device), uid, late: BTreeSet::new() }
    }

    /// Looks at all processes, whoever's they are: a container's, a server's.
    pub fn look(&mut self) -> Mapped {
        let Some(device) = self.device.clone() else { return Mapped::default() };
        let looks = move |pid| {
            let groups = File::open("/proc/kpagecgroup").ok();
            // One that ends meanwhile has nothing mapped.
            look(pid, &device, groups.as_ref()).unwrap_or_default()
        };
        let owners =
            holders::all().filter(|pid| !self.late.contains(pid)).map(|pid| (pid, holders::real_uid(pid)));
        let order = in_turn(owners, self.uid);
        self.each(&order, looks)
    }

    /// Processes of which nothing is known.
    pub fn late(&self) -> &BTreeSet<u32> {
        &self.late
    }

    fn each(
        &mut self,
        order: &[(u32, bool)],
        looks: impl Fn(u32) -> Seen + Clone + Send + 'static,
    ) -> Mapped {
        let mut mapped = Mapped::default();
        let end = Instant::now() + ALL;
        let mut listener = None;
        for (pid, is_own) in order {
            let left = end.saturating_duration_since(Instant::now());
            let bound = left.min(if *is_own { OWN } else { EACH });
            if bound.is_zero() {
                self.late.insert(*pid);
                continue;
            }
            let told = listener.take().or_else(|| Listener::begin(looks.clone()));
            let told = told.and_then(|told| Some((told.ask(*pid, bound)?, told)));
            // Whoever is late is left to the thread that listens.
            let Some(((pages, areas, groups), told)) = told else {
                self.late.insert(*pid);
                continue;
            };
            listener = Some(told);
            mapped.pages += pages;
            mapped.groups.extend(groups);
            if !areas.is_empty() {
                mapped.areas.insert(*pid, areas);
            }
        }
        mapped
    }
}

/// A thread that looks at one process after the other.
struct Listener {
    asked: Sender<u32>,
    told: Receiver<Seen>,
}

impl Listener {
    /// `None`: there is no thread for it.
    fn begin(looks: impl Fn(u32) -> Seen + Send + 'static) -> Option<Self> {
        let ((asked, asks), (tells, told)) = (channel(), channel());
        let listen = move || {
            while let Ok(pid) = asks.recv()
                && tells.send(looks(pid)).is_ok()
            {}
        };
        std::thread::Builder::new().spawn(listen).ok()?;
        Some(Self { asked, told })
    }

    /// `None`: it takes longer.
    fn ask(&self, pid: u32, bound: Duration) -> Option<Seen> {
        self.asked.send(pid).ok()?;
        self.told.recv_timeout(bound).ok()
    }
}

/// The order in which processes, each with its user, are looked at, and whether they are this user's: those first, and then one of
/// each other's in turn.
fn in_turn(owners: impl Iterator<Item = (u32, Option<u32>)>, uid: u32) -> Vec<(u32, bool)> {
    let mut before: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    let place = |(pid, owner): (u32, Option<u32>)| {
        let count = before.entry(owner).or_default();
        *count += 1;
        let is_own = owner == Some(uid);
        (if is_own { 0 } else { *count }, pid, is_own)
    };
    let mut order: Vec<_> = owners.map(place).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, pid, is_own)| (pid, is_own)).collect()
}

/// The folders of control groups with these inodes.
pub fn folders(groups: &BTreeSet<u64>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = waiting.pop() {
        if fs::metadata(&folder).is_ok_and(|facts| groups.contains(&facts.ino())) {
            found.push(folder.clone());
        }
        let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
        waiting.extend(
            inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()),
        );
    }
    found
}

fn look(pid: u32, device: &str, groups: Option<&File>) -> io::Result<Seen> {
    let folder = Path::new("/proc").join(pid.to_string());
    let maps = procfs::text(folder.join("maps"))?;
    let areas: Vec<_> = maps.lines().filter_map(|line| area_of(line, device)).collect();
    let (mut pages, mut found) = (0, BTreeSet::new());
    if areas.is_empty() {
        return Ok((pages, areas, found));
    }
    let pagemap = File::open(folder.join("pagemap"))?;
    let size = rustix::param::page_size();
    let mut entries = vec![0; ENTRIES * 8];
    for area in &areas {
        let (mut page, end) = ((area.start / size) as u64, (area.end / size) as u64);
        while page < end {
            let count = usize::try_from(end - page).unwrap_or(ENTRIES).min(ENTRIES);
            let read = pagemap.read_at(&mut entries[..count * 8], page * 8)? / 8;
            if read == 0 {
                break;
            }
            for entry in entries[..read * 8].chunks_exact(8).map(number) {
                if entry & PRESENT != 0 {
                    pages += 1;
                    found.extend(groups.and_then(|groups| group(groups, entry & NUMBER)));
                }
            }
            page += read as u64;
        }
    }
    Ok((pages, areas, found))
}

fn group(groups: &File, page: u64) -> Option<u64> {
    let mut inode = [0; 8];
    groups.read_exact_at(&mut inode, page * 8).ok()?;
    Some(number(&inode)).filter(|inode| *inode != 0)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// A device's number, `major:minor`, as proc_pid_maps(5) has it.
fn shown(device: &str) -> Option<String> {
    let (major, minor) = device.split_once(':')?;
    Some(format!("{:02x}:{:02x}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
}

/// proc_pid_maps(5): `from-to mode offset major:minor inode path`; the addresses from and to, if it is of the device.
fn area_of(line: &str, device: &str) -> Option<Range<usize>> {
    let mut fields = line.split(' ');
    let (from, to) = fields.next()?.split_once('-')?;
    if fields.nth(2)? != device {
        return None;
    }
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(from)?..address(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let line = "4056e000-4066e000 r--s 00000000 00:25 263        /home/alice/mapped";
        let area = |line, device| area_of(line, &shown(device).expect("a device"));
        assert_eq!(area(line, "0:37"), Some(0x4056_e000..0x4066_e000));
        assert_eq!(area(line, "0:38"), None);
        assert_eq!(area("", "0:37"), None);
        assert_eq!(shown("254:300").as_deref(), Some("fe:12c"));
        assert_eq!(shown("x"), None);
    }

    #[test]
    fn our_own_program_is_mapped() {
        let maps = fs::read_to_string("/proc/self/maps").expect("there");
        let program = std::env::current_exe().expect("known").display().to_string();
        let line = maps.lines().find(|line| line.ends_with(&program)).expect("mapped");
        let (major, minor) =
            line.split_whitespace().nth(3).and_then(|d| d.split_once(':')).expect("a device");
        let decimal = |text| u64::from_str_radix(text, 16).expect("a number");
        let device = format!("{}:{}", decimal(major), decimal(minor));
        let mut lookout = Lookout::new(&device, rustix::process::getuid().as_raw());
        let mapped = lookout.look();
        assert!(mapped.pages > 0 && mapped.areas.contains_key(&std::process::id()));
    }

    #[test]
    fn who_tells_late_is_left_out_and_nobody_else() {
        let mut lookout = Lookout::new("8:1", 7);
        // It never tells: as long as this test runs, somebody holds the lock.
        let lock = std::sync::Arc::new(std::sync::Mutex::new(()));
        let held = lock.lock().expect("free");
        let theirs = lock.clone();
        let looks = move |pid| {
            let waits = (pid == 2).then(|| theirs.lock());
            drop(waits);
            (1, vec![0..1, 2..3], BTreeSet::from([u64::from(pid)]))
        };
        let mapped = lookout.each(&[(1, true), (2, false), (3, false)], looks);
        assert_eq!(mapped.areas.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((mapped.pages, mapped.groups), (2, BTreeSet::from([1, 3])));
        assert_eq!(*lookout.late(), BTreeSet::from([2]));
        drop(held);
    }

    #[test]
    fn the_users_own_come_first_and_the_others_take_turns() {
        let owners = [
            (1, Some(0)),
            (2, Some(66)),
            (3, Some(66)),
            (4, Some(66)),
            (5, Some(7)),
            (6, Some(0)),
            (7, None),
        ];
        let order = in_turn(owners.into_iter(), 7);
        assert_eq!(order.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [5, 1, 2, 7, 3, 6, 4]);
        assert!(order[0].1 && !order[1].1);
    }
}
