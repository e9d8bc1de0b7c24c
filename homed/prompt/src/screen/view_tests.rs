//! Golden screens: what a person sees in each situation, a file for each language in `golden/`. After a change that is wanted,
//! `HOMED_GOLDEN=write` has the test write them anew, for a reviewer to read.

use super::*;
use crate::catalogue::Language;
use crate::golden;

/// The usual size of a text console.
const USUAL: Size = Size { width: 80, height: 24 };

fn waiting(user: &str, since: &str) -> Waiting {
    Waiting { user: user.into(), called: None, since: since.into() }
}

/// A text of PAM.
fn pam(text: &str) -> Text {
    Text::Foreign(text.into())
}

fn view() -> View {
    View {
        host: "machine".into(),
        time: "14:05".into(),
        waiting: ["alice", "bob"].map(|user| waiting(user, "14:03")).into(),
        chosen: 1,
        question: pam("Password: "),
        answer: "****".into(),
        keyboard: "us, QWERTY".into(),
        caps_lock: false,
        messages: vec![pam("Sorry.")],
        keys: vec![("Tab".into(), texts::KEY_USER), ("F3".into(), texts::KEY_SLEEP)],
        ..View::default()
    }
}

/// What is seen, line by line, without the bytes that mean no letters.
fn seen(text: &str) -> Vec<String> {
    let mut seen = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            // CSI: to its final byte.
            for letter in letters.by_ref().skip(1) {
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            seen.push(letter);
        }
    }
    seen.split("\r\n").map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_box_says_who_since_when_and_what_can_be_done() {
    let text = view().draw(Size { width: 80, height: 24 });
    let lines = seen(&text);
    let all = lines.join("\n");
    for part in [
        "machine",
        "14:05",
        "  alice is locked since 14:03",
        "> bob is locked since 14:03",
        "Password: ****",
        "Sorry.",
        "F3 sleep",
    ] {
        assert!(all.contains(part), "{part} is missing:\n{all}");
    }
    let widths: Vec<usize> = lines.iter().filter(|line| !line.is_empty()).map(|line| width(line)).collect();
    assert!(widths.iter().all(|width| *width == WIDEST), "{all}");
}

#[test]
fn every_size_of_terminal_and_every_length_of_text_can_be_drawn() {
    let mut view = view();
    view.answer = "*".repeat(5000);
    view.messages =
        ["word ".repeat(500), "x".repeat(500), "語".repeat(500), String::new()].map(Text::Foreign).into();
    view.waiting = (0..50).map(|n| waiting(&format!("user{n}"), "1")).collect();
    for width in [0, 1, 20, 40, 80, 300] {
        for height in [0, 1, 10, 24, 100] {
            view.chosen = height.min(49);
            let lines = seen(&view.draw(Size { width, height }));
            let allowed = width.clamp(12, WIDEST);
            assert!(lines.iter().all(|line| super::width(line) <= allowed), "{width}x{height}");
        }
    }
}

#[test]
fn no_word_of_a_question_is_lost_whatever_its_length() {
    for count in 1..60 {
        let words: Vec<String> = (0..count).map(|n| format!("w{n}")).collect();
        let view = View { question: Text::Foreign(words.join(" ")), answer: "****".into(), ..view() };
        let all = seen(&view.draw(Size { width: 80, height: 24 })).join(" ");
        let all: Vec<&str> = all.split_whitespace().collect();
        let lost: Vec<_> = words.iter().filter(|word| !all.contains(&word.as_str())).collect();
        assert!(lost.is_empty() && all.contains(&"****"), "{lost:?}: {all:?}");
    }
}

#[test]
fn nobody_else_moves_the_cursor() {
    let mut view = view();
    view.messages = vec![pam("\x1b[2Jgone\nnext\u{9b}H")];
    let text = view.draw(Size { width: 80, height: 24 });
    assert!(!text.contains("\x1b[2J") && !text.contains('\u{9b}'));
    assert!(seen(&text).join("\n").contains("[2Jgone next"));
}

