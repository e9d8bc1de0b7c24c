//! What the machine is like, as far as locks depend on it: gathered here, judged in `manager/weakness.rs`.

use crate::manager::weakness::{Groups, Surroundings, Swap, SwapKind, Target, Unit};
use crate::sys::mount;
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Looks at this machine. It may block for a moment.
pub fn look() -> Surroundings {
    let swaps = swaps(Path::new("/"));
    Surroundings {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        erases_freed: erases_freed(),
        zswap: word("/sys/module/zswap/parameters/enabled") == "Y" && !swaps.is_empty(),
        hibernation: hibernation(Path::new("/"), &swaps),
        swaps,
        core_pattern: word("/proc/sys/kernel/core_pattern"),
        secret_memory: crate::sys::probe::has_secret_memory(),
        kernel_cipher: crate::sys::probe::has_kernel_cipher(),
        groups: groups(),
        sleep_states: word("/sys/power/mem_sleep"),
        unit: unit(),
    }
}

/// Where memory would be written to by a hibernation of this machine.
pub fn hibernation_target() -> Target {
    let root = Path::new("/");
    hibernation(root, &swaps(root))
}

fn word(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn erases_freed() -> bool {
    crate::sys::reclaim::is_told_to_overwrite(&word("/proc/cmdline")).unwrap_or_else(built_in_init_on_free)
}

/// A kernel may do so without being told (`CONFIG_INIT_ON_FREE_DEFAULT_ON`); where it does not tell, it does not.
fn built_in_init_on_free() -> bool {
    let config = format!("/boot/config-{}", rustix::system::uname().release().to_string_lossy());
    word(&config).lines().any(|line| line == "CONFIG_INIT_ON_FREE_DEFAULT_ON=y")
}

/// proc_swaps(5): the first word of each line is the device or file. What cannot be told counts as one in the clear.
fn swaps(root: &Path) -> Vec<Swap> {
    let text = match read(&root.join("proc/swaps")) {
        Ok(text) => text,
        Err(why) => return vec![Swap { name: why, kind: SwapKind::Plain }],
    };
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.map(|name| Swap { name: name.to_owned(), kind: kind(root, name) }).collect()
}

/// What the kernel tells there; nothing, if it has no such file. Else why it cannot be told, in the place of a name.
fn read(path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| format!("{} (not to be read: {error})", path.display())),
    }
}

fn kind(root: &Path, name: &str) -> SwapKind {
    if name.starts_with("/dev/zram") {
        return SwapKind::Memory;
    }
    let Ok(facts) = std::fs::metadata(root.join(name.trim_start_matches('/'))) else {
        return SwapKind::Plain;
    };
    let number = if facts.st_rdev() == 0 { facts.st_dev() } else { facts.st_rdev() };
    let device = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let is_of_none = facts.st_rdev() == 0 && rustix::fs::major(number) == 0;
    let encrypted = match is_of_none {
        true => mount::table("self").is_ok_and(|table| is_on_encrypted(root, &table, Path::new(name))),
        false => is_encrypted(root, &device),
    };
    if encrypted { SwapKind::Encrypted } else { SwapKind::Plain }
}

/// The same for a file of a file system that has no device of its own number (btrfs): all devices of that file system are
/// encrypted.
fn is_on_encrypted(root: &Path, table: &[mount::Entry], file: &Path) -> bool {
    // Of two at one place the later is on top.
    let mounts = table.iter().filter(|mount| file.starts_with(&mount.target));
    let Some(mount) = mounts.max_by_key(|mount| mount.target.components().count()) else { return false };
    if mount.kind != "btrfs" {
        return false;
    }
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let Ok(source) = std::fs::canonicalize(below(&mount.source)) else { return false };
    let Some(name) = source.file_name() else { return false };
    let folders = std::fs::read_dir(root.join("sys/fs/btrfs")).into_iter().flatten().flatten();
    let folder =
        folders.map(|entry| entry.path().join("devices")).find(|devices| devices.join(name).exists());
    let entries = folder.map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut devices: Vec<_> = entries.into_iter().flatten().map(|entry| entry.file_name()).collect();
    devices.push(name.to_owned());
    let folder = |device| std::fs::canonicalize(root.join("sys/class/block").join(device));
    devices.into_iter().all(|device| folder(device).is_ok_and(|folder| is_made_of_encrypted(&folder)))
}

