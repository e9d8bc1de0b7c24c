//! A tree with everything in it is copied whole, and every difference is seen.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use copytree::{
    Continue, Copied, Copy, Error, Maker, Terms, What, copy, differences_on, measure, measure_on,
};
use rustix::fs::{XattrFlags, setxattr};
use scratch::Scratch;

#[path = "../../../tests/src/nasty.rs"]
mod nasty;
mod scratch;

type Tested = Result<(), Box<dyn std::error::Error>>;

#[test]
fn everything_is_kept() -> Tested {
    // However deep it is, few descriptors are open.
    let few = rustix::process::Rlimit { current: Some(160), maximum: Some(160) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few)?;
    let scratch = Scratch::new()?;
    nasty::build(&scratch.at("a"), nasty::Rights::Own)?;
    let copied = scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    assert_eq!((copied.changed.count, &copied.lost[..]), (0, &[][..]));
    let above = File::open(scratch.at("a").parent().expect("a folder"))?;
    copytree::remove_tree(above.as_fd(), "b".as_ref())?;
    copytree::remove_tree(above.as_fd(), "b".as_ref())?;
    assert!(!scratch.at("b").exists(), "what is copied is removed, too");
    fs::create_dir(scratch.at("b"))?;
    assert_eq!(copied.sockets.first, [Path::new("kinds/socket")]);
    // The top and all names but the socket.
    let measured = measure(scratch.both().0.as_fd())?;
    assert_eq!(copied.entries + 1, measured.entries);
    assert_eq!(copied.linked, 4);
    Ok(())
}

fn copied_on(scratch: &Scratch, terms: &Terms) -> Result<Copied, Error> {
    let (from, to) = scratch.both();
    copy(Copy {
        from: from.as_fd(),
        to: to.as_fd(),
        except: &[],
        cross_mounts: false,
        terms: terms.clone(),
        progress: &mut |_| Continue::Yes,
    })
}

