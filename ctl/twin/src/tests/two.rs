//! What a user sees of it.

use super::*;
use crate::copies::{Chosen, Side, choose, copies};
use std::os::unix::fs::symlink;

fn same(two: &Two) {
    assert_eq!(listing(&two.first), listing(&two.second));
    let (outcome, _) = two.sync();
    assert_eq!((outcome.here, outcome.there, outcome.moved), (0, 0, 0), "{outcome:?}");
}

#[test]
fn what_one_has_the_other_gets_with_all_that_belongs_to_it() {
    let two = Two::new();
    fs::create_dir_all(two.first.join("a/b")).expect("made");
    write(&two.first, "a/b/file", "text");
    fs::set_permissions(two.first.join("a/b/file"), fs::Permissions::from_mode(0o4751)).expect("mode");
    fs::set_permissions(two.first.join("a/b"), fs::Permissions::from_mode(0o555)).expect("mode");
    symlink("/etc/passwd", two.first.join("a/link")).expect("linked");
    let times = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_500_000_007));
    fs::File::options()
        .write(true)
        .open(two.first.join("a/b/file"))
        .expect("opened")
        .set_times(times)
        .expect("set");
    let file = fs::File::open(two.first.join("a/b/file")).expect("opened");
    rustix::fs::fsetxattr(&file, "user.note", b"mine", rustix::fs::XattrFlags::empty()).expect("set");
    drop(file);
    write(&two.second, "theirs", "other");
    let (first, second) = two.sync();
    assert_eq!((first.here, first.there, second.here, second.there), (1, 4, 4, 1));
    assert_eq!((first.host.as_str(), second.host.as_str()), ("two", "one"));
    // The set-ID bit stays at home; all else is the same.
    assert_eq!(listing(&two.second)["a/b/file"], "file 751 (1, 500000007) text");
    fs::set_permissions(two.first.join("a/b/file"), fs::Permissions::from_mode(0o751)).expect("mode");
    let mut room = [0; 16];
    let there = fs::File::open(two.second.join("a/b/file")).expect("opened");
    let length = rustix::fs::fgetxattr(&there, "user.note", &mut room[..]).expect("there");
    assert_eq!(&room[..length], b"mine");
    same(&two);
}

#[test]
fn changes_go_both_ways_and_so_does_what_is_gone() {
    let two = Two::new();
    for name in ["a", "b", "c", "d"] {
        write(&two.first, name, name);
    }
    fs::create_dir(two.first.join("folder")).expect("made");
    write(&two.first, "folder/x", "x");
    two.sync();
    write(&two.first, "a", "changed here");
    write(&two.second, "b", "changed there");
    fs::remove_file(two.first.join("c")).expect("removed");
    fs::remove_dir_all(two.second.join("folder")).expect("removed");
    fs::remove_file(two.second.join("d")).expect("removed");
    fs::create_dir(two.second.join("d")).expect("made");
    write(&two.second, "d/inside", "now a folder");
    let (first, _) = two.sync();
    assert!(first.undone.is_empty() && first.copies.is_empty(), "{first:?}");
    assert_eq!((first.gone_here, first.gone_there), (2, 1));
    let names: Vec<String> = listing(&two.first).into_keys().collect();
    assert_eq!(names, ["a", "b", "d", "d/inside"]);
    same(&two);
}