/// The device the kernel was told of, or what there is of swap space on disks: systemd chooses from that.
fn hibernation(root: &Path, swaps: &[Swap]) -> Target {
    let told = match read(&root.join("sys/power/resume")) {
        Ok(told) => told,
        Err(why) => return Target::Plain(why),
    };
    match told.trim() {
        "" | "0:0" => {}
        device if is_encrypted(root, device) => return Target::Encrypted,
        device => return Target::Plain(name_of(root, device)),
    }
    let on_disk: Vec<&Swap> = swaps.iter().filter(|swap| swap.kind != SwapKind::Memory).collect();
    match on_disk.iter().find(|swap| swap.kind == SwapKind::Plain) {
        Some(plain) => Target::Plain(plain.name.clone()),
        None if on_disk.is_empty() => Target::Nowhere,
        None => Target::Encrypted,
    }
}

/// Whether a device, `major:minor`, or all that it is made of is dm-crypt's.
fn is_encrypted(root: &Path, device: &str) -> bool {
    let Ok(folder) = std::fs::canonicalize(root.join("sys/dev/block").join(device)) else { return false };
    is_made_of_encrypted(&folder)
}

fn is_made_of_encrypted(folder: &Path) -> bool {
    if std::fs::read_to_string(folder.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return true;
    }
    let below = std::fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten();
    let mut below = below.filter_map(|entry| std::fs::canonicalize(entry.path()).ok()).peekable();
    below.peek().is_some() && below.all(|folder| is_made_of_encrypted(&folder))
}

fn name_of(root: &Path, device: &str) -> String {
    let folder = std::fs::canonicalize(root.join("sys/dev/block").join(device)).ok();
    let name = folder.and_then(|folder| folder.file_name().map(|name| name.to_string_lossy().into_owned()));
    name.map_or_else(|| device.to_owned(), |name| format!("/dev/{name}"))
}

fn groups() -> Groups {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.controllers").exists() {
        return Groups::Old;
    }
    // Only groups below the first have the file.
    let has = |name: &str| root.join(name).join("memory.reclaim").exists();
    if has("system.slice") || has("user.slice") || !root.join("system.slice").exists() {
        Groups::Reclaim
    } else {
        Groups::NoReclaim
    }
}

