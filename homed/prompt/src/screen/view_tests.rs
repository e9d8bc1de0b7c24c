//! Golden screens: what a person sees in each situation, as files in `golden/`. After a change that is wanted,
//! `HOMED_GOLDEN=write` has the test write them anew, for a reviewer to read.

use super::*;
use std::path::Path;

/// The usual size of a text console.
const USUAL: Size = Size { width: 80, height: 24 };

fn view() -> View {
    View {
        host: "machine".into(),
        time: "14:05".into(),
        waiting: ["alice", "bob"].map(|user| Waiting { user: user.into(), since: "14:03".into() }).into(),
        chosen: 1,
        question: "Password:".into(),
        answer: "****".into(),
        keyboard: "Keyboard: us, QWERTY".into(),
        caps_lock: false,
        messages: vec!["Sorry.".into()],
        keys: vec![("Tab".into(), "another user"), ("F3".into(), "sleep")],
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
    let widths: Vec<usize> =
        lines.iter().filter(|line| !line.is_empty()).map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == WIDEST), "{all}");
}

#[test]
fn every_size_of_terminal_and_every_length_of_text_can_be_drawn() {
    let mut view = view();
    view.answer = "*".repeat(5000);
    view.messages = vec!["word ".repeat(500), "x".repeat(500), String::new()];
    view.waiting = (0..50).map(|n| Waiting { user: format!("user{n}"), since: "1".into() }).collect();
    for width in [0, 1, 20, 40, 80, 300] {
        for height in [0, 1, 10, 24, 100] {
            view.chosen = height.min(49);
            let lines = seen(&view.draw(Size { width, height }));
            let allowed = width.clamp(12, WIDEST);
            assert!(lines.iter().all(|line| line.chars().count() <= allowed), "{width}x{height}");
        }
    }
}

#[test]
fn nobody_else_moves_the_cursor() {
    let mut view = view();
    view.messages = vec!["\x1b[2Jgone\nnext\u{9b}H".into()];
    let text = view.draw(Size { width: 80, height: 24 });
    assert!(!text.contains("\x1b[2J") && !text.contains('\u{9b}'));
    assert!(seen(&text).join("\n").contains("[2Jgone next"));
}

/// One user is locked, and nothing was typed.
fn quiet() -> View {
    View {
        host: "machine".into(),
        time: "2026-11-26 14:05".into(),
        waiting: vec![Waiting { user: "alice".into(), since: "14:03".into() }],
        question: "Password:".into(),
        keyboard: "Keyboard: us, QWERTY".into(),
        keys: vec![
            ("F2".into(), "other login"),
            ("F3".into(), "sleep"),
            ("F4".into(), "restart"),
            ("F5".into(), "power off"),
            ("F6".into(), "show"),
        ],
        ..View::default()
    }
}

#[test]
fn every_situation_looks_as_it_should() {
    let two = vec![
        Waiting { user: "alice".into(), since: "14:03".into() },
        Waiting { user: "bob".into(), since: "2026-11-25 23:59".into() },
    ];
    let mut keys = quiet().keys;
    keys.insert(0, ("Tab".into(), "another user"));
    let sentence = "Password incorrect or not sufficient for authentication of user alice.";
    let situations = [
        ("locked", quiet()),
        ("typing", View { answer: "*****".into(), ..quiet() }),
        (
            "shown",
            View { answer: "corr€ct horse".into(), keyboard: "Keyboard: de, QWERTZ".into(), ..quiet() },
        ),
        (
            "wrong",
            View { messages: vec!["Sorry, try again.".into(), sentence.into()], caps_lock: true, ..quiet() },
        ),
        ("checking", View { question: "Checking …".into(), ..quiet() }),
        ("two", View { waiting: two, chosen: 1, keys, ..quiet() }),
        ("pin", View { question: "Security token PIN:".into(), answer: "**".into(), ..quiet() }),
        ("no_layout", View { keyboard: String::new(), ..quiet() }),
    ];
    for (name, view) in situations {
        let screen = seen(&view.draw(USUAL)).join("\n") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/screen/golden").join(name);
        if std::env::var_os("HOMED_GOLDEN").is_some() {
            std::fs::write(&path, &screen).expect("written");
        }
        let golden = std::fs::read_to_string(&path).expect("there is one");
        assert_eq!(screen, golden, "{name}");
    }
}