/// One user is locked, and nothing was typed.
fn quiet() -> View {
    View {
        host: "machine".into(),
        time: "2026-11-26 14:05".into(),
        waiting: vec![waiting("alice", "14:03")],
        question: pam("Password: "),
        keyboard: "us, QWERTY".into(),
        keys: vec![
            ("F2".into(), texts::KEY_LOGIN),
            ("F3".into(), texts::KEY_SLEEP),
            ("F4".into(), texts::KEY_RESTART),
            ("F5".into(), texts::KEY_OFF),
            ("F6".into(), texts::KEY_SHOW),
            ("F7".into(), texts::KEY_LAYOUT),
        ],
        ..View::default()
    }
}

fn two() -> View {
    let mut view = View { chosen: 1, ..quiet() };
    view.waiting.push(waiting("bob", "2026-11-25 23:59"));
    view.keys.insert(0, ("Tab".into(), texts::KEY_USER));
    view
}

fn told(text: Text) -> View {
    View { messages: vec![text], ..quiet() }
}

/// What typing leads to.
fn typed() -> Vec<(&'static str, View)> {
    let shown = View { answer: "corr€ct horse".into(), keyboard: "de, QWERTZ".into(), ..quiet() };
    let wrong = "Password incorrect or not sufficient for authentication of user alice.";
    let wrong = View { caps_lock: true, question: pam("Sorry, try again: "), ..told(pam(wrong)) };
    let failed = View {
        question: texts::ENTER_AGAIN.into(),
        ..told(texts::STILL_LOCKED.because("Authentication failure"))
    };
    vec![
        ("locked", quiet()),
        ("typing", View { answer: "*****".into(), ..quiet() }),
        ("shown", shown),
        ("wrong", wrong),
        ("too long", told(texts::TOO_LONG.into())),
        ("checking", View { question: texts::CHECKING.into(), ..quiet() }),
        ("failed", failed),
        ("no layout", View { keyboard: String::new(), ..quiet() }),
    ]
}

/// What else than a password is asked for.
fn tokens() -> Vec<(&'static str, View)> {
    let pin = "Security token PIN (or Enter, for the password): ";
    let pin = View { question: pam(pin), answer: "**".into(), ..quiet() };
    let this = "PIN of this computer or password (or insert the token, and press Enter): ";
    let unknown =
        View { question: pam("Verification code: "), ..told(pam("Mail was sent to a***@example.org.")) };
    vec![
        ("PIN", pin),
        ("PIN of this computer", View { question: pam(this), ..quiet() }),
        ("touch", told(pam("Please touch the security token of user alice."))),
        ("not known", unknown),
    ]
}

/// What keys and clocks lead to.
fn machine() -> Vec<(&'static str, View)> {
    let mut called = two();
    called.waiting[0].called = Some("Alice Liddell".into());
    called.waiting[1].called = Some("山田太郎".into());
    vec![
        ("two", two()),
        ("with names for people", called),
        ("off once", told(texts::AGAIN_OFF.with("number", 5))),
        ("restart once", told(texts::AGAIN_RESTART.with("number", 4))),
        ("not now", told(texts::CANNOT_OFF.because("updates: being installed"))),
        ("no such layout", told(texts::NO_LAYOUT.because("there is no such layout").with("layout", "xy"))),
        ("nobody types", told(texts::SLEEPS_SOON.with("seconds", 7))),
    ]
}

#[test]
fn every_situation_looks_as_it_should_in_every_language() {
    for language in Language::ALL {
        let mut screens = String::new();
        for (name, view) in [typed(), tokens(), machine()].into_iter().flatten() {
            let view = View { catalogue: Catalogue::of(language), ..view };
            let lines = seen(&view.draw(USUAL));
            let all: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
            let one_width = all.iter().all(|line| width(line) == WIDEST);
            assert!(one_width, "{language:?}, {name}:\n{}", all.join("\n"));
            screens += &format!("{name}:\n{}\n\n", all.join("\n"));
        }
        golden::compare(language.name(), &screens);
    }
}

#[test]
fn a_name_that_the_font_has_not_is_not_shown() {
    let mut view = quiet();
    view.glyphs = Glyphs::These((' '..='~').collect());
    view.waiting[0].called = Some("山田太郎".into());
    assert!(seen(&view.draw(USUAL)).join("").contains("  alice is locked since 14:03"));
    view.waiting[0].called = Some("Alice Liddell".into());
    assert!(seen(&view.draw(USUAL)).join("").contains("  Alice Liddell (alice) is locked since 14:03"));
}
