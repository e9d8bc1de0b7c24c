//! Nothing that is mounted in a tree is removed with it. The test runs itself again where it may mount something.

use std::env;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use copytree::{Error, remove_tree};

/// Where the tree is, in the run that may mount.
const TREE: &str = "COPYTREE_TEST_TREE";

#[test]
fn what_is_mounted_is_not_removed() {
    if let Some(above) = env::var_os(TREE).map(PathBuf::from) {
        let opened = File::open(&above).expect("opened");
        let removed = remove_tree(opened.as_fd(), "tree".as_ref());
        assert!(matches!(removed, Err(Error::Mounted { .. })), "{removed:?}");
        assert!(above.join("tree/inner/file").exists(), "what is mounted stays");
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::create_dir_all(scratch.path().join("tree/inner")).expect("made");
    let script = "mount -t tmpfs tmpfs \"$1/tree/inner\" || exit 77; : > \"$1/tree/inner/file\"; exec \"$0\" \
                  --exact what_is_mounted_is_not_removed --nocapture";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(env::current_exe().expect("a path"))
        .arg(scratch.path())
        .env(TREE, scratch.path())
        .status();
    // A machine that lets nobody mount does not test it.
    let code = status.map_or(Some(77), |status| status.code());
    assert!(matches!(code, Some(0 | 1 | 77)), "{code:?}");
}
