//! What tests compare with a file in `golden/`, for a reviewer to read: `HOMED_GOLDEN=write` writes it anew.

use std::path::Path;

/// Fails unless the file of that name has this text.
pub fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("HOMED_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let golden = std::fs::read_to_string(&path).expect("there is one");
    assert_eq!(text, golden, "{name}");
}
