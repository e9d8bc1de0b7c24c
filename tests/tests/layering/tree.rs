//! The project's files, as they lie on the disk.

use super::source::Source;
use std::path::Path;
use std::sync::LazyLock;

/// Folders that hold nothing written by hand.
const SKIPPED: &[&str] = &["target", ".git", "corpus", "artifacts"];

/// The project's top folder.
pub fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every file whose name ends so, below the top folder: path and text, in the order of the paths.
fn files(ending: &str) -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![top().to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_symlink() || SKIPPED.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path).expect("a text");
                let below = path.strip_prefix(top()).expect("below the top");
                found.push((below.to_str().expect("UTF-8").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// All Rust sources, read once.
pub fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> =
        LazyLock::new(|| files(".rs").into_iter().map(|(path, text)| Source::new(path, &text)).collect());
    &SOURCES
}

/// All manifests of packages: path and text.
pub fn manifests() -> Vec<(String, String)> {
    let mut manifests = files("Cargo.toml");
    manifests.retain(|(_, text)| text.contains("[package]"));
    manifests
}
