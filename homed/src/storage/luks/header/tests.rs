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
    let place = Place { offset: 0, size: SIZE, table: None, free: None };
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

#[test]
fn a_header_has_room_for_the_mark_where_no_key_slot_ever_is() {
    let file = made();
    let contents = |file: &File| Contents::read(&mut |offset, length| image::bytes(file, offset, length));
    let at = contents(&file).free().expect("room");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let mut luks = Luks::load(&path).expect("loaded");
    assert_eq!(at + 4096, luks.facts().expect("facts").data_offset);
    let stretching = Stretching::Pbkdf2 { iterations: Some(1000), hash: "sha512".into(), milliseconds: 0 };
    let key = Secret::new("another".into());
    for slot in (0..32).filter(|slot| ![1, 2].contains(slot)) {
        luks.add_slot(slot, &volume_key(), &key, &stretching).expect("a slot");
    }
    assert_eq!(contents(&file).free(), Some(at), "with as many slots as there may be");
    file.write_all_at(&[0xff; 4096], at).expect("written");
    let mut luks = Luks::load(&path).expect("loaded again");
    for (slot, key) in (0..32).map(|slot| {
        (
            slot,
            match slot {
                1 => "first",
                2 => "second",
                _ => "another",
            },
        )
    }) {
        assert!(luks.open_slot(slot, &Secret::new(key.into())).is_ok(), "slot {slot}");
    }
    // What says that it has something there, or is being changed, has none.
    let text = contents(&file).texts.remove(0);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut text = text.clone();
        change(&mut text);
        Contents::of_one(text).free()
    };
    assert_eq!(with(&|_| ()), Some(at));
    let area = |from: u64| json!({"offset": from.to_string(), "size": "4096"});
    assert_eq!(with(&|text| text["keyslots"]["0"]["area"] = area(at + 512)), None);
    assert_eq!(
        with(&|text| text["config"]["requirements"] = json!({"mandatory": ["online-reencrypt"]})),
        None
    );
    assert_eq!(with(&|text| text["segments"]["1"] = text["segments"]["0"].clone()), None);
    assert_eq!(with(&|text| text["segments"]["0"]["offset"] = json!("4097")), None);
}

#[test]
fn the_place_of_the_mark_is_looked_for_once_more() {
    let (file, another) = (made(), made());
    let free = Place::all(&file, SIZE).free;
    let mut place = Place { offset: 0, size: SIZE, table: None, free };
    place.look_again(&file);
    assert!(free.is_some() && place.free == free);
    another.write_all_at(&[0; 8], 0).expect("written");
    another.write_all_at(&[0; 8], METADATA as u64).expect("written");
    place.look_again(&another);
    assert_eq!(place.free, None, "nobody knows what is there now");
}
