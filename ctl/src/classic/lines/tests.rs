//! What is taken out, put back, and seen to be somebody else's.

use super::*;

pub fn texts() -> Texts {
    let all = [
        "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1001:Bob B\u{e9},,,:/home/bob:/bin/zsh\nbobby:x:1001:1002::/home/bobby:/bin/sh\n",
        "root:*:1::::::\nbob:$y$hash:19000:0:99999:7:::\nbobby:!:1::::::\n",
        "root:x:0:\nbob:x:1001:\naudio:x:29:bob,bobby\nvideo:x:44:bobby\nwheel:x:10:bob\n",
        "root:*::\nbob:!::\naudio:*::bob,bobby\nvideo:*::bobby\nwheel:*:bob:bob\n",
    ];
    let mut at = all.iter();
    Texts::read(|_| Ok::<_, ()>(at.next().map(|text| text.as_bytes().to_vec()).unwrap_or_default()))
        .expect("reads")
}

#[test]
fn what_is_taken_out_and_put_back_is_the_same() {
    let before = texts();
    let bob = Lines::of(&before, "bob").expect("text").expect("known");
    assert_eq!(bob.member_of, ["audio", "wheel"]);
    assert_eq!(bob.standing(&before), Standing::Whole);
    let mut now = before.clone();
    for (step, file) in File::ALL.into_iter().enumerate() {
        *now.of_mut(file) = bob.taken_out(file, now.of(file));
        let expected = if step == 3 { Standing::Gone } else { Standing::Part };
        assert_eq!(bob.standing(&now), expected, "{file:?}");
        // Done twice it is the same.
        assert_eq!(bob.taken_out(file, now.of(file)), now.of(file));
    }
    assert_eq!(Lines::of(&now, "bob"), Ok(None));
    assert!(Lines::of(&now, "bobby").expect("text").is_some());
    let group = String::from_utf8_lossy(now.of(File::Group)).into_owned();
    assert_eq!(group, "root:x:0:\naudio:x:29:bobby\nvideo:x:44:bobby\nwheel:x:10:\n");
    for file in File::ALL.into_iter().rev() {
        *now.of_mut(file) = bob.put_back(file, now.of(file));
        assert_eq!(bob.put_back(file, now.of(file)), now.of(file));
    }
    assert_eq!(bob.standing(&now), Standing::Whole);
    assert_eq!(Lines::of(&now, "bob").expect("text"), Some(bob));
}

#[test]
fn lines_of_others_stay_as_they_are_in_any_encoding() {
    let bob = Lines::of(&texts(), "bob").expect("text").expect("known");
    let odd = b"m\xfcller:x:1002:1002:M\xfcller:/home/m:/bin/sh\n# note\n\n+::::::\n";
    let with = bob.put_back(File::Passwd, odd);
    assert_eq!(bob.taken_out(File::Passwd, &with), odd);
    assert!(with.ends_with(b"+::::::\n"), "a line of another database stays last");
    assert_eq!(bob.put_back(File::Passwd, b""), [bob.passwd.as_bytes(), b"\n"].concat());
}

#[test]
fn a_group_that_has_gone_meanwhile_is_not_made_again() {
    let mut now = texts();
    let bob = Lines::of(&now, "bob").expect("text").expect("known");
    *now.of_mut(File::Group) = b"bob:x:1001:\naudio:x:29:bob,bobby\n".to_vec();
    assert_eq!(bob.standing(&now), Standing::Whole);
    assert_eq!(bob.put_back(File::Group, now.of(File::Group)), now.of(File::Group));
}

#[test]
fn a_group_of_that_name_with_another_number_is_not_the_users_own() {
    let mut now = texts();
    *now.of_mut(File::Group) = b"bob:x:7:\nusers:x:1001:\n".to_vec();
    let bob = Lines::of(&now, "bob").expect("text").expect("known");
    assert_eq!((bob.group, bob.gshadow), (None, None));
    assert_eq!(now.groups_numbered(1001), ["users"]);
}

#[test]
fn lines_of_that_name_that_are_somebody_elses_are_seen() {
    let before = texts();
    let bob = Lines::of(&before, "bob").expect("text").expect("known");
    let with = |file: File, line: &[u8]| {
        let mut now = Texts::default();
        *now.of_mut(file) = line.to_vec();
        bob.strangers(&now)
    };
    assert_eq!(bob.strangers(&before), []);
    assert_eq!(bob.strangers(&Texts::default()), []);
    assert_eq!(with(File::Passwd, b"bob:x:1000:1001:Bob the Other:/home/bob:/bin/sh\n"), []);
    assert_eq!(with(File::Passwd, b"bob:x:1000:7::/home/bob:/bin/sh\n"), [File::Passwd]);
    assert_eq!(with(File::Group, b"bob:x:1001:carol\n"), []);
    assert_eq!(with(File::Group, b"bob:x:7:\n"), [File::Group]);
    assert_eq!(with(File::Shadow, b"bob:!:1::::::\n"), [File::Shadow]);
    assert_eq!(with(File::Gshadow, b"bob:!::carol\n"), [File::Gshadow]);
    // A password that was changed is the account's.
    let mut now = before.clone();
    *now.of_mut(File::Shadow) = b"bob:$y$other:1::::::\n".to_vec();
    assert_eq!(bob.strangers(&now), []);
}

#[test]
fn who_shares_a_folder_or_a_number_is_seen() {
    let texts = texts();
    assert_eq!(texts.others_numbered(1001, "bob"), ["bobby"]);
    assert!(texts.others_at("/home/bob", "bob").is_empty(), "bobby is no folder in bob");
    assert_eq!(texts.others_at("/home", "bob"), ["bobby"]);
}

#[test]
fn a_member_of_groups_alone_is_no_account() {
    let before = texts();
    let bob = Lines::of(&before, "bob").expect("text").expect("known");
    let mut now = Texts::default();
    *now.of_mut(File::Group) = b"audio:x:29:bob,bobby\nwheel:x:10:\n".to_vec();
    assert_eq!(bob.standing(&now), Standing::Gone);
    assert_eq!(now.groups_of("bob"), ["audio"]);
    assert!(now.lists(File::Group, "audio", "bob") && !now.lists(File::Group, "wheel", "bob"));
    // Without a group of its own, memberships are what the file has of an account.
    let bob = Lines { group: None, gshadow: None, ..bob };
    assert_eq!(bob.standing(&now), Standing::Part);
}
