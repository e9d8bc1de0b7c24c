use super::texts::{CANNOT_SLEEP, LOCKED_SINCE, OF_PAM, OURS};
use super::*;
use std::path::{Path, PathBuf};

const OTHERS: [Language; 5] =
    [Language::German, Language::French, Language::Spanish, Language::Japanese, Language::Chinese];

fn german() -> Catalogue {
    Catalogue::of(Language::German)
}

fn said(text: &str) -> String {
    german().say(&Text::Foreign(text.to_owned()))
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_text_is_in_every_catalogue_with_the_same_places() {
    for language in OTHERS {
        let catalogue = Catalogue::of(language);
        for (id, _) in OURS.iter().chain(OF_PAM) {
            let translated = catalogue.texts.get(id.english());
            let translated = translated.unwrap_or_else(|| panic!("{language:?} has not: {}", id.english()));
            let places = |text| Pattern::of(text).names();
            assert_eq!(places(translated), places(id.english()), "{language:?}: {translated}");
            assert!(!translated.contains(char::is_control), "{language:?}: {translated}");
        }
        let known = OURS.len() + OF_PAM.len();
        assert_eq!(
            catalogue.texts.len(),
            known,
            "{language:?} has texts that nobody says, or one text is there twice"
        );
    }
}

#[test]
fn the_template_for_translators_is_that_of_the_table() {
    let mut text = String::from(
        "# The prompt of homed.\nmsgid \"\"\nmsgstr \"\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n",
    );
    for (id, about) in OURS.iter().chain(OF_PAM) {
        let about = about.trim().replace("  ", " ");
        text.push_str(&format!("\n#. {about}\nmsgid {:?}\nmsgstr \"\"\n", id.english()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("po/homed-prompt.pot");
    if std::env::var_os("HOMED_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("there is one"), text);
}

#[test]
fn what_is_filled_in_stands_where_the_language_has_it() {
    let text = LOCKED_SINCE.with("user", "{since}").with("since", "14:03");
    assert_eq!(german().say(&text), "{since} ist gesperrt seit 14:03");
    assert_eq!(Catalogue::of(Language::Chinese).say(&text), "{since} 自 14:03 起已锁定");
    assert_eq!(
        german().say(&CANNOT_SLEEP.because("Permission denied")),
        "Schlafen geht jetzt nicht: nicht erlaubt."
    );
}

#[test]
fn texts_of_pam_are_known_by_what_was_filled_in() {
    assert_eq!(said("Password: "), "Passwort:");
    assert_eq!(
        said("Please touch the security token of user alice."),
        "Bitte den Sicherheitstoken von alice berühren."
    );
    let few = "Security token PIN incorrect for user alice (only a few tries left!).";
    assert_eq!(said(few), "Falsche PIN des Sicherheitstokens von alice (nur noch wenige Versuche!).");
    assert_eq!(
        said("The home is busy. Try again in a moment."),
        "Das Home ist beschäftigt. Gleich noch einmal versuchen."
    );
}

#[test]
fn no_text_of_pam_is_lost() {
    for text in ["Verification code: ", "Mot de passe :", "", "A. b. C.", "no user {user}", "The home is"] {
        assert_eq!(said(text), text.trim());
    }
    assert_eq!(said("Disk 7 smokes. Try again in a moment."), "Disk 7 smokes. Gleich noch einmal versuchen.");
    assert_eq!(said("Try again in a moment. Or not."), "Gleich noch einmal versuchen. Or not.");
}

/// All text of the sources of these folders, without what is told to the compiler.
fn sources(folders: &[&str]) -> String {
    let mut text = String::new();
    for folder in folders {
        for entry in std::fs::read_dir(project().join(folder)).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&std::fs::read_to_string(entry.path()).expect("read"));
            }
        }
    }
    text
}

/// What stands between quotes.
fn literals(source: &str) -> Vec<String> {
    let outside = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let all: Vec<&str> = outside.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
    all.into_iter().map(str::to_owned).collect()
}

#[test]
fn texts_of_pam_are_those_of_its_sources() {
    let all = sources(&["pam/src", "pam/src/hook", "records/src", "homed/src/token"]);
    let all: Vec<String> = literals(&all);
    // Those that are put together from two; libpam's stand at the end.
    let made = |text: &str| {
        text.starts_with("PIN of this computer or password (or Enter")
            || text.starts_with("Security token PIN incorrect")
    };
    let of_others = "every terminal has a session";
    let known = OF_PAM.iter().map(|(id, _)| *id).take_while(|id| id.english() != of_others);
    for id in known.filter(|id| !made(id.english())) {
        let there = all.iter().any(|literal| literal.trim() == id.english());
        assert!(there, "PAM says no longer: {} (change it in texts.rs and in po/*.po)", id.english());
    }
}

#[test]
fn what_the_module_asks_is_in_the_table() {
    let source = std::fs::read_to_string(project().join("pam/src/ask.rs")).expect("read");
    let german = german();
    for text in literals(&source) {
        let said = text.starts_with(char::is_uppercase) && text.contains(' ') && !text.contains("{rest}");
        assert!(!said || german.whole(text.trim()).is_some(), "not in texts.rs and po/*.po: {text}");
    }
}