#[test]
fn what_both_have_changed_is_kept_twice_and_chosen_from() {
    let two = Two::new();
    fs::create_dir(two.first.join("d")).expect("made");
    write(&two.first, "d/x", "x");
    two.sync();
    write(&two.first, "d/x", "of one");
    write(&two.second, "d/x", "of two, later");
    // A folder here, a file there; deleted here, changed there.
    fs::create_dir(two.first.join("y")).expect("made");
    write(&two.first, "y/in", "in");
    write(&two.second, "y", "a file");
    let (first, second) = two.sync();
    assert_eq!(first.copies, second.copies);
    let copy = format!("d/x.from-one-{MOMENT}");
    for home in [&two.first, &two.second] {
        assert_eq!((read(home, "d/x").as_str(), read(home, &copy).as_str()), ("of two, later", "of one"));
        assert_eq!(
            (read(home, "y/in").as_str(), read(home, &format!("y.from-two-{MOMENT}")).as_str()),
            ("in", "a file")
        );
    }
    same(&two);
    // Chosen at the first: what it had itself. The folder stays, whoever wants the file.
    let found = copies(top(&two.first), b"").expect("listed");
    let paths: Vec<_> = found.iter().map(|copy| String::from_utf8_lossy(&copy.path).into_owned()).collect();
    assert_eq!(paths, [copy.clone(), format!("y.from-two-{MOMENT}")]);
    let chosen = |copy, side| choose(top(&two.first), copy, side, ("one", &[1; 32])).expect("looked");
    assert_eq!(chosen(&found[0], Side::Here), Chosen::Done);
    assert_eq!(chosen(&found[1], Side::There), Chosen::Folder);
    assert_eq!(chosen(&found[1], Side::Here), Chosen::Done);
    two.sync();
    assert_eq!(read(&two.second, "d/x"), "of one");
    assert!(copies(top(&two.second), b"").expect("listed").is_empty());
    same(&two);
}

#[test]
fn what_is_deleted_here_and_changed_there_comes_back() {
    let two = Two::new();
    fs::create_dir_all(two.first.join("d/e")).expect("made");
    for name in ["d/e/x", "d/e/y", "z"] {
        write(&two.first, name, name);
    }
    two.sync();
    fs::remove_dir_all(two.first.join("d")).expect("removed");
    write(&two.second, "d/e/x", "still wanted");
    fs::remove_file(two.second.join("z")).expect("removed");
    write(&two.first, "z", "wanted, too");
    let (first, _) = two.sync();
    assert!(first.copies.is_empty(), "{first:?}");
    let names: Vec<String> = listing(&two.first).into_keys().collect();
    assert_eq!(names, ["d", "d/e", "d/e/x", "z"]);
    same(&two);
}

#[test]
fn what_a_program_writes_to_waits_and_what_cannot_be_read_is_not_taken_for_gone() {
    let two = Two::new();
    for name in ["busy", "other"] {
        write(&two.first, name, name);
    }
    two.sync();
    let busy = fs::File::options().append(true).open(two.second.join("busy")).expect("opened");
    write(&two.first, "busy", "changed here");
    let (first, _) = two.sync();
    // (What the second has of it was read before, unless it is fresh: then it is left from the beginning.)
    assert!(first.undone.len() + first.left.len() <= 1, "{first:?}");
    assert_eq!(read(&two.second, "busy"), "busy");
    drop(busy);
    two.sync();
    assert_eq!(read(&two.second, "busy"), "changed here");
    same(&two);
    // A socket in the place of a file: whatever it is, nothing happens to the file at the other end.
    fs::remove_file(two.first.join("other")).expect("removed");
    let _socket = std::os::unix::net::UnixListener::bind(two.first.join("other")).expect("bound");
    let (first, _) = two.sync();
    assert_eq!(first.left, [(b"other".to_vec(), crate::Why::Special)]);
    assert_eq!(read(&two.second, "other"), "other");
}

#[test]
fn two_homes_that_never_met_lose_nothing() {
    let two = Two::new();
    for (name, here, there) in [("same", "same", "same"), ("differs", "of one", "of two, which is later")] {
        write(&two.first, name, here);
        write(&two.second, name, there);
    }
    fs::set_permissions(two.first.join("same"), fs::Permissions::from_mode(0o640)).expect("mode");
    fs::set_permissions(two.second.join("same"), fs::Permissions::from_mode(0o604)).expect("mode");
    let (first, _) = two.sync();
    assert_eq!(first.copies.len(), 1, "{first:?}");
    assert!(listing(&two.first)["same"].starts_with("file 600 "), "what both give");
    same(&two);
    // The first has lost what it knew of the second.
    fs::remove_dir_all(two.first.join(".homed-sync")).expect("removed");
    fs::remove_file(two.first.join("same")).expect("removed");
    write(&two.first, "differs", "once more");
    let (first, _) = two.sync();
    assert_eq!((first.gone_there, first.copies.len()), (0, 1), "{first:?}");
    same(&two);
}

