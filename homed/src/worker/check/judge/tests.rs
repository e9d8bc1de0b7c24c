//! Each damage, and what is said of it.

use super::*;
use crate::storage::examined::{Header, Inside, Unlocked};
use records::{Record, Sections};

/// A closed home that is sound in every part, looked at with its password.
fn sound() -> Facts {
    let record = Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid");
    let inside = Inside { file_system: FileSystem::Sound("btrfs".into()), record: Ok(record.clone()) };
    Facts {
        image_path: "/home/alice.home".into(),
        examined: Examined {
            image: Image::There { size: 256 << 20, wanting: 0, room: 1, copied: false, shared: 0 },
            table: Some(Table::Sound),
            headers: Some(Headers { first: Some(5), second: Some(5) }),
            header: Some(Header {
                is_ours: true,
                is_newer: false,
                slots: 1,
                marked: false,
                record: Beside::There,
            }),
            unlocked: Some(Unlocked { key: 0, slot: 0, record: Ok(record) }),
            inside: Some(Looked::At(inside)),
            ..Examined::default()
        },
        seen: Seen::Closed,
        known: Known::Yes,
        host: Some(7),
        header: Some(Copy::Trusted(7)),
        home: Some(Copy::Trusted(7)),
        keys: Some(1),
        vouched: None,
        fit: Some(Fit::Both(0)),
    }
}

/// What is found beside what is as it should be.
fn wrong(change: impl FnOnce(&mut Facts)) -> Vec<Kind> {
    let mut facts = sound();
    change(&mut facts);
    let wrong = |finding: &Finding| finding.kind.severity() != records::health::Severity::Sound;
    judge(&facts).iter().filter(|finding| wrong(finding)).map(|finding| finding.kind).collect()
}

/// Each check of an encrypted folder told of a record that is missing, and advised a repair.
#[test]
fn what_has_no_place_for_a_record_beside_its_keys_lacks_none() {
    let encrypted_folder = |f: &mut Facts| {
        f.examined.image = Image::Folder;
        (f.examined.table, f.examined.headers, f.header) = (None, None, None);
        header(f).record = Beside::Nowhere;
    };
    assert_eq!(wrong(encrypted_folder), []);
}

fn header(facts: &mut Facts) -> &mut Header {
    facts.examined.header.as_mut().expect("there")
}

fn inside(facts: &mut Facts) -> &mut Inside {
    match facts.examined.inside.as_mut() {
        Some(Looked::At(inside)) => inside,
        _ => panic!("not there"),
    }
}

/// Nothing but the image was reached.
fn unreached(facts: &mut Facts) {
    facts.examined = Examined { image: std::mem::take(&mut facts.examined.image), ..Examined::default() };
    (facts.header, facts.home, facts.fit, facts.keys) = (None, None, None, None);
}

type Change = fn(&mut Facts);

