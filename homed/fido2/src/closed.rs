//! Security keys that are plugged in, and that whoever asks may not open: libfido2 sees none of them. udev gives a key to who sits
//! at the machine (systemd's `60-fido-id.rules`, `70-uaccess.rules`), and leaves it to root otherwise.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How the usage page 0xf1d0 is said in the description of a device's reports (CTAP 2.1, 11.2.8.1; HID 1.11, 6.2.2.7): what makes a
/// device a security key for udev, and for libfido2.
const USAGE_PAGE: [u8; 3] = [0x06, 0xd0, 0xf1];

/// Their paths (`/dev/hidrawN`).
pub fn closed() -> Vec<String> {
    let may_not =
        |path: &Path| File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    keys(Path::new("/sys/class/hidraw"), Path::new("/dev"))
        .into_iter()
        .filter(|path| may_not(path))
        .map(|path| path.display().to_string())
        .collect()
}

/// The devices of all security keys that the kernel has.
fn keys(known: &Path, devices: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(known).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_key = |reports: Vec<u8>| reports.windows(USAGE_PAGE.len()).any(|part| part == USAGE_PAGE);
    let mut keys: Vec<PathBuf> = names
        .filter(|name| std::fs::read(known.join(name).join("device/report_descriptor")).is_ok_and(is_key))
        .map(|name| devices.join(name))
        .collect();
    keys.sort();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_security_key_is_told_from_a_keyboard_without_being_opened() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let known = folder.path();
        let reports: [(&str, &[u8]); 3] = [
            ("hidraw2", &[0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01]),
            ("hidraw0", &[0x05, 0x01, 0x09, 0x06, 0xa1, 0x01]),
            ("hidraw1", &[0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01]),
        ];
        for (name, reports) in reports {
            std::fs::create_dir_all(known.join(name).join("device"))?;
            std::fs::write(known.join(name).join("device/report_descriptor"), reports)?;
        }
        let devices = Path::new("/dev");
        assert_eq!(keys(known, devices), [Path::new("/dev/hidraw1"), Path::new("/dev/hidraw2")]);
        assert!(keys(&known.join("none"), devices).is_empty());
        Ok(())
    }
}
