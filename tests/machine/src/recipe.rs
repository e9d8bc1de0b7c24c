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

/// The digest of the whole recipe: another recipe, another place in the cache.
pub fn digest() -> String {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    hexadecimal(&hash.finalize())[..16].to_owned()
}

/// Puts the files into `folder`.
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in FILES {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
