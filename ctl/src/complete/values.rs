//! The values of an option: by the kind of its member, or by what the help calls its value.

use super::{Known, Offer, World};
use crate::options::values::capability_names;
use crate::options::{Effect, Kind, Row, Takes, limits};

/// What fits behind `fixed`, which is in the same word.
pub fn of(row: &Row, typed: &str, fixed: &str, world: &dyn World) -> Vec<Offer> {
    let called = match row.value {
        Takes::Nothing => "",
        Takes::One(called) | Takes::Perhaps(called) => called,
    };
    let words =
        |words: Vec<String>| words.into_iter().map(|word| Offer::word(format!("{fixed}{word}"))).collect();
    match row.effect {
        Effect::Set { kind: Kind::OneOf(known), .. } => words(owned(known)),
        Effect::Set { kind: Kind::SectorSize, .. } => words(owned(&["512", "1024", "2048", "4096"])),
        Effect::Set { kind: Kind::Weight, .. } => words(owned(&["off"])),
        Effect::Set { kind: Kind::TimeZone, .. } => words(world.known(Known::Zones)),
        Effect::Set { kind: Kind::Groups, .. } => list(fixed, typed, &world.known(Known::Groups)),
        Effect::Set { kind: Kind::Capabilities, .. } => list(fixed, typed, &capability_names()),
        Effect::Set { kind: Kind::Path, member: "shell", .. } => words(world.known(Known::Shells)),
        Effect::Set { kind: Kind::Path, member: "homeDirectory" | "skeletonDirectory", .. } => {
            vec![Offer::Folders(fixed.to_owned())]
        }
        Effect::Set { .. } | Effect::Special(_) | Effect::Tool(_) => called_so(called, typed, fixed, world),
    }
}

/// By the name in the help, such as `PATH|auto|list`.
fn called_so(called: &str, typed: &str, fixed: &str, world: &dyn World) -> Vec<Offer> {
    let words =
        |words: Vec<String>| words.into_iter().map(|word| Offer::word(format!("{fixed}{word}"))).collect();
    let one = |part: &str| -> Vec<Offer> {
        match part {
            "BOOL" => words(owned(&["yes", "no"])),
            "PATH" | "NAME=PATH" => vec![Offer::Files(fixed.to_owned())],
            // Adding and taking out are signs in front of it.
            "@FILE" => {
                let sign = sign(typed, &['+', '-']);
                match typed[sign.len()..].starts_with('@') {
                    true => vec![Offer::Files(format!("{fixed}{sign}@"))],
                    false => words(vec![format!("{sign}@")]),
                }
            }
            "[USER@]HOST" => vec![Offer::Hosts],
            "CONTAINER" => words(world.known(Known::Containers)),
            "LOCALE,…" => list(fixed, typed, &world.known(Known::Locales)),
            "LIMIT=VALUE[:VALUE]" => words(limits::names().map(|name| format!("{name}=")).collect()),
            word if word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') => {
                words(owned(&[word]))
            }
            _ => Vec::new(),
        }
    };
    called.split('|').filter(|part| !part.is_empty()).flat_map(one).collect()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// The last of several values between commas, without those that are there; a sign in front of the list stays.
fn list(fixed: &str, typed: &str, known: &[String]) -> Vec<Offer> {
    let sign = sign(typed, &['+', '-', '~']);
    let done = typed.rfind(',').map_or(sign.len(), |comma| comma + 1);
    let there: Vec<&str> = typed[sign.len()..done.max(sign.len())].split(',').collect();
    let missing = known.iter().filter(|name| !there.contains(&name.as_str()));
    missing.map(|name| Offer::word(format!("{fixed}{}{name}", &typed[..done]))).collect()
}

/// The sign that a value begins with, if it does.
fn sign<'a>(typed: &'a str, signs: &[char]) -> &'a str {
    if typed.starts_with(signs) { &typed[..1] } else { "" }
}
