//! Pages of files that processes have mapped: whose they are, and how many are left.
//!
//! The kernel throws out pages by control group, and a page belongs to the group of who touched it first, which
//! need not be the one that has it mapped. proc(5) tells: `maps` → `pagemap` → `kpagecgroup`.

use super::{holders, procfs};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Entries of `pagemap` that are read at a time.
const ENTRIES: usize = 8192;
/// Bit 63 of an entry: the page is in memory. Bits 0 to 54: its number.
const PRESENT: u64 = 1 << 63;
const NUMBER: u64 = (1 << 55) - 1;

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

/// Looks at all processes, whoever's they are: a container's, a server's. `device` is the file system's `major:minor` in the
/// table of mounts. (What stat(2) gives is another with btrfs.)
pub fn of(device: &str) -> Mapped {
    let mut mapped = Mapped::default();
    let Some(device) = shown(device) else { return mapped };
    let groups = File::open("/proc/kpagecgroup").ok();
    for pid in holders::all() {
        // One that ends meanwhile has nothing mapped.
        let _ = look(pid, &device, groups.as_ref(), &mut mapped);
    }
    mapped
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

fn look(pid: u32, device: &str, groups: Option<&File>, mapped: &mut Mapped) -> io::Result<()> {
    let folder = Path::new("/proc").join(pid.to_string());
    let maps = procfs::text(folder.join("maps"))?;
    let areas: Vec<_> = maps.lines().filter_map(|line| area_of(line, device)).collect();
    if areas.is_empty() {
        return Ok(());
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
                    mapped.pages += 1;
                    mapped.groups.extend(groups.and_then(|groups| group(groups, entry & NUMBER)));
                }
            }
            page += read as u64;
        }
    }
    mapped.areas.insert(pid, areas);
    Ok(())
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
        let mapped = of(&device);
        assert!(mapped.pages > 0 && mapped.areas.contains_key(&std::process::id()));
    }
}
