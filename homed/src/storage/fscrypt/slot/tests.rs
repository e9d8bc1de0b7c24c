//! Slots as others write them (made with Python's hashlib and cryptography), and what is none.

use super::*;

const NEWER: &str = "$v2:1000:ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoOEhYaHiImKi4yNjo+QkZKTlJWWl5iZmpucnZ6foKGiow==:\
    AAECAwQFBgcICQoL:\
    fZTmwiaSPTCiqn1M+VmrLnhORFGrAKhA4fWEtWkgKPxeysnIMRJQjY5vvswrxsHgAlklXU6gEbe3yNIUltWdxQ==:gZ0XlyU9aLD8ZwzGVwku6A==";
const FORMER_ONE: &str = "ZGVmZ2hpamtsbW5vcHFycw==:\
    9WYZ8dUS7jWgUZCPJEAQKUFoAmMd/hml0gkwRp0ulZZTAK54KTrneTT0/8uV50oOtiScvt9xEbADrbw8GTntuw==";
/// The kernel gives the key of the vectors this name.
const IDENTIFIER: Name =
    Name::Identifier([134, 153, 194, 197, 55, 7, 64, 93, 165, 171, 165, 174, 77, 133, 131, 192]);
const DESCRIPTOR: Name = Name::Descriptor([4, 51, 78, 35, 5, 122, 110, 45]);

fn volume_key() -> Secret {
    Secret::new((0..64).collect())
}

fn typed(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

fn parse(text: &str) -> Slot {
    Slot::parse(text.as_bytes()).expect("a slot")
}

fn opens(slot: &Slot, password: &str, name: Name) -> bool {
    let key = slot.open(&typed(password), name).expect("tried");
    key.is_some_and(|key| key.matches(volume_key().open()))
}

#[test]
fn slots_of_both_forms_open_with_their_password_and_with_no_other() {
    for (text, name) in
        [(NEWER, IDENTIFIER), (NEWER, DESCRIPTOR), (FORMER_ONE, IDENTIFIER), (FORMER_ONE, DESCRIPTOR)]
    {
        let slot = parse(text);
        assert!(opens(&slot, "correcthorse", name), "{text}");
        assert!(!opens(&slot, "wrong", name), "{text}");
        assert_eq!(slot.text(), text);
    }
    assert!(parse(FORMER_ONE).is_former() && !parse(NEWER).is_former());
    // What comes out is not the key that the policy names.
    let other = Name::Identifier([0; 16]);
    assert!(
        !opens(&parse(NEWER), "correcthorse", other) && !opens(&parse(FORMER_ONE), "correcthorse", other)
    );
}

#[test]
fn a_slot_is_made_as_others_make_it() {
    let key = (&volume_key(), &typed("correcthorse"));
    let made = Slot::made(key, 1000, (100..164).collect(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(made.expect("made").text(), NEWER);
}

#[test]
fn a_new_slot_opens_and_is_like_no_other() {
    let made = |guess| Slot::new(&volume_key(), &typed("correcthorse"), guess).expect("made");
    let (one, other) = (made(Guess::Cheap), made(Guess::Cheap));
    assert!(opens(&parse(&one.text()), "correcthorse", IDENTIFIER));
    assert!(one.salt() != other.salt() && one.text() != other.text());
    let text = made(Guess::Costly).text();
    assert!(text.starts_with("$v2:600000:") && text.len() < 256, "{text}");
}

#[test]
fn what_is_cut_short_or_hostile_is_no_slot_and_costs_nothing() {
    for length in 0..NEWER.len() {
        let cut = Slot::parse(&NEWER.as_bytes()[..length]);
        assert!(cut.is_none(), "{length} bytes");
    }
    let with = |from: &str, to: &str| NEWER.replacen(from, to, 1);
    for text in [
        with(":1000:", ":0:"),
        with(":1000:", ":-1:"),
        with(":1000:", ":4294967295:"),
        with(":1000:", ":99999999999999:"),
        with("$v2:", "$v3:"),
        with("AAECAwQFBgcICQoL", "AAECAwQFBgcICQ=="),
        with("gZ0XlyU9aLD8ZwzGVwku6A==", "gZ0X"),
        with(
            "fZTmwiaSPTCiqn1M+VmrLnhORFGrAKhA4fWEtWkgKPxeysnIMRJQjY5vvswrxsHgAlklXU6gEbe3yNIUltWdxQ==",
            "AAAA",
        ),
        format!("{NEWER}:"),
        format!("{NEWER}\0"),
        ":".into(),
        "AAAA:".into(),
        "AAAA:AAAA".into(),
        format!("AAAA:{}", BASE64_STANDARD.encode([0; 65])),
    ] {
        assert!(Slot::parse(text.as_bytes()).is_none(), "{text}");
    }
    assert!(Slot::parse(&[0xff; 200]).is_none() && Slot::parse(&[b'A'; 65536]).is_none());
}

#[test]
fn a_slot_that_somebody_has_changed_does_not_open() {
    let changed = parse(&NEWER.replacen("fZTm", "fZTn", 1));
    assert!(!opens(&changed, "correcthorse", IDENTIFIER));
}
