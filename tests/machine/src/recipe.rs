//! What the image is made of: the files under `image/`, carried in this program and known by their digest.

use std::fs;
use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

const FILES: [(&str, &str); 10] = [
    ("packages", include_str!("../image/packages")),
    ("preferences", include_str!("../image/preferences")),
    ("modules", include_str!("../image/modules")),
    ("build.sh", include_str!("../image/build.sh")),
    ("configure.sh", include_str!("../image/configure.sh")),
    ("layer.sh", include_str!("../image/layer.sh")),
    ("init.sh", include_str!("../image/init.sh")),
    ("runner.sh", include_str!("../image/runner.sh")),
    ("runner.service", include_str!("../image/runner.service")),
    ("launch.sh", include_str!("../image/launch.sh")),
];

/// What the machine with a screen has besides.
const SCREEN: [(&str, &str); 5] = [
    ("packages", include_str!("../image/screen/packages")),
    ("build.sh", include_str!("../image/screen/build.sh")),
    ("initrd.sh", include_str!("../image/screen/initrd.sh")),
    ("runner.sh", include_str!("../image/screen/runner.sh")),
    ("launch.sh", include_str!("../image/screen/launch.sh")),
];

/// What makes Debian testing of it.
const TESTING: [(&str, &str); 1] = [("build.sh", include_str!("../image/testing/build.sh"))];

/// What gives it an older kernel.
const OLD_KERNEL: [(&str, &str); 1] = [("build.sh", include_str!("../image/old-kernel/build.sh"))];

/// What the machine with a desktop has besides.
const DESKTOP: [(&str, &str); 2] = [
    ("packages", include_str!("../image/desktop/packages")),
    ("build.sh", include_str!("../image/desktop/build.sh")),
];

/// The digest of the whole recipe: another recipe, another place in the cache.
pub fn digest() -> String {
    digest_of(&FILES)
}

/// The digest of what the machine with a screen has besides.
pub fn screen_digest() -> String {
    digest_of(&SCREEN)
}

/// The digest of what makes Debian testing of it.
pub fn testing_digest() -> String {
    digest_of(&TESTING)
}

/// The digest of what gives it an older kernel.
pub fn old_kernel_digest() -> String {
    digest_of(&OLD_KERNEL)
}

/// The digest of what the machine with a desktop has besides.
pub fn desktop_digest() -> String {
    digest_of(&DESKTOP)
}

fn digest_of(files: &[(&str, &str)]) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    hexadecimal(&hash.finalize())[..16].to_owned()
}

/// Puts the files into `folder`.
pub fn write(folder: &Path) -> Result<()> {
    write_files(folder, &FILES)
}

/// Puts those of the machine with a screen into `folder`.
pub fn write_screen(folder: &Path) -> Result<()> {
    write_files(folder, &SCREEN)
}

/// Puts those that make Debian testing of it into `folder`.
pub fn write_testing(folder: &Path) -> Result<()> {
    write_files(folder, &TESTING)
}

/// Puts those that give it an older kernel into `folder`.
pub fn write_old_kernel(folder: &Path) -> Result<()> {
    write_files(folder, &OLD_KERNEL)
}

/// Puts those of the machine with a desktop into `folder`.
pub fn write_desktop(folder: &Path) -> Result<()> {
    write_files(folder, &DESKTOP)
}

fn write_files(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in files {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