#[test]
fn moved_files_and_what_has_arrived_do_not_go_over_the_line_again() {
    let two = Two::new();
    write(&two.first, "large", &"0123456789".repeat(200_000));
    let mut left = 3;
    let mut stop = |event: Event| match event {
        Event::Moved(_)
            if {
                left -= 1;
                left == 0
            } =>
        {
            Err(Failure::Stopped)
        }
        _ => Ok(()),
    };
    let (first, second) = two.sync_with(&mut stop, &mut |_| Ok(()));
    assert!(first.is_err() && second.is_err());
    let (first, _) = two.sync();
    assert!(first.moved > 0 && first.moved < 1_900_000, "it goes on where it was: {}", first.moved);
    fs::create_dir(two.first.join("folder")).expect("made");
    fs::rename(two.first.join("large"), two.first.join("folder/large")).expect("renamed");
    let (first, _) = two.sync();
    assert_eq!((first.moved, first.gone_there), (0, 1));
    same(&two);
}

#[test]
fn what_is_changed_while_it_is_on_its_way_is_not_exchanged() {
    let two = Two::new();
    for name in ["a", "b"] {
        write(&two.first, name, name);
    }
    two.sync();
    write(&two.first, "a", "from the first");
    fs::remove_file(two.first.join("b")).expect("removed");
    let second = two.second.clone();
    let mut once = false;
    let mut meanwhile = move |event| {
        if event == Event::Step && !once {
            once = true;
            write(&second, "a", "meanwhile");
            write(&second, "b", "meanwhile");
        }
        Ok(())
    };
    let (first, second) = two.sync_with(&mut |_| Ok(()), &mut meanwhile);
    let (first, second) = (first.expect("the first end"), second.expect("the second end"));
    assert_eq!((first.undone.len(), second.undone.len()), (2, 2), "{first:?} {second:?}");
    assert_eq!((read(&two.second, "a"), read(&two.second, "b")), ("meanwhile".into(), "meanwhile".into()));
    let (first, _) = two.sync();
    assert_eq!(first.copies.len(), 1, "{first:?}");
    same(&two);
}

#[test]
fn what_has_arrived_and_was_lost_with_the_power_is_not_believed() {
    let two = Two::new();
    write(&two.first, "a", "text");
    two.sync();
    write(&two.first, "b", "what is right");
    let part = two.second.join(".homed-sync/part").join(blake3::hash(b"what is right").to_hex().as_str());
    fs::write(part, "what is wrong").expect("written");
    two.sync();
    assert_eq!(read(&two.second, "b"), "what is right");
    same(&two);
}

#[test]
fn what_its_user_wants_left_stays_on_both() {
    let two = Two::new();
    for home in [&two.first, &two.second] {
        fs::create_dir(home.join(".cache")).expect("made");
        write(home, ".cache/x", &home.display().to_string());
    }
    write(&two.first, "history", "both");
    two.sync();
    assert_ne!(read(&two.first, ".cache/x"), read(&two.second, ".cache/x"));
    // It is enough that one of them says so; the other hears of it on the way.
    fs::create_dir_all(two.first.join(".config/homed")).expect("made");
    write(&two.first, ".config/homed/sync-leave", "# mine\n ~/history\nd/\n../x\n\n");
    write(&two.first, "history", "of one");
    write(&two.second, "history", "of two");
    fs::create_dir(two.second.join("d")).expect("made");
    write(&two.second, "d/x", "x");
    let (first, second) = two.sync();
    assert!(
        first.copies.is_empty() && first.left.is_empty() && second.undone.is_empty(),
        "{first:?} {second:?}"
    );
    fs::remove_file(two.first.join("history")).expect("removed");
    two.sync();
    assert_eq!(read(&two.second, "history"), "of two");
    assert_eq!((two.first.join("d/x").exists(), two.second.join("d/x").exists()), (false, true));
    assert_eq!(read(&two.second, ".config/homed/sync-leave"), read(&two.first, ".config/homed/sync-leave"));
    // Whoever does not wish it any more, and has no other wish, has the caches made the same, too.
    write(&two.second, ".config/homed/sync-leave", "");
    two.sync();
    two.sync();
    same(&two);
}