fn unit() -> Unit {
    if !Path::new("/run/systemd/system").is_dir() {
        return Unit::NoSystemd;
    }
    let said = Command::new("systemctl")
        .args(["is-enabled", "homed-lock.service"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match said.as_ref().map(|output| output.stdout.trim_ascii()) {
        Ok(b"enabled" | b"enabled-runtime" | b"static") => Unit::Enabled,
        Ok(b"masked" | b"masked-runtime") => Unit::Masked,
        Ok(_) | Err(_) => Unit::NotEnabled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree with a partition, dm-crypt on it, and LVM on that; `8:2`, `253:0`, `253:1`.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        let at = |path: &str| root.path().join(path);
        for folder in [
            "proc",
            "sys/power",
            "sys/dev/block",
            "sys/block/sda2/slaves",
            "sys/block/dm-0/dm",
            "sys/block/dm-0/slaves",
            "sys/block/dm-1/dm",
            "sys/block/dm-1/slaves",
        ] {
            std::fs::create_dir_all(at(folder)).expect("made");
        }
        for (device, name) in [("8:2", "sda2"), ("253:0", "dm-0"), ("253:1", "dm-1")] {
            symlink(at(&format!("sys/block/{name}")), at(&format!("sys/dev/block/{device}")))
                .expect("linked");
        }
        std::fs::write(at("sys/block/dm-0/dm/uuid"), "CRYPT-LUKS2-0123-swap\n").expect("written");
        std::fs::write(at("sys/block/dm-1/dm/uuid"), "LVM-abc\n").expect("written");
        symlink(at("sys/block/sda2"), at("sys/block/dm-0/slaves/sda2")).expect("linked");
        symlink(at("sys/block/dm-0"), at("sys/block/dm-1/slaves/dm-0")).expect("linked");
        root
    }

    #[test]
    fn a_device_is_encrypted_if_all_below_it_is() {
        let root = tree();
        assert!(is_encrypted(root.path(), "253:0"));
        assert!(is_encrypted(root.path(), "253:1"));
        assert!(!is_encrypted(root.path(), "8:2"));
        assert!(!is_encrypted(root.path(), "9:9"));
        // A second, plain part below.
        symlink(root.path().join("sys/block/sda2"), root.path().join("sys/block/dm-1/slaves/sda2"))
            .expect("linked");
        assert!(!is_encrypted(root.path(), "253:1"));
    }

    #[test]
    fn a_swap_file_on_btrfs_is_as_encrypted_as_all_devices_of_its_file_system() {
        let root = tree();
        let at = |path: &str| root.path().join(path);
        for folder in ["dev/mapper", "sys/fs/btrfs/0123/devices", "sys/class/block"] {
            std::fs::create_dir_all(at(folder)).expect("made");
        }
        for name in ["sda2", "dm-0", "dm-1"] {
            std::fs::write(at(&format!("dev/{name}")), "").expect("written");
            symlink(at(&format!("sys/block/{name}")), at(&format!("sys/class/block/{name}")))
                .expect("linked");
        }
        symlink(at("dev/dm-0"), at("dev/mapper/root")).expect("linked");
        let add = |name: &str| {
            symlink(at(&format!("sys/block/{name}")), at(&format!("sys/fs/btrfs/0123/devices/{name}")))
                .expect("linked");
        };
        let entry = |target: &str, kind: &str, source: &str| mount::Entry {
            id: 0,
            parent: 0,
            root: "/".into(),
            target: target.into(),
            attributes: String::new(),
            device: "0:35".into(),
            kind: kind.into(),
            source: source.into(),
            options: String::new(),
        };
        let table = [
            entry("/", "ext4", "/dev/sda2"),
            entry("/swap", "btrfs", "/dev/mapper/root"),
            entry("/plain", "btrfs", "/dev/sda2"),
            entry("/swap/more", "overlay", "overlay"),
        ];
        let encrypted = |file: &str| is_on_encrypted(root.path(), &table, Path::new(file));
        add("dm-0");
        assert!(encrypted("/swap/file"));
        assert!(!encrypted("/swap/more/file") && !encrypted("/plain/file") && !encrypted("/file"));
        assert!(!is_on_encrypted(root.path(), &[], Path::new("/swap/file")));
        add("dm-1");
        assert!(encrypted("/swap/file"));
        // One that was added later is plain.
        add("sda2");
        assert!(!encrypted("/swap/file"));
    }

    #[test]
    fn a_hibernation_goes_to_the_device_it_was_told_or_to_swap() {
        let root = tree();
        let resume =
            |text: &str| std::fs::write(root.path().join("sys/power/resume"), text).expect("written");
        let swap = |kind| [Swap { name: "/dev/x".into(), kind }];
        let target = |swaps: &[Swap]| hibernation(root.path(), swaps);
        resume("253:1\n");
        assert_eq!(target(&[]), Target::Encrypted);
        resume("8:2\n");
        assert_eq!(target(&[]), Target::Plain("/dev/sda2".into()));
        resume("0:0\n");
        assert_eq!(target(&[]), Target::Nowhere);
        assert_eq!(target(&swap(SwapKind::Memory)), Target::Nowhere);
        assert_eq!(target(&swap(SwapKind::Encrypted)), Target::Encrypted);
        assert_eq!(target(&swap(SwapKind::Plain)), Target::Plain("/dev/x".into()));
        // What cannot be read is not nowhere; what is not there is.
        for (file, path) in [("resume", "sys/power/resume"), ("swaps", "proc/swaps")] {
            let path = root.path().join(path);
            std::fs::remove_file(&path)
                .or_else(|_| std::fs::create_dir_all(path.parent().expect("below")))
                .expect("gone");
            assert_eq!(hibernation(root.path(), &swaps(root.path())), Target::Nowhere, "{file}");
            std::fs::create_dir(&path).expect("made");
            let plain = hibernation(root.path(), &swaps(root.path()));
            assert!(matches!(&plain, Target::Plain(why) if why.contains(file)), "{plain:?}");
            std::fs::remove_dir(&path).expect("removed");
        }
    }
}
