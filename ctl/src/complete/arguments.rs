//! The arguments of a verb, by what the help calls them.

use super::{Known, Offer, World};
use crate::verb::Verb;
use crate::verb::{backup, snapshot};

/// What fits behind the arguments that are there.
pub fn of(verb: &Verb, before: &[&str], world: &dyn World) -> Vec<Offer> {
    match called(verb.arguments, before.len()) {
        Some("USER") if verb.name == "convert" => {
            let known = [Known::Accounts, Known::Converted].map(|what| world.known(what)).concat();
            known.into_iter().map(Offer::word).collect()
        }
        Some("USER") if verb.name == "release" => {
            let released = world.known(Known::Released).into_iter().map(Offer::word);
            users(verb.name, before, world).into_iter().chain(released).collect()
        }
        Some("USER") if verb.name != "create" => users(verb.name, before, world),
        Some("PATH" | "FILE") => vec![Offer::Files(String::new())],
        Some("DIRECTORY") => vec![Offer::Folders(String::new())],
        Some("HOST") => vec![Offer::Hosts],
        Some("HOST|FOLDER") => vec![Offer::Hosts, Offer::Folders(String::new())],
        Some("SIZE") => vec![Offer::word("min"), Offer::word("max")],
        Some("NAME") => {
            let keys = world.known(Known::Keys).into_iter();
            keys.filter(|key| !before.contains(&key.as_str())).map(Offer::word).collect()
        }
        Some("COMMAND") if verb.name == "snapshot" && before.len() == 1 => {
            snapshot::actions().map(Offer::word).collect()
        }
        Some("COMMAND") if verb.name == "backup" && before.len() == 1 => {
            backup::actions().map(Offer::word).collect()
        }
        _ => Vec::new(),
    }
}

/// What the help calls the argument at this place: `USER [SIZE]`, `[FILE…]`.
fn called(arguments: &'static str, at: usize) -> Option<&'static str> {
    let all: Vec<&str> = arguments.split_whitespace().map(|word| word.trim_matches(['[', ']'])).collect();
    let repeated = || all.last().copied().filter(|last| last.ends_with('…'));
    all.get(at).copied().or_else(repeated).map(|word| word.trim_end_matches('…'))
}

/// The users for whom the verb does something, without those who are there.
fn users(verb: &str, before: &[&str], world: &dyn World) -> Vec<Offer> {
    let states = fitting(verb);
    let homes = world.homes().into_iter().filter(|home| {
        !before.contains(&home.name.as_str()) && (states.is_empty() || states.contains(&home.state.as_str()))
    });
    homes.map(|home| Offer::Word(home.name, help(&home.state, &home.real_name))).collect()
}

fn help(state: &str, real_name: &str) -> String {
    let real_name = real_name.replace(char::is_control, " ");
    if real_name.is_empty() { state.to_owned() } else { format!("{real_name}, {state}") }
}

/// The states of homes that the verb does something with; empty: all.
fn fitting(verb: &str) -> &'static [&'static str] {
    match verb {
        "activate" => &["inactive", "dirty", "unfixated"],
        "deactivate" | "eject" => &["active", "lingering"],
        "lock" | "inhibit-lock" | "sync" => &["active", "lingering"],
        "unlock" => &["locked"],
        "fixate" => &["unfixated"],
        "release" => &["inactive", "dirty", "active", "lingering"],
        "export" | "send" => &["inactive", "dirty"],
        _ => &[],
    }
}
