//! The short copy of a header, read by the library itself.

use super::*;
use crate::storage::luks::header_copies::Read;
use crate::storage::luks::tries;
use crate::sys::cryptsetup::{Layout, Stretching};
use serde_json::json;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIZE: u64 = 32 << 20;
/// Of each copy, as homes are made.
const METADATA: usize = 4 << 20;
const BINARY: usize = 4096;

fn volume_key() -> Secret {
    Secret::new(vec![7; 64])
}

/// An encrypted part with two key slots and a token.
fn made() -> File {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(SIZE).expect("a length");
    let mut luks = Luks::blank(file.path()).expect("opened");
    let layout = Layout {
        cipher: "aes",
        mode: "xts-plain64",
        uuid: uuid::Uuid::from_u128(5),
        label: "alice",
        subsystem: "systemd-home",
        sector: 4096,
    };
    luks.format(&layout, &volume_key()).expect("formatted");
    let stretching = Stretching::Pbkdf2 { iterations: Some(1000), hash: "sha512".into(), milliseconds: 0 };
    for (number, key) in ["first", "second"].into_iter().zip(1..) {
        let key = (Secret::new(number.into()), key);
        luks.add_slot(key.1, &volume_key(), &key.0, &stretching).expect("a slot");
    }
    luks.set_token(None, &json!({"type": "test", "keyslots": [], "it": "says so"})).expect("a token");
    file.reopen().expect("opened again")
}

fn load(memory: &File) -> Luks {
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    Luks::load(Path::new(&path)).expect("the library reads it")
}

fn short(file: &File) -> Option<Short> {
    let read: &mut Read<'_> = &mut |offset, length| image::bytes(file, offset, length);
    Short::of(read)
}

#[test]
fn a_short_copy_says_what_the_header_says_and_opens_with_its_keys() {
    let file = made();
    let place = Place { offset: 0, size: SIZE, table: None };
    let Short { bytes, contents } = short(&file).expect("a short copy");
    assert!(bytes.len() <= 64 << 10, "{} bytes", bytes.len());
    let (memory, lost) = fill(&file, &place, contents.slots(), &bytes).expect("copied");
    assert!(lost.is_nothing());
    let (mut own, mut whole) = (load(&memory), load(&file));
    assert_eq!(own.facts().expect("facts"), whole.facts().expect("facts"));
    let [mut mine, mut its] = [&mut own, &mut whole].map(|luks| luks.metadata().expect("metadata"));
    assert_eq!(contents.texts, [its.clone()]);
    for text in [&mut mine, &mut its] {
        text.as_object_mut().expect("an object").remove("config");
    }
    assert_eq!(mine, its);
    for (key, slot) in [("first", 1), ("second", 2)] {
        let keys = [Secret::new("wrong".into()), Secret::new(key.into())];
        let found = tries::unlock(&mut own, &keys).expect("tried").expect("opened");
        assert_eq!((found.key, found.slot), (1, slot));
        assert!(found.volume_key.matches(volume_key().open()));
    }
}

#[test]
fn a_doubtful_header_is_left_to_the_library() {
    let file = made();
    assert!(short(&file).is_some());
    let places = [
        ("its magic", 0),
        ("its binary header", 100),
        ("its text", BINARY + 10),
        ("behind its text", METADATA - 1),
        ("the other's magic", METADATA),
        ("the other's age", METADATA + 23),
    ];
    for (what, at) in places {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).expect("read");
        file.write_all_at(&[byte[0] ^ 1], at as u64).expect("written");
        assert!(short(&file).is_none(), "{what}");
        file.write_all_at(&byte, at as u64).expect("written");
    }
    assert!(short(&file).is_some());
}
