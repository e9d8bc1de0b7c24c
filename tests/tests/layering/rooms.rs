//! Who may use whom: the table, and its application to sources and manifests.

use super::paths::named;
use super::source::Source;

/// A folder with a task of its own. It may use itself, what is listed here, and the standard library.
#[derive(Clone, Copy)]
pub struct Room {
    /// The crate, or the crate and its module.
    pub name: &'static str,
    /// The folder or file; of several that fit a file, the longest counts.
    pub at: &'static str,
    /// Rooms, or only some of their modules.
    pub rooms: &'static [&'static str],
    /// Crates of others.
    pub crates: &'static [&'static str],
}

/// What the tests in the sources may use everywhere: Cargo gives it to nothing else.
const OF_TESTS: &[&str] = &["proptest", "rqrr", "tempfile"];

/// The room a file lies in.
pub fn room<'a>(table: &'a [Room], path: &str) -> Option<&'a Room> {
    let fits = |room: &&Room| {
        path.strip_prefix(room.at)
            .is_some_and(|rest| room.at.ends_with(".rs") || rest.starts_with('/') || rest == ".rs")
    };
    table.iter().filter(fits).max_by_key(|room| room.at.len())
}

/// The module that a file is, from its crate's name on.
fn module(room: &Room, path: &str) -> Vec<String> {
    let mut module: Vec<String> = room.name.split("::").map(str::to_owned).collect();
    let below = path.strip_prefix(room.at).unwrap_or_default().trim_end_matches(".rs");
    // A program is a crate of its own, which calls the library by its name: the same rules hold.
    let names = below.split('/').filter(|name| !["", "mod", "lib", "main"].contains(name));
    module.extend(names.map(str::to_owned));
    module
}

/// Every path of the file that leads to where it may not.
pub fn check(table: &[Room], source: &Source) -> Vec<String> {
    let Some(room) = room(table, &source.path) else {
        return vec![source.finding(1, "lies in no room of the table")];
    };
    let refused = |path: &[String]| refused(table, room, path);
    let named = named(source, &module(room, &source.path));
    let wrong = named.iter().filter(|named| refused(&named.path));
    wrong
        .map(|named| {
            let what = format!("{} may not use {}", room.name, named.path.join("::"));
            source.finding(named.line, &what)
        })
        .collect()
}

fn refused(table: &[Room], room: &Room, path: &[String]) -> bool {
    let leads_to = |name: &str| begins(path, name);
    let ours = table.iter().filter(|other| leads_to(other.name)).max_by_key(|other| other.name.len());
    match ours {
        Some(other) => other.name != room.name && !room.rooms.iter().any(|name| leads_to(name)),
        None => {
            let known = table.iter().flat_map(|room| room.crates).any(|name| leads_to(name));
            known && !room.crates.iter().chain(OF_TESTS).any(|name| leads_to(name))
        }
    }
}

fn begins(path: &[String], name: &str) -> bool {
    let mut steps = path.iter();
    name.split("::").all(|step| steps.next().is_some_and(|there| there == step))
}

/// Every two rooms that may use each other, on whatever way. A room within another is a part of that.
pub fn circles(table: &[Room]) -> Vec<String> {
    let uses = |room: &Room, name: &str| {
        let steps: Vec<String> = name.split("::").map(str::to_owned).collect();
        let used =
            table.iter().filter(|other| begins(&steps, other.name)).max_by_key(|other| other.name.len());
        used.map(|other| other.name).filter(|other| *other != room.name)
    };
    let reached = |from: &Room| {
        let mut reached: Vec<&str> = from.rooms.iter().filter_map(|name| uses(from, name)).collect();
        let mut next = 0;
        while let Some(name) = reached.get(next).copied() {
            for room in table.iter().filter(|room| room.name == name) {
                let more: Vec<&str> = room.rooms.iter().filter_map(|name| uses(room, name)).collect();
                more.into_iter().for_each(|name| {
                    if !reached.contains(&name) {
                        reached.push(name)
                    }
                });
            }
            next += 1;
        }
        reached
    };
    let is_part = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
    let circle = |(one, other): (&Room, &str)| format!("{} and {other} use each other", one.name);
    let pairs = table.iter().flat_map(|one| reached(one).into_iter().map(move |other| (one, other)));
    let back =
        |other: &str, one: &str| table.iter().any(|room| room.name == other && reached(room).contains(&one));
    pairs.filter(|(one, other)| !is_part(one.name, other) && back(other, one.name)).map(circle).collect()
}

/// Every dependency of the package that none of its rooms may use.
pub fn check_manifest(table: &[Room], path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches("Cargo.toml");
    let own = |room: &&Room| {
        let below = room.at.strip_prefix(folder).and_then(|rest| rest.split('/').next());
        below.is_some_and(|first| ["src", "tests", "fuzz_targets"].contains(&first))
    };
    let rooms: Vec<&Room> = table.iter().filter(own).collect();
    let may = |dependency: &str| {
        let dependency =
            if dependency == "pam-bindings" { "pam".to_owned() } else { dependency.replace('-', "_") };
        let listed = |room: &&Room| {
            let rooms = room.rooms.iter().map(|name| name.split("::").next().unwrap_or_default());
            rooms.chain(room.crates.iter().copied()).any(|name| name == dependency)
        };
        OF_TESTS.contains(&dependency.as_str()) || rooms.iter().any(listed)
    };
    dependencies(text)
        .into_iter()
        .filter(|name| !may(name))
        .map(|name| format!("{path}: no room of this package may use {name}"))
        .collect()
}

