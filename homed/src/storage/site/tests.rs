use super::*;
use records::machine::{HostName, MachineId};
use records::{Machine, Record, Sections};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// A folder on a disk (`/tmp` may be in memory).
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = tempfile::tempdir_in(beside).expect("made");
    let path = folder.path().canonicalize().expect("there");
    (folder, path)
}

fn spec(image: &Path, home: &Path) -> Spec {
    let record = json!({"userName": "ip1", "imagePath": image, "homeDirectory": home}).to_string();
    let machine = Machine {
        id: MachineId::parse("11111111111111111111111111111111").expect("valid"),
        host: HostName("box".into()),
    };
    Spec::of(&Record::parse(&record, Sections::EMBEDDED).expect("valid"), &machine).expect("valid")
}

/// What is said against these places; nothing where they are fine.
fn said(image: &Path, home: &Path, others: &[Neighbour]) -> Option<(Refusal, String)> {
    match examine(&spec(image, home), others, MountPoint::Empty) {
        Ok(()) => None,
        Err(Failure::Refused(refused)) => Some((refused.refusal, refused.sentence)),
        Err(Failure::Fault(chain)) => panic!("a fault: {chain}"),
    }
}

#[test]
fn what_is_in_the_image_s_place_is_named() {
    let (_folder, root) = scratch();
    let home = root.join("h");
    fs::create_dir(root.join("folder")).expect("made");
    fs::write(root.join("file"), "x").expect("written");
    symlink(root.join("file"), root.join("link")).expect("linked");
    symlink("/no/such", root.join("dangling")).expect("linked");
    for (image, words) in [
        (Path::new("/dev/nosuch").to_owned(), "is the device plugged in"),
        ("/dev/disk/nosuch/x".into(), "is it plugged in"),
        ("/dev/null".into(), "is a character device"),
        ("/dev/shm/x.home".into(), "in memory (tmpfs)"),
        ("/proc/x".into(), "no place for files (proc)"),
        ("/no/such/x.home".into(), "has no \"no\""),
        (root.join("folder"), "is a folder"),
        (root.join("file"), "is not a home"),
        (root.join("file/x"), "is not a folder"),
        (root.join("link"), "is a symbolic link"),
        (root.join("dangling"), "is a symbolic link"),
        (home.clone(), "below its own home"),
        (home.join("x.home"), "has no \"h\""),
    ] {
        let (refusal, sentence) = said(&image, &home, &[]).expect("refused");
        assert!(sentence.contains(words), "{}: {sentence}", image.display());
        // Nothing to remove and nothing to activate is there.
        assert_eq!(refusal, Refusal::InvalidArgs, "{sentence}");
    }
    assert_eq!(said(&root.join("x.home"), &home, &[]), None);
}

#[test]
fn an_image_is_called_after_its_partition() {
    let (_folder, root) = scratch();
    let make = |name: &str| {
        let table = gpt::Table::covering(8 << 20, 512, uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), name);
        let file = File::create(root.join("image")).expect("made");
        file.set_len(8 << 20).expect("sized");
        for (offset, bytes) in table.pieces() {
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, offset).expect("written");
        }
    };
    make("bob");
    let (refusal, sentence) = said(&root.join("image"), &root.join("h"), &[]).expect("refused");
    assert_eq!(refusal, Refusal::InvalidArgs);
    assert!(sentence.contains("image of bob's home"), "{sentence}");
    make("ip1");
    assert_eq!(said(&root.join("image"), &root.join("h"), &[]).expect("refused").0, Refusal::HomeExists);
}

#[test]
fn a_mount_point_that_opening_would_refuse_is_refused() {
    let (_folder, root) = scratch();
    let image = root.join("x.home");
    fs::create_dir_all(root.join("full/x")).expect("made");
    fs::create_dir(root.join("empty")).expect("made");
    fs::write(root.join("file"), "x").expect("written");
    symlink(root.join("empty"), root.join("link")).expect("linked");
    for (home, words) in [
        (root.join("new/deep"), "has no \"new\""),
        (root.join("full"), "is not empty"),
        (root.join("file"), "is not a folder"),
        (root.join("link"), "is a symbolic link"),
        ("/proc/x".into(), "no place for files"),
        ("/dev/x".into(), "in memory"),
        ("/proc".into(), "is mounted at /proc already"),
    ] {
        let (refusal, sentence) = said(&image, &home, &[]).expect("refused");
        assert!(sentence.contains(words), "{}: {sentence}", home.display());
        assert_eq!(refusal, Refusal::InvalidArgs);
    }
    for home in ["empty", "new"] {
        assert_eq!(said(&image, &root.join(home), &[]), None);
    }
}

#[test]
fn other_homes_are_known_whatever_path_leads_to_them() {
    let (_folder, root) = scratch();
    fs::create_dir_all(root.join("real/bob")).expect("made");
    fs::write(root.join("real/bob.image"), "x").expect("written");
    fs::hard_link(root.join("real/bob.image"), root.join("real/second")).expect("linked");
    symlink(root.join("real"), root.join("other")).expect("linked");
    let real = root.join("real");
    let bob =
        Neighbour { user: "bob".into(), image: real.join("bob.image"), home_directory: real.join("bob") };
    let by = root.join("other");
    for (image, home, words) in [
        (by.join("x.home"), by.join("bob"), "is the home directory of bob"),
        (by.join("x.home"), by.join("bob/sub"), "lies in the home directory of bob"),
        (by.join("bob/x.home"), root.join("h"), "who could remove it"),
        (by.join("bob.image"), root.join("h"), "is the image of bob's home"),
        (real.join("second"), root.join("h"), "is the image of bob's home"),
    ] {
        let (_, sentence) = said(&image, &home, std::slice::from_ref(&bob)).expect("refused");
        assert!(sentence.contains(words), "{} {}: {sentence}", image.display(), home.display());
    }
    // A closed home whose parts are not there yet, too.
    let carol =
        Neighbour { user: "carol".into(), image: real.join("c.home"), home_directory: real.join("c") };
    let (_, sentence) =
        said(&by.join("c.home"), &root.join("h"), std::slice::from_ref(&carol)).expect("refused");
    assert!(sentence.contains("is the image of carol's home"), "{sentence}");
    // A folder that is reached by a link is as good as any.
    assert_eq!(said(&by.join("x.home"), &by.join("x"), &[bob, carol]), None);
}
