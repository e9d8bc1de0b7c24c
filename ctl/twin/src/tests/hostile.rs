//! What the other end might say to do harm.

use super::*;
use crate::node::{Content, Dress, File, Node, Time, is_fit, node, put_node};
use crate::pair::{Ends, Kept, Pair};
use crate::tree::{Stamp, tree};
use crate::wire::put_text;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;

const FOLDER: Node = Node::Folder(Dress { mode: 0o755, attributes: Vec::new() });

fn file(text: &[u8], mode: u32) -> Node {
    let content = Content { size: text.len() as u64, hash: *blake3::hash(text).as_bytes() };
    let dress = Dress { mode, attributes: Vec::new() };
    Node::File(File { modified: Time { seconds: 1, nanoseconds: 0 }, content, dress })
}

/// Paths and nodes as the other end would tell of them.
fn told(entries: &[(&[u8], Node)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, node) in entries {
        put_text(&mut bytes, path).expect("short");
        bytes.push(2);
        put_node(&mut bytes, node).expect("short");
    }
    put_text(&mut bytes, &[]).expect("short");
    bytes
}

fn is_refused(entries: &[(&[u8], Node)]) -> bool {
    tree(&mut &*told(entries), None).is_err()
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let long = vec![b'x'; 256];
    let deep = b"d/".repeat(1901);
    let hostile: [&[u8]; 22] = [
        b"/etc/passwd",
        b"..",
        b"../x",
        b"a/../x",
        b"a/..",
        b".",
        b"./a",
        b"a/.",
        b"a//b",
        b"a/",
        b"/",
        b"a\0b",
        b".identity",
        b".identity-blob/avatar",
        b".identity.5.backup",
        b".snapshots/x",
        b".homed-sync/swap/journal",
        b".homed-view",
        b".homed-restoring",
        b"//",
        &long,
        &deep,
    ];
    for path in hostile {
        assert!(!is_fit(path), "{}", String::from_utf8_lossy(path));
        assert!(is_refused(&[(path, FOLDER)]), "{}", String::from_utf8_lossy(path));
    }
    for path in [&b"a"[..], b"...", b".config/x", b"a b\nc", b"\xff\xfe", b"d/.identity"] {
        assert!(is_fit(path), "{}", String::from_utf8_lossy(path));
    }
    // Out of order, twice, in no folder, in a file, in a link.
    assert!(is_refused(&[(b"b", FOLDER), (b"a", FOLDER)]));
    assert!(is_refused(&[(b"a", FOLDER), (b"a", file(b"", 0o644))]));
    assert!(is_refused(&[(b"a/b", FOLDER)]));
    assert!(is_refused(&[(b"a", file(b"", 0o644)), (b"a/b", FOLDER)]));
    assert!(is_refused(&[(b"a", Node::Link(b"/etc".to_vec())), (b"a/passwd", file(b"", 0o644))]));
    assert!(!is_refused(&[(b"a", FOLDER), (b"a/passwd", file(b"", 0o644))]));
}

#[test]
fn more_than_a_user_may_give_is_refused() {
    for mode in [0o4755, 0o2755, 0o1777, 0o170_000] {
        let mut bytes = told(&[(b"a", file(b"", 0))]);
        // The mode stands behind path, kind, size, hash and time.
        let at = 2 + 1 + 1 + 1 + 8 + 32 + 12;
        bytes[at..at + 2].copy_from_slice(&(mode as u16).to_le_bytes());
        assert!(tree(&mut &*bytes, None).is_err(), "{mode:o}");
    }
    let with = |name: &[u8]| {
        let attributes = vec![crate::node::Attribute { name: name.to_vec(), value: b"x".to_vec() }];
        is_refused(&[(b"a", Node::Folder(Dress { mode: 0o755, attributes }))])
    };
    for name in [
        "security.capability",
        "system.posix_acl_access",
        "trusted.x",
        "user.",
        "btrfs.compression",
        "user.a\0b",
    ] {
        assert!(with(name.as_bytes()), "{name}");
    }
    assert!(!with(b"user.note"));
    assert!(
        is_refused(&[(b"a", Node::Link(Vec::new()))]) && is_refused(&[(b"a", Node::Link(b"a\0b".to_vec()))])
    );
    for kind in [b'b', b'c', b'p', b's', 0, 255] {
        assert!(node(&mut &[kind; 64][..]).is_err());
    }
}

#[test]
fn whatever_is_cut_short_ends_at_once() {
    let whole = told(&[(b"a", FOLDER), (b"a/b", file(b"text", 0o644)), (b"c", Node::Link(b"x".to_vec()))]);
    assert!(tree(&mut &*whole, None).is_ok());
    for length in 0..whole.len() {
        assert!(tree(&mut &whole[..length], None).is_err(), "{length}");
    }
}

/// An end that says what it likes.
fn against(
    first: &Path,
    script: impl FnOnce(&mut dyn Read, &mut dyn Write) + Send,
) -> Result<Outcome, Failure> {
    let (mut read_there, mut write_here) = std::io::pipe().expect("pipe");
    let (mut read_here, mut write_there) = std::io::pipe().expect("pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            script(&mut read_there, &mut write_there);
            // Whatever is still said to it, it hears.
            drop(write_there);
            let _ = std::io::copy(&mut read_there, &mut std::io::sink());
        });
        let line = Line { from: &mut read_here, to: &mut write_here };
        let done = sync(here(first, End::First), line, &mut |_| Ok(()));
        drop((read_here, write_here));
        done
    })
}