#[test]
fn what_lies_too_deep_stays_and_nothing_else_does() {
    let two = Two::new();
    let name = "n".repeat(200);
    let mut folder = top(&two.first);
    for _ in 0..22 {
        rustix::fs::mkdirat(&folder, &*name, Mode::RWXU).expect("made");
        rustix::fs::mkdirat(&folder, "z", Mode::RWXU).expect("made");
        folder = rustix::fs::openat(&folder, &*name, OFlags::RDONLY, Mode::empty()).expect("opened");
    }
    let (first, _) = two.sync();
    assert_eq!((first.there, first.undone.len()), (18 + 19, 0), "{first:?}");
    let (first, _) = two.sync();
    assert_eq!((first.there, first.here), (0, 0), "{first:?}");
}

#[test]
fn many_files_take_few_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let most = rustix::process::Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, most).expect("fewer");
    let two = Two::new();
    for number in 0..200 {
        write(&two.first, &format!("here-{number}"), &format!("{number} here"));
        write(&two.second, &format!("there-{number}"), &format!("{number} there"));
    }
    two.sync();
    same(&two);
}

#[test]
fn who_goes_on_after_a_cut_has_no_conflict() {
    let mut copies = 0;
    for cut in 1..200 {
        let two = Two::new();
        write(&two.first, "a", "before");
        write(&two.first, "b", "before");
        two.sync();
        write(&two.first, "a", "once");
        fs::remove_file(two.first.join("b")).expect("removed");
        let mut left = cut;
        let mut cuts = |_| {
            left -= 1;
            if left == 0 { Err(Failure::Stopped) } else { Ok(()) }
        };
        let (_, second) = two.sync_with(&mut |_| Ok(()), &mut cuts);
        if second.is_ok() {
            assert!(cut > 10, "it is cut at all: {cut}");
            assert!(copies <= 1, "only between the one pair and the other: {copies}");
            return;
        }
        write(&two.first, "a", "twice");
        write(&two.first, "b", "again");
        two.sync();
        assert_eq!(
            (read(&two.second, "a"), read(&two.second, "b")),
            ("twice".into(), "again".into()),
            "{cut}"
        );
        copies += copies_in(&two.second);
        same(&two);
    }
    panic!("it has no end");
}

fn copies_in(home: &Path) -> usize {
    copies(top(home), b"").expect("listed").len()
}

/// Weeks of work on what was kept are no side's.
#[test]
fn what_was_written_after_a_copy_was_kept_is_not_given_up_for_it() {
    let two = Two::new();
    write(&two.first, "x", "of one");
    write(&two.second, "x", "of two, later");
    two.sync();
    write(&two.first, "x", "weeks of work");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(two.first.join("x")).expect("opened");
    file.set_modified(later).expect("set");
    let found = copies(top(&two.first), b"").expect("listed");
    let chosen = choose(top(&two.first), &found[0], Side::Here, ("one", &[1; 32])).expect("looked");
    assert_eq!((chosen, read(&two.first, "x").as_str()), (Chosen::Newer, "weeks of work"));
    assert_eq!(copies(top(&two.first), b"").expect("listed"), found);
}

/// A backup that was put back file by file may lack some, and brings what both had along.
#[test]
fn what_a_home_that_was_put_back_lacks_is_deleted_by_nobody() {
    let two = Two::new();
    for name in ["a", "b", "c"] {
        write(&two.first, name, name);
    }
    two.sync();
    same(&two);
    let copied = std::process::Command::new("sh")
        .args(["-ec", "cp -a .homed-sync back; rm -r .homed-sync b c; mv back .homed-sync"])
        .current_dir(&two.second)
        .status();
    assert!(copied.expect("run").success());
    let (first, _) = two.sync();
    assert_eq!((first.gone_here, first.gone_there), (0, 0));
    assert_eq!(listing(&two.second).into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    same(&two);
}