/// What is damaged, and what is said of it.
const CASES: &[(Change, &[Kind])] = &[
    (|_| {}, &[]),
    (
        |f| {
            unreached(f);
            f.examined.image = Image::Missing;
        },
        &[Kind::ImageMissing],
    ),
    (
        |f| {
            unreached(f);
            f.examined.image = Image::NotAFile;
        },
        &[Kind::ImageNotAFile],
    ),
    (
        |f| {
            unreached(f);
            f.examined.table = Some(Table::OfAnother);
        },
        &[Kind::TableOfAnother],
    ),
    (unreached, &[Kind::HeadersDamaged]),
    (|f| f.examined.locked_elsewhere = true, &[Kind::ImageInUse]),
    (|f| f.examined.open_elsewhere = Some("box".into()), &[Kind::ImageOpenElsewhere]),
    (
        |f| f.examined.image = Image::There { size: 1, wanting: 0, room: 1, copied: true, shared: 0 },
        &[Kind::ImageCopiedOnWrite],
    ),
    (
        |f| f.examined.image = Image::There { size: 1, wanting: 0, room: 1, copied: false, shared: 1 },
        &[Kind::ImageShared],
    ),
    (
        |f| {
            header(f).is_newer = true;
            f.examined.unlocked = None;
            (f.header, f.home, f.fit) = (None, None, None);
        },
        &[Kind::HeaderNewer, Kind::PasswordNotGiven],
    ),
    (
        |f| {
            f.examined.inside = Some(Looked::NotVouched);
            f.home = None;
        },
        &[Kind::FileSystemNotVouched],
    ),
    (|f| f.examined.table = Some(Table::FirstDamaged), &[Kind::FirstTableDamaged]),
    (|f| f.examined.table = Some(Table::SecondDamaged), &[Kind::SecondTableDamaged]),
    (|f| f.examined.table = Some(Table::BothDamaged), &[Kind::BothTablesDamaged]),
    (|f| f.examined.table = Some(Table::CutShort(1)), &[Kind::ImageCutShort]),
    (|f| f.examined.headers = Some(Headers { first: None, second: Some(5) }), &[Kind::FirstHeaderDamaged]),
    (|f| f.examined.headers = Some(Headers { first: Some(5), second: None }), &[Kind::SecondHeaderDamaged]),
    (|f| f.examined.headers = Some(Headers { first: Some(6), second: Some(5) }), &[Kind::HeadersDiffer]),
    (|f| header(f).marked = true, &[Kind::KeyChangeCutShort]),
    (|f| header(f).slots = 2, &[Kind::SlotsDoNotFit]),
    (|f| f.fit = Some(Fit::SlotOnly(0)), &[Kind::PasswordOfSlotOnly]),
    (|f| f.known = Known::No, &[Kind::HostRecordMissing]),
    (|f| f.host = Some(6), &[Kind::HostRecordOlder]),
    (|f| f.header = Some(Copy::Trusted(6)), &[Kind::HeaderRecordOlder]),
    (|f| f.header = Some(Copy::Untrusted), &[Kind::HeaderRecordUntrusted]),
    (|f| f.header = Some(Copy::Unreadable(String::new())), &[Kind::HeaderRecordUnreadable]),
    (
        |f| {
            header(f).record = Beside::Missing;
            f.header = None;
        },
        &[Kind::HeaderRecordMissing],
    ),
    (|f| f.home = Some(Copy::Trusted(6)), &[Kind::HomeRecordOlder]),
    (|f| f.home = Some(Copy::Untrusted), &[Kind::HomeRecordUntrusted]),
    (|f| f.home = Some(Copy::Unreadable(String::new())), &[Kind::HomeRecordUnreadable]),
    (|f| inside(f).file_system = FileSystem::Errors(String::new()), &[Kind::FileSystemErrors]),
    (
        |f| {
            inside(f).file_system = FileSystem::NotMounted(String::new());
            f.home = Some(Copy::Unreadable(String::new()));
        },
        &[Kind::FileSystemNotMounted],
    ),
    (|f| f.examined.dirty = true, &[Kind::MarkedDirty]),
    (|f| f.examined.stale = vec!["x".into()], &[Kind::StaleDevices]),
    (|f| f.examined.leftovers = vec!["x".into()], &[Kind::TemporaryImages]),
    (|f| f.examined.unfinished_resize = Some("x".into()), &[Kind::ResizeUnfinished]),
];

#[test]
fn each_damage_is_told_and_nothing_else() {
    for (change, expected) in CASES {
        assert_eq!(wrong(change), *expected);
    }
}

#[test]
fn without_a_password_and_while_open_less_is_seen() {
    let found = wrong(|f| {
        f.examined.unlocked = None;
        (f.header, f.home, f.fit) = (None, None, None);
    });
    assert_eq!(found, [Kind::PasswordNotGiven]);
    let found = wrong(|f| {
        f.seen = Seen::Open;
        f.examined.dirty = true;
        f.examined.unlocked = None;
        (f.header, f.fit) = (None, None);
    });
    assert_eq!(found, [Kind::PasswordNotGiven, Kind::FileSystemOpen]);
}
