//! Where the kernel has security keys and the readers of smart cards (sysfs(5)).

use std::fs;
use std::path::{Path, PathBuf};

/// All USB devices, and their interfaces.
const USB: &str = "/sys/bus/usb/devices";
const HIDRAW: &str = "/sys/class/hidraw";
/// The class of a reader's interface (USB: "Smart Card", CCID).
const SMART_CARD: &str = "0b";

/// The device behind a node `/dev/hidrawN`. Its path in sysfs has a number that counts on with each time something is plugged in.
pub fn of_node(node: &Path) -> Option<PathBuf> {
    // Keys of tests are sockets.
    if let Some(socket) = node.to_str()?.strip_prefix("unix:") {
        return Some(socket.into());
    }
    fs::canonicalize(Path::new(HIDRAW).join(node.file_name()?)).ok()
}

/// The reader of smart cards, where there is one and no other. A token for USB that is both is one as well.
pub fn only_reader() -> Option<PathBuf> {
    only_reader_in(Path::new(USB))
}

fn only_reader_in(folder: &Path) -> Option<PathBuf> {
    let interfaces = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_reader = |interface: &PathBuf| {
        let class = fs::read_to_string(interface.join("bInterfaceClass"));
        class.is_ok_and(|class| class.trim() == SMART_CARD)
    };
    // An interface lies in the folder of its device.
    let mut devices: Vec<PathBuf> = interfaces
        .filter(is_reader)
        .filter_map(|interface| Some(fs::canonicalize(interface).ok()?.parent()?.to_owned()))
        .collect();
    devices.sort();
    devices.dedup();
    if devices.len() == 1 { devices.pop() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_known_where_there_is_one_alone() {
        let root = tempfile::tempdir().expect("scratch folder");
        let (devices, bus) = (root.path().join("devices"), root.path().join("bus"));
        fs::create_dir_all(&bus).expect("made");
        let plug = |device: &str, interface: &str, class: &str| {
            let folder = devices.join(device).join(interface);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("bInterfaceClass"), format!("{class}\n")).expect("written");
            std::os::unix::fs::symlink(&folder, bus.join(interface)).expect("linked");
        };
        assert_eq!(only_reader_in(&bus), None);
        plug("1-1", "1-1:1.0", "03");
        assert_eq!(only_reader_in(&bus), None);
        plug("1-2", "1-2:1.0", "0b");
        plug("1-2", "1-2:1.1", "0b");
        assert_eq!(only_reader_in(&bus), fs::canonicalize(devices.join("1-2")).ok());
        plug("1-3", "1-3:1.0", "0b");
        assert_eq!(only_reader_in(&bus), None, "it may be in either");
        assert_eq!(of_node(Path::new("unix:/run/a")), Some("/run/a".into()));
        assert_eq!(of_node(Path::new("/dev/hidraw-none")), None);
    }
}