/// The tree is taken for a stranger's, who could not have set these bits.
#[test]
fn a_copy_on_other_terms_has_no_more_rights_than_its_user_could_give() -> Tested {
    let scratch = Scratch::new()?;
    nasty::build(&scratch.at("a"), nasty::Rights::Own)?;
    let own = fs::metadata(scratch.at("a"))?;
    let stranger = Maker { uid: own.uid() + 1, groups: vec![] };
    let terms = Terms { no_more_than: Some(stranger), ..Terms::default() };
    let (from, to) = scratch.both();
    let measured = measure_on(from.as_fd(), &terms)?;
    let expected = ["file-2755", "file-4755", "file-6711", "folder-2775"];
    let mut reduced = measured.reduced.first;
    reduced.retain(|path| path.starts_with("modes"));
    reduced.sort();
    assert_eq!(reduced, expected.map(|name| Path::new("modes").join(name)));
    assert_eq!(measure(from.as_fd())?.reduced.count, 0);
    copied_on(&scratch, &terms)?;
    assert_eq!(differences_on(from.as_fd(), to.as_fd(), &terms, 10)?, []);
    assert!(scratch.differences()?.iter().any(|one| matches!(one.what, What::Mode(0o6711, 0o711))));
    // What stands is the copy that is wanted, and another run leaves it alone.
    assert!(copied_on(&scratch, &terms)?.stood > 20);
    // Its own user could.
    let terms = Terms { no_more_than: Some(Maker { uid: own.uid(), groups: vec![own.gid()] }), ..terms };
    assert_eq!(measure_on(from.as_fd(), &terms)?.reduced.count, 0);
    copied_on(&scratch, &terms)?;
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

#[test]
fn a_second_run_finds_all_in_place() -> Tested {
    let scratch = Scratch::new()?;
    nasty::build(&scratch.at("a"), nasty::Rights::Own)?;
    let first = scratch.copy()?;
    let second = scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    assert_eq!(second.entries, first.entries);
    assert!(second.stood > 20, "only {} files were left where they are", second.stood);
    assert!(second.bytes < 1000, "{} bytes were copied again", second.bytes);
    Ok(())
}

/// Stops after each number of reports, and goes on.
#[test]
fn a_copy_that_is_cut_anywhere_goes_on() -> Tested {
    let scratch = Scratch::new()?;
    nasty::build(&scratch.at("a"), nasty::Rights::Own)?;
    for after in (0..60).chain([500, 4000, 5000]) {
        let mut left = after;
        let stopped = scratch.watched(&mut |_| {
            left -= 1;
            if left < 0 { Continue::No } else { Continue::Yes }
        });
        assert!(matches!(stopped, Err(Error::Stopped) | Ok(_)), "{stopped:?}");
    }
    scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

#[test]
fn what_was_changed_between_two_runs_is_followed() -> Tested {
    let scratch = Scratch::new()?;
    let a = scratch.at("a");
    fs::create_dir_all(a.join("folder/below"))?;
    for name in ["stays", "goes", "becomes-a-folder", "grows", "folder/below/goes-with-its-folder", "one"] {
        fs::write(a.join(name), name)?;
    }
    fs::hard_link(a.join("one"), a.join("other"))?;
    scratch.copy()?;
    fs::remove_file(a.join("goes"))?;
    fs::remove_file(a.join("becomes-a-folder"))?;
    fs::create_dir(a.join("becomes-a-folder"))?;
    fs::write(a.join("grows"), "more than it was")?;
    fs::remove_dir_all(a.join("folder/below"))?;
    symlink("stays", a.join("folder/below"))?;
    // Two files now, with the same content and time.
    let time = fs::metadata(a.join("one"))?.modified()?;
    fs::remove_file(a.join("other"))?;
    fs::write(a.join("other"), "one")?;
    File::options().write(true).open(a.join("other"))?.set_modified(time)?;
    assert!(!scratch.differences()?.is_empty());
    scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

#[test]
fn what_is_spared_is_left_alone_on_both_sides() -> Tested {
    let scratch = Scratch::new()?;
    fs::write(scratch.at("a/.identity"), "of the source")?;
    fs::write(scratch.at("a/file"), "file")?;
    fs::write(scratch.at("b/.identity"), "of the target")?;
    scratch.copy()?;
    scratch.copy()?;
    assert_eq!(fs::read_to_string(scratch.at("b/.identity"))?, "of the target");
    assert_eq!(fs::read_to_string(scratch.at("b/file"))?, "file");
    Ok(())
}

#[test]
fn a_folder_that_is_not_empty_is_no_target() -> Tested {
    let scratch = Scratch::new()?;
    fs::write(scratch.at("b/precious"), "not a copy")?;
    assert!(matches!(scratch.copy(), Err(Error::NotOurs)));
    assert_eq!(fs::read_to_string(scratch.at("b/precious"))?, "not a copy");
    Ok(())
}

#[test]
fn nothing_is_ours_any_more_when_it_is_done() -> Tested {
    let scratch = Scratch::new()?;
    fs::write(scratch.at("a/file"), "file")?;
    scratch.copy()?;
    copytree::done(scratch.both().1.as_fd())?;
    assert!(matches!(scratch.copy(), Err(Error::NotOurs)));
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

/// A folder of the target that hands an ACL on does not do so to copies.
#[test]
fn a_copy_has_no_acl_of_the_folder_it_is_made_in() -> Tested {
    let scratch = Scratch::new()?;
    let rules =
        [(0x01, 7, nasty::NOBODY), (0x04, 5, nasty::NOBODY), (0x08, 7, 23_456), (0x10, 7, nasty::NOBODY)];
    let rules = nasty::acl(&[&rules[..], &[(0x20, 1, nasty::NOBODY)]].concat());
    let folder = scratch.at("a/folder");
    fs::create_dir_all(folder.join("before"))?;
    for folder in [&folder, &scratch.at("b")] {
        setxattr(folder, "system.posix_acl_default", &rules, XattrFlags::empty())?;
    }
    scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    // Made without the ACL that the folder would give them.
    fs::create_dir_all(scratch.at("a/new/below"))?;
    fs::write(scratch.at("a/new/file"), "")?;
    fs::write(scratch.at("a/new/below/file"), "")?;
    fs::rename(scratch.at("a/new"), folder.join("new"))?;
    scratch.copy()?;
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

/// After a power cut a file may have its time and length, and not its data.
#[test]
fn what_another_boot_wrote_is_compared() -> Tested {
    let scratch = Scratch::new()?;
    fs::write(scratch.at("a/file"), "file")?;
    fs::write(scratch.at("a/other"), "other")?;
    scratch.copy()?;
    keeping_time(&scratch.at("b/file"), |it| fs::write(it, "\0\0\0\0"))?;
    // What this boot wrote is believed.
    assert_eq!(scratch.copy()?.stood, 2);
    let marks = ["trusted.copytree", "user.copytree"].map(|name| {
        // Only one of them is there.
        rustix::fs::setxattr(scratch.at("b"), name, b"another boot", XattrFlags::REPLACE)
    });
    assert_eq!(marks.iter().filter(|mark| mark.is_ok()).count(), 1);
    assert_eq!(scratch.copy()?.stood, 1);
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

#[test]
fn nobody_else_may_enter_before_all_is_there() -> Tested {
    let scratch = Scratch::new()?;
    fs::write(scratch.at("a/file"), "file")?;
    let mode = |name: &str| Ok::<_, io::Error>(fs::metadata(scratch.at(name))?.mode() & 0o7777);
    for _ in 0..2 {
        let mut seen = Vec::new();
        scratch.watched(&mut |_| {
            seen.extend(mode("b"));
            Continue::Yes
        })?;
        assert!(!seen.is_empty() && seen.iter().all(|seen| *seen == 0o700), "{seen:?}");
        assert_eq!(mode("b")?, mode("a")?);
    }
    Ok(())
}

#[test]
fn what_changes_while_it_is_copied_is_told() -> Tested {
    let scratch = Scratch::new()?;
    let long = scratch.at("a/long");
    fs::write(&long, vec![1; 3 << 20])?;
    fs::write(scratch.at("a/other"), "other")?;
    let mut writes = 1;
    let copied = scratch.watched(&mut |progress| {
        if progress.path == Path::new("long") && writes > 0 {
            writes -= 1;
            File::options()
                .append(true)
                .open(&long)
                .and_then(|file| file.write_at(b"more", 3 << 20))
                .expect("it is there");
        }
        Continue::Yes
    })?;
    assert_eq!(copied.changed.first, [Path::new("long")]);
    assert!(!scratch.differences()?.is_empty());
    assert!(scratch.copy()?.changed.is_empty());
    assert_eq!(scratch.differences()?, []);
    Ok(())
}

/// The owner of a tree has a folder replaced by a link that leads out of it, at each moment there is.
#[test]
fn nobody_is_led_out_of_the_tree() -> Tested {
    let scratch = Scratch::new()?;
    let outside = scratch.at("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("secret"), "of another user")?;
    fs::write(scratch.at("a/before"), "")?;
    fs::create_dir(scratch.at("a/folder"))?;
    fs::write(scratch.at("a/folder/file"), "file")?;
    for after in 0..5 {
        let mut left = after;
        let folder = scratch.at("a/folder");
        let moved = scratch.at("a/moved");
        scratch.watched(&mut |_| {
            if left == 0 {
                fs::rename(&folder, &moved)
                    .and_then(|()| symlink(&outside, &folder))
                    .expect("they are the test's own");
            }
            left -= 1;
            Continue::Yes
        })?;
        assert!(
            !scratch.at("b/folder/secret").exists()
                || fs::symlink_metadata(scratch.at("b/folder"))?.is_symlink()
        );
        if moved.exists() {
            fs::remove_file(&folder)?;
            fs::rename(&moved, &folder)?;
        }
    }
    Ok(())
}

#[test]
fn measuring_tells_what_a_copy_cannot_have() -> Tested {
    let scratch = Scratch::new()?;
    nasty::build(&scratch.at("a"), nasty::Rights::Own)?;
    fs::create_dir(scratch.at("elsewhere"))?;
    fs::hard_link(scratch.at("a/names/-rf"), scratch.at("elsewhere/rf"))?;
    let measured = measure(scratch.both().0.as_fd())?;
    assert_eq!(measured.linked_outside.first, [Path::new("names/-rf")]);
    assert_eq!(measured.sockets.first, [Path::new("kinds/socket")]);
    assert_eq!(measured.owners.keys().copied().collect::<Vec<_>>(), [fs::metadata(scratch.at("a"))?.uid()]);
    assert!(measured.mounts.is_empty() && measured.unreadable.is_empty());
    assert!(measured.apparent > measured.allocated, "{measured:?}");
    assert_eq!(scratch.copy()?.linked_outside.first, [Path::new("names/-rf")]);
    Ok(())
}

/// Each of the properties, changed in the copy, is a difference, and no other is seen.
#[test]
fn every_difference_is_seen() -> Tested {
    type Change = fn(&Path) -> io::Result<()>;
    type Seen = fn(&What) -> bool;
    let changes: [(&str, Change, Seen); 11] = [
        ("file", |it| fs::remove_file(it), |what| *what == What::OnlyInFirst),
        ("new", |it| fs::write(it, ""), |what| *what == What::OnlyInSecond),
        (
            "file",
            |it| fs::set_permissions(it, Permissions::from_mode(0o4600)),
            |what| matches!(what, What::Mode(..)),
        ),
        ("file", |it| keeping_time(it, |it| fs::write(it, "FILE")), |what| matches!(what, What::Content(0))),
        (
            "file",
            |it| keeping_time(it, |it| fs::write(it, "longer")),
            |what| matches!(what, What::Size(4, 6)),
        ),
        (
            "file",
            |it| Ok(setxattr(it, "user.a", b"", XattrFlags::empty())?),
            |what| matches!(what, What::Attribute(_)),
        ),
        (
            "file",
            |it| File::options().write(true).open(it)?.set_modified(std::time::SystemTime::UNIX_EPOCH),
            |what| matches!(what, What::Time(..)),
        ),
        (
            "hole",
            |it| keeping_time(it, |it| fs::write(it, vec![0; 8 << 20])),
            |what| matches!(what, What::Holes(..)),
        ),
        ("one", |it| apart(it), |what| *what == What::Links),
        ("other", |it| apart(it), |what| *what == What::Links),
        ("link", |it| keeping_link_time(it), |what| *what == What::Target),
    ];
    for (name, change, expected) in changes {
        let scratch = Scratch::new()?;
        one_of_each(&scratch.at("a"))?;
        scratch.copy()?;
        let b = scratch.at("b");
        keeping_time(&b, |b| change(&b.join(name)))?;
        let found = scratch.differences()?;
        assert!(!found.is_empty(), "{name}: nothing was seen");
        assert!(found.iter().all(|found| expected(&found.what)), "{name}: {found:?}");
    }
    Ok(())
}

fn one_of_each(a: &Path) -> io::Result<()> {
    fs::write(a.join("file"), "file")?;
    File::create(a.join("hole"))?.set_len(8 << 20)?;
    fs::write(a.join("one"), "one")?;
    fs::hard_link(a.join("one"), a.join("other"))?;
    symlink("file", a.join("link"))
}

fn keeping_time(path: &Path, change: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let time = fs::metadata(path)?.modified()?;
    change(path)?;
    File::open(path)?.set_modified(time)
}

/// Makes a name of a file one of another, which is the same in all else.
fn apart(path: &Path) -> io::Result<()> {
    let time = fs::metadata(path)?.modified()?;
    let content = fs::read(path)?;
    let mode = fs::metadata(path)?.permissions();
    fs::remove_file(path)?;
    fs::write(path, content)?;
    fs::set_permissions(path, mode)?;
    File::options().write(true).open(path)?.set_modified(time)
}

fn keeping_link_time(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let before = fs::symlink_metadata(path)?;
    fs::remove_file(path)?;
    symlink("elsewhere", path)?;
    let time = Timespec { tv_sec: before.mtime(), tv_nsec: before.mtime_nsec() as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