/// Is greeted as the second end, and tells of that; hears what the first has.
fn greets(from: &mut dyn Read, to: &mut dyn Write, tells: &[u8]) {
    crate::talk::read_hello(from).expect("greeted");
    to.write_all(b"homed sync 1").expect("said");
    to.write_all(&[2; 32]).expect("said");
    put_text(to, b"two").expect("said");
    put_text(to, MOMENT.as_bytes()).expect("said");
    from.read_exact(&mut [0; 32]).expect("heard");
    to.write_all(&[0; 32]).expect("said");
    let mut heard = Heard(from);
    tree(&mut heard, None).expect("heard");
    to.write_all(tells).expect("said");
}

struct Heard<'a>(&'a mut dyn Read);

impl Read for Heard<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let two = Two::new();
    write(&two.second, "target", "untouched");
    // What is a folder to the other end is a link here, to a folder outside of the home.
    symlink(&two.second, two.first.join("d")).expect("linked");
    let done = against(&two.first, |from, to| {
        greets(
            from,
            to,
            &told(&[(b"d", FOLDER), (b"d/new", FOLDER), (b"d/target", file(b"hostile", 0o644))]),
        );
        // Nothing is needed there; what the first needs comes.
        to.write_all(&[]).expect("said");
        from.read_exact(&mut [0; 8]).expect("asked");
        to.write_all(&[1, 7, 0, 0, 0]).expect("said");
        to.write_all(b"hostile\0").expect("said");
        // All is done there, and nothing is left undone.
        to.write_all(&[0, 0]).expect("said");
        from.read_exact(&mut [0; 2]).expect("heard");
        to.write_all(b".").expect("said");
    });
    assert_eq!(read(&two.second, "target"), "untouched", "{done:?}");
    assert!(!two.second.join("new").exists());
}

#[test]
fn a_content_that_is_another_or_longer_is_not_taken() {
    for said in [
        &b"\x01\x07\x00\x00\x00hostilX\x00"[..],
        b"\x01\xff\xff\xff\xff",
        b"\x02\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x01\x08\x00\x00\x00hostile!\x00",
        b"\x09",
        b"",
    ] {
        let two = Two::new();
        write(&two.first, "kept", "kept");
        let before = listing(&two.first);
        let _ = against(&two.first, |from, to| {
            greets(from, to, &told(&[(b"a", file(b"hostile", 0o644)), (b"kept", file(b"kept", 0o600))]));
            let _ = from.read_exact(&mut [0; 8]);
            let _ = to.write_all(said);
            let _ = to.write_all(&[0, 0]);
            let _ = to.write_all(b".");
        });
        assert_eq!(
            listing(&two.first).keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>(),
            "{said:?}"
        );
        assert_eq!(read(&two.first, "kept"), "kept");
    }
}

#[test]
fn no_more_arrives_than_there_is_room_for() {
    let two = Two::new();
    let huge = Node::File(File {
        modified: Time::default(),
        content: Content { size: i64::MAX as u64, hash: [7; 32] },
        dress: Dress::default(),
    });
    let done = against(&two.first, |from, to| {
        greets(from, to, &told(&[(b"huge", huge)]));
        let mut start = [0; 8];
        from.read_exact(&mut start).expect("asked");
        assert_eq!(start, [255; 8], "it is not wanted");
        to.write_all(&[0, 0]).expect("said");
        let mut undone = [0; 2 + 4 + 2];
        from.read_exact(&mut undone).expect("heard");
        to.write_all(b".").expect("said");
    });
    let done = done.expect("all else is done");
    assert_eq!(done.undone.len(), 1, "{done:?}");
    assert!(done.undone[0].why.contains("room"), "{done:?}");
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        crate::read_anything(&bytes);
        let _ = crate::journal::read(&mut &*bytes);
    }

    #[test]
    fn a_pair_comes_back_as_it_was_kept(names in proptest::collection::btree_set("[a-z]{1,8}", 1..20), seconds in any::<i64>(), flip in any::<usize>()) {
        let ends = Ends { here: [1; 32], there: [2; 32] };
        let time = Time { seconds, nanoseconds: 5 };
        let stamp = Stamp { inode: 7, size: 8, modified: time, changed: time };
        let kept = |name: &String| (name.clone().into_bytes().into(), Kept { node: file(name.as_bytes(), 0o644), stamp: (name.len() > 3).then_some(stamp) });
        let pair = Pair(names.iter().map(kept).collect());
        let mut bytes = Vec::new();
        pair.write(&mut bytes, ends).expect("written");
        prop_assert_eq!(&Pair::read(&mut &*bytes, ends).expect("read"), &pair);
        let others = Ends { here: [2; 32], there: [1; 32] };
        prop_assert!(Pair::read(&mut &*bytes, others).is_err());
        let at = flip % bytes.len();
        bytes[at] ^= 1;
        prop_assert!(Pair::read(&mut &*bytes, ends).is_err());
    }
}