/// The names in a manifest's tables of dependencies.
fn dependencies(text: &str) -> Vec<&str> {
    let mut within = false;
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            within = heading.trim_end_matches(']').ends_with("dependencies");
            // [dependencies.name]
            names.extend(heading.split_once("dependencies.").map(|(_, name)| name.trim_end_matches(']')));
        } else if within && let Some((name, _)) = line.split_once(['=', '.']) {
            names.push(name.trim());
        }
    }
    names.retain(|name| !name.starts_with('#'));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Room] = &[
        Room { name: "homed", at: "homed/src/lib.rs", rooms: &["homed::front"], crates: &[] },
        Room {
            name: "homed::front",
            at: "homed/src/front",
            rooms: &["homed::daemon::link", "records", "handoff"],
            crates: &["zbus"],
        },
        Room { name: "homed::daemon", at: "homed/src/daemon", rooms: &["homed::sys"], crates: &["tokio"] },
        Room { name: "homed::sys", at: "homed/src/sys", rooms: &[], crates: &["libc"] },
        Room { name: "records", at: "records/src", rooms: &[], crates: &["serde"] },
        Room { name: "handoff", at: "homed/handoff/src", rooms: &["records"], crates: &[] },
    ];

    #[test]
    fn rooms_that_use_each_other_are_found_over_any_number_of_others() {
        let room = |name, rooms| Room { name, at: name, rooms, crates: &[] };
        let ring = [
            room("a::b", &["a::c::word"]),
            room("a::c", &["a::d"]),
            room("a::d", &["a::b"]),
            room("a::b::part", &["a::b"]),
        ];
        assert_eq!(circles(&ring).len(), 6);
        assert_eq!(circles(&ring[..2]).len(), 0);
        assert_eq!(circles(TABLE).len(), 0);
    }

    fn wrong(path: &str, text: &str) -> Vec<String> {
        check(TABLE, &Source::new(path, text))
    }

    #[test]
    fn an_arrow_that_points_up_is_refused() {
        for text in [
            "use crate::front::polkit;",
            "use crate::{daemon, front};",
            "use super::super::front;",
            "mod tests { use super::super::super::front; }",
            "fn f() { crate::front::start() }",
            "fn f() { homed::front::start() }",
            "use crate::run;",
            "use crate as all;",
            "use zbus::Connection;",
            "fn f() -> zbus::Connection { g() }",
            "use records::Secret;",
            "use crate::daemon::link as x; fn f() { x::f() }",
        ] {
            assert!(!wrong("homed/src/sys/mount.rs", text).is_empty(), "{text}");
        }
        let [finding] = wrong("homed/src/sys/mount.rs", "\nuse crate::job;").try_into().expect("one");
        assert_eq!(finding, "homed/src/sys/mount.rs:2: homed::sys may not use homed::job");
    }

    #[test]
    fn what_the_table_allows_is_allowed() {
        for (path, text) in [
            ("homed/src/front/dbus/home.rs", "use crate::daemon::link::Link; use super::super::polkit;"),
            ("homed/src/front/mod.rs", "use zbus::Connection; mod handoff; use handoff::Tickets;"),
            ("homed/src/daemon.rs", "use crate::sys::{self, mount}; use tokio::net; use proptest::prop;"),
            ("homed/src/lib.rs", "pub mod front; pub mod sys; fn f() { front::start() }"),
            (
                "records/src/json.rs",
                "use crate::secret; use std::fmt; // crate::sys\nconst A: &str = \"zbus::x\";",
            ),
        ] {
            assert_eq!(wrong(path, text), Vec::<String>::new());
        }
    }

    #[test]
    fn of_a_room_only_the_listed_module_may_be_used() {
        assert_eq!(wrong("homed/src/front/mod.rs", "use crate::daemon::run::Loop;").len(), 1);
        assert_eq!(wrong("homed/src/lib.rs", "mod sys; fn f() { sys::f() }").len(), 1);
    }

    #[test]
    fn a_file_outside_every_room_is_refused() {
        assert_eq!(wrong("homed/src/new/mod.rs", "").len(), 1);
        assert_eq!(wrong("homed/src/frontier.rs", "").len(), 1);
    }

    #[test]
    fn a_dependency_that_no_room_may_use_is_refused() {
        let check = |text| check_manifest(TABLE, "homed/Cargo.toml", text).len();
        assert_eq!(
            check("[package]\nname = \"x\"\n[dependencies]\nzbus.workspace = true\nrecords = \"1\""),
            0
        );
        assert_eq!(check("[dependencies]\nhandoff.workspace = true\n# note = 1\nserde = \"1\""), 1);
        assert_eq!(check("[dev-dependencies]\nzbus = \"1\"\nopenssl-sys = \"1\"\n[features]\na = []"), 1);
        assert_eq!(check("[dependencies.anyhow]\nversion = \"1\"\n[lints]\nworkspace = true"), 1);
    }
}
